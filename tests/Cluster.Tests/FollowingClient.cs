using System.Buffers;
using System.Diagnostics;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;

namespace KlineOrleans.Cluster.Tests;

/// <summary>A client of the raw WebSocket that follows one mint in one interval, comes back when its front goes, and keeps account of what it was told.</summary>
internal sealed class FollowingClient(Uri[] fronts, Func<int, Task> isUp, int first, string symbol, string interval) : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly HashSet<(long Time, int Revision)> _finals = [];
    private readonly Lock _lock = new();
    private readonly List<(Func<FollowingClient, bool> Condition, TaskCompletionSource Holds)> _awaited = [];
    private long? _heardAt;
    private Task _reading = Task.CompletedTask;
    private (long Epoch, long Seq) _position;

    public string Symbol => symbol;

    /// <summary>Complete once the first subscription is confirmed.</summary>
    public Task Ready => _ready.Task;

    /// <summary>The newest of each kline that was told live or by a snapshot, by open time in Unix seconds.</summary>
    public Dictionary<long, JsonElement> Klines { get; } = [];

    public long Updates { get; private set; }

    /// <summary>Updates at a position that is not after the one before.</summary>
    public int Reordered { get; private set; }

    /// <summary>Final klines told again, live and unchanged.</summary>
    public List<string> Doubled { get; } = [];

    /// <summary>Live updates of a forming kline that hold fewer trades than the client knew: the grain came back from an older state.</summary>
    public List<string> Regressed { get; } = [];

    /// <summary>How often the connection went.</summary>
    public int Reconnects { get; private set; }

    /// <summary>The longest time from losing a connection to the confirmation of the next subscription.</summary>
    public TimeSpan LongestWait { get; private set; }

    /// <summary>The longest time between two updates.</summary>
    public TimeSpan LongestSilence { get; private set; }

    /// <summary>Completes once a condition holds after a message; at once if it holds now.</summary>
    public Task Until(Func<FollowingClient, bool> condition)
    {
        lock (_lock)
        {
            if (condition(this))
            {
                return Task.CompletedTask;
            }

            var holds = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _awaited.Add((condition, holds));
            return holds.Task;
        }
    }

    /// <summary>Completes with the next update.</summary>
    public Task Hears()
    {
        var before = Updates;
        return Until(c => c.Updates > before);
    }

    /// <summary>What this client was not told of <paramref name="stored"/> final klines (trades and revision by open time), from the first kline on that it was told.</summary>
    public List<string> Misses(IReadOnlyDictionary<long, (long Trades, long Revision)> stored)
    {
        lock (_lock)
        {
            var misses = new List<string>();
            var oldest = Klines.Keys.DefaultIfEmpty(long.MaxValue).Min();
            foreach (var (time, (trades, revision)) in stored.Where(s => s.Key >= oldest))
            {
                if (!Klines.TryGetValue(time, out var known))
                {
                    misses.Add($"{symbol} {time}: never told");
                }
                else if (known.GetProperty("trade_count").GetInt64() != trades || known.GetProperty("revision").GetInt64() != revision || !known.GetProperty("is_final").GetBoolean())
                {
                    misses.Add($"{symbol} {time}: told {known}, stored {trades} trades, revision {revision}");
                }
            }

            return misses;
        }
    }

    public void Start() => _reading = Task.Run(Run, CancellationToken.None);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _reading;
        _stop.Dispose();
    }

    private async Task Run()
    {
        var front = first;
        long? lost = null;
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                using var socket = new ClientWebSocket();
                await socket.ConnectAsync(new Uri($"ws://127.0.0.1:{fronts[front].Port}/ws"), _stop.Token);
                var resume = _position.Epoch == 0 ? "" : $",\"resume\":{{\"epoch\":{_position.Epoch},\"seq\":{_position.Seq}}}";
                await socket.SendAsync(Encoding.UTF8.GetBytes($"{{\"msg_type\":\"subscribe\",\"symbol\":\"{symbol}\",\"interval\":\"{interval}\"{resume}}}"), WebSocketMessageType.Text, true, _stop.Token);
                await Read(socket, () =>
                {
                    if (lost is { } at)
                    {
                        LongestWait = TimeSpan.FromTicks(Math.Max(LongestWait.Ticks, Stopwatch.GetElapsedTime(at).Ticks));
                        lost = null;
                    }
                });
            }
            catch (Exception error) when (error is WebSocketException or OperationCanceledException or IOException or System.Net.Http.HttpRequestException or System.Net.Sockets.SocketException)
            {
                // Its front went, or the test is over.
            }

            if (!_stop.IsCancellationRequested)
            {
                Reconnects++;
                lost ??= Stopwatch.GetTimestamp();
                front = (front + 1) % fronts.Length;
                await isUp(front).WaitAsync(_stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task Read(ClientWebSocket socket, Action confirmed)
    {
        var buffer = new ArrayBufferWriter<byte>();
        while (true)
        {
            buffer.ResetWrittenCount();
            ValueWebSocketReceiveResult received;
            do
            {
                received = await socket.ReceiveAsync(buffer.GetMemory(4_096), _stop.Token);
                buffer.Advance(received.Count);
            }
            while (!received.EndOfMessage);
            if (received.MessageType == WebSocketMessageType.Close)
            {
                return;
            }

            using var message = JsonDocument.Parse(buffer.WrittenMemory);
            var root = message.RootElement;
            lock (_lock)
            {
                switch (root.GetProperty("type").GetString())
                {
                    case "subscription_confirmed":
                        confirmed();
                        _ready.TrySetResult();
                        break;
                    case "history_data":
                        var history = root.GetProperty("data");
                        if (history.TryGetProperty("epoch", out var epoch))
                        {
                            _position = (epoch.GetInt64(), history.GetProperty("seq").GetInt64());
                        }

                        foreach (var kline in history.GetProperty("data").EnumerateArray())
                        {
                            Klines[kline.GetProperty("time").GetInt64()] = kline.Clone();
                        }

                        break;
                    case "kline_data":
                        Take(root.GetProperty("data"));
                        break;
                    case "error":
                        var error = new InvalidOperationException($"{symbol}: {root}");
                        _ready.TrySetException(error);
                        throw error;
                }

                _awaited.RemoveAll(a => a.Condition(this) && a.Holds.TrySetResult());
            }
        }
    }

    private (long Epoch, long Seq) _before;

    private void Take(JsonElement data)
    {
        Updates++;
        var now = Stopwatch.GetTimestamp();
        if (_heardAt is { } before && Stopwatch.GetElapsedTime(before, now) is var silence && silence > LongestSilence)
        {
            LongestSilence = silence;
        }

        _heardAt = now;
        var position = (data.GetProperty("epoch").GetInt64(), data.GetProperty("seq").GetInt64());
        var kline = data.GetProperty("data").Clone();

        // Several klines of one update come one after the other, at one position.
        if (position.CompareTo(_position) < 0)
        {
            Reordered++;
        }

        _before = _position;
        _position = position;
        var time = kline.GetProperty("time").GetInt64();
        if (kline.GetProperty("is_final").GetBoolean())
        {
            if (!_finals.Add((time, kline.GetProperty("revision").GetInt32())))
            {
                Doubled.Add($"{symbol} {kline} at {position}, after {(Klines.TryGetValue(time, out var told) ? told.ToString() : "nothing")}");
            }
        }
        else if (Klines.TryGetValue(time, out var known) && known.GetProperty("trade_count").GetInt64() > kline.GetProperty("trade_count").GetInt64())
        {
            Regressed.Add($"{symbol} {kline} at {position} after {_before}, after {known}");
        }

        Klines[time] = kline;
    }
}
