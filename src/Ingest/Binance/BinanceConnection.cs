using System.Net.WebSockets;
using System.Text;
using System.Threading.Channels;
using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Binance;

/// <summary>What a connection tells. Called from its reading loop: must not wait.</summary>
internal interface IBinanceListener
{
    /// <summary>A trade, or (without one) the venue's word that all before <paramref name="upTo"/> (Unix ms, its clock) was sent.</summary>
    void Heard(BinanceShard shard, in Trade trade, long lastId, long upTo);

    /// <summary>Mini tickers name these symbols. The list is only valid during the call.</summary>
    void SymbolsSeen(List<string> symbols);
}

/// <summary>One WebSocket connection to combined streams, from its opening to its end.</summary>
/// <remarks>
/// Subscribes by messages rather than by its address, a thousand names being too long for one. A venue that has nothing to send is asked something small
/// every second: its answer proves that everything before was received, so that a quiet market and a dead connection look different.
/// The reading loop waits for the network only.
/// </remarks>
internal sealed class BinanceConnection : IDisposable
{
    /// <summary>Far above the mini tickers of the whole market, the longest frame that the venue sends.</summary>
    public const int MaxFrame = 4 * 1024 * 1024;

    private const int StreamsPerRequest = 128;
    private static readonly TimeSpan PulseInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ReplyTimeout = TimeSpan.FromSeconds(10);

    private readonly BinanceOptions _options;
    private readonly TimeProvider _time;
    private readonly BinanceShard _shard;
    private readonly IBinanceListener _listener;
    private readonly BinanceRest _rest;
    private readonly SkipCounts _skipped;
    private readonly BinanceFrameReader _frames;
    private readonly ClientWebSocket _socket = new();
    private readonly CancellationTokenSource _end;
    private readonly Channel<Request> _requests = Channel.CreateUnbounded<Request>();
    private readonly Dictionary<long, Request> _waiting = [];
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _renew = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Queue<long> _sentAt = new();
    private string? _reason;
    private long _heard;
    private long _requestId;
    private int _unconfirmed;
    private bool _pulseWaits;

    public BinanceConnection(BinanceOptions options, TimeProvider time, BinanceShard shard, IBinanceListener listener, BinanceRest rest, SkipCounts skipped, IReadOnlyCollection<string> streams, CancellationToken cancellationToken)
    {
        (_options, _time, _shard, _listener, _rest, _skipped) = (options, time, shard, listener, rest, skipped);
        _frames = new BinanceFrameReader(skipped);
        _end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        _socket.Options.KeepAliveInterval = TimeSpan.Zero;
        _heard = time.GetTimestamp();
        foreach (var some in streams.Chunk(StreamsPerRequest))
        {
            _unconfirmed++;
            _requests.Writer.TryWrite(new Request(0, "SUBSCRIBE", some, IsFirst: true, 0));
        }

        Ended = Run();
    }

    /// <summary>Completes when every stream that the connection began with is confirmed.</summary>
    public Task Ready => _ready.Task;

    /// <summary>Completes when the venue asks for another connection.</summary>
    public Task RenewAsked => _renew.Task;

    /// <summary>Completes with the reason when the connection is over. Never fails.</summary>
    public Task<string> Ended { get; }

    /// <summary>Adds streams to the connection or takes some away, as soon as the limit of messages allows.</summary>
    public void Change(bool subscribe, IEnumerable<string> streams)
    {
        foreach (var some in streams.Chunk(StreamsPerRequest))
        {
            _requests.Writer.TryWrite(new Request(0, subscribe ? "SUBSCRIBE" : "UNSUBSCRIBE", some, IsFirst: false, 0));
        }
    }

    /// <summary>Ends the connection.</summary>
    public void End(string reason)
    {
        Interlocked.CompareExchange(ref _reason, reason, null);
        try
        {
            _end.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // Over already.
        }
    }

    public void Dispose()
    {
        _socket.Dispose();
        _end.Dispose();
    }

    private async Task<string> Run()
    {
        // Off the caller's turn: the constructor returns first.
        await Task.Yield();
        Task sending = Task.CompletedTask, watching = Task.CompletedTask;
        try
        {
            using (var limit = new CancellationTokenSource(_options.ConnectTimeout, _time))
            using (var both = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, _end.Token))
            {
                try
                {
                    await _socket.ConnectAsync(new Uri(_options.StreamAddress.AbsoluteUri.TrimEnd('/') + "/stream"), both.Token);
                }
                catch (OperationCanceledException e) when (limit.IsCancellationRequested && !_end.IsCancellationRequested)
                {
                    throw new TimeoutException($"no connection within {_options.ConnectTimeout:c}", e);
                }
            }

            Volatile.Write(ref _heard, _time.GetTimestamp());
            if (_unconfirmed == 0)
            {
                _ready.TrySetResult();
            }

            sending = Send();
            watching = Watch();
            await Receive();
            End("closed by the venue");
        }
        catch (OperationCanceledException)
        {
            End("stopped");
        }
        catch (Exception e)
        {
            End(e.InnerException is { } inner and not OperationCanceledException ? $"{e.Message} ({inner.Message})" : e.Message);
        }
        finally
        {
            _socket.Abort();
        }

        await sending;
        await watching;
        Dispose();
        return _reason ?? "closed";
    }

    private async Task Receive()
    {
        var buffer = new byte[64 * 1024];
        var length = 0;
        var tooLarge = false;
        while (true)
        {
            if (length == buffer.Length)
            {
                if (buffer.Length >= MaxFrame)
                {
                    tooLarge = true;
                    length = 0;
                }
                else
                {
                    Array.Resize(ref buffer, Math.Min(buffer.Length * 2, MaxFrame));
                }
            }

            var result = await _socket.ReceiveAsync(buffer.AsMemory(length), _end.Token);
            if (result.MessageType == WebSocketMessageType.Close)
            {
                return;
            }

            length += result.Count;
            if (!result.EndOfMessage)
            {
                continue;
            }

            Volatile.Write(ref _heard, _time.GetTimestamp());
            _shard.Hear();
            if (tooLarge)
            {
                _skipped.Add(SkipReason.FrameTooLarge);
            }
            else
            {
                Take(buffer.AsSpan(0, length));
            }

            length = 0;
            tooLarge = false;
        }
    }

    private void Take(ReadOnlySpan<byte> utf8)
    {
        var frame = _frames.Read(utf8);
        switch (frame.Kind)
        {
            case BinanceFrameKind.Trade:
                _listener.Heard(_shard, frame.Trade, frame.LastId, frame.EventTime);
                break;
            case BinanceFrameKind.MiniTickers:
                _listener.SymbolsSeen(_frames.Symbols);
                _listener.Heard(_shard, default, 0, frame.EventTime);
                break;
            case BinanceFrameKind.Shutdown:
                _renew.TrySetResult();
                break;
            case BinanceFrameKind.Reply or BinanceFrameKind.Refusal:
                Answered(frame);
                break;
            default:
                break;
        }
    }

    private void Answered(in BinanceFrame frame)
    {
        Request request;
        lock (_waiting)
        {
            if (!_waiting.Remove(frame.ReplyId, out request))
            {
                return;
            }
        }

        if (request.Streams.Length == 0)
        {
            // A refusal says as well that it was heard.
            Volatile.Write(ref _pulseWaits, false);
            _listener.Heard(_shard, default, 0, request.VenueTime);
        }
        else if (frame.Kind == BinanceFrameKind.Refusal)
        {
            End($"the venue refused {request.Method} of {request.Streams[0]} and {request.Streams.Length - 1} more");
        }
        else if (request.IsFirst)
        {
            // Only the reading loop counts.
            if (--_unconfirmed == 0)
            {
                _ready.TrySetResult();
            }
        }
        else
        {
            _shard.Confirmed(request.Method, request.Streams);
        }
    }

    private async Task Send()
    {
        try
        {
            await foreach (var request in _requests.Reader.ReadAllAsync(_end.Token))
            {
                await WaitForTurn();
                var now = _rest.Now;
                var sent = request with { Id = ++_requestId, VenueTime = now.ToUnixTimeMilliseconds(), Sent = _time.GetTimestamp() };
                lock (_waiting)
                {
                    _waiting[sent.Id] = sent;
                }

                var text = sent.Streams.Length == 0
                    ? $"{{\"method\":\"{sent.Method}\",\"params\":[\"combined\"],\"id\":{sent.Id}}}"
                    : $"{{\"method\":\"{sent.Method}\",\"params\":[{string.Join(',', sent.Streams.Select(s => $"\"{s}\""))}],\"id\":{sent.Id}}}";
                await _socket.SendAsync(Encoding.UTF8.GetBytes(text), WebSocketMessageType.Text, endOfMessage: true, _end.Token);
            }
        }
        catch (OperationCanceledException)
        {
            // Over.
        }
        catch (Exception e)
        {
            End(e.Message);
        }
    }

    /// <summary>Waits until fewer than the allowed messages were sent within any second.</summary>
    private async Task WaitForTurn()
    {
        var most = _options.ControlMessagesPerSecond;
        if (_sentAt.Count == most)
        {
            // A little more than a second, because the venue's seconds begin when our messages arrive.
            var wait = TimeSpan.FromMilliseconds(1_050) - _time.GetElapsedTime(_sentAt.Dequeue());
            if (wait > TimeSpan.Zero)
            {
                await Task.Delay(wait, _time, _end.Token);
            }
        }

        _sentAt.Enqueue(_time.GetTimestamp());
    }

    private async Task Watch()
    {
        try
        {
            using var timer = new PeriodicTimer(PulseInterval, _time);
            while (await timer.WaitForNextTickAsync(_end.Token))
            {
                var silence = _time.GetElapsedTime(Volatile.Read(ref _heard));
                if (silence >= _options.IdleTimeout)
                {
                    End($"nothing heard for {silence.TotalSeconds:0} s");
                    return;
                }

                lock (_waiting)
                {
                    if (_waiting.Values.Any(r => r.Streams.Length > 0 && _time.GetElapsedTime(r.Sent) >= ReplyTimeout))
                    {
                        End($"no answer to a request within {ReplyTimeout.TotalSeconds:0} s");
                        return;
                    }
                }

                if (silence >= PulseInterval * 0.9 && !Volatile.Read(ref _pulseWaits))
                {
                    Volatile.Write(ref _pulseWaits, true);
                    _requests.Writer.TryWrite(new Request(0, "GET_PROPERTY", [], IsFirst: false, 0));
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Over.
        }
    }

    /// <param name="VenueTime">The venue's clock when it was sent, Unix ms.</param>
    private readonly record struct Request(long Id, string Method, string[] Streams, bool IsFirst, long VenueTime)
    {
        public long Sent { get; init; }
    }
}
