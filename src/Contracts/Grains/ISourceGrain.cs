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

    /// <summary>The clock that makes klines of this source final.</summary>
    [AlwaysInterleave, Alias("GetClock")]
    Task<SourceClock> GetClock();

    /// <summary>What the source is doing.</summary>
    [AlwaysInterleave, Alias("GetStatus")]
    Task<SourceStatus> GetStatus();
}
