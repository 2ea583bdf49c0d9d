using System.Collections.Concurrent;
using System.Net.WebSockets;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using KlineOrleans.Silo.Setup;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Solana;

namespace KlineOrleans.Silo.Tests;

/// <summary>From the node's silence to the client's screen, with the time under control.</summary>
public class SilentNodeTests
{
    private static readonly TimeSpan Safety = TimeSpan.FromMinutes(2);

    [Fact]
    public async Task A_node_that_says_nothing_is_stale_at_the_client_within_35_seconds_and_the_next_one_makes_it_live_without_a_restart()
    {
        var time = new ManualTimeProvider();
        var chain = new ChainGenerator(21) { Mints = 2, FirstBlockTime = time.GetUtcNow().ToUnixTimeSeconds(), TransactionsPerSlot = 4 }.Generate(2_000);
        await using var first = await FakeSolanaNode.Start(chain, null, time);
        await using var second = await FakeSolanaNode.Start(chain, null, time);
        using var folder = new TemporaryFolder();
        await using var app = Startup.Compose(
            [
                "--urls", "http://127.0.0.1:0",
                "--Kline:Storage:Path", folder["kline.db"],
                "--Kline:Sources:0:Kind", "Solana",
                "--Kline:Sources:0:Endpoints:0:Http", first.Http.AbsoluteUri,
                "--Kline:Sources:0:Endpoints:0:WebSocket", first.WebSocket.AbsoluteUri,
                "--Kline:Sources:0:Endpoints:0:Name", "first",
                "--Kline:Sources:0:Endpoints:1:Http", second.Http.AbsoluteUri,
                "--Kline:Sources:0:Endpoints:1:WebSocket", second.WebSocket.AbsoluteUri,
                "--Kline:Sources:0:Endpoints:1:Name", "second",
                "--Kline:Sources:0:StartSlot", $"{chain.FirstSlot}",
            ],
            services => TestEngine.AddClock(services, time));
        await app.StartAsync(TestContext.Current.CancellationToken);
        async Task Play()
        {
            await first.PlaySlot();
            await second.PlaySlot();
        }

        var mint = chain.Trades[0].Mint;
        using var client = new Client();
        await client.Connect(new Uri(app.Urls.First()), mint);
        await Until(() => client.State == "live" && client.Klines > 0, time, Play);
        Assert.Equal(0, second.Accepted);
        var subscriptions = first.LogSubscriptions;
        Assert.True(subscriptions > 0);

        // It goes on accepting, and says nothing any more.
        first.IsSilent = true;
        var silent = time.GetUtcNow();
        await Until(() => client.State == "stale", time, Play);
        Assert.InRange(time.GetUtcNow() - silent, TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(35));
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.First()) };
        Assert.Contains("sources in trouble", await http.GetStringAsync(new Uri("/health", UriKind.Relative), TestContext.Current.CancellationToken), StringComparison.Ordinal);

        // From here on only the clock moves: what the chain still has is for the second node to tell.
        var klines = client.Klines;
        await Until(() => second.LogSubscriptions == subscriptions, time, () => Task.CompletedTask);
        await Until(() => client.State == "live" && client.Klines > klines, time, Play);
        Assert.Equal(["live", "stale", "live"], client.States.Where(s => s != "backfilling"));

        // Nothing that happened in the silence is missing: the week counts what the chain has.
        var counted = await Count(http, mint);
        await Until(() => (counted = Count(http, mint).GetAwaiter().GetResult()) == chain.Trades.Count(t => t.Mint == mint), time, Play);
        await app.StopAsync(CancellationToken.None);
    }

    private static async Task<long> Count(HttpClient http, string mint)
    {
        using var answer = JsonDocument.Parse(await http.GetStringAsync(new Uri($"/api/v1/klines/{mint}/w1", UriKind.Relative), TestContext.Current.CancellationToken));
        return answer.RootElement.GetProperty("klines").EnumerateArray().Sum(k => k.GetProperty("trades").GetInt64());
    }

    // Moves the clock in small steps until the condition holds; real time passes only for what goes over the wire.
    private static async Task Until(Func<bool> condition, ManualTimeProvider time, Func<Task> step, [CallerArgumentExpression(nameof(condition))] string what = "")
    {
        using var safety = new CancellationTokenSource(Safety, TimeProvider.System);
        while (!condition())
        {
            Assert.False(safety.IsCancellationRequested, $"the condition did not come about: {what}");
            await step();
            time.Advance(TimeSpan.FromMilliseconds(400));
            await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System, CancellationToken.None);
        }
    }

    /// <summary>A client of the hub that follows one mint and notes what it is told.</summary>
    private sealed class Client : IDisposable
    {
        private readonly ClientWebSocket _socket = new();
        private readonly ConcurrentQueue<string> _states = new();
        private int _klines;

        /// <summary>Every state that it was told, repetitions left out.</summary>
        public IReadOnlyList<string> States => [.. _states];

        public string State => _states.LastOrDefault() ?? "";

        public int Klines => Volatile.Read(ref _klines);

        public async Task Connect(Uri address, string mint)
        {
            await _socket.ConnectAsync(new UriBuilder(address) { Scheme = "ws", Path = "/hubs/kline" }.Uri, TestContext.Current.CancellationToken);
            await Send("""{"protocol":"json","version":1}""");
            _ = Task.Run(Read, CancellationToken.None);
            await Send($$"""{"type":1,"invocationId":"1","target":"Subscribe","arguments":[{"symbol":"{{mint}}","intervals":["s1","m1"]}]}""");
        }

        public void Dispose() => _socket.Dispose();

        private Task Send(string json) => _socket.SendAsync(Encoding.UTF8.GetBytes(json + "\x1e"), WebSocketMessageType.Text, endOfMessage: true, TestContext.Current.CancellationToken);

        private async Task Read()
        {
            var buffer = new byte[65_536];
            var text = new MemoryStream();
            try
            {
                while (true)
                {
                    var result = await _socket.ReceiveAsync(buffer, CancellationToken.None);
                    if (result.MessageType == WebSocketMessageType.Close)
                    {
                        return;
                    }

                    foreach (var b in buffer.AsSpan(0, result.Count).ToArray())
                    {
                        if (b != 0x1e)
                        {
                            text.WriteByte(b);
                            continue;
                        }

                        using var json = JsonDocument.Parse(text.ToArray());
                        text.SetLength(0);
                        Take(json.RootElement);
                    }
                }
            }
            catch (Exception e) when (e is WebSocketException or ObjectDisposedException or OperationCanceledException)
            {
                // The test is over, or notices.
            }
        }

        private void Take(JsonElement message)
        {
            if (!message.TryGetProperty("type", out var type))
            {
                return;
            }

            var body = type.GetInt32() == 3 && message.TryGetProperty("result", out var result) ? result
                : type.GetInt32() == 1 ? message.GetProperty("arguments")[0] : default;
            if (body.ValueKind != JsonValueKind.Object)
            {
                return;
            }

            if (body.TryGetProperty("state", out var state) && state.GetString() is { } told && told != State)
            {
                _states.Enqueue(told);
            }
            else if (type.GetInt32() == 1 && message.GetProperty("target").GetString() == "kline")
            {
                Interlocked.Increment(ref _klines);
            }
        }
    }
}
