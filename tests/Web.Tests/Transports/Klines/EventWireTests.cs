using System.Text.Json;
using KlineOrleans.Contracts;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Web.Tests.Transports.Klines;

/// <summary>What /ws and the Socket.IO namespaces have in common, on each of them.</summary>
public sealed class EventWireTests
{
    private const string Symbol = WebHost.Mint;
    private static readonly DateTimeOffset Start = TestKlines.Start;

    public static TheoryData<string> Wires => EventWire.All;

    private static string Pair(string interval = "m1", string more = "") => $$"""{"symbol":"{{Symbol}}","interval":"{{interval}}"{{more}}}""";

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Greeting_names_client_time_and_intervals(string wire)
    {
        await using var host = await WebHost.Start();
        await using var client = await EventWire.Open(host, wire);
        var greeting = await client.Next("connection_success");
        var isCamel = wire == "/ws/kline";
        Assert.NotEmpty(greeting.GetProperty(isCamel ? "clientId" : "client_id").GetString()!);
        Assert.InRange(greeting.GetProperty(isCamel ? "serverTime" : "server_time").GetInt64(), 1_700_000_000, 99_999_999_999);
        Assert.Equal(0, greeting.GetProperty(isCamel ? "supportedSymbols" : "supported_symbols").GetArrayLength());
        Assert.Equal(KlineIntervals.All.Select(i => i.Name()), greeting.GetProperty(isCamel ? "supportedIntervals" : "supported_intervals").EnumerateArray().Select(i => i.GetString()));
        Assert.Equal(wire == "/ws" ? 5 : 4, greeting.EnumerateObject().Count());
    }

    [Fact]
    public async Task Greeting_lists_symbols_of_exchanges()
    {
        var cluster = new TestCluster();
        var archive = new TestArchive();
        await archive.PutSymbol(new SymbolInfo("BTCUSDT", "BTCUSDT", "exchange", Start));
        await using var host = await WebHost.Start(cluster: cluster, archive: archive, sources: [new SourceDescription("exchange", "Binance", cluster.Rules, IsSimulated: false, IsChain: false)]);
        await using var client = await EventWire.Open(host, "/ws/kline");
        Assert.Equal("BTCUSDT", (await client.Next("connection_success")).GetProperty("supportedSymbols")[0].GetString());
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Subscribe_answers_history_then_confirmation_then_updates(string wire)
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1, 3, isFinal: true), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 2));
        await using var client = await EventWire.Connect(host, wire);
        await client.Request("subscribe", Pair(more: ",\"subscription_id\":\"mine\""));

        var history = await client.Next("history_data");
        if (wire == "/kline")
        {
            var events = await client.Next("history_event_data");
            Assert.Equal(Symbol, events.GetProperty("symbol").GetString());
            Assert.Equal(0, events.GetProperty("data").GetArrayLength());
            Assert.False(events.GetProperty("has_more").GetBoolean());
            Assert.Equal(0, events.GetProperty("total_count").GetInt32());
        }

        var confirmed = await client.Next("subscription_confirmed");
        host.Cluster.Deliver(mint.Change(Start.AddSeconds(65), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 2, 2), TestKlines.Make(KlineInterval.M5, Start, 1, 5)));
        var update = await client.Next("kline_data");

        Assert.Equal(Symbol, history.GetProperty("symbol").GetString());
        Assert.Equal("m1", history.GetProperty("interval").GetString());
        Assert.Equal([Start.ToUnixTimeSeconds(), Start.ToUnixTimeSeconds() + 60], history.GetProperty("data").EnumerateArray().Select(c => c.GetProperty("time").GetInt64()));
        Assert.False(history.GetProperty("has_more").GetBoolean());
        Assert.Equal(2, history.GetProperty("total_count").GetInt32());
        Assert.Equal(1, history.GetProperty("epoch").GetInt64());
        Assert.Equal(1, history.GetProperty("seq").GetInt64());

        Assert.Equal("mine", confirmed.GetProperty("subscription_id").GetString());
        Assert.True(confirmed.GetProperty("success").GetBoolean());
        Assert.Equal("subscribed", confirmed.GetProperty("message").GetString());
        Assert.False(confirmed.GetProperty("recovered").GetBoolean());

        Assert.Equal(["symbol", "interval", "subscription_id", "data", "timestamp", "epoch", "seq"], update.EnumerateObject().Select(p => p.Name));
        Assert.Equal("mine", update.GetProperty("subscription_id").GetString());
        Assert.Equal(2, update.GetProperty("seq").GetInt64());
        Assert.Equal(
            """{"time":1767571260,"open":2,"high":2.5,"low":2,"close":2.25,"volume":0,"is_final":false,"update_type":"realtime","update_count":2,"base_volume":2,"quote_volume":4,"trade_count":2,"revision":0}""",
            update.GetProperty("data").GetRawText());
        Assert.Empty(client.Rest());
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Update_that_closes_one_kline_and_opens_the_next_is_two_messages_with_their_types(string wire)
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        await using var client = await EventWire.Connect(host, wire);
        await client.Subscribe(Pair("s1"));
        host.Cluster.Deliver(mint.Change(Start.AddSeconds(1), TestKlines.Make(KlineInterval.S1, Start, 1, 1, isFinal: true), TestKlines.Make(KlineInterval.S1, Start.AddSeconds(1), 1)));
        host.Cluster.Deliver(mint.Change(Start.AddSeconds(2), TestKlines.Make(KlineInterval.S1, Start, 1, 2, isFinal: true, revision: 1)));

        Assert.Equal(("final", true), Kind(await client.Next("kline_data")));
        Assert.Equal(("realtime", false), Kind(await client.Next("kline_data")));
        var correction = await client.Next("kline_data");
        Assert.Equal(("correction", true), Kind(correction));
        Assert.Equal(1, correction.GetProperty("data").GetProperty("revision").GetInt32());

        static (string?, bool) Kind(JsonElement update) => (update.GetProperty("data").GetProperty("update_type").GetString(), update.GetProperty("data").GetProperty("is_final").GetBoolean());
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Each_subscriber_gets_its_own_id_and_one_without_gets_null(string wire)
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        await using var first = await EventWire.Connect(host, wire);
        await using var second = await EventWire.Connect(host, wire);
        await using var third = await EventWire.Connect(host, wire);
        await first.Subscribe(Pair(more: ",\"subscription_id\":\"a \\\"quoted\\\" \\u00e9\""));
        await second.Subscribe(Pair());
        await third.Subscribe(Pair(more: ",\"subscription_id\":42"));
        host.Cluster.Deliver(mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1)));
        Assert.Equal("a \"quoted\" é", (await first.Next("kline_data")).GetProperty("subscription_id").GetString());
        Assert.Equal(JsonValueKind.Null, (await second.Next("kline_data")).GetProperty("subscription_id").ValueKind);
        Assert.Equal(42, (await third.Next("kline_data")).GetProperty("subscription_id").GetInt32());
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Array_of_intervals_subscribes_to_each_in_turn(string wire)
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        await using var client = await EventWire.Connect(host, wire);
        await client.Request("subscribe", $$"""{"symbol":"{{Symbol}}","interval":["m5","1m","m5"],"subscription_id":"x"}""");
        foreach (var interval in new[] { "m5", "m1" })
        {
            Assert.Equal(interval, (await client.Next("history_data")).GetProperty("interval").GetString());
            if (wire == "/kline")
            {
                await client.Next("history_event_data");
            }

            Assert.Equal(interval, (await client.Next("subscription_confirmed")).GetProperty("interval").GetString());
        }

        host.Cluster.Deliver(mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1), TestKlines.Make(KlineInterval.M5, Start, 1), TestKlines.Make(KlineInterval.H1, Start, 1)));
        string?[] got = [(await client.Next("kline_data")).GetProperty("interval").GetString(), (await client.Next("kline_data")).GetProperty("interval").GetString()];
        Assert.Equal(["m1", "m5"], got.Order());
        Assert.Equal(2, host.App.Services.GetRequiredService<WebCounters>().Subscriptions);
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Subscribing_twice_counts_once_and_sends_all_again(string wire)
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:Limits:SubscriptionsPerClient"] = "1" });
        var mint = host.Cluster.Mint(Symbol);
        mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1));
        await using var client = await EventWire.Connect(host, wire);
        await client.Subscribe(Pair(more: ",\"subscription_id\":\"old\""));
        var (history, confirmed) = await client.Subscribe(Pair(more: ",\"subscription_id\":\"new\""));
        Assert.Equal(1, history.GetProperty("data").GetArrayLength());
        Assert.Equal("new", confirmed.GetProperty("subscription_id").GetString());
        Assert.Equal(1, host.App.Services.GetRequiredService<WebCounters>().Subscriptions);
        host.Cluster.Deliver(mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1, 2)));
        Assert.Equal((2, "new"), Of(await client.Next("kline_data")));
        host.Cluster.Deliver(mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1, 3)));
        Assert.Equal((3, "new"), Of(await client.Next("kline_data")));

        static (int, string?) Of(JsonElement update) => (update.GetProperty("data").GetProperty("update_count").GetInt32(), update.GetProperty("subscription_id").GetString());
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Unsubscribe_confirms_and_stops_only_its_pair_even_what_was_never_subscribed(string wire)
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        await using var client = await EventWire.Connect(host, wire);
        await client.Request("unsubscribe", Pair("h4"));
        Assert.True((await client.Next("unsubscribe_confirmed")).GetProperty("success").GetBoolean());

        await client.Subscribe(Pair("s1"));
        await client.Subscribe(Pair("m1"));
        await client.Request("unsubscribe_kline", Pair("s1", ",\"subscription_id\":\"gone\""));
        var confirmed = await client.Next("unsubscribe_confirmed");
        Assert.Equal("gone", confirmed.GetProperty("subscription_id").GetString());
        Assert.Equal("s1", confirmed.GetProperty("interval").GetString());
        host.Cluster.Deliver(mint.Change(Start, TestKlines.Make(KlineInterval.S1, Start, 1), TestKlines.Make(KlineInterval.M1, Start, 1)));
        Assert.Equal("m1", (await client.Next("kline_data")).GetProperty("interval").GetString());
        Assert.Equal(1, host.App.Services.GetRequiredService<WebCounters>().Subscriptions);
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task History_answers_ranges_orders_and_limits(string wire)
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        mint.Change(Start.AddMinutes(9), [.. Enumerable.Range(0, 10).Select(i => TestKlines.Make(KlineInterval.M1, Start.AddMinutes(i), 1 + i, 1, isFinal: i < 9))]);
        await using var client = await EventWire.Connect(host, wire);
        var start = Start.ToUnixTimeSeconds();

        Assert.Equal((10, false, "0,1,2,3,4,5,6,7,8,9"), await Ask("history", ""));
        Assert.Equal((3, true, "7,8,9"), await Ask("get_history", ",\"limit\":3"));
        Assert.Equal((3, true, "9,8,7"), await Ask("history", ",\"limit\":\"3\",\"order\":\"desc\""));
        Assert.Equal((3, false, "2,3,4"), await Ask("history", $",\"from\":{start + 120},\"to\":{start + 300}"));
        Assert.Equal((2, true, "2,3"), await Ask("history", $",\"from\":{start + 120},\"limit\":2"));
        Assert.Equal((2, true, "3,4"), await Ask("history", $",\"before\":{start + 300},\"limit\":2"));

        async Task<(int, bool, string)> Ask(string name, string more)
        {
            await client.Request(name, Pair(more: more));
            var page = await client.Next("history_data");
            Assert.Equal(1, page.GetProperty("seq").GetInt64());
            return (page.GetProperty("total_count").GetInt32(), page.GetProperty("has_more").GetBoolean(), string.Join(',', page.GetProperty("data").EnumerateArray().Select(c => (c.GetProperty("time").GetInt64() - start) / 60)));
        }
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Client_that_comes_back_gets_what_it_missed_or_an_honest_no(string wire)
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        var position = (Epoch: 0L, Seq: 0L);
        await using (var first = await EventWire.Connect(host, wire))
        {
            await first.Subscribe(Pair());
            for (var i = 0; i < 2; i++)
            {
                host.Cluster.Deliver(mint.Change(Start.AddMinutes(i), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(i), 1, 1, isFinal: true)));
                var update = await first.Next("kline_data");
                position = (update.GetProperty("epoch").GetInt64(), update.GetProperty("seq").GetInt64());
            }
        }

        for (var i = 2; i < 5; i++)
        {
            host.Cluster.Deliver(mint.Change(Start.AddMinutes(i), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(i), 1, 1, isFinal: true)));
        }

        await using var second = await EventWire.Connect(host, wire);
        var (history, confirmed) = await second.Subscribe(Pair(more: $$""","resume":{"epoch":{{position.Epoch}},"seq":{{position.Seq}}}"""));
        Assert.Equal(JsonValueKind.Undefined, history.ValueKind);
        Assert.True(confirmed.GetProperty("recovered").GetBoolean());
        foreach (var seq in new[] { 3, 4, 5 })
        {
            Assert.Equal(seq, (await second.Next("kline_data")).GetProperty("seq").GetInt64());
        }

        (history, confirmed) = await second.Subscribe(Pair(more: ",\"resume\":{\"epoch\":7,\"seq\":2}"));
        Assert.False(confirmed.GetProperty("recovered").GetBoolean());
        Assert.Equal(5, history.GetProperty("data").GetArrayLength());
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Client_cut_off_between_two_messages_of_one_update_resumes_with_the_whole_update(string wire)
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        JsonElement first;
        await using (var client = await EventWire.Connect(host, wire))
        {
            await client.Subscribe(Pair("s1"));
            host.Cluster.Deliver(mint.Change(Start, TestKlines.Make(KlineInterval.S1, Start, 1)));
            Assert.Equal(1, (await client.Next("kline_data")).GetProperty("seq").GetInt64());
            host.Cluster.Deliver(mint.Change(Start.AddSeconds(2), TestKlines.Make(KlineInterval.S1, Start, 1, 2, isFinal: true), TestKlines.Make(KlineInterval.S1, Start.AddSeconds(1), 1, 1, isFinal: true)));
            first = await client.Next("kline_data");
            Assert.Equal(1, first.GetProperty("seq").GetInt64());
            Assert.Equal(2, (await client.Next("kline_data")).GetProperty("seq").GetInt64());
        }

        await using var again = await EventWire.Connect(host, wire);
        var (_, confirmed) = await again.Subscribe(Pair("s1", $$""","resume":{"epoch":{{first.GetProperty("epoch").GetInt64()}},"seq":{{first.GetProperty("seq").GetInt64()}}}"""));
        Assert.True(confirmed.GetProperty("recovered").GetBoolean());
        Assert.Equal(first.GetProperty("data").GetRawText(), (await again.Next("kline_data")).GetProperty("data").GetRawText());
        Assert.Equal(2, (await again.Next("kline_data")).GetProperty("seq").GetInt64());
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Updates_that_come_while_history_is_read_follow_the_confirmation(string wire)
    {
        var reading = new TaskCompletionSource();
        var release = new TaskCompletionSource();
        var archive = new TestArchive();
        await using var host = await WebHost.Start(archive: archive);
        var mint = host.Cluster.Mint(Symbol);
        mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1, 1, isFinal: true));
        await mint.Archive(archive, KlineInterval.M1, Start.AddMinutes(1));
        await using var client = await EventWire.Connect(host, wire);
        archive.BeforeRead = () =>
        {
            reading.TrySetResult();
            return release.Task;
        };
        await client.Request("subscribe", Pair());
        await reading.Task.WaitAsync(EventWire.Patience);
        host.Cluster.Deliver(mint.Change(Start.AddMinutes(1), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 1)));
        release.SetResult();
        Assert.Equal(1, (await client.Next("history_data")).GetProperty("seq").GetInt64());
        if (wire == "/kline")
        {
            await client.Next("history_event_data");
        }

        await client.Next("subscription_confirmed");
        Assert.Equal(2, (await client.Next("kline_data")).GetProperty("seq").GetInt64());
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Volume_is_real_where_the_settings_or_the_source_say_so(string wire)
    {
        foreach (var (setting, isChain, expected) in new[] { ("Zero", true, 0), ("Real", true, 3), ("Zero", false, 3) })
        {
            var cluster = new TestCluster();
            await using var host = await WebHost.Start(new() { ["Kline:Compat:Volume"] = setting }, cluster, sources: [new SourceDescription("test", "Simulation", cluster.Rules, IsSimulated: true, IsChain: isChain)]);
            await host.Archive.PutSymbol(new SymbolInfo(Symbol, Symbol, "test", Start));
            var mint = cluster.Mint(Symbol);
            mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1, 3));
            await using var client = await EventWire.Connect(host, wire);
            var (history, _) = await client.Subscribe(Pair());
            Assert.Equal(expected, history.GetProperty("data")[0].GetProperty("volume").GetInt32());
            Assert.Equal(3, history.GetProperty("data")[0].GetProperty("base_volume").GetInt32());
        }
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Long_histories_leave_one_after_another_through_a_small_outbox(string wire)
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:Outbox:Bytes"] = "20000" });
        var mint = host.Cluster.Mint(Symbol);
        mint.Change(Start.AddMinutes(900), [.. Enumerable.Range(0, 900).SelectMany(i => new[] { TestKlines.Make(KlineInterval.M1, Start.AddMinutes(i), 1, 1, isFinal: true), TestKlines.Make(KlineInterval.S1, Start.AddSeconds(i), 1, 1, isFinal: true) })]);
        await using var client = await EventWire.Connect(host, wire);
        await client.Request("history", $$"""{"symbol":"{{Symbol}}","interval":["s1","m1","s1"],"limit":1000}""");
        Assert.Equal(900, (await client.Next("history_data")).GetProperty("total_count").GetInt32());
        Assert.Equal(900, (await client.Next("history_data")).GetProperty("total_count").GetInt32());
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Archive_that_is_away_is_error_1003_and_the_client_may_try_again(string wire)
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1, 1, isFinal: true));
        await mint.Archive(host.Archive, KlineInterval.M1, Start.AddMinutes(1));
        await using var client = await EventWire.Connect(host, wire);
        host.Archive.IsAway = true;
        await client.Request("subscribe", Pair());
        Assert.Equal(1003, (await client.Next("error")).GetProperty("code").GetInt32());
        await client.Request("history", Pair());
        Assert.Equal(1003, (await client.Next("error")).GetProperty("code").GetInt32());
        Assert.Equal(0, host.App.Services.GetRequiredService<WebCounters>().Subscriptions);
        host.Archive.IsAway = false;
        await client.Subscribe(Pair());
        Assert.Equal(1, host.App.Services.GetRequiredService<WebCounters>().Subscriptions);
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Subscriptions_over_the_limit_are_error_1002_and_none_of_them_is_made(string wire)
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:Limits:SubscriptionsPerClient"] = "2" });
        await using var client = await EventWire.Connect(host, wire);
        await client.Subscribe(Pair("s1"));
        await client.Request("subscribe", $$"""{"symbol":"{{Symbol}}","interval":["m1","m5"]}""");
        Assert.Equal(1002, (await client.Next("error")).GetProperty("code").GetInt32());
        await client.Subscribe(Pair("m1"));
        await client.Request("subscribe", Pair("m5"));
        Assert.Equal(1002, (await client.Next("error")).GetProperty("code").GetInt32());
        await client.Request("unsubscribe", Pair("s1"));
        await client.Next("unsubscribe_confirmed");
        await client.Subscribe(Pair("m5"));
        Assert.Equal(2, host.App.Services.GetRequiredService<WebCounters>().Subscriptions);
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Client_that_asks_too_often_gets_1004_and_is_then_disconnected(string wire)
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:Limits:MessagesPerSecond"] = "1", ["Kline:Web:Limits:MessageBurst"] = "3" });
        await using var client = await EventWire.Connect(host, wire);
        try
        {
            for (var i = 0; i < 50; i++)
            {
                await client.Request("unsubscribe", Pair());
            }
        }
        catch (System.Net.WebSockets.WebSocketException)
        {
            // Already disconnected.
        }

        await client.Closed();
        Assert.Contains(client.Rest(), e => e.Name == "error" && e.Data.GetProperty("code").GetInt32() == 1004);
        Assert.True(SpinWait.SpinUntil(() => host.App.Services.GetRequiredService<WebCounters>().Connections == 0, EventWire.Patience));
        if (wire == "/ws")
        {
            Assert.Equal(4004, (int?)client.CloseStatus);
        }
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Client_that_leaves_leaves_every_room(string wire)
    {
        await using var host = await WebHost.Start();
        var counters = host.App.Services.GetRequiredService<WebCounters>();
        await using (var client = await EventWire.Connect(host, wire))
        {
            await client.Subscribe(Pair());
            Assert.Equal(1, counters.Subscriptions);
            Assert.Equal(1, counters.Connections);
        }

        Assert.True(SpinWait.SpinUntil(() => counters.Subscriptions == 0 && counters.Connections == 0, EventWire.Patience));
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Slow_client_is_disconnected_to_come_back_and_the_others_get_everything(string wire)
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:Outbox:Messages"] = "100" });
        var mint = host.Cluster.Mint(Symbol);
        var counters = host.App.Services.GetRequiredService<WebCounters>();
        await using var fast = await EventWire.Connect(host, wire);
        await fast.Subscribe(Pair("s1"));
        using var slow = await EventWire.Dial(host, wire == "/ws" ? "/ws" : "/socket.io/", wire == "/ws" ? "" : "EIO=4&transport=websocket");
        var ns = wire == "/" ? "" : wire + ",";
        await Send(wire == "/ws" ? $$"""{"msg_type":"subscribe","symbol":"{{Symbol}}","interval":"s1"}""" : "40" + ns);
        if (wire != "/ws")
        {
            await Send($"42{ns}[\"subscribe\",{Pair("s1")}]");
        }

        Assert.True(SpinWait.SpinUntil(() => counters.Subscriptions == 2, EventWire.Patience));

        // Finals cannot be conflated; the kernel's buffers take some megabytes before the outbox begins to fill.
        var seq = 0L;
        List<Kline> many = [.. Enumerable.Range(0, 100).Select(i => TestKlines.Make(KlineInterval.S1, Start.AddSeconds(i), 1, isFinal: true))];
        while (counters.Subscriptions == 2 && seq < 3_000)
        {
            host.Cluster.Deliver(mint.Change(Start, [.. many]));
            seq++;
            for (var i = 0; i < 100; i++)
            {
                Assert.Equal(i == 99 ? seq : seq - 1, (await fast.Next("kline_data")).GetProperty("seq").GetInt64());
            }
        }

        Assert.Equal(1, counters.Subscriptions);
        Assert.Equal(1, counters.Ended(DisconnectReason.SlowConsumer));

        // One that begins to read again is told to come back, and never that its namespace is closed, after which a JavaScript client stays away.
        var (status, texts) = await ReadToEnd(slow);
        Assert.DoesNotContain(texts, t => t.StartsWith("41", StringComparison.Ordinal));
        Assert.True(status is null || (int)status == (wire == "/ws" ? 4006 : 1008), status.ToString());

        Task Send(string text) => slow.SendAsync(System.Text.Encoding.UTF8.GetBytes(text), System.Net.WebSockets.WebSocketMessageType.Text, true, CancellationToken.None);
    }

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Client_that_reads_late_gets_every_final_and_the_newest_state(string wire)
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        var counters = host.App.Services.GetRequiredService<WebCounters>();
        var slow = await EventWire.Dial(host, wire == "/ws" ? "/ws" : "/socket.io/", wire == "/ws" ? "" : "EIO=4&transport=websocket");
        EventWire client = wire == "/ws" ? new RawWire(slow) : new SocketIoWireClient(slow, wire);
        await using var _ = client;
        if (client is SocketIoWireClient io)
        {
            await io.SendText("40" + io.Prefix);
        }

        await client.Request("subscribe", Pair());
        Assert.True(SpinWait.SpinUntil(() => counters.Subscriptions == 1, EventWire.Patience));

        // Forming updates beyond what the kernel takes, and far beyond the outbox: they are conflated, finals are not.
        var updates = 0;
        var minute = 0;
        while (counters.Conflated < 2_000 && updates < 400_000)
        {
            updates++;
            var open = Start.AddMinutes(minute);
            var isFinal = updates % 1_000 == 0 && minute < 400;
            host.Cluster.Deliver(mint.Change(open, TestKlines.Make(KlineInterval.M1, open, 1, updates, isFinal)));
            minute += isFinal ? 1 : 0;
        }

        Assert.True(counters.Conflated >= 2_000);
        Assert.Equal(1, counters.Subscriptions);
        client.StartReading();
        HashSet<long> finals = [];
        var last = 0L;
        while (last < updates)
        {
            var text = await client.Text();
            if (!text.Contains("kline_data", StringComparison.Ordinal))
            {
                continue;
            }

            using var json = JsonDocument.Parse(text[text.IndexOf("{\"symbol\"", StringComparison.Ordinal)..(text.LastIndexOf(client is RawWire ? ",\"timestamp\"" : "]", StringComparison.Ordinal))]);
            var seq = json.RootElement.GetProperty("seq").GetInt64();
            Assert.True(seq > last);
            last = seq;
            if (json.RootElement.GetProperty("data").GetProperty("is_final").GetBoolean())
            {
                finals.Add(json.RootElement.GetProperty("data").GetProperty("time").GetInt64());
            }
        }

        Assert.Equal(minute, finals.Count);
    }

    private static async Task<(System.Net.WebSockets.WebSocketCloseStatus? Status, List<string> Texts)> ReadToEnd(System.Net.WebSockets.ClientWebSocket socket)
    {
        List<string> texts = [];
        var buffer = new byte[65_536];
        using var message = new MemoryStream();
        using var patience = new CancellationTokenSource(EventWire.Patience);
        try
        {
            while (true)
            {
                var result = await socket.ReceiveAsync(buffer, patience.Token);
                if (result.MessageType == System.Net.WebSockets.WebSocketMessageType.Close)
                {
                    return (socket.CloseStatus, texts);
                }

                message.Write(buffer, 0, result.Count);
                if (result.EndOfMessage)
                {
                    texts.Add(System.Text.Encoding.UTF8.GetString(message.GetBuffer(), 0, (int)message.Length));
                    message.SetLength(0);
                }
            }
        }
        catch (System.Net.WebSockets.WebSocketException)
        {
            return (null, texts);
        }
    }
}
