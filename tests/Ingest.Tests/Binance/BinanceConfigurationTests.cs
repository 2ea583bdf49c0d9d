using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Binance;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Ingest.Tests.Binance;

public sealed class BinanceConfigurationTests
{
    private const string Source = "Kline:Sources:0:";

    [Fact]
    public void Kind_alone_follows_the_spot_market_of_the_real_venue_against_USDT()
    {
        var source = Assert.Single(Read());
        var options = source.Binance!;
        Assert.Equal("binance", source.Name);
        Assert.Equal((OpenPolicy.FirstTrade, EmptyPolicy.Flat), (source.Rules.Open, source.Rules.Empty));
        Assert.Equal(new Uri("wss://stream.binance.com:9443"), options.StreamAddress);
        Assert.Equal(new Uri("https://api.binance.com"), options.RestAddress);
        Assert.Equal(("USDT", true, 1_024, 4, 4_000), (options.QuoteAsset, options.FollowNewSymbols, options.StreamsPerConnection, options.ControlMessagesPerSecond, options.RestWeightPerMinute));
        Assert.Empty(options.Symbols);
    }

    [Theory]
    [InlineData("UsdM", "wss://fstream.binance.com/market", "https://fapi.binance.com", "USDT")]
    [InlineData("CoinM", "wss://dstream.binance.com", "https://dapi.binance.com", "USD")]
    public void Futures_venue_has_its_own_addresses(string venue, string streams, string rest, string quote)
    {
        var options = Assert.Single(Read(("Venue", venue))).Binance!;
        Assert.Equal((new Uri(streams), new Uri(rest), quote, 1_600), (options.StreamAddress, options.RestAddress, options.QuoteAsset, options.RestWeightPerMinute));
    }

    [Fact]
    public void Symbols_are_read_from_a_list_or_one_line()
    {
        foreach (var source in (SourceOptions[])[.. Read(("Symbols", "btcusdt, ETHUSDT")), .. Read(("Symbols:0", "BTCUSDT"), ("Symbols:1", "ethusdt"))])
        {
            Assert.Equal(["BTCUSDT", "ETHUSDT"], source.Binance!.Symbols);
            Assert.False(source.Binance.FollowNewSymbols);
        }
    }

    [Theory]
    [InlineData("Venue", "Margin", "Spot, UsdM, CoinM")]
    [InlineData("StreamAddress", "https://x", "wss://")]
    [InlineData("RestAddress", "nowhere", "https://")]
    [InlineData("StreamsPerConnection", "1025", "1 to 1024")]
    [InlineData("ControlMessagesPerSecond", "6", "1 to 5")]
    [InlineData("ConnectionLifetime", "1.00:00:00", "23:59:00")]
    [InlineData("IdleTimeout", "30", "hh:mm:ss")]
    [InlineData("Symbols", "BTC/USDT", "letters, digits")]
    [InlineData("Symbols", "BTCUSDT,BTCUSDT", "each symbol once")]
    [InlineData("QuoteAsset", "U$D", "letters and digits")]
    [InlineData("LastRetry", "00:00:00.5", "at least FirstRetry")]
    [InlineData("Symbol", "BTCUSDT", "no such key")]
    public void Wrong_value_names_its_key_and_what_is_allowed(string key, string value, string allowed)
    {
        var error = Assert.Single(Assert.Throws<ConfigurationException>(() => Read((key, value))).Errors);
        Assert.StartsWith(Source + key, error, StringComparison.Ordinal);
        Assert.Contains(allowed, error, StringComparison.Ordinal);
    }

    [Fact]
    public void New_symbols_and_a_list_exclude_each_other()
    {
        var error = Assert.Single(Assert.Throws<ConfigurationException>(() => Read(("Symbols", "BTCUSDT"), ("FollowNewSymbols", "true"))).Errors);
        Assert.StartsWith(Source + "FollowNewSymbols", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Factory_makes_the_source_and_describes_it_as_an_exchange()
    {
        var configuration = Configuration(("Venue", "Spot"));
        using var services = new ServiceCollection().AddLogging().AddTradeSources(configuration).BuildServiceProvider();
        var factory = services.GetRequiredService<ITradeSourceFactory>();
        var description = Assert.Single(factory.Sources);
        Assert.Equal(("Binance", false, false), (description.Kind, description.IsChain, description.IsSimulated));
        Assert.IsType<BinanceSource>(factory.Create("binance"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("binance1|Spot|1")]
    [InlineData("binance2|Spot|1|A=1;")]
    [InlineData("binance1|9|1|A=1;")]
    [InlineData("binance1|Spot|x|A=1;")]
    [InlineData("binance1|Spot|1|A=-1;")]
    [InlineData("binance1|Spot|1|A=1;A=2;")]
    [InlineData("binance1|Spot|1|=1;")]
    [InlineData("binance1|Spot|1|A=1@;")]
    [InlineData("binance1|Spot|1|A=1@x;")]
    [InlineData("binance1|Spot|1|A@1=1;")]
    public void Checkpoint_that_is_none_is_refused(string text) => Assert.Null(BinanceCheckpoint.TryParse(text));

    [Fact]
    public void Checkpoint_reads_what_it_wrote()
    {
        var checkpoint = new BinanceCheckpoint(BinanceVenue.CoinM, DateTimeOffset.FromUnixTimeMilliseconds(1_626_916_403_852), new Dictionary<string, long> { ["BTCUSD_PERP"] = 17, ["A"] = 0 })
        {
            FirstFill = new Dictionary<string, DateTimeOffset> { ["A"] = DateTimeOffset.FromUnixTimeMilliseconds(1_626_916_400_007) },
        };
        Assert.Equal("binance1|CoinM|1626916403852|BTCUSD_PERP=17;A=0@1626916400007;", checkpoint.ToString());
        var read = BinanceCheckpoint.TryParse(checkpoint.ToString())!;
        Assert.Equal((checkpoint.Venue, checkpoint.Clock), (read.Venue, read.Clock));
        Assert.Equal(checkpoint.Next, read.Next);
        Assert.Equal(checkpoint.FirstFill, read.FirstFill);
    }

    private static IReadOnlyList<SourceOptions> Read(params (string Key, string Value)[] settings) => SourceConfiguration.Read(Configuration(settings));

    private static IConfiguration Configuration(params (string Key, string Value)[] settings) => new ConfigurationBuilder()
        .AddInMemoryCollection(settings.Select(s => KeyValuePair.Create(Source + s.Key, (string?)s.Value)).Append(KeyValuePair.Create(Source + "Kind", (string?)"Binance")))
        .Build();
}
