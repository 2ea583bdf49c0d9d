using System.Collections.Immutable;

namespace KlineOrleans.Contracts;

/// <summary>What a kline opens with.</summary>
[GenerateSerializer, Alias("KlineOrleans.OpenPolicy")]
public enum OpenPolicy : byte
{
    /// <summary>The price of its first trade, as exchanges do.</summary>
    FirstTrade = 0,

    /// <summary>The close of the newest kline before it, so that bodies meet; high and low include it. The first kline of all opens with its first trade.</summary>
    PreviousClose = 1,
}

/// <summary>What stands for a bucket without a trade, between two klines or up to the clock.</summary>
[GenerateSerializer, Alias("KlineOrleans.EmptyPolicy")]
public enum EmptyPolicy : byte
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>A flat kline: the previous close in every price, volume 0. Never stored: whoever reads klines derives it.</summary>
    Flat = 1,
}

/// <summary>How klines of one source are built. Immutable.</summary>
[GenerateSerializer, Immutable, Alias("KlineOrleans.KlineRules")]
public sealed record KlineRules
{
    /// <summary>The intervals to build, shortest first, each once.</summary>
    [Id(0)]
    public ImmutableArray<KlineInterval> Intervals { get; init; } = KlineIntervals.All;

    [Id(1)]
    public OpenPolicy Open { get; init; } = OpenPolicy.FirstTrade;

    [Id(2)]
    public EmptyPolicy Empty { get; init; } = EmptyPolicy.None;

    /// <summary>With <see cref="OpenPolicy.PreviousClose"/>: high and low leave the open out, as the public server does (facts: spinpet-program, section 2).</summary>
    [Id(3)]
    public bool WicksIgnoreOpen { get; init; }

    /// <summary>How long after its end a bucket stays open for trades in flight. Default: 2 s.</summary>
    [Id(4)]
    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How far behind the clock a trade may be and still correct final klines. Default: 15 min.</summary>
    [Id(5)]
    public TimeSpan CorrectionWindow { get; init; } = TimeSpan.FromMinutes(15);
}
