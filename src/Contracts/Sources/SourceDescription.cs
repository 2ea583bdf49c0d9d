namespace KlineOrleans.Contracts;

/// <summary>A configured source, as every room may know it. Immutable.</summary>
/// <param name="Name">Unique among the sources.</param>
/// <param name="Kind">Replay, Simulation, Solana or Binance.</param>
/// <param name="Rules">How its klines are built.</param>
/// <param name="IsSimulated">Its trades are made up.</param>
/// <param name="IsChain">Its symbols are mints of a chain; otherwise symbols of an exchange.</param>
public sealed record SourceDescription(string Name, string Kind, KlineRules Rules, bool IsSimulated, bool IsChain)
{
    /// <summary>The largest <see cref="TradesPerUpdate"/>: a grain's turns stay short.</summary>
    public const int MaxTradesPerUpdate = 1_024;

    /// <summary>The most trades of one symbol that one update of its klines may hold when they come faster than they are told: 1 to <see cref="MaxTradesPerUpdate"/>.</summary>
    public int TradesPerUpdate { get; init; } = MaxTradesPerUpdate;
}
