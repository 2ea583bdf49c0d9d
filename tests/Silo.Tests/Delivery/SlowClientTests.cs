using System.Diagnostics;
using System.Globalization;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Clients;

namespace KlineOrleans.Silo.Tests.Delivery;

/// <summary>A client that does not read costs the others nothing and the server no more than its outbox, and is closed with the reason; one that reads slowly gets every final and ends with the newest state.</summary>
public class SlowClientTests(ITestOutputHelper output)
{
    private const int OutboxMessages = 200;

    private static readonly int Clients = Number("KLINE_CLIENTS", 100);
    private static readonly string[] Intervals = ["s1", "m1"];

    /// <summary>As over a network: loopback's own segments would have the kernel keep megabytes for a client that does not read.</summary>
    private static readonly LinkOptions Stalled = new() { ReceiveBuffer = 4_096, SegmentBytes = 1_460 };

    [Fact]
    public async Task Clients_that_stop_reading_are_closed_as_slow_consumers_and_told_so_and_the_others_miss_nothing()
    {
        using var folder = new TemporaryFolder();
        var symbols = TradeRecording.Symbols(10);
        await using var server = await Start(folder, symbols, tradesPerSecond: 20, speed: 20, TimeSpan.FromSeconds(240));
        using var http = new HttpClient(new SocketsHttpHandler());
        await using var witness = await Witness.Start(server.Address, http, symbols, Intervals, connections: 1);
        var wires = Enum.GetValues<Wire>();
        var readers = await Task.WhenAll(Enumerable.Range(0, Clients).Select(i => Reader.Start(wires[i % wires.Length], [symbols[i % symbols.Count]], server.Address, http)));

        // Twenty finals a second and symbol, none of which may be dropped: the kernel's buffers fill, then the outbox.
        for (var i = 0; i < wires.Length; i++)
        {
            await using var client = await KlineClient.Connect(wires[i], server.Address, http, Stalled);
            await Subscribe(client, symbols, Intervals, limit: 10);
            await server.WaitFor("/api/ws/metrics", m => m.GetProperty("data").GetProperty("closed_as_slow").GetInt64() > i);

            // What was on its way can still be read, and then the reason.
            WireMessage? last = null;
            while (last?.Kind != WireMessageKind.Close && await client.Read() is { } message)
            {
                last = message;
            }

            output.WriteLine($"{client.Wire}: closed with {client.Link.CloseStatus} {client.Link.CloseReason}; last message {last?.Kind}: {(last?.Text.Length > 200 ? last.Text[..200] : last?.Text)}");
            switch (client.Wire)
            {
                case Wire.Hub:
                    Assert.Equal(WireMessageKind.Close, last!.Kind);
                    Assert.Contains("1006: SlowConsumer", last.Text, StringComparison.Ordinal);
                    Assert.Contains("\"allowReconnect\":true", last.Text, StringComparison.Ordinal);
                    break;
                case Wire.Raw or Wire.Live:
                    Assert.Equal(4_006, client.Link.CloseStatus);
                    Assert.StartsWith("SlowConsumer", client.Link.CloseReason, StringComparison.Ordinal);
                    break;
                default:
                    // A JavaScript client sees no status: the error comes first.
                    Assert.Equal(WireMessageKind.Error, last!.Kind);
                    Assert.Contains("SlowConsumer", last.Text, StringComparison.Ordinal);
                    break;
            }
        }

        await server.WaitForEnd();
        foreach (var reader in readers)
        {
            await reader.Finish(witness);
        }

        Assert.Equal(wires.Length, (await server.Get("/api/ws/metrics")).GetProperty("data").GetProperty("closed_as_slow").GetInt64());
    }

    [Fact]
    public async Task Clients_at_a_tenth_of_the_speed_get_every_final_and_at_the_end_the_newest_state()
    {
        using var folder = new TemporaryFolder();
        var symbols = TradeRecording.Symbols(10);
        await using var server = await Start(folder, symbols, tradesPerSecond: 2_000, speed: 1, TimeSpan.FromSeconds(6));
        using var http = new HttpClient(new SocketsHttpHandler());
        await using var witness = await Witness.Start(server.Address, http, symbols, Intervals, connections: 1);

        // 2,000 updates a second: of 850 bytes on the hub, 250 on the live wire, and 400 on the wires of pairs, which follow one of the two intervals.
        var readers = await Task.WhenAll(Enum.GetValues<Wire>().Select(wire => Reader.Start(wire, symbols, server.Address, http, Stalled with
        {
            BytesPerSecond = wire switch { Wire.Hub => 170_000, Wire.Live => 50_000, _ => 80_000 },
        })));
        await server.WaitForEnd();
        foreach (var reader in readers)
        {
            // It was slow for as long as there was something to be slow for; what still waits for it comes at once.
            var read = reader.Messages;
            await reader.Finish(witness);
            output.WriteLine($"{reader.Wire}: {read} messages of {witness.Updates} updates, {reader.Messages - read} afterwards");
            Assert.True(reader.Messages < witness.Updates / 2, $"{reader.Wire} was not slow: {reader.Messages} messages of {witness.Updates} updates");
        }
    }

    /// <remarks>A measurement, for a machine that does nothing else. Without the variable it is not run: what holds on a busy one too is proved above.</remarks>
    [Fact]
    public async Task Others_are_as_fast_as_without_the_one_that_does_not_read_and_memory_grows_by_no_more_than_its_outbox()
    {
        var turns = Number("KLINE_SLOW_TURNS", 0);
        Assert.SkipWhen(turns == 0, "A measurement of minutes: KLINE_SLOW_TURNS says how often each wire is measured with and without the client that does not read.");
        var start = new ProcessStartInfo(Path.Combine(RecordedData.RepositoryRoot, "load")) { UseShellExecute = false, RedirectStandardOutput = true };
        foreach (var argument in (string[])["slow", "--connections", Text(Math.Max(Clients, 1_000)), "--turns", Text(turns)])
        {
            start.ArgumentList.Add(argument);
        }

        using var load = Process.Start(start)!;
        while (await load.StandardOutput.ReadLineAsync() is { } line)
        {
            output.WriteLine(line);
        }

        await load.WaitForExitAsync();
        Assert.Equal(0, load.ExitCode);
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private static int Number(string variable, int byDefault) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : byDefault;

    private static async Task<ServerProcess> Start(TemporaryFolder folder, IReadOnlyList<string> symbols, int tradesPerSecond, int speed, TimeSpan length)
    {
        TradeRecording.Write(folder["trades.jsonl"], symbols, tradesPerSecond, length, seed: 1);
        var server = await ServerProcess.Start(
            "--Kline:Sources:0:Kind", "Replay",
            "--Kline:Sources:0:Format", "BinanceFrames",
            "--Kline:Sources:0:Path", folder["trades.jsonl"],
            "--Kline:Sources:0:Speed", Text(speed),
            "--Kline:Intervals", string.Join(',', Intervals),
            "--Kline:Storage:Path", folder["kline.db"],
            "--Kline:Web:Outbox:Messages", Text(OutboxMessages),
            "--Kline:Web:Limits:ConnectionsPerAddress", "10000",
            "--Kline:Web:Limits:RequestsPerSecond", "1000000",
            "--Kline:Web:Limits:RequestBurst", "1000000");
        await server.WaitFor("/api/v1/symbols?limit=1000", s => s.GetProperty("symbols").GetArrayLength() == symbols.Count);
        return server;
    }

    private static async Task Subscribe(KlineClient client, IReadOnlyList<string> symbols, IReadOnlyList<string> intervals, int limit)
    {
        if (client is LiveKlineClient live)
        {
            await live.Subscribe(symbols);
            return;
        }

        foreach (var symbol in symbols)
        {
            await client.Subscribe(symbol, intervals, limit: limit);
        }
    }

    /// <summary>Follows symbols until it has everything.</summary>
    private sealed class Reader
    {
        private readonly KlineClient _client;
        private readonly string[] _intervals;
        private readonly TaskCompletionSource _confirmed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly Lock _lock = new();
        private readonly Dictionary<string, Subscription> _followed = new(StringComparer.Ordinal);
        private Task _reading = Task.CompletedTask;
        private int _unconfirmed;

        private Reader(KlineClient client, int subscriptions)
        {
            (_client, _unconfirmed) = (client, subscriptions);

            // Wires of pairs follow one, so that a message is a position.
            _intervals = client.Wire is Wire.Hub or Wire.Live ? Intervals : ["s1"];
        }

        public Wire Wire => _client.Wire;

        /// <summary>Messages of klines so far.</summary>
        public int Messages { get; private set; }

        public static async Task<Reader> Start(Wire wire, IReadOnlyList<string> symbols, Uri address, HttpClient http, LinkOptions? options = null)
        {
            var reader = new Reader(await KlineClient.Connect(wire, address, http, options), wire == Wire.Live ? 1 : symbols.Count);
            if (wire == Wire.Live)
            {
                foreach (var symbol in symbols)
                {
                    reader._followed.Add(symbol, new Subscription(wire, symbol, Intervals, null, null, 0));
                }
            }

            reader._reading = reader.Read();
            await Subscribe(reader._client, symbols, reader._intervals, limit: 1);
            await reader._confirmed.Task.WaitAsync(TimeSpan.FromSeconds(60), TimeProvider.System);
            return reader;
        }

        public async Task Finish(Witness witness)
        {
            _client.Link.Hurry();

            // Nobody tells when the last message has come but the messages themselves.
            for (var i = 0; i < 600 && !_reading.IsCompleted && Wrong(witness) is not null; i++)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System);
            }

            Assert.True(!_reading.IsCompleted, $"{Wire} was closed: {_client.Link.CloseStatus} {_client.Link.CloseReason}");
            _client.Link.Abort();
            await _reading;
            var wrong = Wrong(witness);
            Assert.True(wrong is null, $"{Wire}: {wrong}");
            await _client.DisposeAsync();
        }

        private string? Wrong(Witness witness)
        {
            lock (_lock)
            {
                foreach (var (symbol, followed) in _followed)
                {
                    if (followed.Check(witness.Of(symbol), isOpen: true) is { } wrong)
                    {
                        return $"{symbol}: {wrong}";
                    }
                }

                return null;
            }
        }

        private void Confirm()
        {
            if (--_unconfirmed == 0)
            {
                _confirmed.SetResult();
            }
        }

        private async Task Read()
        {
            Dictionary<string, WireMessage> histories = new(StringComparer.Ordinal);
            while (await _client.Read() is { } message)
            {
                lock (_lock)
                {
                    switch (message.Kind)
                    {
                        case WireMessageKind.Klines:
                            Messages++;
                            _followed[message.Symbol].Take(message);
                            break;
                        case WireMessageKind.History:
                            histories[message.Symbol] = message;
                            break;
                        case WireMessageKind.Confirmed:
                            var at = Wire == Wire.Hub ? message : histories[message.Symbol];
                            _followed[message.Symbol] = new Subscription(Wire, message.Symbol, _intervals, new WirePosition(at.Epoch, at.Seq), at.Klines, 1);
                            Confirm();
                            break;
                        case WireMessageKind.Done:
                            Confirm();
                            break;
                    }
                }
            }
        }
    }
}
