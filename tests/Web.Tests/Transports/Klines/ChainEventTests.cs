using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using KlineOrleans.Web.Transports.Events;

namespace KlineOrleans.Web.Tests.Transports.Klines;

/// <summary>Chain events on /kline: a page with the subscription, then each event once to each client, whatever the stream does.</summary>
public sealed class ChainEventTests
{
    private const string Mint = WebHost.Mint;

    [Fact]
    public async Task A_subscription_brings_the_newest_events_newest_slot_first_and_then_each_as_it_comes()
    {
        await using var host = await WebHost.Start();
        await host.Events.Emit([.. Enumerable.Range(1, 310).Select(i => TestChainEvents.Event(i))]);
        await using var client = await EventWire.Connect(host, "/kline");
        var page = await SubscribeAndTakePage(client);
        var data = page.GetProperty("data").EnumerateArray().ToList();
        Assert.Equal(Enumerable.Range(11, 300).Reverse(), data.Select(e => e.GetProperty("event_data").GetProperty("slot").GetInt32()));
        Assert.Equal((true, 310, 310), (page.GetProperty("has_more").GetBoolean(), page.GetProperty("total_count").GetInt32(), page.GetProperty("event_seq").GetInt32()));

        await host.Events.Emit(TestChainEvents.Event(311, type: "ForceLiquidate"));
        var e = await client.Next("event_data");
        Assert.Equal((Mint, "ForceLiquidate", 311), (e.GetProperty("symbol").GetString(), e.GetProperty("event_type").GetString(), e.GetProperty("event_seq").GetInt32()));
        Assert.Equal(TestKlines.Start.AddSeconds(311).AddMilliseconds(250).ToUnixTimeMilliseconds(), e.GetProperty("timestamp").GetInt64());
        var own = e.GetProperty("event_data");
        Assert.Equal("3489005136874711364", own.GetProperty("latest_price").GetString());
        Assert.Equal(2361530, own.GetProperty("sol_amount").GetInt64());
        Assert.Equal(
            ["event_type", "payer", "mint_account", "is_buy", "token_amount", "sol_amount", "latest_price", "liquidate_indices", "timestamp", "signature", "slot"],
            own.EnumerateObject().Select(p => p.Name));
        Assert.Equal("2026-01-05T00:05:11.25Z", own.GetProperty("timestamp").GetString());
    }

    [Fact]
    public async Task A_client_in_three_intervals_gets_an_event_once()
    {
        await using var host = await WebHost.Start();
        await using var client = await EventWire.Connect(host, "/kline");
        await client.Request("subscribe", Pair("[\"s1\",\"m1\",\"m5\"]"));
        for (var i = 0; i < 3; i++)
        {
            await client.Next("history_data");
            await client.Next("history_event_data");
            await client.Next("subscription_confirmed");
        }

        await host.Events.Emit(TestChainEvents.Event(1), TestChainEvents.Event(1, index: 1));
        await host.Events.Emit(TestChainEvents.Event(2));
        Assert.Equal([1, 2, 3], await Numbers(client, 3));
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/ws/kline")]
    [InlineData("/ws")]
    public async Task Other_wires_have_no_events(string wire)
    {
        await using var host = await WebHost.Start();
        await using var client = await EventWire.Connect(host, wire);
        await client.Subscribe(Pair("\"m1\""));
        await host.Events.Emit(TestChainEvents.Event(1));
        Assert.Equal(0, host.Events.Subscribers(Mint));
        await client.Request("unsubscribe", Pair("\"m1\""));
        await client.Next("unsubscribe_confirmed");
    }

    [Fact]
    public async Task What_is_told_twice_late_or_out_of_order_comes_once_and_in_order()
    {
        await using var host = await WebHost.Start();
        await using var client = await EventWire.Connect(host, "/kline");
        await SubscribeAndTakePage(client);
        var told = new List<ChainEventUpdate>();
        for (var i = 1; i <= 40; i++)
        {
            told.Add(await host.Events.Emit(tell: false, TestChainEvents.Event(i)));
        }

        var random = new Random(5);
        foreach (var update in told.Concat(told).OrderBy(_ => random.Next()))
        {
            host.Events.Tell(update);
        }

        Assert.Equal(Enumerable.Range(1, 40), await Numbers(client, 40));
        await host.Events.Emit(TestChainEvents.Event(41));
        Assert.Equal([41], await Numbers(client, 1));
    }

    [Fact]
    public async Task What_is_not_told_at_all_comes_with_the_next_event_or_the_next_look()
    {
        var time = new ManualTimeProvider();
        await using var host = await WebHost.Start(time: time);
        await using var client = await EventWire.Connect(host, "/kline");
        await SubscribeAndTakePage(client);
        await host.Events.Emit(tell: false, TestChainEvents.Event(1), TestChainEvents.Event(2));
        await host.Events.Emit(TestChainEvents.Event(3));
        Assert.Equal([1, 2, 3], await Numbers(client, 3));
        await host.Events.Emit(tell: false, TestChainEvents.Event(4));
        for (var i = 0; i <= ChainEventFeeds.LookInterval.TotalSeconds; i++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Equal([4], await Numbers(client, 1));
    }

    [Fact]
    public async Task A_store_that_is_away_delays_events_and_loses_none()
    {
        var time = new ManualTimeProvider();
        await using var host = await WebHost.Start(time: time);
        await using var client = await EventWire.Connect(host, "/kline");
        await SubscribeAndTakePage(client);
        await host.Events.Emit(tell: false, TestChainEvents.Event(1));
        var second = await host.Events.Emit(tell: false, TestChainEvents.Event(2));
        host.Events.Store.IsUnavailable = true;
        host.Events.Tell(second);
        host.Events.Store.IsUnavailable = false;
        for (var i = 0; i <= ChainEventFeeds.LookInterval.TotalSeconds; i++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Equal([1, 2], await Numbers(client, 2));
    }

    [Fact]
    public async Task Events_that_come_while_a_client_subscribes_are_in_the_page_or_come_after_it_and_never_both()
    {
        var events = new TestChainEvents();
        await using var host = await WebHost.Start(new() { ["Kline:Web:Outbox:Messages"] = "100000", ["Kline:Web:Outbox:Bytes"] = "100000000" }, events: events);
        using var stop = new CancellationTokenSource();
        var emitting = Task.Run(
            async () =>
            {
                var slot = 0;
                while (!stop.IsCancellationRequested && slot < 5_000)
                {
                    await events.Emit(TestChainEvents.Event(++slot));
                    await Task.Yield();
                }

                return slot;
            },
            CancellationToken.None);
        var clients = new List<(EventWire Client, int From)>();
        for (var i = 0; i < 8; i++)
        {
            var client = await EventWire.Connect(host, "/kline");
            var page = await SubscribeAndTakePage(client, limit: 1);
            var newest = page.GetProperty("event_seq").GetInt32();
            Assert.Equal(Enumerable.Range(Math.Max(1, newest - ChainEventClient.PageSize + 1), Math.Min(newest, ChainEventClient.PageSize)).Reverse(), page.GetProperty("data").EnumerateArray().Select(e => e.GetProperty("event_seq").GetInt32()));
            clients.Add((client, newest));
        }

        await stop.CancelAsync();
        var last = await emitting;
        foreach (var (client, from) in clients)
        {
            Assert.Equal(Enumerable.Range(from + 1, last - from), await Numbers(client, last - from));
            await client.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_client_that_comes_back_gets_what_it_missed_and_nothing_twice()
    {
        await using var host = await WebHost.Start();
        await host.Events.Emit([.. Enumerable.Range(1, 20).Select(i => TestChainEvents.Event(i))]);
        await using (var first = await EventWire.Connect(host, "/kline"))
        {
            await SubscribeAndTakePage(first);
        }

        await host.Events.Emit([.. Enumerable.Range(21, 5).Select(i => TestChainEvents.Event(i))]);
        await using var again = await EventWire.Connect(host, "/kline");
        await again.Request("subscribe", Pair("\"m1\"", ",\"resume\":{\"epoch\":1,\"seq\":0,\"event_seq\":20}"));
        Assert.True((await again.Next("subscription_confirmed")).GetProperty("recovered").GetBoolean());
        Assert.Equal([21, 22, 23, 24, 25], await Numbers(again, 5));
        await host.Events.Emit(TestChainEvents.Event(26));
        Assert.Equal([26], await Numbers(again, 1));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("1")]
    [InlineData("900")]
    public async Task A_client_that_comes_back_and_cannot_be_told_what_it_missed_gets_the_page(string? number)
    {
        await using var host = await WebHost.Start();
        await host.Events.Emit([.. Enumerable.Range(1, 320).Select(i => TestChainEvents.Event(i))]);
        await using var client = await EventWire.Connect(host, "/kline");
        await client.Request("subscribe", Pair("\"m1\"", ",\"resume\":{\"epoch\":1,\"seq\":0" + (number is null ? "" : ",\"event_seq\":" + number) + "}"));
        Assert.Equal(320, (await client.Next("history_event_data")).GetProperty("event_seq").GetInt32());
        await client.Next("subscription_confirmed");
    }

    [Fact]
    public async Task A_position_of_the_wrong_kind_is_refused()
    {
        await using var host = await WebHost.Start();
        await using var client = await EventWire.Connect(host, "/kline");
        foreach (var wrong in new[] { "-1", "1.5", "\"x\"", "{}" })
        {
            await client.Request("subscribe", Pair("\"m1\"", ",\"resume\":{\"epoch\":1,\"seq\":0,\"event_seq\":" + wrong + "}"));
            var error = await client.Next("error");
            Assert.Equal(1001, error.GetProperty("code").GetInt32());
            Assert.Contains("event_seq", error.GetProperty("message").GetString(), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task After_the_last_interval_no_event_comes_and_the_feed_ends()
    {
        var time = new ManualTimeProvider();
        await using var host = await WebHost.Start(time: time);
        await using var client = await EventWire.Connect(host, "/kline");
        await client.Request("subscribe", Pair("[\"s1\",\"m1\"]"));
        for (var i = 0; i < 6; i++)
        {
            await client.Next();
        }

        await client.Request("unsubscribe", Pair("\"s1\""));
        await client.Next("unsubscribe_confirmed");
        await host.Events.Emit(TestChainEvents.Event(1));
        Assert.Equal([1], await Numbers(client, 1));
        await client.Request("unsubscribe", Pair("\"m1\""));
        await client.Next("unsubscribe_confirmed");
        await host.Events.Emit(TestChainEvents.Event(2));
        Assert.Equal(1, host.Events.Subscribers(Mint));
        for (var i = 0; i < 12; i++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Equal(0, host.Events.Subscribers(Mint));
        await SubscribeAndTakePage(client);
        await host.Events.Emit(TestChainEvents.Event(3));
        Assert.Equal([3], await Numbers(client, 1));
    }

    [Fact]
    public async Task A_client_that_goes_leaves_nothing_behind()
    {
        var time = new ManualTimeProvider();
        await using var host = await WebHost.Start(time: time);
        var feeds = (ChainEventFeeds)host.App.Services.GetService(typeof(ChainEventFeeds))!;
        for (var i = 0; i < 5; i++)
        {
            await using var client = await EventWire.Connect(host, "/kline");
            await SubscribeAndTakePage(client);
        }

        Assert.Equal(1, feeds.Count);
        using var patience = new CancellationTokenSource(EventWire.Patience);
        while (feeds.Count > 0)
        {
            patience.Token.ThrowIfCancellationRequested();
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }
    }

    [Fact]
    public async Task A_store_that_is_away_refuses_the_subscription_with_1003()
    {
        await using var host = await WebHost.Start();
        host.Events.Store.IsUnavailable = true;
        await using var client = await EventWire.Connect(host, "/kline");
        await client.Request("subscribe", Pair("\"m1\""));
        Assert.Equal(1003, (await client.Next("error")).GetProperty("code").GetInt32());
        host.Events.Store.IsUnavailable = false;
        await SubscribeAndTakePage(client);
    }

    [Fact]
    public async Task A_server_that_keeps_none_sends_an_empty_page()
    {
        await using var host = await WebHost.Start(events: new TestChainEvents { Store = new(perMint: 0) });
        await using var client = await EventWire.Connect(host, "/kline");
        var page = await SubscribeAndTakePage(client);
        Assert.Equal((0, false, 0), (page.GetProperty("data").GetArrayLength(), page.GetProperty("has_more").GetBoolean(), page.GetProperty("total_count").GetInt32()));
        Assert.Equal(0, host.Events.Subscribers(Mint));
    }

    private static string Pair(string interval, string more = "") => $$"""{"symbol":"{{Mint}}","interval":{{interval}}{{more}}}""";

    private static async Task<JsonElement> SubscribeAndTakePage(EventWire client, int limit = 100)
    {
        await client.Request("subscribe", Pair("\"m1\"", $",\"limit\":{limit}"));
        await client.Next("history_data");
        var page = await client.Next("history_event_data");
        await client.Next("subscription_confirmed");
        return page;
    }

    private static async Task<List<int>> Numbers(EventWire client, int count)
    {
        var numbers = new List<int>();
        while (numbers.Count < count)
        {
            numbers.Add((await client.Next("event_data")).GetProperty("event_seq").GetInt32());
        }

        return numbers;
    }
}
