using System.Net;
using System.Text.Json;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web.Tests;

public sealed class UdfTests
{
    private static readonly DateTimeOffset Start = TestKlines.Start;

    [Fact]
    public async Task Config_names_the_resolutions_that_are_configured()
    {
        var rules = new KlineRules { Intervals = [KlineInterval.S1, KlineInterval.M1, KlineInterval.H4, KlineInterval.W1] };
        await using var host = await WebHost.Start(cluster: new TestCluster { Rules = rules });
        var config = await new UdfClient(host.Http).Json("/udf/config");
        Assert.Equal(["1S", "1", "240", "1W"], config.GetProperty("supported_resolutions").EnumerateArray().Select(r => r.GetString()));
        Assert.True(config.GetProperty("supports_search").GetBoolean());
        Assert.False(config.GetProperty("supports_group_request").GetBoolean());
        Assert.True(config.GetProperty("supports_time").GetBoolean());
    }

    [Fact]
    public async Task Symbol_tells_a_chart_what_it_must_know()
    {
        var rules = new KlineRules { Intervals = [KlineInterval.S5, KlineInterval.S30, KlineInterval.M1, KlineInterval.M5, KlineInterval.D1] };
        await using var host = await WebHost.Start(cluster: new TestCluster { Rules = rules });
        await host.Archive.PutSymbol(new SymbolInfo(WebHost.Mint, "Pixel Frog", "test", Start));
        host.Cluster.Mint(WebHost.Mint).Change(Start, TestKlines.Make(KlineInterval.S5, Start, 0.0000001m) with { Close = new Price(0.00000036m) });
        var client = new UdfClient(host.Http);
        foreach (var name in (string[])[WebHost.Mint, "test:" + WebHost.Mint])
        {
            var symbol = await client.Json("/udf/symbols?symbol=" + name);
            Assert.Equal(WebHost.Mint, symbol.GetProperty("ticker").GetString());
            Assert.Equal("Pixel Frog (simulated)", symbol.GetProperty("description").GetString());
            Assert.Equal("24x7", symbol.GetProperty("session").GetString());
            Assert.Equal("Etc/UTC", symbol.GetProperty("timezone").GetString());
            Assert.Equal(1, symbol.GetProperty("minmov").GetInt32());
            Assert.Equal(1_000_000_000_000, symbol.GetProperty("pricescale").GetInt64());
            Assert.True(symbol.GetProperty("has_seconds").GetBoolean());
            Assert.Equal(["5", "30"], Texts(symbol, "seconds_multipliers"));
            Assert.Equal(["1", "5"], Texts(symbol, "intraday_multipliers"));
            Assert.True(symbol.GetProperty("has_daily").GetBoolean());
            Assert.False(symbol.GetProperty("has_weekly_and_monthly").GetBoolean());
            Assert.Equal(["5S", "30S", "1", "5", "1D"], Texts(symbol, "supported_resolutions"));
        }

        var unknown = await client.Json("/udf/symbols?symbol=nothing");
        Assert.Equal("error", unknown.GetProperty("s").GetString());
        Assert.Equal("unknown_symbol", unknown.GetProperty("errmsg").GetString());
    }

    [Theory]
    [InlineData("67000.5", 100)]
    [InlineData("10", 10_000)]
    [InlineData("1", 100_000)]
    [InlineData("0.5", 1_000_000)]
    [InlineData("0.00141342", 100_000_000)]
    [InlineData("0.000000000000000000001", 1_000_000_000_000_000)]
    [InlineData("79228162514264337593543950335", 100)]
    [InlineData(null, 100_000_000)]
    public void Price_scale_shows_six_digits_of_any_price(string? price, long scale) =>
        Assert.Equal(scale, UdfRoutes.PriceScale(price is null ? null : decimal.Parse(price, System.Globalization.CultureInfo.InvariantCulture)));

    [Fact]
    public async Task Search_finds_by_part_of_a_name_within_a_source()
    {
        await using var host = await WebHost.Start();
        for (var i = 0; i < 5; i++)
        {
            await host.Archive.PutSymbol(new SymbolInfo($"SYM{i}", $"Name {i}", i == 4 ? "elsewhere" : "test", Start.AddSeconds(i)));
        }

        Assert.Equal(["SYM0", "SYM1"], await Found("query=name&limit=2"));
        Assert.Equal(["SYM4"], await Found("query=&exchange=elsewhere&type=crypto"));
        Assert.Equal(5, (await Found("")).Count);
        Assert.Empty(await Found("query=sym&type=stock"));

        async Task<List<string?>> Found(string query) =>
            [.. (await new UdfClient(host.Http).Json("/udf/search?" + query)).EnumerateArray().Select(s => s.GetProperty("symbol").GetString())];
    }

    [Theory]
    [InlineData(EmptyPolicy.None)]
    [InlineData(EmptyPolicy.Flat)]
    public async Task Scrolling_to_the_left_gives_the_klines_of_v1_in_every_resolution(EmptyPolicy empty)
    {
        await using var host = await WebHost.Start(cluster: new TestCluster { Rules = new KlineRules { Empty = empty } });
        var mint = host.Cluster.Mint(WebHost.Mint);
        (string, KlineInterval)[] resolutions =
        [
            ("1S", KlineInterval.S1), ("s", KlineInterval.S1), ("5S", KlineInterval.S5), ("15S", KlineInterval.S15), ("30S", KlineInterval.S30), ("1", KlineInterval.M1), ("5", KlineInterval.M5),
            ("15", KlineInterval.M15), ("30", KlineInterval.M30), ("60", KlineInterval.H1), ("240", KlineInterval.H4), ("1D", KlineInterval.D1), ("D", KlineInterval.D1), ("1W", KlineInterval.W1), ("W", KlineInterval.W1),
        ];
        foreach (var interval in KlineIntervals.All)
        {
            mint.Change(Start, [.. Enumerable.Range(0, 30).Select(i => TestKlines.Make(interval, Start + (interval.Length() * (i + (i / 10))), 1.1m + i, i + 1, isFinal: i < 29))]);
            await mint.Archive(host.Archive, interval, Start + (interval.Length() * 17));
        }

        var client = new UdfClient(host.Http);
        foreach (var (resolution, interval) in resolutions)
        {
            var now = (Start + (interval.Length() * 33)).ToUnixTimeSeconds();
            var bars = await client.Scroll(WebHost.Mint, resolution, now, interval.Seconds(), 7);
            var v1 = await client.Json($"/api/v1/klines/{WebHost.Mint}/{interval.Name()}?from=0&to={now * 1_000}&limit=1000");
            List<Bar> expected = [.. v1.GetProperty("klines").EnumerateArray().Select(k => new Bar(
                k.GetProperty("openTime").GetInt64() / 1_000, k.GetProperty("open").GetDouble(), k.GetProperty("high").GetDouble(), k.GetProperty("low").GetDouble(), k.GetProperty("close").GetDouble(), k.GetProperty("baseVolume").GetDouble()))];
            Assert.True(expected.Count >= 30);
            Assert.Equal(expected, bars);

            var (ranged, _) = await client.GetBars(WebHost.Mint, resolution, expected[3].Time, expected[9].Time);
            Assert.Equal(expected[3..9], ranged);
        }
    }

    [Fact]
    public async Task Empty_range_says_where_the_next_bar_to_the_left_is()
    {
        await using var host = await WebHost.Start();
        host.Cluster.Mint(WebHost.Mint).Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1), TestKlines.Make(KlineInterval.M1, Start.AddHours(2), 1));
        var client = new UdfClient(host.Http);
        var start = Start.ToUnixTimeSeconds();
        Assert.Equal(start, (await client.GetBars(WebHost.Mint, "1", start + 600, start + 1_200)).NextTime);
        Assert.Null((await client.GetBars(WebHost.Mint, "1", start - 1_200, start)).NextTime);
        Assert.Null((await client.GetBars(WebHost.Mint, "1", start - 1_200, start, countback: 300)).NextTime);
        Assert.Null((await client.GetBars(WebHost.Mint, "1", start + 60, start)).NextTime);
        Assert.Null((await client.GetBars("NeverTradedNeverTradedNeverTraded111", "1", 0, start)).NextTime);

        // With countback, from does not count; the library sends 0 for none.
        Assert.Equal([start], (await client.GetBars(WebHost.Mint, "1", start + 600, start + 1_200, countback: 300)).Bars.Select(b => b.Time));
        Assert.Equal(start, (await client.GetBars(WebHost.Mint, "1", start + 600, start + 1_200, countback: 0)).NextTime);
        Assert.Equal(2, (await client.GetBars(WebHost.Mint, "1", -5_364_662_400, 99_999_999_999)).Bars.Count);
    }

    [Theory]
    [InlineData("/udf/history")]
    [InlineData("/udf/history?symbol=short&resolution=1&from=0")]
    [InlineData("/udf/history?symbol=" + WebHost.Mint)]
    [InlineData("/udf/history?symbol=" + WebHost.Mint + "&resolution=1M&from=0")]
    [InlineData("/udf/history?symbol=" + WebHost.Mint + "&resolution=&from=0")]
    [InlineData("/udf/history?symbol=" + WebHost.Mint + "&resolution=1")]
    [InlineData("/udf/history?symbol=" + WebHost.Mint + "&resolution=1&from=x")]
    [InlineData("/udf/history?symbol=" + WebHost.Mint + "&resolution=1&from=NaN")]
    [InlineData("/udf/history?symbol=" + WebHost.Mint + "&resolution=1&from=1&from=2")]
    [InlineData("/udf/history?symbol=" + WebHost.Mint + "&resolution=1&from=0&to=Infinity")]
    [InlineData("/udf/history?symbol=" + WebHost.Mint + "&resolution=1&countback=-1")]
    [InlineData("/udf/history?symbol=" + WebHost.Mint + "&resolution=1&countback=99999999999")]
    [InlineData("/udf/history?symbol=" + WebHost.Mint + "&symbol=" + WebHost.Mint + "&resolution=1&countback=1")]
    [InlineData("/udf/symbols")]
    [InlineData("/udf/symbols?symbol=")]
    [InlineData("/udf/symbols?symbol=test:")]
    [InlineData("/udf/search?limit=0")]
    [InlineData("/udf/search?limit=x")]
    [InlineData("/udf/search?query=a&query=b")]
    public async Task Wrong_question_is_an_error_as_the_library_reads_it(string path)
    {
        await using var host = await WebHost.Start();
        using var response = await host.Http.GetAsync(path);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        using var json = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        Assert.Equal("error", json.RootElement.GetProperty("s").GetString());
        Assert.NotEmpty(json.RootElement.GetProperty("errmsg").GetString()!);
    }

    [Fact]
    public async Task Resolution_that_is_not_built_is_refused_with_those_that_are()
    {
        await using var host = await WebHost.Start(cluster: new TestCluster { Rules = new KlineRules { Intervals = [KlineInterval.M1] } });
        var answer = await new UdfClient(host.Http).Json($"/udf/history?symbol={WebHost.Mint}&resolution=5&countback=1");
        Assert.Equal("resolution: '5' is not allowed. Allowed: for this symbol 1.", answer.GetProperty("errmsg").GetString());
    }

    private static IEnumerable<string?> Texts(JsonElement json, string name) => json.GetProperty(name).EnumerateArray().Select(v => v.GetString());
}
