namespace KlineOrleans.Contracts;

/// <summary>Which side took liquidity.</summary>
[GenerateSerializer, Alias("KlineOrleans.TakerSide")]
public enum TakerSide : byte
{
    Unknown = 0,
    Buy = 1,
    Sell = 2,
}

/// <summary>One swap.</summary>
/// <remarks>Prices are quote units per base unit, amounts are whole units (SOL, tokens, coins), all exact. Immutable.</remarks>
[GenerateSerializer, Immutable, Alias("KlineOrleans.Trade")]
public readonly record struct Trade
{
    /// <summary>The mint address, or the exchange's symbol.</summary>
    [Id(0)]
    public required string Symbol { get; init; }

    /// <summary>Identity and place among the mint's trades.</summary>
    [Id(1)]
    public required TradeOrder Order { get; init; }

    /// <summary>The chain's block time or the exchange's trade time, UTC. It alone decides the bucket.</summary>
    [Id(2)]
    public required DateTimeOffset EventTime { get; init; }

    /// <summary>
    /// The source's clock (<see cref="SourceClock.Time"/>) when the trade was read, UTC; for a recording the newest event time read so far, this trade's
    /// included. A bucket is final for this trade if it was final at this moment.
    /// </summary>
    [Id(3)]
    public required DateTimeOffset ReceivedTime { get; init; }

    [Id(4)]
    public required Price Price { get; init; }

    /// <summary>Base units that changed hands. Not negative.</summary>
    [Id(5)]
    public decimal BaseAmount { get; init; }

    /// <summary>Quote units that changed hands. Not negative.</summary>
    [Id(6)]
    public decimal QuoteAmount { get; init; }

    [Id(7)]
    public TakerSide TakerSide { get; init; }

    /// <summary>How many trades of the exchange this one stands for (an aggregate trade): at least 1.</summary>
    [Id(8)]
    public int Count { get; init; } = 1;

    /// <summary>
    /// The event time is an estimate, because the chain's block time of the slot was not known in time. Once it is known the trade is delivered again without
    /// this mark, and moves to its right place.
    /// </summary>
    [Id(9)]
    public bool IsEventTimeEstimated { get; init; }

    public Trade()
    {
    }
}
