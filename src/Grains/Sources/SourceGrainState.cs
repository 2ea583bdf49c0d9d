namespace KlineOrleans.Grains;

/// <summary>Where a source goes on after a restart.</summary>
[GenerateSerializer, Alias("KlineOrleans.SourceGrainState")]
public sealed class SourceGrainState
{
    /// <summary>As the source wrote it; null before the first one. Every trade before it is saved.</summary>
    [Id(0)]
    public string? Checkpoint { get; set; }

    /// <summary>The source's clock there, UTC: quiet mints become final up to it without another chunk. The beginning of time where none was stored.</summary>
    [Id(1)]
    public DateTimeOffset Clock { get; set; }
}
