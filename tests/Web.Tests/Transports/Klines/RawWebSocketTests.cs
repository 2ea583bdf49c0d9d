using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using KlineOrleans.Web.Transports.RawWebSocket;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Web.Tests.Transports.Klines;

/// <summary>What only the raw WebSockets do: frames, sizes, pings, closes, /ws/kline/live.</summary>
public sealed class RawWebSocketTests
{
    private const string Symbol = WebHost.Mint;
    private const string Other = "OtherOtherOtherOtherOtherOtherOther1";
    private static readonly DateTimeOffset Start = TestKlines.Start;

    [Theory]
    [InlineData("/ws")]
    [InlineData("/ws/kline/live")]
    public async Task Request_that_is_no_upgrade_is_answered_with_what_to_do(string path)
    {
        await using var host = await WebHost.Start();
        using var answer = await host.Http.GetAsync(new Uri(path, UriKind.Relative));
        Assert.Equal(HttpStatusCode.UpgradeRequired, answer.StatusCode);
        Assert.Equal("application/problem+json", answer.Content.Headers.ContentType!.MediaType);
    }

    [Theory]
    [InlineData("/ws")]
    [InlineData("/ws/kline/live")]
    [InlineData("/socket.io/")]
    public async Task Page_of_another_origin_cannot_open_a_socket(string path)
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:AllowedOrigins:0"] = "https://chart.example" });
        var query = path == "/socket.io/" ? "EIO=4&transport=websocket" : "";
        var refused = await Assert.ThrowsAsync<WebSocketException>(() => EventWire.Dial(host, path, query, origin: "https://evil.example"));
        Assert.Contains("403", refused.Message, StringComparison.Ordinal);
        using var listed = await EventWire.Dial(host, path, query, origin: "https://chart.example");
        using var own = await EventWire.Dial(host, path, query, origin: host.Address.ToString().TrimEnd('/'));
        Assert.Equal(WebSocketState.Open, own.State);
    }

    [Theory]
    [InlineData("/ws")]
    [InlineData("/ws/kline/live")]
    public async Task Binary_frame_closes_with_1003_and_a_message_over_the_limit_with_1009(string path)
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:Limits:MessageBytes"] = "2048" });
        await using var binary = await Connect(host, path);
        await binary.SendBinary([1, 2, 3]);
        await binary.Closed();
        Assert.Equal(1003, (int?)binary.CloseStatus);

        await using var empty = await Connect(host, path);
        await empty.SendBinary([]);
        await empty.Closed();
        Assert.Equal(1003, (int?)empty.CloseStatus);

        await using var large = await Connect(host, path);
        await large.SendText($$"""{"msg_type":"ping","x":"{{new string('x', 2048)}}"}""");
        await large.Closed();
        Assert.Equal(1009, (int?)large.CloseStatus);

        await using var parts = await Connect(host, path);
        for (var i = 0; i < 3; i++)
        {
            await parts.SendPart(new string(' ', 1_000), end: false);
        }

        await parts.Closed();
        Assert.Equal(1009, (int?)parts.CloseStatus);
        Assert.True(SpinWait.SpinUntil(() => host.App.Services.GetRequiredService<WebCounters>().Connections == 0, EventWire.Patience));
    }

    [Fact]
    public async Task Message_in_fragments_of_one_byte_is_read_whole()
    {
        await using var host = await WebHost.Start();
        await using var client = await EventWire.Connect(host, "/ws");
        var text = $$"""{"msg_type":"subscribe","symbol":"{{Symbol}}","interval":"m1","subscription_id":"é"}""";
        var characters = text.ToCharArray();
        for (var i = 0; i < characters.Length; i++)
        {
            await client.SendPart(characters[i].ToString(), end: i == characters.Length - 1);
        }

        await client.Next("history_data");
        Assert.Equal("é", (await client.Next("subscription_confirmed")).GetProperty("subscription_id").GetString());
    }

    [Fact]
    public async Task Text_that_is_no_utf8_ends_the_connection_and_leaves_nothing()
    {
        await using var host = await WebHost.Start();
        var counters = host.App.Services.GetRequiredService<WebCounters>();
        using var tcp = await Tcp(host, "/ws");
        await tcp.GetStream().WriteAsync(Masked(0x81, [0xC3, 0x28]));
        await ReadToEnd(tcp);
        Assert.True(SpinWait.SpinUntil(() => counters.Connections == 0, EventWire.Patience));
    }

    [Fact]
    public async Task Ping_of_the_client_is_answered_and_its_close_too()
    {
        await using var host = await WebHost.Start();
        using var tcp = await Tcp(host, "/ws");
        var stream = tcp.GetStream();
        await stream.WriteAsync(Masked(0x89, "hello"u8));
        Assert.True(await Reads(stream, [0x8A, 5, .. "hello"u8]));
        await stream.WriteAsync(Masked(0x88, [0x03, 0xE8]));
        Assert.True(await Reads(stream, [0x88, 2, 0x03, 0xE8]));
    }

    [Fact]
    public async Task Server_pings_every_interval_and_ends_a_client_that_is_silent()
    {
        var time = new ManualTimeProvider();
        await using var host = await WebHost.Start(time: time);
        var counters = host.App.Services.GetRequiredService<WebCounters>();
        using var tcp = await Tcp(host, "/ws");
        var stream = tcp.GetStream();
        for (var i = 0; i < 4; i++)
        {
            time.Advance(TimeSpan.FromSeconds(25));
            Assert.True(await Reads(stream, [0x89, 0]));
            await stream.WriteAsync(Masked(0x8A, []));

            // The pong has no answer; a ping of the client's own shows that it was read.
            await stream.WriteAsync(Masked(0x89, [1]));
            Assert.True(await Reads(stream, [0x8A, 1, 1]));
        }

        Assert.Equal(1, counters.Connections);
        time.Advance(TimeSpan.FromSeconds(61));
        Assert.True(SpinWait.SpinUntil(() => counters.Ended(DisconnectReason.PingTimeout) == 1, EventWire.Patience));

        // 1008, and then it is not waited for.
        Assert.True(await Reads(stream, [0x03, 0xF0]));
        time.Advance(TimeSpan.FromSeconds(6));
        await ReadToEnd(tcp);
        Assert.True(SpinWait.SpinUntil(() => counters.Connections == 0, EventWire.Patience));
    }

    [Fact]
    public async Task First_pings_of_many_that_come_at_once_are_spread_over_half_an_interval()
    {
        await using var host = await WebHost.Start();
        var server = host.App.Services.GetRequiredService<WebSocketServer>();
        var half = server.PingInterval / 2;
        var due = Enumerable.Range(0, 1_000).Select(_ => server.FirstPing(1_000_000) - 1_000_000 - half).ToList();
        Assert.All(due, d => Assert.InRange(d, 0, half));
        var tenths = due.CountBy(d => Math.Min(9, d * 10 / half)).ToDictionary();
        Assert.All(Enumerable.Range(0, 10), tenth => Assert.InRange(tenths[tenth], 90, 110));
    }

    [Fact]
    public async Task Server_that_stops_closes_with_1001()
    {
        var host = await WebHost.Start();
        await using var client = await EventWire.Connect(host, "/ws");
        await client.Subscribe($$"""{"symbol":"{{Symbol}}","interval":"m1"}""");
        await host.DisposeAsync().AsTask().WaitAsync(EventWire.Patience);
        await client.Closed();
        Assert.Equal(1001, (int?)client.CloseStatus);
        Assert.Contains("ServerShutdown", client.CloseReason!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Deflate_is_declined_by_default_and_works_where_it_is_on()
    {
        await using var plain = await WebHost.Start();
        using var declined = await EventWire.Dial(plain, "/ws", deflate: true);
        Assert.False(declined.HttpResponseHeaders!.ContainsKey("Sec-WebSocket-Extensions"));

        await using var host = await WebHost.Start(new() { ["Kline:Web:Sockets:Deflate"] = "true" });
        var mint = host.Cluster.Mint(Symbol);
        var socket = await EventWire.Dial(host, "/ws", deflate: true);
        Assert.Contains("permessage-deflate", socket.HttpResponseHeaders!["Sec-WebSocket-Extensions"].Single(), StringComparison.Ordinal);
        await using var client = new RawWire(socket);
        client.StartReading();
        await client.Next("connection_success");
        await client.Subscribe($$"""{"symbol":"{{Symbol}}","interval":"m1","subscription_id":"z"}""");
        for (var i = 1; i <= 20; i++)
        {
            host.Cluster.Deliver(mint.Change(Start.AddMinutes(i), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(i), i, 1, isFinal: true)));
            var update = await client.Next("kline_data");
            Assert.Equal((i, "z"), (update.GetProperty("seq").GetInt32(), update.GetProperty("subscription_id").GetString()));
        }
    }

    [Fact]
    public async Task Clients_over_the_limit_of_all_wires_are_refused_before_the_upgrade()
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:Limits:ConnectionsPerAddress"] = "2" });
        await using var first = await EventWire.Connect(host, "/ws");
        await using (var second = await EventWire.Connect(host, "/kline"))
        {
            var refused = await Assert.ThrowsAsync<WebSocketException>(() => EventWire.Dial(host, "/ws"));
            Assert.Contains("503", refused.Message, StringComparison.Ordinal);
            using var answer = await host.Http.GetAsync(new Uri("/socket.io/?EIO=4&transport=polling", UriKind.Relative));
            Assert.Equal(HttpStatusCode.Forbidden, answer.StatusCode);
            Assert.Contains("1006", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }

        Assert.True(SpinWait.SpinUntil(() => host.App.Services.GetRequiredService<WebCounters>().Connections == 1, EventWire.Patience));
        await using var third = await EventWire.Connect(host, "/ws");
        await third.Subscribe($$"""{"symbol":"{{Symbol}}","interval":"m1"}""");
    }

    [Fact]
    public async Task Live_socket_gets_all_intervals_of_an_update_as_a_bare_array()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        await using var client = await LiveWire.Connect(host);
        await client.Ask($$"""{"subscribe":"{{Symbol}}"}""");
        host.Cluster.Deliver(mint.Change(Start.AddSeconds(1), TestKlines.Make(KlineInterval.S1, Start, 1, 1, isFinal: true), TestKlines.Make(KlineInterval.S1, Start.AddSeconds(1), 2), TestKlines.Make(KlineInterval.M1, Start, 1, 2)));
        Assert.Equal(
            """
            [{"period":"s1","open_time":1767571200000,"open":1,"high":1.5,"low":1,"close":1.25,"volume":0,"is_final":true},{"period":"s1","open_time":1767571201000,"open":2,"high":2.5,"low":2,"close":2.25,"volume":0,"is_final":false},{"period":"m1","open_time":1767571200000,"open":1,"high":1.5,"low":1,"close":1.25,"volume":0,"is_final":false}]
            """,
            await client.Text());
    }

    [Fact]
    public async Task Live_socket_follows_what_was_asked_for_last_and_keeps_it_when_the_next_is_refused()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        var other = host.Cluster.Mint(Other);
        var counters = host.App.Services.GetRequiredService<WebCounters>();
        await using var client = await LiveWire.Connect(host);
        await client.Ask($$"""{"subscribe":"{{Symbol}}"}""");
        await client.Ask($$"""{"subscribe":"{{Other}}"}""");
        await client.SendText("""{"subscribe":"unknown"}""");
        Assert.Contains("'unknown'", (await client.Json()).GetProperty("error").GetString()!, StringComparison.Ordinal);
        Assert.Equal(1, counters.Subscriptions);
        host.Cluster.Deliver(mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1)));
        host.Cluster.Deliver(other.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 7)));
        Assert.Equal(7, (await client.Json())[0].GetProperty("open").GetInt32());

        await client.Ask($$"""{"subscribe":["{{Symbol}}","{{Other}}"]}""");
        Assert.Equal(2, counters.Subscriptions);
        host.Cluster.Deliver(mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1, 2)));
        Assert.Equal(Symbol, (await client.Json())[0].GetProperty("symbol").GetString());
        host.Cluster.Deliver(other.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 7, 2)));
        Assert.Equal(Other, (await client.Json())[0].GetProperty("symbol").GetString());

        await client.Ask("""{"subscribe":[]}""");
        Assert.Equal(0, counters.Subscriptions);
    }

    [Fact]
    public async Task Live_client_that_reads_late_is_conflated_and_not_unsubscribed()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        var counters = host.App.Services.GetRequiredService<WebCounters>();
        using var slow = await EventWire.Dial(host, "/ws/kline/live");
        await slow.SendAsync(Encoding.UTF8.GetBytes($$"""{"subscribe":"{{Symbol}}"}"""), WebSocketMessageType.Text, true, CancellationToken.None);
        Assert.True(SpinWait.SpinUntil(() => counters.Subscriptions == 1, EventWire.Patience));
        var updates = 0;
        while (counters.Conflated < 1_000 && updates < 400_000)
        {
            updates++;
            host.Cluster.Deliver(mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, updates, updates), TestKlines.Make(KlineInterval.M5, Start, updates, updates), TestKlines.Make(KlineInterval.H1, Start, updates, updates)));
        }

        Assert.True(counters.Conflated >= 1_000);
        var last = 0;
        var buffer = new byte[65_536];
        using var patience = new CancellationTokenSource(EventWire.Patience);
        while (last < updates)
        {
            var result = await slow.ReceiveAsync(buffer, patience.Token);
            using var json = JsonDocument.Parse(buffer.AsMemory(0, result.Count));
            var open = json.RootElement[0].GetProperty("open").GetInt32();
            Assert.True(open > last);
            last = open;
        }

        Assert.Equal(1, counters.Subscriptions);
    }

    private static async Task<EventWire> Connect(WebHost host, string path) =>
        path == "/ws" ? await EventWire.Connect(host, path) : await LiveWire.Connect(host);

    private static async Task<TcpClient> Tcp(WebHost host, string path)
    {
        var tcp = new TcpClient();
        await tcp.ConnectAsync(host.Address.Host, host.Address.Port);
        var stream = tcp.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: {host.Address.Authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"));

        // The answer to the key of RFC 6455, 1.3.
        Assert.True(await Reads(stream, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"u8.ToArray()));
        Assert.True(await Reads(stream, "supported_intervals"u8.ToArray()));
        return tcp;
    }

    /// <summary>Reads until these bytes have come.</summary>
    private static async Task<bool> Reads(NetworkStream stream, byte[] wanted)
    {
        List<byte> tail = [];
        var one = new byte[1];
        using var patience = new CancellationTokenSource(EventWire.Patience);
        while (await stream.ReadAsync(one, patience.Token) == 1)
        {
            tail.Add(one[0]);
            if (tail.Count > wanted.Length)
            {
                tail.RemoveAt(0);
            }

            if (tail.SequenceEqual(wanted))
            {
                return true;
            }
        }

        return false;
    }

    private static async Task ReadToEnd(TcpClient tcp)
    {
        var buffer = new byte[4_096];
        using var patience = new CancellationTokenSource(EventWire.Patience);
        try
        {
            while (await tcp.GetStream().ReadAsync(buffer, patience.Token) > 0)
            {
            }
        }
        catch (IOException)
        {
            // Reset, which is an end too.
        }
    }

    private static byte[] Masked(byte first, ReadOnlySpan<byte> payload) => [first, (byte)(0x80 | payload.Length), 0, 0, 0, 0, .. payload];
}
