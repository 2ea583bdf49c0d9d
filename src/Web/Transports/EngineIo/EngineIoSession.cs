using System.Net;
using System.Net.WebSockets;
using System.Security.Claims;
using KlineOrleans.Protocol.EngineIo;

namespace KlineOrleans.Web.Transports.EngineIo;

/// <summary>What became of a message handed to <see cref="EngineIoSession"/>.</summary>
public enum SendResult : byte
{
    /// <summary>It waits for the client.</summary>
    Queued = 0,

    /// <summary>It waits, and an older one of the same key will not be sent.</summary>
    Conflated = 1,

    /// <summary>There was no room, and the application's rule dropped it.</summary>
    Dropped = 2,

    /// <summary>The session has ended, perhaps by this call.</summary>
    Closed = 3,
}

/// <summary>One client's session: an id, a heartbeat and a queue, over polling or a WebSocket.</summary>
/// <remarks>
/// Thread safe. An idle session has no task and no timer of its own: over polling it is this object and an entry in the server's <see cref="DeadlineQueue"/>, over
/// WebSocket the pending read besides.
/// </remarks>
public sealed partial class EngineIoSession : IDeadlineTarget, IThreadPoolWorkItem
{
    private enum DeadlineKind
    {
        Heartbeat,
        PollHold,
        Upgrade,
        Linger,
        AbortWebSocket,
    }

    private readonly Lock _gate = new();
    private readonly EngineIoServer _server;
    private readonly Outbox _outbox = new();
    private readonly Deadline _heartbeat;
    private bool _closed;
    private bool _draining;
    private CloseReason _reason;

    // The heartbeat: either a ping is due at _pingDue, or a pong is due at _pongDue.
    private long _pingDue;
    private long _pongDue;
    private bool _awaitsPong;
    private bool _pingWaits;

    internal EngineIoSession(EngineIoServer server, string id, IPAddress? remoteAddress, ClaimsPrincipal? user, object? tag, bool base64)
    {
        _server = server;
        Id = id;
        RemoteAddress = remoteAddress;
        User = user;
        Tag = tag;
        _base64 = base64;
        _heartbeat = new Deadline(this, (int)DeadlineKind.Heartbeat);
        _pingDue = server.Deadlines.Now + server.PingInterval;
    }

    /// <summary>The id by which requests name the session. A secret: whoever has it can speak for the client.</summary>
    public string Id { get; }

    /// <summary>The address that opened the session.</summary>
    public IPAddress? RemoteAddress { get; }

    /// <summary>Who opened the session, as the application's authentication saw it.</summary>
    public ClaimsPrincipal? User { get; }

    /// <summary>What <see cref="EngineIoOptions.Admit"/> gave the session. Disposed when the session ends, if it can be.</summary>
    public object? Tag { get; }

    /// <summary>Whether the session is on a WebSocket; false while it polls.</summary>
    public bool IsWebSocket
    {
        get
        {
            lock (_gate)
                return _webSocket is not null;
        }
    }

    /// <summary>Whether the session has ended.</summary>
    public bool IsClosed
    {
        get
        {
            lock (_gate)
                return _closed;
        }
    }

    /// <summary>Messages that wait for the client.</summary>
    public int QueuedFrames
    {
        get
        {
            lock (_gate)
                return _outbox.Count;
        }
    }

    /// <summary>Bytes that wait for the client.</summary>
    public long QueuedBytes
    {
        get
        {
            lock (_gate)
                return _outbox.Bytes;
        }
    }

    /// <summary>The handler's own object for this session.</summary>
    internal object? State { get; set; }

    internal EngineIoServer Server => _server;

    /// <summary>Queues a message. Never waits.</summary>
    /// <param name="frame">The message; the same frame may go to any number of sessions.</param>
    /// <param name="middle">Bytes for the frame's gap. Not copied: do not change them.</param>
    /// <param name="key">
    /// If a message with an equal key still waits, it is taken out, and this one goes to the end of the queue. So a client sees the newest state, and whatever numbers its
    /// messages carry only grow. Null for a message that nothing may replace.
    /// </param>
    public SendResult Send(EngineIoFrame frame, ReadOnlyMemory<byte> middle = default, object? key = null)
    {
        ArgumentNullException.ThrowIfNull(frame);
        SendResult result;
        PendingPoll? poll = null;
        var write = false;
        lock (_gate)
        {
            if (_closed)
                return SendResult.Closed;

            result = key is not null && _outbox.Remove(key) ? SendResult.Conflated : SendResult.Queued;
            var item = new QueuedFrame(frame, middle, key);
            if (!HasRoom(1, item.Length))
            {
                switch (_server.Options.OnOverflow?.Invoke(this, frame) ?? OverflowAction.Close)
                {
                    case OverflowAction.Queue:
                        break;
                    case OverflowAction.Drop:
                        _server.Statistics.CountDropped();
                        return SendResult.Dropped;
                    default:
                        result = SendResult.Closed;
                        break;
                }
            }

            if (result != SendResult.Closed)
            {
                _outbox.Enqueue(item);
                WakeUnderGate(out poll, out write);
            }
        }

        if (result == SendResult.Closed)
            Close(CloseReason.SlowConsumer, CloseMode.Discard);
        if (result == SendResult.Conflated)
            _server.Statistics.CountConflated();
        Wake(poll, write);
        return result;
    }

    /// <summary>Queues messages that follow each other with no other message between, as a packet and its attachments do.</summary>
    public SendResult Send(ReadOnlySpan<EngineIoFrame> frames)
    {
        PendingPoll? poll = null;
        var write = false;
        var full = false;
        lock (_gate)
        {
            if (_closed)
                return SendResult.Closed;

            long bytes = 0;
            foreach (var frame in frames)
                bytes += frame.Length;

            if (!frames.IsEmpty && !HasRoom(frames.Length, bytes))
            {
                switch (_server.Options.OnOverflow?.Invoke(this, frames[0]) ?? OverflowAction.Close)
                {
                    case OverflowAction.Queue:
                        break;
                    case OverflowAction.Drop:
                        _server.Statistics.CountDropped();
                        return SendResult.Dropped;
                    default:
                        full = true;
                        break;
                }
            }

            if (!full)
            {
                foreach (var frame in frames)
                    _outbox.Enqueue(new QueuedFrame(frame, default, null));
                WakeUnderGate(out poll, out write);
            }
        }

        if (full)
        {
            Close(CloseReason.SlowConsumer, CloseMode.Discard);
            return SendResult.Closed;
        }

        Wake(poll, write);
        return SendResult.Queued;
    }

    /// <summary>Ends the session. What waits is still sent, for at most <see cref="EngineIoOptions.CloseTimeout"/>; nothing further is taken.</summary>
    /// <remarks>A JavaScript client sees a transport close and reconnects by itself.</remarks>
    public void Close(CloseReason reason = CloseReason.ForcedClose) => Close(reason, CloseMode.Flush);

    internal enum CloseMode
    {
        /// <summary>Send what waits, then tell the client.</summary>
        Flush,

        /// <summary>Drop what waits and tell the client.</summary>
        Discard,

        /// <summary>The client itself has ended the session: a poll is answered with a noop.</summary>
        ByClient,
    }

    /// <param name="last">A message that is sent whatever the mode drops; null: none.</param>
    internal void Close(CloseReason reason, CloseMode mode, WebSocketCloseStatus? status = null, EngineIoFrame? last = null)
    {
        PendingPoll? poll;
        var write = false;
        WebSocket? candidate;
        List<Action>? drained = null;
        lock (_gate)
        {
            if (_closed)
                return;

            _closed = true;
            TakeDrainWaitersUnderGate(ref drained);
            _reason = reason;
            _heartbeat.Cancel();
            _pingWaits = false;
            candidate = _candidate;
            _candidate = null;
            poll = _poll;
            if (mode != CloseMode.Flush)
                _outbox.Clear();
            if (last is not null)
                _outbox.Enqueue(new QueuedFrame(last, default, null));

            if (_webSocket is not null)
            {
                _closeStatus = status ?? StatusFor(reason);
                _closeWaits = true;
                if (!_writing)
                    _writing = write = true;
                _server.Deadlines.Add(new Deadline(this, (int)DeadlineKind.AbortWebSocket), _server.Deadlines.Now + _server.CloseTimeout);
            }
            else
            {
                // What the next poll is told. A poll that is open is told it now.
                _draining = _outbox.Count > 0;
                if (poll is not null)
                {
                    poll.Answer(mode switch
                    {
                        CloseMode.ByClient => PollAnswer.Noop,
                        _ when _draining => PollAnswer.DrainAndClose,
                        _ => PollAnswer.Close,
                    });
                    if (!_draining)
                        _poll = null;
                }
                else if (mode != CloseMode.Discard || _draining)
                {
                    // The client's own close may overtake the poll that it sent before, so the id is known a little longer: its next poll is answered as if it had come in time.
                    _farewell = mode == CloseMode.ByClient ? PollAnswer.Noop : PollAnswer.DrainAndClose;
                    var linger = mode == CloseMode.ByClient ? Math.Min(_server.PingTimeout, _server.Deadlines.Ticks(TimeSpan.FromSeconds(1))) : _server.CloseTimeout;
                    _server.Deadlines.Add(new Deadline(this, (int)DeadlineKind.Linger), _server.Deadlines.Now + linger);
                }
            }
        }

        candidate?.Abort();
        drained?.ForEach(static waiter => waiter());
        if (_farewell == PollAnswer.None)
            _server.Forget(this);
        _server.Release(this, reason);
        Wake(null, write);
        _server.NotifyClosed(this, reason);
    }

    // The reference server closes without a status, which this WebSocket cannot; clients treat all alike, and people who debug do not.
    private static WebSocketCloseStatus StatusFor(CloseReason reason) => reason switch
    {
        CloseReason.ParseError or CloseReason.TransportError => WebSocketCloseStatus.ProtocolError,
        CloseReason.SlowConsumer => WebSocketCloseStatus.PolicyViolation,
        CloseReason.ServerShutdown => WebSocketCloseStatus.EndpointUnavailable,
        _ => WebSocketCloseStatus.NormalClosure,
    };

    private static string? SentenceFor(CloseReason reason) => reason switch
    {
        CloseReason.SlowConsumer => "SlowConsumer: too much waited for this client. Come back and resume.",
        CloseReason.ServerShutdown => "ServerShutdown: the server stops. Come back and resume.",
        _ => null,
    };

    /// <summary>Begins the heartbeat.</summary>
    internal void Start() => _server.Deadlines.Add(_heartbeat, _pingDue);

    /// <summary>Applies the heartbeat's deadlines as of now: the timer may be late, but a request after the deadline meets no session.</summary>
    internal void CheckHeartbeat() => Beat(_server.Deadlines.Now);

    long IDeadlineTarget.OnDeadline(Deadline deadline, long now)
    {
        switch ((DeadlineKind)deadline.Kind)
        {
            case DeadlineKind.Heartbeat:
                return Beat(now);

            case DeadlineKind.PollHold:
                EndHeldPoll();
                return DeadlineQueue.Never;

            case DeadlineKind.Upgrade:
                EndUpgrade();
                return DeadlineQueue.Never;

            case DeadlineKind.Linger:
                lock (_gate)
                {
                    _farewell = PollAnswer.None;
                    _outbox.Clear();
                }

                _server.Forget(this);
                return DeadlineQueue.Never;

            default:
                AbortWebSocket();
                return DeadlineQueue.Never;
        }
    }

    private long Beat(long now)
    {
        PendingPoll? poll = null;
        var write = false;
        lock (_gate)
        {
            if (_closed)
                return DeadlineQueue.Never;

            if (!_awaitsPong && now >= _pingDue)
            {
                // The pong is due by the plan and not by the late timer; but where we ourselves were stopped for long, the clients are not to blame.
                _pongDue = (now - _pingDue > _server.PingTimeout / 2 ? now : _pingDue) + _server.PingTimeout;
                _awaitsPong = true;
                _pingWaits = true;
                WakeUnderGate(out poll, out write);
            }

            if (!_awaitsPong || now < _pongDue)
            {
                var next = _awaitsPong ? _pongDue : _pingDue;
                // Looking again after one interval keeps the entry ahead of the next ping, whenever the pong comes.
                if (_awaitsPong && _pingDue + _server.PingInterval > now)
                    next = Math.Min(next, _pingDue + _server.PingInterval);
                Wake(poll, write);
                return next;
            }
        }

        Wake(poll, write);
        Close(CloseReason.PingTimeout, CloseMode.Discard);
        return DeadlineQueue.Never;
    }

    private void OnPong()
    {
        lock (_gate)
        {
            _awaitsPong = false;
            _pingWaits = false;
            _pingDue = _server.Deadlines.Now + _server.PingInterval;
        }
    }

    /// <summary>Acts on a packet of the client, whatever it came by. Returns false when nothing more must be read.</summary>
    internal async ValueTask<bool> ReceiveAsync(EnginePacket packet)
    {
        switch (packet.Type)
        {
            case EnginePacketType.Message:
                _server.Statistics.CountReceived();
                if (packet.IsBase64)
                    await DeliverBase64Async(packet);
                else
                    await DeliverAsync(packet.Data, isBinary: false);
                return !IsClosed;

            case EnginePacketType.Pong:
                OnPong();
                return true;

            case EnginePacketType.Close:
                Close(CloseReason.TransportClose, CloseMode.ByClient);
                return false;

            case EnginePacketType.Ping:
                // Since protocol 4 only the server pings.
                Close(CloseReason.TransportError, CloseMode.Discard);
                return false;

            default:
                return true;
        }
    }

    // A handler's failure ends its own session, and neither the request with a 500 nor the reading loop without a trace.
    private async ValueTask DeliverAsync(System.Buffers.ReadOnlySequence<byte> data, bool isBinary)
    {
        try
        {
            await (isBinary ? _server.Handler.OnBinaryAsync(this, data) : _server.Handler.OnTextAsync(this, data));
        }
        catch (Exception e)
        {
            _server.LogHandlerFailure(e, this);
            Close(CloseReason.ForcedClose, CloseMode.Discard, WebSocketCloseStatus.InternalServerError);
        }
    }

    private async ValueTask DeliverBase64Async(EnginePacket packet)
    {
        var length = Base64Data.DecodedLength(packet.Data);
        var rented = System.Buffers.ArrayPool<byte>.Shared.Rent(Math.Max(length, 1));
        try
        {
            var written = Base64Data.Decode(packet.Data, rented);
            await DeliverAsync(new System.Buffers.ReadOnlySequence<byte>(rented, 0, Math.Max(written, 0)), isBinary: true);
        }
        finally
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private bool HasRoom(int frames, long bytes) =>
        _outbox.Count == 0 || (_outbox.Count + frames <= _server.Options.MaxQueuedFrames && _outbox.Bytes + bytes <= _server.Options.MaxQueuedBytes);

    // Decides under the lock who sends; the sending begins outside.
    private void WakeUnderGate(out PendingPoll? poll, out bool write)
    {
        poll = null;
        write = false;
        if (_webSocket is null)
            poll = _poll;
        else if (!_writing)
            write = _writing = true;
    }

    private void Wake(PendingPoll? poll, bool write)
    {
        poll?.Answer(PollAnswer.Drain);
        if (write)
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }
}
