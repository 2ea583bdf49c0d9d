using System.Buffers;
using System.Diagnostics;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;

namespace KlineOrleans.Cluster.Tests;

/// <summary>A client of the raw WebSocket that follows one mint in one interval, comes back when its front goes, and keeps account of what it was told.</summary>
internal sealed class FollowingClient(Uri[] fronts, int first, string symbol, string interval) : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly HashSet<(long Time, int Revision)> _finals = [];
    private readonly Lock _lock = new();
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

    /// <summary>A final kline told again, live and unchanged.</summary>
    public int Doubled { get; private set; }

    /// <summary>Live updates of a forming kline that hold fewer trades than the client knew: the grain came back from an older state.</summary>
    public int Regressed { get; private set; }

    /// <summary>How often the connection went.</summary>
    public int Reconnects { get; private set; }

    /// <summary>The longest time from losing a connection to the confirmation of the next subscription.</summary>
    public TimeSpan LongestWait { get; private set; }

    /// <summary>When something was last told.</summary>
    public long HeardAt { get; private set; } = Stopwatch.GetTimestamp();

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
            catch (Exception error) when (error is WebSocketException or OperationCanceledException or IOException or System.Net.Http.HttpRequestException)
            {
                // Its front went, or the test is over.
            }

            if (!_stop.IsCancellationRequested)
            {
                Reconnects++;
                lost ??= Stopwatch.GetTimestamp();
                front = (front + 1) % fronts.Length;
                await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System, CancellationToken.None);
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
                HeardAt = Stopwatch.GetTimestamp();
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
                        throw new InvalidOperationException($"{symbol}: {root}");
                }
            }
        }
    }

    private void Take(JsonElement data)
    {
        Updates++;
        var position = (data.GetProperty("epoch").GetInt64(), data.GetProperty("seq").GetInt64());
        var kline = data.GetProperty("data").Clone();

        // Several klines of one update come one after the other, at one position.
        if (position.CompareTo(_position) < 0)
        {
            Reordered++;
        }

        _position = position;
        var time = kline.GetProperty("time").GetInt64();
        if (kline.GetProperty("is_final").GetBoolean())
        {
            if (!_finals.Add((time, kline.GetProperty("revision").GetInt32())))
            {
                Doubled++;
            }
        }
        else if (Klines.TryGetValue(time, out var known) && known.GetProperty("trade_count").GetInt64() > kline.GetProperty("trade_count").GetInt64())
        {
            Regressed++;
        }

        Klines[time] = kline;
    }
}
