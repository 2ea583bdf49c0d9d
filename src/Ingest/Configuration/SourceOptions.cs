using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Solana;
using KlineOrleans.Ingest.Solana.Live;

namespace KlineOrleans.Ingest;

/// <summary>The kinds of sources that a configuration may name.</summary>
public enum SourceKind
{
    /// <summary>A recording in a file.</summary>
    Replay,

    /// <summary>A made-up market.</summary>
    Simulation,

    /// <summary>Binance, live.</summary>
    Binance,

    /// <summary>The live chain, through its nodes.</summary>
    Solana,
}

/// <summary>What a line of a recording is.</summary>
public enum RecordingFormat
{
    /// <summary>One logsNotification frame of a Solana node a line.</summary>
    SolanaLogs,

    /// <summary>The aggregate trades of data.binance.vision.</summary>
    BinanceAggTradesCsv,

    /// <summary>One aggTrade frame of Binance a line.</summary>
    BinanceFrames,

    /// <summary>One event a line, as the public server stores it.</summary>
    SpinPetEventsJson,
}

/// <summary>One entry of <c>Kline:Sources</c>, checked. Immutable.</summary>
public sealed record SourceOptions
{
    public required SourceKind Kind { get; init; }

    /// <summary>Default: the kind in lower case, with a number from the second of its kind on.</summary>
    public required string Name { get; init; }

    /// <summary>How its klines are built.</summary>
    public required KlineRules Rules { get; init; }

    /// <summary>See <see cref="SourceDescription.TradesPerUpdate"/>.</summary>
    public int TradesPerUpdate { get; init; } = SourceDescription.MaxTradesPerUpdate;

    /// <summary>Replay only.</summary>
    public ReplayOptions? Replay { get; init; }

    /// <summary>Simulation only.</summary>
    public SimulationOptions? Simulation { get; init; }

    /// <summary>Binance only.</summary>
    public Binance.BinanceOptions? Binance { get; init; }

    /// <summary>Solana only.</summary>
    public SolanaOptions? Solana { get; init; }
}

/// <summary>Options of a <see cref="SourceKind.Replay"/>. Immutable.</summary>
public sealed record ReplayOptions
{
    public required RecordingFormat Format { get; init; }

    /// <summary>The file, absolute or from the working folder.</summary>
    public required string Path { get; init; }

    /// <summary>The symbol of a recording whose lines do not name one (BinanceAggTradesCsv).</summary>
    public string Symbol { get; init; } = "";

    /// <summary>1: as recorded; 10: ten times as fast; 0: as fast as possible. Default: 0.</summary>
    public double Speed { get; init; }

    /// <summary>Start over at the end, with later times and other ids. Default: false.</summary>
    public bool Loop { get; init; }

    /// <summary>Prices of SpinPetEventsJson are 10^this times the price. Default: 26.</summary>
    public int PriceScale { get; init; } = 26;

    /// <summary>The programs whose events SolanaLogs decodes.</summary>
    public ProgramCatalog Programs { get; init; } = ProgramCatalog.Default;

    /// <summary>When slot 0 was, where SolanaLogs says no time at all. Default: the main network's genesis, 2020-03-16T14:29:00Z.</summary>
    public DateTimeOffset Anchor { get; init; } = new(2020, 3, 16, 14, 29, 0, TimeSpan.Zero);
}

/// <summary>Options of a <see cref="SourceKind.Simulation"/>. Immutable.</summary>
public sealed record SimulationOptions
{
    /// <summary>How many mints trade. Default: 12.</summary>
    public int Mints { get; init; } = 12;

    /// <summary>The same seed makes the same market. Default: 1.</summary>
    public long Seed { get; init; } = 1;

    /// <summary>Trades a second on average, over all mints. Default: 8.</summary>
    public double TradesPerSecond { get; init; } = 8;

    /// <summary>How much past a first start makes up. Default: 2 hours.</summary>
    public TimeSpan History { get; init; } = TimeSpan.FromHours(2);
}
