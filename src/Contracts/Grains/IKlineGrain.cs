using Orleans.Concurrency;

namespace KlineOrleans.Contracts;

/// <summary>Owns the klines of one mint, in every interval. The key is the symbol.</summary>
[Alias("KlineOrleans.IKlineGrain")]
public interface IKlineGrain : IGrainWithStringKey
{
    /// <summary>Applies trades that were not seen before and publishes one <see cref="KlineUpdate"/> with what changed.</summary>
    /// <remarks>
    /// Delivering a trade again is harmless. Returns when the trades are applied and published; they are durable once a <see cref="Save"/> that followed and
    /// named <see cref="IngestResult.Activation"/> has answered that it saved. A call that failed or timed out may have been applied: deliver it again.
    /// </remarks>
    /// <exception cref="ArgumentException">A trade is of another symbol.</exception>
    [Alias("Ingest")]
    Task<IngestResult> Ingest(TradeBatch batch);

    /// <summary>
    /// Forgets the klines that are held and goes on from <paramref name="seed"/>, whose final klines the archive has by now. Durable when it returns; doing it again is
    /// harmless, if every trade since its moment is delivered again too.
    /// </summary>
    /// <remarks>
    /// From here until a batch with <see cref="TradeBatch.IsCaughtUp"/> the source's clock makes nothing final: only the trades' own received times do.
    /// Begins a new epoch.
    /// </remarks>
    /// <exception cref="ArgumentException">The seed is of another source than the mint's.</exception>
    [Alias("Begin")]
    Task Begin(KlineSeed seed);

    /// <summary>Moves the clock, then makes everything applied so far durable. Returns when it is. Trades go on being applied meanwhile.</summary>
    /// <param name="clock">The source's clock for this mint: final is what it makes final. Moving it back has no effect.</param>
    /// <param name="activation">
    /// The activation that took the trades (<see cref="IngestResult.Activation"/>). Another one answers <see cref="SaveResult.IsSaved"/> false and does nothing: what
    /// was not saved went with the activation that had it, and is to be delivered again.
    /// </param>
    [AlwaysInterleave, Alias("Save")]
    Task<SaveResult> Save(SourceClock clock, long activation);

    /// <summary>
    /// Makes a mint that no trades come to any more final up to the clock, and durable. For one whose trades are all saved: any activation does it, and one
    /// that only this woke leaves memory again.
    /// </summary>
    /// <param name="source">The source whose clock it is. Nothing is done, and nothing left to do, if another one feeds the mint.</param>
    /// <param name="clock">As for <see cref="Save"/>.</param>
    [AlwaysInterleave, Alias("Settle")]
    Task<SaveResult> Settle(string source, SourceClock clock);

    /// <summary>The klines that the archive may not have, at one position of the update stream.</summary>
    [Alias("GetSnapshot")]
    Task<KlineSnapshot> GetSnapshot();
}
