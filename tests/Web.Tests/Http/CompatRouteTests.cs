using System.Net;
using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Web.Tests;

public sealed class CompatRouteTests
{
    private static readonly DateTimeOffset Start = TestKlines.Start;

    [Fact]
    public async Task Klines_come_newest_first_in_the_public_servers_shape()
    {
        await using var host = await WebHost.Start();
        Fill(host, 3);
        using var json = await Get(host, $"/api/kline?mint={WebHost.Mint}&interval=m1");
        var root = json.RootElement;
        Assert.Equal(["success", "data", "message"], root.EnumerateObject().Select(p => p.Name));
        Assert.True(root.GetProperty("success").GetBoolean());
        Assert.Equal("Operation successful", root.GetProperty("message").GetString());
        var data = root.GetProperty("data");
        Assert.Equal(["klines", "total", "page", "limit", "has_next", "has_prev", "interval", "mint_account"], data.EnumerateObject().Select(p => p.Name));
        Assert.Equal(3, data.GetProperty("total").GetInt32());
        Assert.Equal(50, data.GetProperty("limit").GetInt32());
        Assert.Equal("m1", data.GetProperty("interval").GetString());
        Assert.Equal(WebHost.Mint, data.GetProperty("mint_account").GetString());
        Assert.Equal(
            $$"""{"time":{{Start.AddMinutes(2).ToUnixTimeSeconds()}},"open":3,"high":3.5,"low":3,"close":3.25,"volume":0,"is_final":false,"update_count":3,"base_volume":3,"quote_volume":9,"trade_count":3,"revision":0}""",
            data.GetProperty("klines")[0].GetRawText());
    }

    [Theory]
    [InlineData("Kline:Compat:Volume", "Real", true, 3)]
    [InlineData("Compat:Volume", "real", true, 3)]
    [InlineData("Kline:Compat:Volume", "Zero", true, 0)]
    [InlineData("Kline:Compat:Volume", "Zero", false, 3)]
    public async Task Volume_of_chains_is_zero_unless_it_is_asked_for(string key, string value, bool isChain, double volume)
    {
        await using var host = await WebHost.Start(new() { [key] = value }, sources: [new SourceDescription("test", "Simulation", new KlineRules(), IsSimulated: true, isChain)]);
        await host.Archive.PutSymbol(new SymbolInfo(WebHost.Mint, "x", "test", Start));
        Fill(host, 3);
        using var json = await Get(host, $"/api/kline?mint={WebHost.Mint}&interval=1m&limit=1");
        Assert.Equal(volume, json.RootElement.GetProperty("data").GetProperty("klines")[0].GetProperty("volume").GetDouble());
    }

    [Theory]
    [InlineData("Kline:Compat:Volume")]
    [InlineData("Compat:Volume")]
    public async Task Wrong_volume_setting_stops_the_start(string key)
    {
        var error = await Assert.ThrowsAnyAsync<Exception>(async () => await WebHost.Start(new() { [key] = "Some" }));
        Assert.Contains($"{key}: 'Some' is not allowed. Allowed: Zero, Real.", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("time_desc", EmptyPolicy.None)]
    [InlineData("time_asc", EmptyPolicy.None)]
    [InlineData("time_desc", EmptyPolicy.Flat)]
    public async Task Pages_cover_every_kline_once_in_order(string order, EmptyPolicy empty)
    {
        await using var host = await WebHost.Start(cluster: new TestCluster { Rules = new KlineRules { Empty = empty } });
        Fill(host, 25);
        await host.Cluster.Mint(WebHost.Mint).Archive(host.Archive, KlineInterval.M1, Start.AddMinutes(11));
        List<long> times = [];
        for (var page = 1; ; page++)
        {
            using var json = await Get(host, $"/api/kline?mint={WebHost.Mint}&interval=m1&limit=7&page={page}&order_by={order}");
            var data = json.RootElement.GetProperty("data");
            times.AddRange(data.GetProperty("klines").EnumerateArray().Select(k => k.GetProperty("time").GetInt64()));
            Assert.Equal(page > 1, data.GetProperty("has_prev").GetBoolean());
            Assert.Equal(25, data.GetProperty("total").GetInt32());
            if (!data.GetProperty("has_next").GetBoolean())
            {
                break;
            }
        }

        var expected = Enumerable.Range(0, 25).Select(i => Start.AddMinutes(i).ToUnixTimeSeconds());
        Assert.Equal(order == "time_asc" ? expected : expected.Reverse(), times);
    }

    [Theory]
    [InlineData("sort_by=slot_desc", false)]
    [InlineData("", false)]
    [InlineData("sort_by=slot_asc", true)]
    public async Task Mints_come_by_page_or_by_cursor(string query, bool ascending)
    {
        await using var host = await WebHost.Start();
        for (var i = 0; i < 7; i++)
        {
            await host.Archive.PutSymbol(new SymbolInfo($"M{i}", "x", "test", Start.AddSeconds(i / 2)));
        }

        List<string?> byPage = [], byCursor = [];
        string? cursor = null;
        for (var page = 1; page <= 3; page++)
        {
            using var paged = await Get(host, $"/api/mints?limit=3&page={page}&{query}");
            byPage.AddRange(Mints(paged));
            Assert.Equal(JsonValueKind.Null, paged.RootElement.GetProperty("data").GetProperty("total").ValueKind);
            using var next = await Get(host, $"/api/mints?limit=3&{query}{(cursor is null ? "" : "&cursor=" + cursor)}");
            byCursor.AddRange(Mints(next));
            cursor = next.RootElement.GetProperty("data").GetProperty("next_cursor").GetString();
            Assert.Equal(page < 3, next.RootElement.GetProperty("data").GetProperty("has_next").GetBoolean());
            Assert.Equal(page > 1, next.RootElement.GetProperty("data").GetProperty("has_prev").GetBoolean());
        }

        var expected = Enumerable.Range(0, 7).Select(i => (string?)$"M{i}");
        expected = ascending ? expected : expected.Reverse();
        Assert.Equal(expected, byPage);
        Assert.Equal(expected, byCursor);
        Assert.Null(cursor);
        using var beyond = await Get(host, $"/api/mints?limit=3&page=9&{query}");
        Assert.Empty(Mints(beyond));

        static IEnumerable<string?> Mints(JsonDocument json) => json.RootElement.GetProperty("data").GetProperty("mints").EnumerateArray().Select(m => m.GetString());
    }

    [Fact]
    public async Task Events_come_whole_in_pages_of_either_order()
    {
        await using var host = await WebHost.Start();
        await host.Events.Emit([.. Enumerable.Range(1, 1_205).Select(i => TestChainEvents.Event(i / 2, i % 2))]);
        using (var first = await Get(host, "/api/events?mint=" + WebHost.Mint))
        {
            var data = first.RootElement.GetProperty("data");
            Assert.True(first.RootElement.GetProperty("success").GetBoolean());
            Assert.Equal("Operation successful", first.RootElement.GetProperty("message").GetString());
            Assert.Equal(["events", "total", "page", "limit", "has_next", "has_prev"], data.EnumerateObject().Select(p => p.Name));
            Assert.Equal((50, 1_205, 1, 50, true, false), (data.GetProperty("events").GetArrayLength(), data.GetProperty("total").GetInt32(), data.GetProperty("page").GetInt32(), data.GetProperty("limit").GetInt32(), data.GetProperty("has_next").GetBoolean(), data.GetProperty("has_prev").GetBoolean()));
            var newest = data.GetProperty("events")[0];
            Assert.Equal((602, "BuySell", "3489005136874711364"), (newest.GetProperty("slot").GetInt32(), newest.GetProperty("event_type").GetString(), newest.GetProperty("latest_price").GetString()));
            Assert.Equal(TestKlines.Start.AddSeconds(602).AddMilliseconds(250), newest.GetProperty("timestamp").GetDateTimeOffset());
        }

        foreach (var (order, expected) in new[] { ("slot_asc", Enumerable.Range(1, 1_205)), ("slot_desc", Enumerable.Range(1, 1_205).Reverse()) })
        {
            var found = new List<int>();
            for (var page = 1; ; page++)
            {
                using var json = await Get(host, $"/api/events?mint={WebHost.Mint}&limit=400&page={page}&order_by={order}");
                var data = json.RootElement.GetProperty("data");
                found.AddRange(data.GetProperty("events").EnumerateArray().Select(e => e.GetProperty("slot").GetInt32()));
                Assert.Equal(page > 1, data.GetProperty("has_prev").GetBoolean());
                if (!data.GetProperty("has_next").GetBoolean())
                {
                    break;
                }
            }

            Assert.Equal(expected.Select(i => i / 2), found);
        }

        using var beyond = await Get(host, $"/api/events?mint={WebHost.Mint}&limit=1000&page=7");
        Assert.Equal((0, false), (beyond.RootElement.GetProperty("data").GetProperty("events").GetArrayLength(), beyond.RootElement.GetProperty("data").GetProperty("has_next").GetBoolean()));
        using var unknown = await Get(host, "/api/events?mint=MintWithoutAnyEventsAtAll11111111111");
        Assert.Equal(0, unknown.RootElement.GetProperty("data").GetProperty("total").GetInt32());
    }

    [Fact]
    public async Task Event_status_tells_the_sources_and_their_events()
    {
        var cluster = new TestCluster();
        cluster.Statuses["test"] = new SourceStatus { Name = "test", Kind = "Simulation", State = SourceState.Live, Events = 12, LastEventTime = TestKlines.Start };
        await using var host = await WebHost.Start(cluster: cluster, started: false);
        using var status = await Get(host, "/api/events/status");
        var data = status.RootElement.GetProperty("data");
        Assert.Equal((true, "connected", 12, TestKlines.Start), (data.GetProperty("is_running").GetBoolean(), data.GetProperty("connection_status").GetString(), data.GetProperty("total_events_processed").GetInt32(), data.GetProperty("last_event_time").GetDateTimeOffset()));
        Assert.Equal("test", data.GetProperty("sources")[0].GetProperty("name").GetString());
        Assert.Equal(12, data.GetProperty("sources")[0].GetProperty("events").GetInt32());
    }

    [Fact]
    public async Task A_server_that_keeps_no_events_says_so()
    {
        await using var host = await WebHost.Start(events: new TestChainEvents { Store = new(perMint: 0) });
        using var events = await Get(host, "/api/events?mint=" + WebHost.Mint);
        Assert.True(events.RootElement.GetProperty("success").GetBoolean());
        Assert.Equal(0, events.RootElement.GetProperty("data").GetProperty("events").GetArrayLength());
        Assert.Contains("set to keep no chain events", events.RootElement.GetProperty("message").GetString(), StringComparison.Ordinal);
        using var status = await Get(host, "/api/events/status");
        Assert.Equal(JsonValueKind.Null, status.RootElement.GetProperty("data").GetProperty("last_event_time").ValueKind);
    }

    [Fact]
    public async Task Time_is_the_clocks_in_every_form()
    {
        var time = new ManualTimeProvider();
        await using var host = await WebHost.Start(time: time);
        using var json = await Get(host, "/api/time?format=" + Uri.EscapeDataString("%Y/%m/%d at %H:%M:%S.%3f %% %Z"));
        var data = json.RootElement.GetProperty("data");
        var now = time.GetUtcNow();
        Assert.Equal(now.ToUnixTimeSeconds(), data.GetProperty("timestamp").GetInt64());
        Assert.Equal(now.ToString("yyyy/MM/dd 'at' HH:mm:ss.fff '% UTC'", System.Globalization.CultureInfo.InvariantCulture), data.GetProperty("utc").GetString());
        Assert.Equal(now, data.GetProperty("iso8601").GetDateTimeOffset());
    }

    /// <summary>As the public server: 400 in plain text where a value is missing or no number, else 200 with success false and empty data.</summary>
    [Theory]
    [InlineData("/api/kline", 400, "missing field `mint`")]
    [InlineData("/api/kline?mint=" + WebHost.Mint, 400, "missing field `interval`")]
    [InlineData("/api/kline?mint=a&mint=b&interval=m1", 400, "duplicate field `mint`")]
    [InlineData("/api/kline?mint=" + WebHost.Mint + "&interval=m1&page=-1", 400, "page")]
    [InlineData("/api/kline?mint=" + WebHost.Mint + "&interval=m1&limit=ten", 400, "limit")]
    [InlineData("/api/kline?mint=" + WebHost.Mint + "&interval=m1&limit=99999999999", 400, "limit")]
    [InlineData("/api/kline?mint=" + WebHost.Mint + "&interval=m1&page=0", 200, "page")]
    [InlineData("/api/kline?mint=" + WebHost.Mint + "&interval=m1&page=2000000000", 200, "page")]
    [InlineData("/api/kline?mint=" + WebHost.Mint + "&interval=m1&limit=0", 200, "limit")]
    [InlineData("/api/kline?mint=" + WebHost.Mint + "&interval=m1&limit=1001", 200, "limit")]
    [InlineData("/api/kline?mint=" + WebHost.Mint + "&interval=m1&order_by=slot_asc", 200, "order_by")]
    [InlineData("/api/kline?mint=" + WebHost.Mint + "&interval=m2", 200, "interval")]
    [InlineData("/api/kline?mint=" + WebHost.Mint + "&interval=", 200, "interval")]
    [InlineData("/api/kline?mint=short&interval=m1", 200, "symbol")]
    [InlineData("/api/kline?mint=&interval=m1", 200, "symbol")]
    [InlineData("/api/mints?page=x", 400, "page")]
    [InlineData("/api/mints?limit=1001", 200, "limit")]
    [InlineData("/api/mints?sort_by=name", 200, "sort_by")]
    [InlineData("/api/mints?cursor=!!", 200, "cursor")]
    [InlineData("/api/mints?cursor=AAAA", 200, "cursor")]
    [InlineData("/api/events", 400, "missing field `mint`")]
    [InlineData("/api/events?mint=short", 200, "symbol")]
    [InlineData("/api/events?mint=" + WebHost.Mint + "&order_by=time_asc", 200, "order_by")]
    [InlineData("/api/events?mint=" + WebHost.Mint + "&limit=1.5", 400, "limit")]
    [InlineData("/api/time?format=%25Q", 200, "format")]
    [InlineData("/api/time?format=%25", 200, "format")]
    public async Task Bad_request_is_told_as_the_public_server_tells_it(string path, int status, string named)
    {
        await using var host = await WebHost.Start();
        using var response = await host.Http.GetAsync(path);
        var text = await response.Content.ReadAsStringAsync();
        Assert.Equal(status, (int)response.StatusCode);
        Assert.Contains(named, text, StringComparison.Ordinal);
        if (status == 400)
        {
            Assert.Equal("text/plain", response.Content.Headers.ContentType!.MediaType);
            return;
        }

        using var json = JsonDocument.Parse(text);
        Assert.False(json.RootElement.GetProperty("success").GetBoolean());
        Assert.Equal(JsonValueKind.Object, json.RootElement.GetProperty("data").ValueKind);
    }

    [Theory]
    [InlineData("/api/kline?mint=" + WebHost.Mint + "&interval=m1")]
    [InlineData("/api/mints")]
    [InlineData("/udf/search?query=a")]
    [InlineData("/udf/history?symbol=" + WebHost.Mint + "&resolution=1&countback=5")]
    [InlineData("/udf/symbols?symbol=" + WebHost.Mint)]
    public async Task Archive_that_is_away_is_503_and_not_500(string path)
    {
        await using var host = await WebHost.Start();
        Fill(host, 3);
        await host.Cluster.Mint(WebHost.Mint).Archive(host.Archive, KlineInterval.M1, Start.AddMinutes(2));
        host.Archive.IsAway = true;
        using var response = await host.Http.GetAsync(path);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.Contains("\"code\":1003", await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    private static void Fill(WebHost host, int count) =>
        host.Cluster.Mint(WebHost.Mint).Change(Start.AddMinutes(count - 1), [.. Enumerable.Range(0, count).Select(i => TestKlines.Make(KlineInterval.M1, Start.AddMinutes(i), i + 1, i + 1, isFinal: i < count - 1))]);

    private static async Task<JsonDocument> Get(WebHost host, string url)
    {
        using var response = await host.Http.GetAsync(url);
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == HttpStatusCode.OK, $"{response.StatusCode}: {text}");
        return JsonDocument.Parse(text);
    }
}
