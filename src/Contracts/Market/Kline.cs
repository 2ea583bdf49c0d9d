namespace KlineOrleans.Contracts;

/// <summary>One OHLCV bucket of one mint and interval.</summary>
/// <remarks>
/// Covers [<see cref="OpenTime"/>, <see cref="EndTime"/>), UTC. Prices are quote units per base unit, volumes whole units, all exact. Immutable,
/// safe to share between grains. The default value stands for no kline and is never sent.
/// </remarks>
[GenerateSerializer, Immutable, Alias("KlineOrleans.Kline")]
public readonly record struct Kline
{
    [Id(0)]
    public required KlineInterval Interval { get; init; }

    /// <summary>The bucket's first moment, on the interval's grid.</summary>
    [Id(1)]
    public required DateTimeOffset OpenTime { get; init; }

    /// <summary>The first moment after the bucket.</summary>
    public DateTimeOffset EndTime => OpenTime + Interval.Length();

    [Id(2)]
    public required Price Open { get; init; }

    [Id(3)]
    public required Price High { get; init; }

    [Id(4)]
    public required Price Low { get; init; }

    [Id(5)]
    public required Price Close { get; init; }

    [Id(6)]
    public decimal BaseVolume { get; init; }

    [Id(7)]
    public decimal QuoteVolume { get; init; }

    /// <summary>The part of <see cref="BaseVolume"/> whose taker bought.</summary>
    [Id(8)]
    public decimal TakerBuyBaseVolume { get; init; }

    /// <summary>The part of <see cref="QuoteVolume"/> whose taker bought.</summary>
    [Id(9)]
    public decimal TakerBuyQuoteVolume { get; init; }

    /// <summary>Trades of the exchange or chain in the bucket; an aggregate trade counts as many as it stands for.</summary>
    [Id(10)]
    public long TradeCount { get; init; }

    /// <summary>The bucket's first trade by <see cref="TradeOrder"/>; the default where there is none.</summary>
    [Id(11)]
    public TradeOrder First { get; init; }

    /// <summary>The bucket's last trade by <see cref="TradeOrder"/>; the default where there is none.</summary>
    [Id(12)]
    public TradeOrder Last { get; init; }

    /// <summary>The lowest and highest price of the bucket's own trades, without the open of the policy PreviousClose.</summary>
    [Id(13)]
    public Price TradeHigh { get; init; }

    /// <inheritdoc cref="TradeHigh"/>
    [Id(14)]
    public Price TradeLow { get; init; }

    /// <summary>Trades as delivered (an aggregate trade counts once): how often the kline changed. 0 for a flat kline.</summary>
    [Id(15)]
    public int UpdateCount { get; init; }

    /// <summary>0 until the kline is final; each later change adds 1.</summary>
    [Id(16)]
    public int Revision { get; init; }

    /// <summary>Complete: changes only by a correction with a higher <see cref="Revision"/>.</summary>
    [Id(17)]
    public bool IsFinal { get; init; }

    /// <summary>A bucket without a trade: the previous close in every price, volume 0.</summary>
    public bool IsFlat => UpdateCount == 0;

    /// <summary>The price of the first trade by order, whatever the open policy says. The default for a flat kline.</summary>
    [Id(18)]
    public Price FirstPrice { get; init; }

    /// <summary>The flat kline of a bucket without a trade.</summary>
    /// <param name="close">The close of the newest kline before it.</param>
    public static Kline Flat(KlineInterval interval, DateTimeOffset openTime, Price close, bool isFinal) => new()
    {
        Interval = interval,
        OpenTime = openTime,
        Open = close,
        High = close,
        Low = close,
        Close = close,
        IsFinal = isFinal,
    };
}
