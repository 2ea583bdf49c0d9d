using Orleans.Concurrency;

namespace KlineOrleans.Contracts;

/// <summary>Owns the klines of one mint, in every interval. The key is the symbol.</summary>
[Alias("KlineOrleans.IKlineGrain")]
public interface IKlineGrain : IGrainWithStringKey
{
    /// <summary>Applies trades that were not seen before and publishes one <see cref="KlineUpdate"/> with what changed.</summary>
    /// <remarks>
    /// Delivering a trade again is harmless. Returns when the trades are applied and published; they are durable once a
    /// <see cref="Save"/> that follows has returned.
    /// </remarks>
    /// <exception cref="ArgumentException">A trade is of another symbol, or the batch is of another source than the mint's.</exception>
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
    /// <param name="clock">The source's clock: final is what it makes final. Moving it back has no effect.</param>
    [AlwaysInterleave, Alias("Save")]
    Task Save(SourceClock clock);

    /// <summary>The klines that the archive may not have, at one position of the update stream.</summary>
    [Alias("GetSnapshot")]
    Task<KlineSnapshot> GetSnapshot();
}
