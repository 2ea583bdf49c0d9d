using System.Buffers;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Binance;

namespace KlineOrleans.Cluster.Tests;

/// <summary>From an exchange's frame over a silo that reads it, one that builds the kline, a stream and a front to the client: how long.</summary>
/// <remarks>KLINE_LATENCY_SECONDS and KLINE_LATENCY_RATE make it longer and denser than in ./test; KLINE_LATENCY_P99 (ms) makes it fail above.</remarks>
[Collection("cluster")]
public sealed class LatencyTests(ITestOutputHelper output)
{
    private const int Symbols = 20;
    private static readonly int Seconds = Needs.Given("KLINE_LATENCY_SECONDS", 3);
    private static readonly int Rate = Needs.Given("KLINE_LATENCY_RATE", 200);
    private static readonly int WarmUp = Needs.Given("KLINE_LATENCY_WARM_UP", 0);
    private static readonly int Most = Needs.Given("KLINE_LATENCY_P99", int.MaxValue);
    private static readonly TimeSpan Safety = TimeSpan.FromSeconds(120);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Trades_of_an_exchange_reach_clients_through_the_cluster_and_the_last_is_the_last()
    {
        Needs.OrleansAndPostgres();
        await using var venue = await FakeBinanceVenue.Start();
        string[] symbols = [.. Enumerable.Range(0, Symbols).Select(i => $"S{i:000}USDT")];
        foreach (var symbol in symbols)
        {
            venue.List(symbol);
        }

        await using var cluster = await TestCluster.Start(
            "--Kline:Sources:0:Kind", "Binance", "--Kline:Sources:0:Name", "trades", "--Kline:Sources:0:Symbols", string.Join(',', symbols),
            "--Kline:Sources:0:StreamAddress", venue.StreamAddress.AbsoluteUri, "--Kline:Sources:0:RestAddress", venue.RestAddress.AbsoluteUri);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        var sent = new ConcurrentDictionary<(string Symbol, decimal Price), long>();
        Client[] clients = [.. symbols.Select((s, i) => new Client(cluster.FrontAddress(i % TestCluster.Fronts), s, sent))];
        var reading = Task.WhenAll(clients.Select(c => c.Read(over.Token)));
        using var beat = new PeriodicTimer(TimeSpan.FromMilliseconds(1), TimeProvider.System);
        var number = 0;

        // Until everybody hears something, the source is on its way to the present.
        var heard = Task.WhenAll(clients.Select(c => c.Heard));
        var began = Stopwatch.GetTimestamp();
        while (!heard.IsCompleted)
        {
            Assert.False(reading.IsCompleted, "A client's connection ended.");
            Assert.True(Stopwatch.GetElapsedTime(began) < Safety, "Clients hear nothing.");
            await Send(20);
        }

        began = Stopwatch.GetTimestamp();
        number = 0;
        while (number < Rate * WarmUp)
        {
            await Send(Rate);
        }

        foreach (var client in clients)
        {
            client.Begin();
        }

        began = Stopwatch.GetTimestamp();
        number = 0;
        while (number < Rate * Seconds)
        {
            await Send(Rate);
        }

        await Task.WhenAll(clients.Select(c => c.Gets(venue.Trades(c.Symbol)[^1].Price))).WaitAsync(Safety, Cancellation);
        await over.CancelAsync();
        await reading;

        double[] latencies = [.. clients.SelectMany(c => c.Latencies).Order()];
        output.WriteLine($"{number} trades at {Rate}/s, {latencies.Length} updates at {Symbols} clients; ms: p50 {At(0.5):F1}, p90 {At(0.9):F1}, p99 {At(0.99):F1}, p99.9 {At(0.999):F1}, most {latencies[^1]:F1}");
        Assert.True(At(0.99) <= Most, $"p99 {At(0.99):F1} ms");

        double At(double part) => latencies[(int)(part * (latencies.Length - 1))];

        async Task Send(int rate)
        {
            await beat.WaitForNextTickAsync(Cancellation);
            for (var due = (int)(Stopwatch.GetElapsedTime(began).TotalSeconds * rate); number < due; number++)
            {
                var symbol = symbols[number % Symbols];
                var id = venue.Trades(symbol).Count;
                var price = 1 + (id / 10_000m);
                sent[(symbol, price)] = Stopwatch.GetTimestamp();
                venue.Publish(new VenueTrade(symbol, id, price, 1, id, id, venue.Now, IsBuyerMaker: false));
            }
        }
    }

    private sealed class Client(Uri front, string symbol, ConcurrentDictionary<(string Symbol, decimal Price), long> sent)
    {
        private readonly TaskCompletionSource _heard = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _got = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly Lock _lock = new();
        private decimal _newest;
        private decimal _wanted = decimal.MaxValue;

        public string Symbol => symbol;

        public Task Heard => _heard.Task;

        /// <summary>From the exchange's send to here, in ms.</summary>
        public List<double> Latencies { get; } = [];

        /// <summary>What came so far was the warm-up.</summary>
        public void Begin()
        {
            lock (_lock)
            {
                Latencies.Clear();
            }
        }

        /// <summary>Completes once a kline closes at this price.</summary>
        public Task Gets(decimal price)
        {
            lock (_lock)
            {
                _wanted = price;
                if (_newest == price)
                {
                    _got.TrySetResult();
                }
            }

            return _got.Task;
        }

        public async Task Read(CancellationToken over)
        {
            using var socket = new ClientWebSocket();
            await socket.ConnectAsync(new Uri($"ws://127.0.0.1:{front.Port}/ws"), over);
            await socket.SendAsync(Encoding.UTF8.GetBytes($"{{\"msg_type\":\"subscribe\",\"symbol\":\"{symbol}\",\"interval\":\"m1\"}}"), WebSocketMessageType.Text, true, over);
            var buffer = new ArrayBufferWriter<byte>();
            try
            {
                while (true)
                {
                    buffer.ResetWrittenCount();
                    ValueWebSocketReceiveResult received;
                    do
                    {
                        received = await socket.ReceiveAsync(buffer.GetMemory(4_096), over);
                        buffer.Advance(received.Count);
                    }
                    while (!received.EndOfMessage);
                    if (received.MessageType == WebSocketMessageType.Close)
                    {
                        return;
                    }

                    var now = Stopwatch.GetTimestamp();
                    using var message = JsonDocument.Parse(buffer.WrittenMemory);
                    if (message.RootElement.GetProperty("type").GetString() == "kline_data" && message.RootElement.GetProperty("data").GetProperty("data") is var kline && !kline.GetProperty("is_final").GetBoolean())
                    {
                        Take(kline.GetProperty("close").GetDecimal(), now);
                    }
                }
            }
            catch (OperationCanceledException)
            {
                // The test is over.
            }
        }

        private void Take(decimal price, long now)
        {
            lock (_lock)
            {
                if (price != _newest && sent.TryGetValue((symbol, price), out var at))
                {
                    Latencies.Add(Stopwatch.GetElapsedTime(at, now).TotalMilliseconds);
                }

                _newest = price;
                _heard.TrySetResult();
                if (price == _wanted)
                {
                    _got.TrySetResult();
                }
            }
        }
    }
}
