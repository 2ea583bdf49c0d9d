using Orleans.Concurrency;

namespace KlineOrleans.Contracts;

/// <summary>Owns one source: its only reader in the cluster, its checkpoint and its clock. The key is the source's name.</summary>
[Alias("KlineOrleans.ISourceGrain")]
public interface ISourceGrain : IGrainWithStringKey
{
    /// <summary>Starts reading from the checkpoint if nothing reads yet. Harmless to repeat, and meant to be.</summary>
    /// <exception cref="ArgumentException">No source of this name is configured.</exception>
    [Alias("Start")]
    Task Start();

    /// <summary>Stops reading, saves every mint it has fed and the checkpoint.</summary>
    [Alias("Stop")]
    Task Stop();

    /// <summary>The clock that makes klines of one mint final: every trade of the mint up to it was delivered to the activation that asks, or is saved.</summary>
    /// <remarks>Of a mint with trades on the way it is the clock before the oldest of them. The beginning of time where an activation asks that lacks trades which another took and never saved.</remarks>
    /// <param name="symbol">The mint.</param>
    /// <param name="activation">Who asks (<see cref="IngestResult.Activation"/>).</param>
    [AlwaysInterleave, Alias("GetClockOf")]
    Task<SourceClock> GetClock(string symbol, long activation);

    /// <summary>What the source is doing.</summary>
    [AlwaysInterleave, Alias("GetStatus")]
    Task<SourceStatus> GetStatus();
}
