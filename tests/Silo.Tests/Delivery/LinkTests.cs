using System.Globalization;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Clients;

namespace KlineOrleans.Silo.Tests.Delivery;

/// <summary>A link that breaks under all clients at once: they come back together and have lost nothing.</summary>
public class LinkTests(ITestOutputHelper output)
{
    private const int SymbolCount = 20;
    private const int Ring = 256;

    private static readonly int Clients = Number("KLINE_CLIENTS", 200);
    private static readonly double[] Cuts = (Environment.GetEnvironmentVariable("KLINE_CUTS") ?? "1,6").Split(',').Select(s => double.Parse(s, CultureInfo.InvariantCulture)).ToArray();
    private static readonly string[] Intervals = ["s1", "m1"];

    [Fact]
    public async Task Clients_that_come_back_at_once_after_a_cut_resume_where_the_ring_reaches_and_begin_anew_where_not()
    {
        using var folder = new TemporaryFolder();
        var symbols = TradeRecording.Symbols(SymbolCount);
        TradeRecording.Write(folder["trades.jsonl"], symbols, 1_000, TimeSpan.FromSeconds(20 + Cuts.Sum(c => c + 10)), seed: 1);
        await using var server = await ServerProcess.Start(
            "--Kline:Sources:0:Kind", "Replay",
            "--Kline:Sources:0:Format", "BinanceFrames",
            "--Kline:Sources:0:Path", folder["trades.jsonl"],
            "--Kline:Sources:0:Speed", "1",
            "--Kline:Intervals", string.Join(',', Intervals),
            "--Kline:Storage:Path", folder["kline.db"],
            "--Kline:Web:Feed:Ring", Ring.ToString(CultureInfo.InvariantCulture),
            "--Kline:Web:Limits:ConnectionsPerAddress", "10000",
            "--Kline:Web:Limits:RequestsPerSecond", "1000000",
            "--Kline:Web:Limits:RequestBurst", "1000000");
        await server.WaitFor("/api/v1/symbols?limit=1000", s => s.GetProperty("symbols").GetArrayLength() == SymbolCount);
        await using var proxy = new TcpProxy(server.Address);
        using var http = new HttpClient(new SocketsHttpHandler());
        await using var witness = await Witness.Start(server.Address, http, symbols, Intervals, connections: 2);

        // Of the wires that can resume; the live one has no positions.
        var wires = new[] { Wire.Hub, Wire.Raw, Wire.SocketIo, Wire.Polling };
        var clients = Enumerable.Range(0, Clients).Select(i => new Follower(wires[i % wires.Length], symbols[i % SymbolCount], proxy.Address, http)).ToList();
        await Task.WhenAll(clients.Select(c => c.Connect()));
        foreach (var seconds in Cuts)
        {
            var before = symbols.ToDictionary(s => s, s => witness.Of(s).Last, StringComparer.Ordinal);
            proxy.Cut(reset: seconds < 3);
            await Task.WhenAll(clients.Select(c => c.Gone()));
            await Task.Delay(TimeSpan.FromSeconds(seconds), TimeProvider.System);
            proxy.Mend();
            var started = TimeProvider.System.GetTimestamp();
            await Task.WhenAll(clients.Select(c => c.Connect()));
            var took = TimeProvider.System.GetElapsedTime(started);
            var recovered = clients.Count(c => c.Recovered);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"cut for {seconds} s: {clients.Count} clients back in {took.TotalSeconds:0.00} s, {recovered} resumed; updates of a symbol meanwhile: {symbols.Average(s => witness.Of(s).Last - before[s]):0}"));
            foreach (var client in clients)
            {
                // A snapshot says how many updates were missed. Of one that resumed it is known only from below: what the witness had got when the link was cut.
                var missed = (client.Recovered ? before[client.Symbol] : client.Begun) - client.Position!.Value.Seq;
                Assert.True(client.Recovered || missed > Ring - 10, $"{client.Wire} {client.Symbol} missed {missed} and was not resumed");
                Assert.True(!client.Recovered || missed <= Ring, $"{client.Wire} {client.Symbol} missed {missed} at least and was resumed");
            }
        }

        await server.WaitForEnd();
        foreach (var client in clients)
        {
            await client.Finish(witness);
        }

        Assert.True(await witness.CompareWithArchive(server, Intervals) > 1_000 / SymbolCount);
    }

    [Fact]
    public async Task Link_that_stalls_and_goes_on_loses_nothing_on_any_wire()
    {
        using var folder = new TemporaryFolder();
        var symbols = TradeRecording.Symbols(2);
        TradeRecording.Write(folder["trades.jsonl"], symbols, 200, TimeSpan.FromSeconds(9), seed: 2);
        await using var server = await ServerProcess.Start(
            "--Kline:Sources:0:Kind", "Replay",
            "--Kline:Sources:0:Format", "BinanceFrames",
            "--Kline:Sources:0:Path", folder["trades.jsonl"],
            "--Kline:Sources:0:Speed", "1",
            "--Kline:Intervals", string.Join(',', Intervals),
            "--Kline:Storage:Path", folder["kline.db"]);
        await server.WaitFor("/api/v1/symbols?limit=1000", s => s.GetProperty("symbols").GetArrayLength() == 2);
        await using var proxy = new TcpProxy(server.Address);
        using var http = new HttpClient(new SocketsHttpHandler());
        await using var witness = await Witness.Start(server.Address, http, symbols, Intervals, connections: 1);
        var clients = new[] { Wire.Hub, Wire.Raw, Wire.SocketIo, Wire.Polling }.Select(w => new Follower(w, symbols[0], proxy.Address, http)).ToList();
        await Task.WhenAll(clients.Select(c => c.Connect()));
        proxy.Stall();
        await Task.Delay(TimeSpan.FromSeconds(2), TimeProvider.System);
        proxy.Mend();
        await server.WaitForEnd();
        foreach (var client in clients)
        {
            await client.Finish(witness);
        }
    }

    private static int Number(string variable, int byDefault) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : byDefault;

    /// <summary>Follows one symbol in one interval, and comes back with its position.</summary>
    private sealed class Follower(Wire wire, string symbol, Uri address, HttpClient http)
    {
        private readonly Lock _lock = new();
        private readonly List<Subscription> _ended = [];
        private Subscription? _followed;
        private KlineClient? _client;
        private Task _reading = Task.CompletedTask;
        private TaskCompletionSource _confirmed = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Wire Wire => wire;

        public string Symbol => symbol;

        public bool Recovered { get; private set; }

        /// <summary>The position of the snapshot that it began with, if it was not resumed.</summary>
        public long Begun { get; private set; }

        /// <summary>What it came back with the last time.</summary>
        public WirePosition? Position { get; private set; }

        /// <summary>Connects and subscribes, until it is confirmed: a connection of the pool that was cut takes a request of any kind with it, and clients ask again.</summary>
        public async Task Connect()
        {
            for (var tries = 1; ; tries++)
            {
                _confirmed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                KlineClient? client = null;
                try
                {
                    client = await KlineClient.Connect(wire, address, http);
                    _client = client;
                    _reading = Read(client);
                    await client.Subscribe(symbol, ["s1"], Position, limit: 10);
                    await Task.WhenAny(_confirmed.Task, _reading).WaitAsync(TimeSpan.FromSeconds(60), TimeProvider.System);
                    if (_confirmed.Task.IsCompleted)
                    {
                        return;
                    }
                }
                catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException or System.Net.WebSockets.WebSocketException or HttpRequestException)
                {
                    // Cut, or a listener that is full.
                }

                if (client is not null)
                {
                    client.Link.Abort();
                    await _reading;

                    // The link may break it, and the server may not.
                    Assert.True(client.Link.CloseStatus is null, $"{wire} {symbol} was closed: {client.Link.CloseStatus} {client.Link.CloseReason}");
                }

                Assert.True(tries < 100, $"{wire} {symbol} does not get through");
                await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System);
            }
        }

        /// <summary>Waits until the connection is gone.</summary>
        public async Task Gone()
        {
            // A poll that is cut ends at once; one that is made in between is refused.
            await _reading.WaitAsync(TimeSpan.FromSeconds(60), TimeProvider.System);
            Position = _followed!.Position;
            _ended.Add(_followed);
            _followed = null;
        }

        public async Task Finish(Witness witness)
        {
            for (var i = 0; i < 400; i++)
            {
                lock (_lock)
                {
                    if (_followed!.Check(witness.Of(symbol), isOpen: true) is null)
                    {
                        break;
                    }
                }

                await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System);
            }

            _client!.Link.Abort();
            await _reading;
            var wrong = _followed!.Check(witness.Of(symbol), isOpen: true);
            Assert.True(wrong is null, $"{wire} {symbol}: {wrong}");
            foreach (var ended in _ended)
            {
                wrong = ended.Check(witness.Of(symbol), isOpen: false);
                Assert.True(wrong is null, $"{wire} {symbol}: {wrong}");
            }
        }

        private async Task Read(KlineClient client)
        {
            WireMessage? history = null;
            while (await client.Read() is { } message)
            {
                lock (_lock)
                {
                    switch (message.Kind)
                    {
                        case WireMessageKind.Klines:
                            _followed!.Take(message);
                            break;
                        case WireMessageKind.History:
                            history = message;
                            break;
                        case WireMessageKind.Confirmed:
                            Recovered = message.Recovered;
                            var at = wire == Wire.Hub ? message : history;
                            Begun = at?.Seq ?? 0;
                            _followed = message.Recovered
                                ? new Subscription(wire, symbol, ["s1"], Position, null, 10)
                                : new Subscription(wire, symbol, ["s1"], new WirePosition(at!.Epoch, at.Seq), at.Klines, 10);
                            _confirmed.TrySetResult();
                            break;
                    }
                }
            }

            await client.DisposeAsync();
        }
    }
}
