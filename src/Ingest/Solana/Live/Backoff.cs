namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>How long to wait before trying again: doubling, with jitter, up to a bound.</summary>
internal static class Backoff
{
    /// <param name="attempt">From 0.</param>
    public static TimeSpan Delay(int attempt, TimeSpan first, TimeSpan most)
    {
        var delay = first * Math.Pow(2, Math.Min(attempt, 16));
        delay = delay < most ? delay : most;

        // Between half and all of it, so that many who lost the same node do not come back together.
        return delay * (0.5 + (Random.Shared.NextDouble() / 2));
    }
}
