using System.Net.WebSockets;
using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Web.Tests;

public sealed class KlineHubTests
{
    private const string Symbol = WebHost.Mint;
    private static readonly DateTimeOffset Start = TestKlines.Start;

    [Fact]
    public async Task Subscribe_answers_history_at_a_position_and_updates_follow_it()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1, 1), TestKlines.Make(KlineInterval.M5, Start, 1, 1));
        await using var client = await HubClient.Connect(host);

        var answer = await client.Result("Subscribe", $$"""{"symbol":"{{Symbol}}","intervals":["m1","5m"]}""");
        host.Cluster.Deliver(mint.Change(Start.AddSeconds(5), TestKlines.Make(KlineInterval.S1, Start, 1), TestKlines.Make(KlineInterval.M1, Start, 1, 2), TestKlines.Make(KlineInterval.M5, Start, 1, 2)));
        var update = await client.Next("kline");
        var status = await client.Next("status");

        Assert.Equal(1, answer.GetProperty("seq").GetInt64());
        Assert.Equal(1, answer.GetProperty("epoch").GetInt64());
        Assert.False(answer.GetProperty("recovered").GetBoolean());
        Assert.True(answer.GetProperty("simulated").GetBoolean());
        Assert.Equal("test", answer.GetProperty("source").GetString());
        Assert.Equal(["m1", "m5"], answer.GetProperty("klines").EnumerateObject().Select(p => p.Name));
        Assert.Equal(1, answer.GetProperty("klines").GetProperty("m1")[0].GetProperty("updates").GetInt32());
        Assert.Equal(2, update.GetProperty("seq").GetInt64());
        Assert.Equal(Start.AddSeconds(5).ToUnixTimeMilliseconds(), update.GetProperty("eventTime").GetInt64());
        Assert.Equal(["m1", "m5"], update.GetProperty("klines").EnumerateArray().Select(k => k.GetProperty("interval").GetString()));
        Assert.Equal("live", status.GetProperty("state").GetString());
        Assert.True(status.GetProperty("simulated").GetBoolean());
    }

    [Fact]
    public async Task Exact_subscription_gets_prices_as_strings()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        await using var client = await HubClient.Connect(host);
        await client.Result("Subscribe", $$"""{"symbol":"{{Symbol}}","intervals":["m1"],"exact":true}""");
        host.Cluster.Deliver(mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 0.1234567890123456789m)));
        Assert.Equal("0.1234567890123456789", (await client.Next("kline")).GetProperty("klines")[0].GetProperty("open").GetString());
    }

    [Fact]
    public async Task Client_that_comes_back_gets_what_it_missed_or_an_honest_no()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        await using var first = await HubClient.Connect(host);
        await first.Result("Subscribe", $$"""{"symbol":"{{Symbol}}","intervals":["m1"]}""");
        for (var i = 0; i < 5; i++)
        {
            host.Cluster.Deliver(mint.Change(Start.AddMinutes(i), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(i), 1, 1, isFinal: true)));
            await first.Next("kline");
        }

        await using var second = await HubClient.Connect(host);
        var answer = await second.Result("Subscribe", $$"""{"symbol":"{{Symbol}}","intervals":["m1"],"resume":{"epoch":1,"seq":2} }""");
        Assert.True(answer.GetProperty("recovered").GetBoolean());
        Assert.Equal(2, answer.GetProperty("seq").GetInt64());
        Assert.Empty(answer.GetProperty("klines").EnumerateObject());
        foreach (var seq in new[] { 3, 4, 5 })
        {
            Assert.Equal(seq, (await second.Next("kline")).GetProperty("seq").GetInt64());
        }

        var lost = await second.Result("Subscribe", $$"""{"symbol":"{{Symbol}}","intervals":["m1"],"resume":{"epoch":7,"seq":2} }""");
        Assert.False(lost.GetProperty("recovered").GetBoolean());
        Assert.Equal(5, lost.GetProperty("klines").GetProperty("m1").GetArrayLength());
    }

    [Fact]
    public async Task Unsubscribed_client_gets_nothing_more_and_its_mint_is_left()
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:Feed:Linger"] = "00:00:00" });
        var mint = host.Cluster.Mint(Symbol);
        await using var client = await HubClient.Connect(host);
        await client.Result("Subscribe", $$"""{"symbol":"{{Symbol}}","intervals":["m1","m5"]}""");
        Assert.Equal(2, host.App.Services.GetRequiredService<WebCounters>().Subscriptions);
        await client.Result("Unsubscribe", $$"""{"symbol":"{{Symbol}}","intervals":["m5"]}""");
        host.Cluster.Deliver(mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1), TestKlines.Make(KlineInterval.M5, Start, 1)));
        Assert.Equal("m1", Assert.Single((await client.Next("kline")).GetProperty("klines").EnumerateArray()).GetProperty("interval").GetString());
        await client.Result("Unsubscribe", $$"""{"symbol":"{{Symbol}}"}""");
        host.Cluster.Deliver(mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1, 2)));
        await client.Result("Symbols", "null", "null");

        Assert.DoesNotContain(client.Rest(), m => m.GetProperty("type").GetInt32() == 1 && m.GetProperty("target").GetString() == "kline");
        Assert.Equal(0, host.App.Services.GetRequiredService<WebCounters>().Subscriptions);
        host.App.Services.GetRequiredService<MintFeeds>().Tick();
        Assert.Equal(0, host.App.Services.GetRequiredService<MintFeeds>().Count);
        Assert.Equal(0, host.Cluster.Subscribers(Symbol));
    }

    [Fact]
    public async Task Stream_gives_the_start_then_every_update()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        mint.Change(Start, TestKlines.Make(KlineInterval.S1, Start, 1));
        await using var client = await HubClient.Connect(host);
        await client.SendText($$"""{"type":4,"invocationId":"s","target":"Klines","arguments":["{{Symbol}}","1s",null]}""");
        Assert.Equal(1, (await client.NextOf("s")).GetProperty("item").GetProperty("seq").GetInt64());
        for (var i = 2; i < 6; i++)
        {
            host.Cluster.Deliver(mint.Change(Start.AddSeconds(i), TestKlines.Make(KlineInterval.S1, Start.AddSeconds(i), 1, isFinal: true)));
            Assert.Equal(i, (await client.NextOf("s")).GetProperty("item").GetProperty("seq").GetInt64());
        }

        Assert.Equal(1, host.App.Services.GetRequiredService<WebCounters>().Subscriptions);
        await client.SendText("""{"type":5,"invocationId":"s"}""");
        Assert.Equal(3, (await client.NextOf("s")).GetProperty("type").GetInt32());
        Assert.Equal(0, host.App.Services.GetRequiredService<WebCounters>().Subscriptions);
    }

    [Fact]
    public async Task History_pages_backwards_and_symbols_are_found()
    {
        await using var host = await WebHost.Start();
        host.Cluster.Mint(Symbol).Change(Start.AddMinutes(9), [.. Enumerable.Range(0, 10).Select(i => TestKlines.Make(KlineInterval.M1, Start.AddMinutes(i), i + 1, isFinal: i < 9))]);
        await host.Archive.PutSymbol(new SymbolInfo(Symbol, "Some Coin", "test", Start));
        await using var client = await HubClient.Connect(host);

        var page = await client.Result("History", $$"""{"symbol":"{{Symbol}}","interval":"m1","limit":6}""");
        var older = await client.Result("History", $$"""{"symbol":"{{Symbol}}","interval":"m1","limit":6,"cursor":"{{page.GetProperty("next").GetString()}}"}""");
        var before = await client.Result("History", $$"""{"symbol":"{{Symbol}}","interval":"m1","before":{{Start.AddMinutes(3).ToUnixTimeMilliseconds()}} }""");
        var symbols = await client.Result("Symbols", "\"coin\"", "5");

        Assert.Equal(6, page.GetProperty("klines").GetArrayLength());
        Assert.Equal(4, older.GetProperty("klines").GetArrayLength());
        Assert.Equal(JsonValueKind.Null, older.GetProperty("next").ValueKind);
        Assert.Equal(3, before.GetProperty("klines").GetArrayLength());
        Assert.Equal(Symbol, symbols.GetProperty("symbols")[0].GetProperty("symbol").GetString());
    }

    [Theory]
    [InlineData("Subscribe", "null")]
    [InlineData("Subscribe", "[]")]
    [InlineData("Subscribe", "{}")]
    [InlineData("Subscribe", """{"symbol":"x","intervals":["m1"]}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":["m2"]}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":[]}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":[["m1"]]}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":{"a":1}}""")]
    [InlineData("Subscribe", """{"symbol":["$"],"intervals":["m1"]}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":["m1"],"limit":0}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":["m1"],"limit":1.5}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":["m1"],"resume":5}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":["m1"],"resume":{"epoch":1}}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":["m1"],"maxRate":0}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":["m1"],"maxRate":"fast"}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":["m1"],"exact":"perhaps"}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":["m1"],"x":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":["\ud800"]}""")]
    [InlineData("Subscribe", """{"\ud800":"$","intervals":["m1"]}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":["m1"],"resume":{"\udc00":1,"seq":1}}""")]
    [InlineData("Subscribe", """{"symbol":"$","intervals":["m1"],"resume":{"epoch":"\udc00","seq":1}}""")]
    [InlineData("History", """{"symbol":"\ud800aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","interval":"m1"}""")]
    [InlineData("Symbols", "\"\\ud800\"|1")]
    [InlineData("Unsubscribe", "{}")]
    [InlineData("Unsubscribe", "7")]
    [InlineData("History", "\"m1\"")]
    [InlineData("History", """{"symbol":"$"}""")]
    [InlineData("History", """{"symbol":"$","interval":"m1","from":"soon"}""")]
    [InlineData("History", """{"symbol":"$","interval":"m1","from":2,"to":1}""")]
    [InlineData("History", """{"symbol":"$","interval":"m1","cursor":"AAAA"}""")]
    [InlineData("History", """{"symbol":"$","interval":"m1","limit":100000}""")]
    [InlineData("Symbols", "{}|1")]
    [InlineData("Symbols", "null|0")]
    [InlineData("Symbols", "null|\"many\"")]
    public async Task Bad_request_is_refused_with_1001_and_the_connection_stays(string method, string arguments)
    {
        await using var host = await WebHost.Start();
        await using var client = await HubClient.Connect(host);
        var error = await client.Error(method, arguments.Replace("$", Symbol, StringComparison.Ordinal).Split('|'));
        Assert.Contains("1001: ", error, StringComparison.Ordinal);
        Assert.Equal(JsonValueKind.Array, (await client.Result("Symbols", "null", "null")).GetProperty("symbols").ValueKind);
        Assert.Equal(0, host.App.Services.GetRequiredService<WebCounters>().Subscriptions);
    }

    [Theory]
    [InlineData("""["x","m1",null]""")]
    [InlineData("""["$","m3",null]""")]
    [InlineData("""["$","m1",{"epoch":"x","seq":0}]""")]
    [InlineData("""[{},[],7]""")]
    public async Task Bad_streaming_call_is_refused_with_1001(string arguments)
    {
        await using var host = await WebHost.Start();
        await using var client = await HubClient.Connect(host);
        await client.SendText($$"""{"type":4,"invocationId":"s","target":"Klines","arguments":{{arguments.Replace("$", Symbol, StringComparison.Ordinal)}}}""");
        Assert.Contains("1001: ", (await client.Completion("s")).GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.Equal(0, host.App.Services.GetRequiredService<WebCounters>().Subscriptions);
    }

    [Fact]
    public async Task Limits_are_refused_with_their_codes()
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:Limits:SubscriptionsPerClient"] = "3", ["Kline:Web:Limits:MessageBurst"] = "6", ["Kline:Web:Limits:MessagesPerSecond"] = "1" }, time: new ManualTimeProvider());
        await using var client = await HubClient.Connect(host);
        await client.Result("Subscribe", $$"""{"symbol":"{{Symbol}}","intervals":["m1","m5","h1"]}""");
        await client.Result("Subscribe", $$"""{"symbol":"{{Symbol}}","intervals":["m1"]}""");
        Assert.Contains("1002: ", await client.Error("Subscribe", $$"""{"symbol":"{{Symbol}}","intervals":["d1"]}"""), StringComparison.Ordinal);
        host.Archive.IsAway = true;
        Assert.Contains("1003: ", await client.Error("Symbols", "null", "null"), StringComparison.Ordinal);
        await client.Call("Unsubscribe", "{}");
        await client.Call("Unsubscribe", "{}");
        Assert.Contains("1004: ", await client.Error("Symbols", "null", "null"), StringComparison.Ordinal);
        for (var i = 0; i < 6; i++)
        {
            await client.SendText("""{"type":1,"target":"Symbols","arguments":[null,null]}""");
        }

        await client.Closed();
        Assert.Contains(client.Rest(), m => m.GetProperty("type").GetInt32() == 7 && m.GetProperty("error").GetString()!.Contains("1004", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Refusals_and_calls_that_their_client_did_not_wait_for_are_no_failures_in_the_log()
    {
        var reading = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(WebHost.Mint);
        mint.Change(TestKlines.Start.AddMinutes(2), TestKlines.Make(KlineInterval.M1, TestKlines.Start, 1, isFinal: true));
        await mint.Archive(host.Archive, KlineInterval.M1, TestKlines.Start.AddMinutes(1));
        await using (var client = await HubClient.Connect(host))
        {
            Assert.Contains("1001: ", await client.Error("Subscribe", "{}"), StringComparison.Ordinal);
            Assert.Contains("1001: ", await client.Error("History", "7"), StringComparison.Ordinal);
            host.Archive.BeforeRead = async () =>
            {
                reading.TrySetResult();
                await closed.Task;
                throw new OperationCanceledException("as a store does whose caller has gone");
            };
            await client.SendText($$"""{"type":1,"invocationId":"9","target":"History","arguments":[{"symbol":"{{WebHost.Mint}}","interval":"m1"}]}""");
            await reading.Task.WaitAsync(TimeSpan.FromSeconds(30));
        }

        // The server has noticed before the store gives up.
        var counters = host.App.Services.GetRequiredService<WebCounters>();
        Assert.True(SpinWait.SpinUntil(() => counters.Connections == 0, TimeSpan.FromSeconds(30)));
        closed.SetResult();
        await host.App.StopAsync();
        Assert.Empty(host.Log.Entries);
    }

    [Fact]
    public async Task Connections_beyond_the_limit_are_told_to_come_back()
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:Limits:Connections"] = "1" });
        await using var first = await HubClient.Connect(host);
        await first.Result("Symbols", "null", "null");
        await using var second = await HubClient.Connect(host);
        await second.Closed();
        var close = second.Rest().First(m => m.GetProperty("type").GetInt32() == 7);
        Assert.Contains("1006", close.GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.True(close.GetProperty("allowReconnect").GetBoolean());
        await first.Result("Symbols", "null", "null");
    }

    [Fact]
    public async Task Upgrade_from_another_origin_is_refused()
    {
        await using var host = await WebHost.Start();
        await Assert.ThrowsAsync<WebSocketException>(() => HubClient.Connect(host, "http://evil.example"));
        await using var same = await HubClient.Connect(host, host.Address.GetLeftPart(UriPartial.Authority));
        await same.Result("Symbols", "null", "null");
    }

    [Fact]
    public async Task State_of_the_source_reaches_the_followers_of_its_mints()
    {
        await using var host = await WebHost.Start(time: new ManualTimeProvider());
        await using var client = await HubClient.Connect(host);
        await client.Result("Subscribe", $$"""{"symbol":"{{Symbol}}","intervals":["m1"]}""");
        Assert.Equal("live", (await client.Next("status")).GetProperty("state").GetString());
        host.Cluster.Statuses["test"] = host.Cluster.Statuses["test"] with { State = SourceState.Stale };
        await host.App.Services.GetRequiredService<SourceMonitor>().Poll(CancellationToken.None);
        Assert.Equal("stale", (await client.Next("status")).GetProperty("state").GetString());
    }

    [Fact]
    public async Task Ten_thousand_waiting_for_one_mint_cost_one_snapshot()
    {
        var gate = new TaskCompletionSource();
        await using var host = await WebHost.Start(cluster: new TestCluster { BeforeSnapshotAnswer = _ => gate.Task });
        var feeds = host.App.Services.GetRequiredService<MintFeeds>();
        var waiting = Enumerable.Range(0, 10_000).Select(_ => feeds.Enter(Symbol).AsTask()).ToList();
        gate.SetResult();
        await Task.WhenAll(waiting);
        Assert.Equal(1, host.Cluster.Snapshots);
    }

    [Fact]
    public async Task Client_that_stops_reading_is_ended_and_the_others_get_everything()
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:Outbox:Messages"] = "100" });
        var mint = host.Cluster.Mint(Symbol);
        await using var slow = await HubClient.Connect(host, read: false);
        await using var fast = await HubClient.Connect(host);
        var subscribe = $$"""{"symbol":"{{Symbol}}","intervals":["s1"]}""";
        await slow.SendText($$"""{"type":1,"invocationId":"1","target":"Subscribe","arguments":[{{subscribe}}]}""");
        await fast.Result("Subscribe", subscribe);
        var counters = host.App.Services.GetRequiredService<WebCounters>();
        Assert.True(SpinWait.SpinUntil(() => counters.Subscriptions == 2, TimeSpan.FromSeconds(30)));

        // Finals cannot be conflated; the kernel's buffers take some megabytes before the outbox begins to fill.
        var seq = 0L;
        List<Kline> many = [.. Enumerable.Range(0, 200).Select(i => TestKlines.Make(KlineInterval.S1, Start.AddSeconds(i), 1, isFinal: true))];
        while (counters.Subscriptions == 2 && seq < 5_000)
        {
            host.Cluster.Deliver(mint.Change(Start, [.. many]));
            Assert.Equal(++seq, (await fast.Next("kline")).GetProperty("seq").GetInt64());
        }

        Assert.Equal(1, counters.Subscriptions);
        host.Cluster.Deliver(mint.Change(Start, TestKlines.Make(KlineInterval.S1, Start, 1, 2)));
        Assert.Equal(seq + 1, (await fast.Next("kline")).GetProperty("seq").GetInt64());

        // One that begins to read again learns why.
        slow.StartReading();
        await slow.Closed();
        Assert.Contains(slow.Rest(), m => m.GetProperty("type").GetInt32() == 7 && m.GetProperty("error").GetString()!.Contains("SlowConsumer", StringComparison.Ordinal));
    }
}
