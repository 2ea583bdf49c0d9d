using System.Collections.Immutable;
using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Binance;

/// <summary>A market of Binance. Each has its own addresses, limits and symbols.</summary>
public enum BinanceVenue
{
    Spot,

    /// <summary>Futures settled in stable coins.</summary>
    UsdM,

    /// <summary>Futures settled in the coin itself; amounts are contracts.</summary>
    CoinM,
}

/// <summary>Options of a <see cref="SourceKind.Binance"/>. Immutable.</summary>
public sealed record BinanceOptions
{
    public BinanceVenue Venue { get; init; } = BinanceVenue.Spot;

    /// <summary>Where the streams are, without the path <c>/stream</c>. Default: the venue's.</summary>
    public required Uri StreamAddress { get; init; }

    /// <summary>Where REST is. Default: the venue's.</summary>
    public required Uri RestAddress { get; init; }

    /// <summary>The symbols to follow, in capitals. Empty: every symbol that trades against <see cref="QuoteAsset"/> (on the futures venues: its perpetuals).</summary>
    public ImmutableArray<string> Symbols { get; init; } = [];

    /// <summary>Default: USDT; USD on COIN-M.</summary>
    public string QuoteAsset { get; init; } = "USDT";

    /// <summary>Follow symbols that are listed while we run. Default: true without a list of symbols, otherwise false and not allowed.</summary>
    public bool FollowNewSymbols { get; init; } = true;

    /// <summary>Fetch klines of the past when a symbol begins. Default: true. Without it the long klines that a symbol begins in are left out.</summary>
    public bool History { get; init; } = true;

    /// <summary>An absence longer than this is closed with klines instead of trades. Default: 6 hours.</summary>
    public TimeSpan MaxGap { get; init; } = TimeSpan.FromHours(6);

    /// <summary>1 to 1,024, the venue's limit. Default: 1,024.</summary>
    public int StreamsPerConnection { get; init; } = 1_024;

    /// <summary>SUBSCRIBE and the like, per connection. Default: 4, which leaves one of the 5 that the spot venue allows for the answer to its ping.</summary>
    public int ControlMessagesPerSecond { get; init; } = 4;

    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Silence after which a connection is given up. Default: 30 s.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Age at which a connection is replaced. Default: 23 h 45 min; the venue cuts it at 24 h.</summary>
    public TimeSpan ConnectionLifetime { get; init; } = new(23, 45, 0);

    /// <summary>The first wait before a connection or request is tried again; it doubles. Default: 1 s.</summary>
    public TimeSpan FirstRetry { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest wait. Default: 30 s.</summary>
    public TimeSpan LastRetry { get; init; } = TimeSpan.FromSeconds(30);

    public TimeSpan RestTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Request weight we spend in a minute. Default: two thirds of the venue's limit (spot 4,000; futures 1,600).</summary>
    public int RestWeightPerMinute { get; init; } = 4_000;

    /// <summary>How often the newest trade ids of all symbols are compared with the venue's. Default: 1 min.</summary>
    public TimeSpan ScanInterval { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Frames read and not yet taken; further ones are dropped, counted and fetched again. Default: 65,536.</summary>
    public int BufferedFrames { get; init; } = 65_536;
}

/// <summary>What differs between the venues. Immutable.</summary>
/// <remarks>
/// Paths, weights and limits: the venue's documentation (spot: rest-api.md and web-socket-streams.md; futures: market data, "Important WebSocket Change
/// Notice", which moved USD-M market streams under <c>/market</c> in 2026).
/// </remarks>
internal sealed record VenueProfile(
    string StreamAddress,
    string RestAddress,
    string RestPath,
    string QuoteAsset,
    int WeightPerMinute,
    int AggTradesWeight,
    int KlinesWeight,
    int ExchangeInfoWeight,
    int TickersWeight,
    bool HasSeconds,
    TimeSpan KlinesWindow)
{
    private static readonly VenueProfile Spot = new("wss://stream.binance.com:9443", "https://api.binance.com", "/api/v3", "USDT", 4_000, 4, 2, 20, 80, HasSeconds: true, TimeSpan.MaxValue);

    private static readonly VenueProfile UsdM = new("wss://fstream.binance.com/market", "https://fapi.binance.com", "/fapi/v1", "USDT", 1_600, 20, 5, 1, 40, HasSeconds: false, TimeSpan.MaxValue);

    // Its klines span at most 200 days in one answer.
    private static readonly VenueProfile CoinM = new("wss://dstream.binance.com", "https://dapi.binance.com", "/dapi/v1", "USD", 1_600, 20, 5, 1, 40, HasSeconds: false, TimeSpan.FromDays(200));

    public static VenueProfile Of(BinanceVenue venue) => venue switch
    {
        BinanceVenue.UsdM => UsdM,
        BinanceVenue.CoinM => CoinM,
        _ => Spot,
    };

    /// <summary>The intervals that the venue serves, shortest first.</summary>
    public IEnumerable<KlineInterval> Served =>
        KlineIntervals.All.Where(i => i is not (KlineInterval.S5 or KlineInterval.S15 or KlineInterval.S30) && (HasSeconds || i != KlineInterval.S1));
}
