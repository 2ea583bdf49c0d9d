using System.Net;
using System.Text.Json;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web.Tests;

public sealed class HttpTests
{
    private static readonly DateTimeOffset Start = TestKlines.Start;

    [Fact]
    public async Task Klines_come_ascending_with_every_field()
    {
        await using var host = await WebHost.Start();
        host.Cluster.Mint(WebHost.Mint).Change(Start.AddSeconds(90), TestKlines.Make(KlineInterval.M1, Start, 0.00141342m, 2, isFinal: true), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 0.1m, 3));

        using var json = await Get(host, $"/api/v1/klines/{WebHost.Mint}/1m");

        var root = json.RootElement;
        Assert.Equal(WebHost.Mint, root.GetProperty("symbol").GetString());
        Assert.Equal("m1", root.GetProperty("interval").GetString());
        Assert.Equal(JsonValueKind.Null, root.GetProperty("next").ValueKind);
        var klines = root.GetProperty("klines");
        Assert.Equal(2, klines.GetArrayLength());
        Assert.Equal(
            $$"""{"interval":"m1","openTime":{{Start.ToUnixTimeMilliseconds()}},"endTime":{{Start.AddMinutes(1).ToUnixTimeMilliseconds()}},"open":0.00141342,"high":0.50141342,"low":0.00141342,"close":0.25141342,"baseVolume":2,"quoteVolume":0.00282684,"trades":2,"takerBuyBase":0,"takerBuyQuote":0,"firstTradeId":"{{Start.ToUnixTimeSeconds()}}","lastTradeId":"{{Start.ToUnixTimeSeconds() + 2}}","updates":2,"revision":0,"isFinal":true}""",
            klines[0].GetRawText());
        Assert.False(klines[1].GetProperty("isFinal").GetBoolean());
    }

    [Fact]
    public async Task Exact_prices_are_decimal_strings()
    {
        await using var host = await WebHost.Start();
        host.Cluster.Mint(WebHost.Mint).Change(Start, TestKlines.Make(KlineInterval.M1, Start, 0.1234567890123456789012345678m));
        using var json = await Get(host, $"/api/v1/klines/{WebHost.Mint}/m1?exact=true");
        Assert.Equal("0.1234567890123456789012345678", json.RootElement.GetProperty("klines")[0].GetProperty("open").GetString());
    }

    [Theory]
    [InlineData("from=0&limit=7", false)]
    [InlineData("limit=7", true)]
    [InlineData("limit=7&before=9999999999999", true)]
    public async Task Pages_follow_the_cursor_to_the_end(string query, bool backwards)
    {
        var cluster = new TestCluster { Rules = WebHost.Flat };
        await using var host = await WebHost.Start(cluster: cluster);
        var mint = host.Cluster.Mint(WebHost.Mint);
        mint.Change(Start.AddMinutes(49), [.. Enumerable.Range(0, 25).Select(i => TestKlines.Make(KlineInterval.M1, Start.AddMinutes(2 * i), i + 1, isFinal: i < 24))]);
        await mint.Archive(host.Archive, KlineInterval.M1, Start.AddMinutes(21));

        List<long> times = [];
        string? cursor = null;
        do
        {
            using var json = await Get(host, $"/api/v1/klines/{WebHost.Mint}/m1?{query}{(cursor is null ? "" : "&cursor=" + cursor)}");
            times.InsertRange(backwards ? 0 : times.Count, json.RootElement.GetProperty("klines").EnumerateArray().Select(k => k.GetProperty("openTime").GetInt64()));
            cursor = json.RootElement.GetProperty("next").GetString();
        }
        while (cursor is not null);

        Assert.Equal(Enumerable.Range(0, 50).Select(i => Start.AddMinutes(i).ToUnixTimeMilliseconds()), times);
    }

    [Fact]
    public async Task Unchanged_answer_is_304_and_a_changed_one_is_not()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(WebHost.Mint);
        mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1));
        var url = $"/api/v1/klines/{WebHost.Mint}/m1";
        using var first = await host.Http.GetAsync(url);
        var tag = first.Headers.ETag!;

        Assert.Equal(HttpStatusCode.NotModified, await Status(tag.ToString()));
        Assert.Equal(HttpStatusCode.NotModified, await Status("\"other\", W/" + tag));
        mint.Change(Start.AddSeconds(1), TestKlines.Make(KlineInterval.M1, Start, 1, 2));
        Assert.Equal(HttpStatusCode.OK, await Status(tag.ToString()));

        async Task<HttpStatusCode> Status(string match)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, url);
            request.Headers.TryAddWithoutValidation("If-None-Match", match);
            using var response = await host.Http.SendAsync(request);
            return response.StatusCode;
        }
    }

    [Theory]
    [InlineData("/api/v1/klines/short/m1", 400, "symbol")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/m2", 400, "interval")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/1M", 400, "interval")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/m1?limit=0", 400, "limit")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/m1?limit=1001", 400, "limit")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/m1?limit=99999999999", 400, "limit")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/m1?limit=ten", 400, "limit")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/m1?limit=1&limit=2", 400, "limit")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/m1?from=yesterday", 400, "from")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/m1?from=9223372036854775807", 400, "from")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/m1?to=1e9", 400, "to")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/m1?before=-99999999999999999", 400, "before")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/m1?from=2000&to=1000", 400, "from")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/m1?exact=maybe", 400, "exact")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/m1?cursor=AAAA", 400, "cursor")]
    [InlineData("/api/v1/klines/" + WebHost.Mint + "/m1?cursor=%00%ff", 400, "cursor")]
    [InlineData("/api/v1/klines/" + WebHost.Mint, 404, null)]
    [InlineData("/api/v1/klines", 404, null)]
    [InlineData("/api/v1/symbols?limit=-1", 400, "limit")]
    [InlineData("/api/v1/symbols?cursor=***", 400, "cursor")]
    [InlineData("/nothing/here", 404, null)]
    public async Task Bad_request_is_a_problem_that_names_what_is_wrong(string url, int status, string? key)
    {
        await using var host = await WebHost.Start();
        using var response = await host.Http.GetAsync(url);
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        using var json = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        Assert.Equal(status, json.RootElement.GetProperty("status").GetInt32());
        if (key is not null)
        {
            Assert.Equal(key, json.RootElement.GetProperty("key").GetString());
            Assert.Equal(1001, json.RootElement.GetProperty("code").GetInt32());
            Assert.NotEmpty(json.RootElement.GetProperty("allowed").GetString()!);
        }
    }

    [Theory]
    [InlineData("?from=-62135596800000")]
    [InlineData("?to=-62135596800000")]
    [InlineData("?from=253402300799999")]
    [InlineData("?to=253402300799999&from=-62135596800000&limit=1000")]
    public async Task Times_at_the_ends_of_the_calendar_are_answered(string query)
    {
        await using var host = await WebHost.Start(cluster: new TestCluster { Rules = WebHost.Flat });
        host.Cluster.Mint(WebHost.Mint).Change(Start.AddYears(1), TestKlines.Make(KlineInterval.W1, Start, 1, isFinal: true));
        using var json = await Get(host, $"/api/v1/klines/{WebHost.Mint}/w1{query}");
        Assert.Equal(JsonValueKind.Array, json.RootElement.GetProperty("klines").ValueKind);
    }

    [Fact]
    public async Task Exchange_symbol_that_is_not_listed_is_404_and_a_listed_one_is_answered()
    {
        await using var host = await WebHost.Start(sources: [new SourceDescription("test", "Binance", new KlineRules { Intervals = [KlineInterval.M1] }, IsSimulated: false, IsChain: false)], cluster: new TestCluster { Rules = new KlineRules { Intervals = [KlineInterval.M1] } });
        await host.Archive.PutSymbol(new SymbolInfo("XRPETH", "XRPETH", "test", Start));
        Assert.Equal(404, (int)(await host.Http.GetAsync("/api/v1/klines/BTCUSDT/m1")).StatusCode);
        Assert.Equal(200, (int)(await host.Http.GetAsync("/api/v1/klines/XRPETH/m1")).StatusCode);
        Assert.Equal(400, (int)(await host.Http.GetAsync("/api/v1/klines/XRPETH/m5")).StatusCode);
    }

    [Fact]
    public async Task Archive_or_grain_that_is_away_is_503_with_code_1003()
    {
        await using var host = await WebHost.Start();
        host.Archive.IsAway = true;
        Assert.Equal(503, (int)(await host.Http.GetAsync("/api/v1/symbols")).StatusCode);
        host.Archive.IsAway = false;
        host.Cluster.IsAway = true;
        using var response = await host.Http.GetAsync($"/api/v1/klines/{WebHost.Mint}/m1");
        Assert.Equal(503, (int)response.StatusCode);
        Assert.Contains("\"code\":1003", await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Symbols_are_searched_and_paged()
    {
        await using var host = await WebHost.Start();
        for (var i = 0; i < 5; i++)
        {
            await host.Archive.PutSymbol(new SymbolInfo($"SYM{i}", $"Name {i}", "test", Start.AddSeconds(i / 2)));
        }

        using var all = await Get(host, "/api/v1/symbols?query=sym&limit=3");
        Assert.Equal(["SYM0", "SYM1", "SYM2"], all.RootElement.GetProperty("symbols").EnumerateArray().Select(s => s.GetProperty("symbol").GetString()));
        using var rest = await Get(host, "/api/v1/symbols?query=sym&limit=3&cursor=" + all.RootElement.GetProperty("next").GetString());
        Assert.Equal(["SYM3", "SYM4"], rest.RootElement.GetProperty("symbols").EnumerateArray().Select(s => s.GetProperty("symbol").GetString()));
        Assert.Null(rest.RootElement.GetProperty("next").GetString());
        Assert.True(rest.RootElement.GetProperty("symbols")[0].GetProperty("simulated").GetBoolean());
    }

    [Fact]
    public async Task Health_is_503_until_storage_is_open_and_sources_have_started()
    {
        var archive = new TestArchive { IsAway = true };
        var time = new Testing.ManualTimeProvider();
        await using var host = await WebHost.Start(archive: archive, started: false, time: time, settings: new() { ["Kline:Web:Engine"] = "TestEngine" });
        Assert.Equal(200, (int)(await host.Http.GetAsync("/health/live")).StatusCode);
        Assert.Equal(503, (int)(await host.Http.GetAsync("/health/ready")).StatusCode);
        Assert.Equal(503, (int)(await host.Http.GetAsync("/health")).StatusCode);

        archive.IsAway = false;
        host.Cluster.Statuses["test"] = new SourceStatus { Name = "test", Kind = "Simulation", State = SourceState.Ended, Trades = 12, Skipped = new Dictionary<string, long> { ["line"] = 2, ["unknown"] = 1 }.ToSortedDictionary() };
        await Poll(host);
        time.Advance(TimeSpan.FromSeconds(2));

        using var json = await Get(host, "/health");
        Assert.Equal("ok", json.RootElement.GetProperty("status").GetString());
        Assert.Equal("TestEngine", json.RootElement.GetProperty("engine").GetString());
        Assert.Equal(2, json.RootElement.GetProperty("uptime").GetInt64());
        var source = json.RootElement.GetProperty("sources")[0];
        Assert.Equal("ended", source.GetProperty("state").GetString());
        Assert.Equal(12, source.GetProperty("trades").GetInt64());
        Assert.Equal(3, source.GetProperty("skipped").GetInt64());

        archive.IsAway = true;
        time.Advance(TimeSpan.FromSeconds(2));
        using var degraded = await Get(host, "/health/ready");
        Assert.Equal("degraded", degraded.RootElement.GetProperty("status").GetString());
    }

    [Fact]
    public async Task Without_the_page_the_root_says_how_to_get_it()
    {
        await using var host = await WebHost.Start();
        var page = await host.Http.GetStringAsync("/");
        Assert.Contains("Node 20", page, StringComparison.Ordinal);
        Assert.Contains("/api/v1/symbols", page, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Page_is_served_with_policy_and_cache_headers_and_nothing_outside_it()
    {
        var folder = Directory.CreateTempSubdirectory("kline-page");
        try
        {
            Directory.CreateDirectory(Path.Combine(folder.FullName, "page", "assets"));
            await File.WriteAllTextAsync(Path.Combine(folder.FullName, "page", "index.html"), "the page");
            await File.WriteAllTextAsync(Path.Combine(folder.FullName, "page", "assets", "index-abc123.js"), "1");
            await File.WriteAllTextAsync(Path.Combine(folder.FullName, "secret.txt"), "secret");
            await using var host = await WebHost.Start(new() { ["Kline:Web:PagePath"] = Path.Combine(folder.FullName, "page") });
            using var root = await host.Http.GetAsync("/");
            Assert.Equal("the page", await root.Content.ReadAsStringAsync());
            Assert.True(root.Headers.CacheControl!.NoCache);
            Assert.Contains("script-src 'self'", root.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
            using var asset = await host.Http.GetAsync("/assets/index-abc123.js");
            Assert.Equal(TimeSpan.FromDays(365), asset.Headers.CacheControl!.MaxAge);
            Assert.Equal(404, (int)(await host.Http.GetAsync("/assets/")).StatusCode);
            Assert.Equal(404, (int)(await host.Http.GetAsync("/..%2fsecret.txt")).StatusCode);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Theory]
    [InlineData("http://evil.example", false)]
    [InlineData("null", false)]
    [InlineData("https://chart.example", true)]
    public async Task Other_origins_read_only_where_the_list_names_them(string origin, bool allowed)
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:AllowedOrigins:0"] = "https://chart.example" });
        using var request = new HttpRequestMessage(HttpMethod.Get, "/api/v1/symbols");
        request.Headers.TryAddWithoutValidation("Origin", origin);
        using var response = await host.Http.SendAsync(request);
        Assert.Equal(allowed, response.Headers.Contains("Access-Control-Allow-Origin"));

        using var upgrade = new HttpRequestMessage(HttpMethod.Post, "/hubs/kline/negotiate?negotiateVersion=1");
        upgrade.Headers.TryAddWithoutValidation("Origin", origin);
        using var answer = await host.Http.SendAsync(upgrade);
        Assert.Equal(!allowed, answer.StatusCode == HttpStatusCode.Forbidden);
    }

    [Theory]
    [InlineData("Outbox:Bytes", "7")]
    [InlineData("History:Max", "1001")]
    [InlineData("History:Default", "0")]
    [InlineData("Limits:SubscriptionsPerClient", "0")]
    [InlineData("Ping:Interval", "00:00:00")]
    [InlineData("Ping:Timeout", "00:00:25")]
    [InlineData("AllowedOrigins:0", "chart.example/path")]
    public async Task Wrong_value_stops_the_start_and_names_key_value_and_range(string key, string value)
    {
        var error = await Assert.ThrowsAnyAsync<Exception>(async () => await WebHost.Start(new() { ["Kline:Web:" + key] = value }));
        Assert.Contains("Kline:Web:" + key, error.Message, StringComparison.Ordinal);
        Assert.Contains(value, error.Message, StringComparison.Ordinal);
        Assert.Contains("Allowed:", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Numbers_are_the_nearest_double()
    {
        var random = new Random(1);
        for (var i = 0; i < 20_000; i++)
        {
            var value = new decimal(random.Next(), random.Next(), random.Next(3) == 0 ? random.Next() : 0, false, (byte)random.Next(29));
            Assert.Equal(double.Parse(value.ToString(System.Globalization.CultureInfo.InvariantCulture), System.Globalization.CultureInfo.InvariantCulture), KlineJson.ToDouble(value));
        }
    }

    private static Task Poll(WebHost host) =>
        ((SourceMonitor)host.App.Services.GetService(typeof(SourceMonitor))!).Poll(CancellationToken.None);

    private static async Task<JsonDocument> Get(WebHost host, string url)
    {
        using var response = await host.Http.GetAsync(url);
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == HttpStatusCode.OK, $"{response.StatusCode}: {text}");
        return JsonDocument.Parse(text);
    }
}

internal static class SortedDictionaryExtensions
{
    public static System.Collections.Immutable.ImmutableSortedDictionary<string, long> ToSortedDictionary(this Dictionary<string, long> values) =>
        System.Collections.Immutable.ImmutableSortedDictionary.CreateRange(values);
}
