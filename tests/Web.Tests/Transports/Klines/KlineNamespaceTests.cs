using KlineOrleans.Contracts;
using KlineOrleans.Web.Transports.KlineSocketIo;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Web.Tests.Transports.Klines;

/// <summary>What only the Socket.IO namespaces do: acknowledgements, prices, new symbols, keys in the auth of a namespace.</summary>
public sealed class KlineNamespaceTests
{
    private const string Symbol = WebHost.Mint;
    private static readonly DateTimeOffset Start = TestKlines.Start;

    [Fact]
    public async Task Price_follows_each_update_with_trades_and_says_who_took()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        await using var client = (SocketIoWireClient)await EventWire.Connect(host, "/ws/kline");
        Assert.True((await client.Ask("subscribe_price", $$"""{"symbol":"{{Symbol}}"}""")).Ack.GetProperty("success").GetBoolean());
        var week = TestKlines.Make(KlineInterval.W1, Start, 1, 1);
        host.Cluster.Deliver(mint.Change(Start.AddSeconds(1), week with { TakerBuyBaseVolume = 1 }));
        Assert.Equal($$"""{"symbol":"{{Symbol}}","price":1.25,"timestamp":{{Start.AddSeconds(1).ToUnixTimeMilliseconds()}},"side":"buy"}""", (await client.Next("price_update")).GetRawText());

        // A kline that only becomes final is no trade.
        host.Cluster.Deliver(mint.Change(Start.AddSeconds(2), TestKlines.Make(KlineInterval.S1, Start, 1, 1, isFinal: true), week with { TakerBuyBaseVolume = 1 }));
        host.Cluster.Deliver(mint.Change(Start.AddSeconds(3), TestKlines.Make(KlineInterval.W1, Start, 2, 2) with { TakerBuyBaseVolume = 1 }));
        Assert.Equal("sell", (await client.Next("price_update")).GetProperty("side").GetString());
        await client.Ask("unsubscribe_price", $$"""{"symbol":"{{Symbol}}"}""");
        Assert.Equal(0, host.App.Services.GetRequiredService<WebCounters>().Subscriptions);
    }

    [Fact]
    public async Task New_symbols_are_told_once_to_those_who_asked()
    {
        await using var host = await WebHost.Start();
        await host.Archive.PutSymbol(new SymbolInfo("known", "known", "test", TimeProvider.System.GetUtcNow()));
        await using var client = (SocketIoWireClient)await EventWire.Connect(host, "/ws/kline");
        await client.Ask("subscribe_tokens", "");
        var listed = TimeProvider.System.GetUtcNow();
        await host.Archive.PutSymbol(new SymbolInfo(Symbol, "New", "test", listed));
        var watch = host.App.Services.GetRequiredService<NewSymbols>();
        await watch.Look(tell: true, CancellationToken.None);
        await watch.Look(tell: true, CancellationToken.None);
        var token = await client.Next("token_created");
        Assert.Equal((Symbol, "New", "test"), (token.GetProperty("symbol").GetString(), token.GetProperty("name").GetString(), token.GetProperty("source").GetString()));
        Assert.Empty((await client.Ask("unsubscribe_tokens", "")).Events);
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/kline")]
    [InlineData("/ws/kline")]
    public async Task Acknowledgement_tells_how_it_went(string ns)
    {
        await using var host = await WebHost.Start();
        await using var client = (SocketIoWireClient)await EventWire.Connect(host, ns);
        Assert.Equal("""{"success":true}""", (await client.Ask("subscribe", $$"""{"symbol":"{{Symbol}}","interval":"m1"}""")).Ack.GetRawText());
        var (refused, _) = await client.Ask("history", "{}");
        Assert.Equal(1001, refused.GetProperty("code").GetInt32());
    }

    [Fact]
    public async Task Key_is_asked_for_on_every_wire_and_its_bounds_hold()
    {
        const string Key = "0123456789abcdef";
        using var folder = new KlineOrleans.Testing.TemporaryFolder();
        await using var host = await WebHost.Start(new()
        {
            ["Kline:Web:Access:Keys:0:Name"] = "one",
            ["Kline:Web:Access:Keys:0:Key"] = Key,
            ["Kline:Web:Access:Keys:0:Symbols:0"] = Symbol,
            ["Kline:Web:Access:Keys:0:Subscriptions"] = "1",
            ["Kline:Web:Access:TokenKeysPath"] = folder.Root,
        });
        await Assert.ThrowsAsync<System.Net.WebSockets.WebSocketException>(() => EventWire.Dial(host, "/ws"));
        await Assert.ThrowsAsync<System.Net.WebSockets.WebSocketException>(() => EventWire.Dial(host, "/ws/kline/live"));
        await using (var stranger = await EventWire.Open(host, "/kline", auth: "{\"token\":\"wrong\"}"))
        {
            var text = await stranger.Text();
            Assert.StartsWith("44/kline,{\"message\":\"1005: ", text, StringComparison.Ordinal);
            Assert.Contains("\"data\":{\"code\":1005,", text, StringComparison.Ordinal);
        }

        await using (var friend = await EventWire.Open(host, "/kline", auth: $$"""{"token":"{{Key}}"}"""))
        {
            Assert.StartsWith("40/kline,", await friend.Text(), StringComparison.Ordinal);
            await friend.Next("connection_success");
            await Bounds(friend);
        }

        foreach (var wire in new[] { "/ws", "/" })
        {
            await using var client = await EventWire.Open(host, wire, query: "access_token=" + Key);
            await client.Next("connection_success");
            await Bounds(client);
        }

        static async Task Bounds(EventWire client)
        {
            await client.Request("subscribe", """{"symbol":"OtherOtherOtherOtherOtherOtherOther1","interval":"m1"}""");
            Assert.Equal(1005, (await client.Next("error")).GetProperty("code").GetInt32());
            await client.Request("history", """{"symbol":"OtherOtherOtherOtherOtherOtherOther1","interval":"m1"}""");
            Assert.Equal(1005, (await client.Next("error")).GetProperty("code").GetInt32());
            await client.Subscribe($$"""{"symbol":"{{Symbol}}","interval":"m1"}""");
            await client.Request("subscribe", $$"""{"symbol":"{{Symbol}}","interval":"s1"}""");
            Assert.Equal(1002, (await client.Next("error")).GetProperty("code").GetInt32());
        }
    }
}
