using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Web.Tests.Transports.Klines;

/// <summary>Clients that send anything over every socket of the server, and frames cut at every byte: no exception, no session left, memory flat, and the next client is served.</summary>
public sealed class KlineWireFuzzTests
{
    private const int Batch = 100;

    private static readonly string[] Paths = ["/ws", "/ws/kline/live", "/hubs/kline", "/socket.io/?EIO=4&transport=websocket"];

    private static readonly string[] Requests =
    [
        """{"symbol":"SYM","interval":"m1"}""", """{"symbol":"SYM","interval":["s1","m1"],"subscription_id":"é","limit":5}""", """{"symbol":"SYM","interval":"m1","resume":{"epoch":1,"seq":2}}""",
        """{"symbol":"SYM","interval":"m1","from":0,"to":99999999999,"order":"desc"}""", "{}", "null", "[[[[]]]]", """{"symbol":7,"interval":{"a":"\ud800"}}""",
    ];

    private static readonly string[] Names = ["subscribe", "unsubscribe", "history", "get_history", "subscribe_kline", "subscribe_price", "subscribe_tokens", "unsubscribe_tokens", "unsubscribe_price", "ping"];

    [Fact]
    public async Task Clients_that_send_anything_leave_no_session_and_nothing_in_the_log()
    {
        // The quick form. KLINE_FUZZ_SESSIONS=100000 runs as many sessions.
        var sessions = int.Parse(Environment.GetEnvironmentVariable("KLINE_FUZZ_SESSIONS") ?? "200", CultureInfo.InvariantCulture);
        var clock = new ManualTimeProvider();
        await using var host = await Start(clock);
        var random = new Random(11);
        var memory = new FlatMemory(sessions);
        var mint = host.Cluster.Mint(WebHost.Mint);
        for (var done = 0; done < sessions;)
        {
            for (var n = 0; n < Batch && done < sessions; n++, done++)
            {
                await Talk(host, Paths[done % Paths.Length], random);
                host.Cluster.Deliver(mint.Change(TestKlines.Start.AddSeconds(done), TestKlines.Make(KlineInterval.M1, TestKlines.Start, 1, done + 1)));
            }

            await NothingIsLeft(host, clock);
            memory.Look(done);
        }

        memory.Check("of four wires");
        Assert.Empty(host.Requests.Failures);
        Assert.Empty(host.Log.Entries);
    }

    [Fact]
    public async Task Frame_is_understood_wherever_the_network_or_the_client_cuts_it_and_half_of_one_leaves_nothing()
    {
        var clock = new ManualTimeProvider();
        await using var host = await Start(clock);
        foreach (var (path, hello, request, answer) in ((string, string[], string, string)[])
        [
            ("/ws", [], """{"msg_type":"history","symbol":"MintMintMintMintMintMintMintMint1111","interval":"m1"}""", "\"history_data\""),
            ("/ws/kline/live", [], """{"subscribe":"é"}""", "\"error\""),
            ("/hubs/kline", ["{\"protocol\":\"json\",\"version\":1}\x1e"], """{"type":1,"invocationId":"1","target":"Symbols","arguments":["é",1]}""" + "\x1e", "\"symbols\":[]"),
            ("/socket.io/?EIO=4&transport=websocket", ["40/kline,"], """42/kline,7["history",{"symbol":"é","interval":"m1"}]""", "43/kline,7["),
        ])
        {
            var frame = Frame(Encoding.UTF8.GetBytes(request), 0x81);
            for (var cut = 1; cut < frame.Length; cut++)
            {
                // In two pieces of the network.
                using var client = await RawClient.Connect(host, path);
                foreach (var text in hello)
                {
                    await client.Send(Frame(Encoding.UTF8.GetBytes(text), 0x81));
                }

                await client.Send(frame[..cut]);
                if (cut % 2 == 0)
                {
                    // And never the rest of it.
                    continue;
                }

                await client.Send(frame[cut..]);
                await client.ReadUntil(answer);
            }

            var payload = Encoding.UTF8.GetBytes(request);
            using var whole = await RawClient.Connect(host, path);
            foreach (var text in hello)
            {
                await whole.Send(Frame(Encoding.UTF8.GetBytes(text), 0x81));
            }

            for (var cut = 0; cut <= payload.Length; cut++)
            {
                // In two fragments of one message, also within a character.
                await whole.Send([.. Frame(payload[..cut], 0x01), .. Frame(payload[cut..], 0x80)]);
                await whole.ReadUntil(answer);
            }
        }

        await NothingIsLeft(host, clock);
        Assert.Empty(host.Requests.Failures);
        Assert.Empty(host.Log.Entries);
    }

    private static async Task<WebHost> Start(ManualTimeProvider clock)
    {
        var host = await WebHost.Start(
            new()
            {
                ["Kline:Web:Limits:MessageBurst"] = "1000000",
                ["Kline:Web:Limits:RequestBurst"] = "1000000",
                ["Kline:Web:Limits:ConnectionsPerAddress"] = "1000000",
                ["Kline:Web:Limits:MessageBytes"] = "4096",
                ["Kline:Web:Feed:Linger"] = "00:00:01",
            },
            time: clock);
        host.Cluster.Mint(WebHost.Mint).Change(TestKlines.Start, TestKlines.Make(KlineInterval.M1, TestKlines.Start.AddMinutes(-1), 1, 3, isFinal: true));
        return host;
    }

    private static async Task NothingIsLeft(WebHost host, ManualTimeProvider clock)
    {
        await host.Requests.Idle().WaitAsync(EventWire.Patience);
        var counters = host.App.Services.GetRequiredService<WebCounters>();

        // A namespace is left after the request has ended, by the task that handles its packets.
        Assert.True(SpinWait.SpinUntil(() => counters.Connections == 0 && counters.Subscriptions == 0, EventWire.Patience), $"{counters.Connections} connections, {counters.Subscriptions} subscriptions");
        Assert.True(
            SpinWait.SpinUntil(
                () =>
                {
                    clock.Advance(TimeSpan.FromSeconds(30));
                    return host.Cluster.Subscribers(WebHost.Mint) == 0;
                },
                EventWire.Patience),
            "somebody still follows");
    }

    private static async Task Talk(WebHost host, string path, Random random)
    {
        using var client = await RawClient.Connect(host, path);
        try
        {
            // What a good client says first, most of the time.
            if (random.Next(4) != 0)
            {
                if (path.StartsWith("/hubs", StringComparison.Ordinal))
                {
                    await client.Send(Frame("{\"protocol\":\"json\",\"version\":1}\x1e"u8.ToArray(), 0x81));
                }
                else if (path.StartsWith("/socket.io", StringComparison.Ordinal))
                {
                    await client.Send(Frame(Encoding.UTF8.GetBytes(((string[])["40", "40/kline,", "40/ws/kline,{\"token\":\"x\"}"])[random.Next(3)]), 0x81));
                }
            }

            for (var n = random.Next(1, 7); n > 0; n--)
            {
                var text = Mutate(random, Encoding.UTF8.GetBytes(Message(path, random)));
                var opcode = random.Next(12) switch { 0 => 0x82, 1 => 0x01, 2 => 0x80, 3 => 0x89, 4 => 0x8a, _ => 0x81 };
                var frame = Frame(opcode > 0x88 && text.Length > 125 ? text[..125] : text, opcode);
                switch (random.Next(14))
                {
                    case 0:
                        // Wrong in the frame itself: a length, a mask, a reserved bit or an opcode that is none.
                        frame[random.Next(Math.Min(frame.Length, 6))] ^= (byte)(1 << random.Next(8));
                        break;
                    case 1:
                        frame = frame[..random.Next(frame.Length)];
                        n = 1;
                        break;
                }

                await client.Send(frame);
            }

            if (random.Next(5) == 0)
            {
                await client.Send(Frame(random.Next(2) == 0 ? [] : [0x03, (byte)random.Next(0xe0, 0xff)], 0x88));
            }
        }
        catch (IOException)
        {
            // The server has hung up: as it may.
        }
    }

    private static string Message(string path, Random random)
    {
        var request = Requests[random.Next(Requests.Length)].Replace("SYM", WebHost.Mint, StringComparison.Ordinal);
        var name = Names[random.Next(Names.Length)];
        return path switch
        {
            "/ws" => request.Length > 2 && request[0] == '{' ? $"{{\"msg_type\":\"{name}\",{request[1..]}" : request,
            "/ws/kline/live" => random.Next(3) == 0 ? $"{{\"subscribe\":[\"{WebHost.Mint}\"]}}" : $"{{\"subscribe\":{request}}}",
            "/hubs/kline" => ((string[])
            [
                $$"""{"type":1,"invocationId":"{{random.Next(5)}}","target":"Subscribe","arguments":[{{request}}]}""",
                $$"""{"type":1,"invocationId":"{{random.Next(5)}}","target":"History","arguments":[{{request}}]}""",
                $$"""{"type":1,"target":"Unsubscribe","arguments":[{{request}}]}""",
                $$"""{"type":4,"invocationId":"{{random.Next(5)}}","target":"Klines","arguments":["{{WebHost.Mint}}","m1",null]}""",
                $$"""{"type":5,"invocationId":"{{random.Next(5)}}"}""",
                """{"type":6}""",
                """{"type":7}""",
                """{"type":1,"target":"Nothing","arguments":[]}""",
            ])[random.Next(8)] + "\x1e",
            _ => ((string[])["", "/kline,", "/ws/kline,"])[random.Next(3)] is var ns && random.Next(6) == 0 ? $"4{random.Next(7)}{ns}" : $"42{ns}{(random.Next(2) == 0 ? "5" : "")}[\"{name}\",{request}]",
        };
    }

    private static byte[] Mutate(Random random, byte[] text)
    {
        var bytes = text.ToList();
        for (var n = random.Next(3); n > 0 && bytes.Count > 0; n--)
        {
            var at = random.Next(bytes.Count);
            switch (random.Next(4))
            {
                case 0:
                    bytes.RemoveAt(at);
                    break;
                case 1:
                    bytes.InsertRange(at, bytes.GetRange(at, random.Next(bytes.Count - at)));
                    break;
                default:
                    bytes[at] = random.Next(2) == 0 ? (byte)random.Next(256) : "[]{}\",:0\\e"u8[random.Next(10)];
                    break;
            }
        }

        return [.. bytes];
    }

    /// <summary>A frame as a client sends it: masked (RFC 6455, 5.3).</summary>
    private static byte[] Frame(byte[] payload, int first)
    {
        var frame = new List<byte> { (byte)first };
        if (payload.Length < 126)
        {
            frame.Add((byte)(0x80 | payload.Length));
        }
        else
        {
            frame.Add(0x80 | 126);
            var length = new byte[2];
            BinaryPrimitives.WriteUInt16BigEndian(length, (ushort)payload.Length);
            frame.AddRange(length);
        }

        byte[] mask = [0x11, 0x22, 0x33, 0x44];
        frame.AddRange(mask);
        frame.AddRange(payload.Select((b, i) => (byte)(b ^ mask[i & 3])));
        return [.. frame];
    }

    /// <summary>A WebSocket client that sends bytes as they are.</summary>
    private sealed class RawClient : IDisposable
    {
        private readonly TcpClient _tcp;
        private readonly NetworkStream _stream;
        private readonly byte[] _buffer = new byte[65_536];
        private string _read = "";

        private RawClient(TcpClient tcp)
        {
            _tcp = tcp;
            _stream = tcp.GetStream();
        }

        public static async Task<RawClient> Connect(WebHost host, string path)
        {
            var tcp = new TcpClient { NoDelay = true };
            await tcp.ConnectAsync(IPAddress.Loopback, host.Address.Port);
            var client = new RawClient(tcp);
            await client.Send(Encoding.ASCII.GetBytes(
                $"GET {path} HTTP/1.1\r\nHost: {host.Address.Authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"));
            await client.ReadUntil("\r\n\r\n");
            return client;
        }

        public ValueTask Send(byte[] bytes) => _stream.WriteAsync(bytes);

        /// <summary>Reads until this text has come, and forgets what was before it.</summary>
        public async Task ReadUntil(string text)
        {
            using var patience = new CancellationTokenSource(EventWire.Patience);
            int at;
            while ((at = _read.IndexOf(text, StringComparison.Ordinal)) < 0)
            {
                var length = await _stream.ReadAsync(_buffer, patience.Token);
                Assert.True(length > 0, $"closed before {text}: {_read}");
                _read += Encoding.Latin1.GetString(_buffer, 0, length);
            }

            _read = _read[(at + text.Length)..];
        }

        public void Dispose() => _tcp.Dispose();
    }
}
