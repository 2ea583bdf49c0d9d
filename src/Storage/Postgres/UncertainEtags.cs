namespace KlineOrleans.Storage.Postgres;

/// <summary>States that this process wrote in commits whose answer never came: they may be stored, and their callers were told that nothing is. For the writer's thread.</summary>
/// <remarks>
/// Without this the next write of such a grain would be refused as overtaken, by itself: the grain would leave memory with trades in it that its source counts as
/// taken. Etags are random, so that what another process wrote is never taken for our own.
/// </remarks>
internal sealed class UncertainEtags
{
    private readonly Dictionary<(string Grain, string Name), List<long>> _etags = [];

    public bool Contains((string Grain, string Name) key, long etag) => _etags.TryGetValue(key, out var own) && own.Contains(etag);

    public void Add((string Grain, string Name) key, long etag)
    {
        if (!_etags.TryGetValue(key, out var own))
            _etags.Add(key, own = []);
        own.Add(etag);
    }

    /// <summary>What is stored is known again.</summary>
    public void Remove((string Grain, string Name) key) => _etags.Remove(key);
}
