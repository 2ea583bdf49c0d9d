using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Web.Tests.Transports.Klines;

/// <summary>For each request of the older wires: what is wrong with it, and what it is answered. The connection stays, and nothing is subscribed.</summary>
public sealed class BadRequestTests
{
    private const string Symbol = WebHost.Mint;

    // Name, payload, and what the message must say: the value and what is allowed.
    private static readonly (string Name, string Payload, string[] Says)[] Table =
    [
        ("subscribe", "{}", ["symbol is missing", "interval is missing"]),
        ("subscribe", "{\"symbol\":\"SYM\"}", ["interval is missing", "s1, s5"]),
        ("subscribe", "{\"interval\":\"m1\"}", ["symbol is missing", "32 to 44"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":\"2m\"}", ["'2m'", "s1, s5, s15"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":\"1M\"}", ["'1M'"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":null}", ["interval"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":[]}", ["interval is missing"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":[\"m1\",7]}", ["'7'"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":{\"a\":1}}", ["interval"]),
        ("subscribe", "{\"symbol\":7,\"interval\":\"m1\"}", ["symbol: '7'"]),
        ("subscribe", "{\"symbol\":\"short\",\"interval\":\"m1\"}", ["'short'", "32 to 44"]),
        ("subscribe", "{\"symbol\":\"\",\"interval\":\"m1\"}", ["symbol is missing"]),
        ("subscribe", "{\"symbol\":\"" + "x45678901234567890123456789012345678901234567" + "\",\"interval\":\"m1\"}", ["32 to 44"]),
        ("subscribe", "{\"symbol\":\"\\ud800aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"interval\":\"m1\"}", ["symbol"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"limit\":0}", ["limit: '0'", "1 to 1000"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"limit\":1001}", ["1 to 1000"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"limit\":\"many\"}", ["'many'"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"limit\":1.5}", ["'1.5'"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"limit\":[1]}", ["limit"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"subscription_id\":{}}", ["subscription_id"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"subscription_id\":true}", ["subscription_id"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"subscription_id\":\"LONG\"}", ["128"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"resume\":5}", ["resume: '5'"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"resume\":{\"epoch\":1}}", ["resume"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"resume\":{\"epoch\":\"x\",\"seq\":1}}", ["resume"]),
        ("subscribe", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"resume\":{\"\\udc00\":1,\"epoch\":1}}", ["resume"]),
        ("subscribe_kline", "[]", ["payload"]),
        ("subscribe_kline", "\"m1\"", ["payload"]),
        ("subscribe", "null", ["payload is missing"]),
        ("unsubscribe", "{}", ["is missing"]),
        ("unsubscribe", "{\"symbol\":\"SYM\",\"interval\":\"x\"}", ["'x'"]),
        ("unsubscribe", "{\"interval\":\"m1\"}", ["symbol is missing"]),
        ("unsubscribe_kline", "7", ["payload: '7'"]),
        ("history", "{}", ["is missing"]),
        ("history", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"from\":\"yesterday\"}", ["from: 'yesterday'", "Unix seconds"]),
        ("history", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"to\":1.5}", ["to: '1.5'"]),
        ("history", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"before\":99999999999999}", ["before", "years 1 to 9999"]),
        ("history", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"from\":200,\"to\":100}", ["from: '200'"]),
        ("history", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"order\":\"up\"}", ["order: 'up'", "asc or desc"]),
        ("history", "{\"symbol\":\"SYM\",\"interval\":\"m1\",\"order\":1}", ["order"]),
        ("get_history", "{\"symbol\":\"nope\",\"interval\":\"m1\"}", ["'nope'"]),
        ("get_history", "false", ["payload"]),
    ];

    // On /ws a payload that is no object has no msg_type either, and unknown types and broken JSON are errors.
    private static readonly (string Text, string Says)[] RawTable =
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("not json", "'not json'"),
        ("[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]", "16 deep"),
        ("7", "payload: '7'"),
        ("null", "payload"),
        ("[]", "payload"),
        ("{}", "msg_type is missing"),
        ("{\"msg_type\":null}", "msg_type is missing"),
        ("{\"msg_type\":5}", "msg_type: '5'"),
        ("{\"msg_type\":\"order\"}", "msg_type: 'order' is not allowed. Allowed: subscribe, unsubscribe, history, ping"),
        ("{\"msg_type\":\"\\udc00\"}", "msg_type"),
        ("{\"\\ud800\":\"ping\"}", "msg_type is missing"),
    ];

    private static readonly (string Text, string Says)[] LiveTable =
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("7", "'7'"),
        ("{}", "subscribe"),
        ("{\"subscribe\":7}", "subscribe"),
        ("{\"subscribe\":null}", "subscribe"),
        ("{\"subscribe\":\"\"}", "symbol is missing"),
        ("{\"subscribe\":\"nope\"}", "'nope'"),
        ("{\"subscribe\":[\"nope\"]}", "'nope'"),
        ("{\"subscribe\":[7]}", "'7'"),
        ("{\"subscribe\":\"\\ud800\"}", "subscribe"),
    ];

    public static TheoryData<string> Wires => EventWire.All;

    [Theory]
    [MemberData(nameof(Wires))]
    public async Task Each_wrong_request_is_told_what_was_wrong(string wire)
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:Limits:MessageBurst"] = "10000" });
        await using var client = await EventWire.Connect(host, wire);
        foreach (var (name, payload, says) in Table)
        {
            if (wire == "/ws" && !payload.StartsWith('{'))
            {
                continue;
            }

            await client.Request(name, payload.Replace("SYM", Symbol, StringComparison.Ordinal).Replace("LONG", new string('x', 129), StringComparison.Ordinal));
            var (found, error) = await client.Next();
            Assert.True(found == "error", $"{name} {payload}: {found} {error}");
            Assert.Equal(1001, error.GetProperty("code").GetInt32());
            var message = error.GetProperty("message").GetString()!;
            Assert.True(says.Any(s => message.Contains(s, StringComparison.Ordinal)), $"{name} {payload}: {message}");
        }

        await client.Subscribe($$"""{"symbol":"{{Symbol}}","interval":"m1"}""");
        Assert.Equal(1, host.App.Services.GetRequiredService<WebCounters>().Subscriptions);
        Assert.Empty(client.Rest());
    }

    [Fact]
    public async Task Each_wrong_message_on_the_raw_socket_is_told_what_was_wrong()
    {
        await using var host = await WebHost.Start();
        await using var client = await EventWire.Connect(host, "/ws");
        foreach (var (text, says) in RawTable)
        {
            await client.SendText(text);
            var (found, error) = await client.Next();
            Assert.True(found == "error", $"{text}: {found} {error}");
            Assert.Equal(1001, error.GetProperty("code").GetInt32());
            Assert.Contains(says, error.GetProperty("message").GetString()!, StringComparison.Ordinal);
        }

        await client.SendText("""{"msg_type":"ping"}""");
        Assert.True((await client.Next("pong")).GetProperty("server_time").GetInt64() > 0);
    }

    [Fact]
    public async Task Each_wrong_message_on_the_live_socket_is_told_what_was_wrong()
    {
        await using var host = await WebHost.Start();
        await using var client = await LiveWire.Connect(host);
        foreach (var (text, says) in LiveTable)
        {
            await client.SendText(text);
            var error = await client.Json();
            Assert.Contains(says, error.GetProperty("error").GetString()!, StringComparison.Ordinal);
            Assert.Equal(1001, error.GetProperty("code").GetInt32());
        }
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/kline")]
    [InlineData("/ws/kline")]
    public async Task Unknown_events_are_ignored_and_an_event_without_payload_is_not(string ns)
    {
        await using var host = await WebHost.Start();
        await using var client = (SocketIoWireClient)await EventWire.Connect(host, ns);
        await client.Request("ping", "");
        await client.Request("ping", "{\"timestamp\":1}");
        await client.Request("whatever", "1,2,3");
        await client.Request("subscribe", "");
        Assert.Equal("payload is missing. Allowed: {symbol, interval, subscription_id?, limit?, resume?}.", (await client.Next("error")).GetProperty("message").GetString());
        await client.Request("history", "[1,2]");
        Assert.Equal(1001, (await client.Next("error")).GetProperty("code").GetInt32());
        Assert.Empty(client.Rest());
    }

    [Theory]
    [InlineData("subscribe_price", "{}", "symbol is missing")]
    [InlineData("subscribe_price", "\"x\"", "payload")]
    [InlineData("subscribe_price", "{\"symbol\":\"nope\"}", "'nope'")]
    [InlineData("unsubscribe_price", "{}", "symbol is missing")]
    [InlineData("unsubscribe_price", "[]", "payload")]
    public async Task Wrong_requests_for_prices_are_told_what_was_wrong(string name, string payload, string says)
    {
        await using var host = await WebHost.Start();
        await using var client = (SocketIoWireClient)await EventWire.Connect(host, "/ws/kline");
        var (ack, events) = await client.Ask(name, payload);
        Assert.False(ack.GetProperty("success").GetBoolean());
        Assert.Equal(1001, ack.GetProperty("code").GetInt32());
        Assert.Contains(says, ack.GetProperty("message").GetString()!, StringComparison.Ordinal);
        Assert.True(events.Count > 0 || (await client.Next()).Name == "error");
    }
}
