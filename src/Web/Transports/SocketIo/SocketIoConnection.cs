using System.Buffers;
using KlineOrleans.Protocol.SocketIo;
using KlineOrleans.Web.Transports.EngineIo;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web.Transports.SocketIo;

/// <summary>A client: its session and its sockets, one for each namespace that it has joined.</summary>
/// <remarks>
/// Packets wait in an inbox and are handled one after another, by a task that exists only while something waits. So a handler may wait for an acknowledgement, which does not go
/// through the inbox; and a client that sends faster than its handlers work is read no further once the inbox is full.
/// </remarks>
internal sealed class SocketIoConnection : IDeadlineTarget, IThreadPoolWorkItem
{
    private readonly SocketIoServer _server;
    private readonly BinaryPacketAssembler _assembler;
    private readonly Lock _gate = new();
    private readonly Deadline _connectDeadline;

    // By the namespace. A null value: the server removed the socket, so packets that were under way are nobody's fault.
    private readonly Dictionary<SocketIoNamespace, SocketIoSocket?> _sockets = [];
    private Queue<Work>? _inbox;
    private bool _working;
    private TaskCompletionSource? _room;

    // A packet; or, with a reason, that a socket has left, or that all have because the session has ended.
    private readonly record struct Work(SocketPacket Packet, byte[][] Attachments, SocketIoSocket? Left = null, SocketIoDisconnectReason? Reason = null);

    public SocketIoConnection(SocketIoServer server, EngineIoSession session)
    {
        _server = server;
        Session = session;
        _assembler = new BinaryPacketAssembler(server.Options.MaxAttachmentBytes);
        _connectDeadline = new Deadline(this, 0);
        var deadlines = session.Server.Deadlines;
        deadlines.Add(_connectDeadline, deadlines.Now + deadlines.Ticks(server.Options.ConnectTimeout));
    }

    public EngineIoSession Session { get; }

    public SocketIoOptions Options => _server.Options;

    public ValueTask OnTextAsync(ReadOnlySequence<byte> message)
    {
        if (_server.Reader.Read(message, out var packet) != SocketReadStatus.Ok)
            return Refuse();

        return _assembler.Start(packet) switch
        {
            AssemblyStatus.Complete => TakeAsync(_assembler.Take(out var none), none),
            AssemblyStatus.NeedsMore => ValueTask.CompletedTask,
            _ => Refuse(),
        };
    }

    public ValueTask OnBinaryAsync(ReadOnlySequence<byte> data) => _assembler.Add(data) switch
    {
        AssemblyStatus.Complete => TakeAsync(_assembler.Take(out var attachments), attachments),
        AssemblyStatus.NeedsMore => ValueTask.CompletedTask,
        _ => Refuse(),
    };

    public void OnClose(CloseReason reason)
    {
        _connectDeadline.Cancel();
        SocketIoSocket?[] sockets;
        TaskCompletionSource? room;
        lock (_gate)
        {
            sockets = [.. _sockets.Values];
            room = _room;
            _room = null;
        }

        foreach (var socket in sockets)
            socket?.Abandon();

        // What the client sent before it went is handled first: a last event, or that it left a namespace by its own will.
        _ = Enqueue(new Work(default, [], Reason: SocketIoDisconnectReasons.From(reason)));
        room?.TrySetResult();
    }

    /// <summary>Takes a socket out of its namespace by the application's will; its handlers learn of it after the events that wait.</summary>
    public void Remove(SocketIoSocket socket)
    {
        lock (_gate)
        {
            if (_sockets.TryGetValue(socket.Namespace, out var current) && current == socket)
                _sockets[socket.Namespace] = null;
        }

        if (socket.TryLeave())
            _ = Enqueue(new Work(default, [], socket, SocketIoDisconnectReason.ServerNamespaceDisconnect));
    }

    public long OnDeadline(Deadline deadline, long now)
    {
        bool joined;
        lock (_gate)
            joined = _sockets.Values.Any(static socket => socket is not null);

        if (!joined)
            Session.Close();
        return DeadlineQueue.Never;
    }

    private ValueTask TakeAsync(SocketPacket packet, byte[][] attachments)
    {
        if (packet.Type is SocketPacketType.Ack or SocketPacketType.BinaryAck && Find(packet, out _) is { } socket)
        {
            socket.TakeAck(packet.AckId!.Value, packet.Payload.ToArray(), attachments);
            return ValueTask.CompletedTask;
        }

        // The packet still borrows the transport's buffer, unless it had attachments to wait for.
        if (attachments.Length == 0)
        {
            packet = packet with
            {
                Namespace = new ReadOnlySequence<byte>(packet.Namespace.ToArray()),
                Payload = new ReadOnlySequence<byte>(packet.Payload.ToArray()),
            };
        }

        return Enqueue(new Work(packet, attachments)) is { } full ? new ValueTask(full) : ValueTask.CompletedTask;
    }

    // The task ends when there is room again; null where there is.
    private Task? Enqueue(in Work work)
    {
        Task? full = null;
        lock (_gate)
        {
            _inbox ??= new Queue<Work>();
            _inbox.Enqueue(work);
            if (!_working)
            {
                _working = true;
                ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
            }

            if (_inbox.Count >= Options.MaxQueuedPackets && work.Reason is null)
            {
                _room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                full = _room.Task;
            }
        }

        return full;
    }

    void IThreadPoolWorkItem.Execute() => _ = WorkAsync();

    private async Task WorkAsync()
    {
        while (true)
        {
            Work work;
            TaskCompletionSource? room = null;
            lock (_gate)
            {
                if (!_inbox!.TryDequeue(out work))
                {
                    _working = false;
                    _inbox = null;
                    return;
                }

                if (_inbox.Count < Options.MaxQueuedPackets / 2 || _inbox.Count == 0)
                {
                    room = _room;
                    _room = null;
                }
            }

            room?.TrySetResult();
            try
            {
                if (work.Reason is not { } reason)
                    await HandleAsync(work.Packet, work.Attachments);
                else if (work.Left is { } left)
                    await left.Namespace.RunDisconnectAsync(left, reason);
                else
                    await EndAsync(reason);
            }
            catch (Exception e)
            {
                // Whatever a handler throws: it must not stop the inbox, and the client cannot know better.
                _server.Logger.LogError(1525, e, "A Socket.IO handler failed for session of {Address}", Session.RemoteAddress);
            }
        }
    }

    private async ValueTask HandleAsync(SocketPacket packet, byte[][] attachments)
    {
        if (packet.Type == SocketPacketType.Connect)
        {
            await ConnectAsync(packet);
            return;
        }

        var socket = Find(packet, out var removed);
        if (socket is null)
        {
            if (!removed)
                Session.Close(CloseReason.ParseError, EngineIoSession.CloseMode.Discard);
            return;
        }

        switch (packet.Type)
        {
            case SocketPacketType.Disconnect:
                lock (_gate)
                    _sockets.Remove(socket.Namespace);
                if (socket.TryLeave())
                    await socket.Namespace.RunDisconnectAsync(socket, SocketIoDisconnectReason.ClientNamespaceDisconnect);
                return;

            case SocketPacketType.Event or SocketPacketType.BinaryEvent:
                var payload = packet.Payload.ToArray();
                if (EventPayload.TryRead(payload, out var name, out var arguments))
                    await socket.Namespace.RunEventAsync(socket, new SocketIoEvent(socket, name, payload, arguments, packet.AckId, attachments));
                else
                    await Refuse();
                return;

            case SocketPacketType.Ack or SocketPacketType.BinaryAck:
                // The namespace was joined while the packet waited.
                socket.TakeAck(packet.AckId!.Value, packet.Payload.ToArray(), attachments);
                return;

            default:
                // Only a server sends CONNECT_ERROR.
                await Refuse();
                return;
        }
    }

    private async ValueTask ConnectAsync(SocketPacket packet)
    {
        if (_server.FindNamespace(packet.Namespace) is not { } ns)
        {
            Session.Send(SocketIoPacket.ConnectError(packet.Namespace.FirstSpan, new SocketIoRefusal("Invalid namespace")));
            return;
        }

        lock (_gate)
        {
            if (_sockets.TryGetValue(ns, out var current))
            {
                if (current is not null)
                    ns = null;
                else
                    _sockets.Remove(ns);
            }
        }

        if (ns is null)
        {
            await Refuse();
            return;
        }

        var socket = new SocketIoSocket(this, ns, packet.Payload.ToArray());
        SocketIoRefusal? refusal;
        try
        {
            refusal = await ns.CheckAsync(socket);
        }
        catch (Exception e)
        {
            // The client must get an answer, and must not learn why.
            _server.Logger.LogError(1526, e, "A check of namespace {Namespace} failed", ns.Name);
            refusal = new SocketIoRefusal("Internal error");
        }

        if (refusal is not null)
        {
            Session.Send(SocketIoPacket.ConnectError(ns.Utf8Name, refusal));
            return;
        }

        lock (_gate)
        {
            if (Session.IsClosed)
                return;

            _sockets[ns] = socket;
        }

        if (socket.TryJoin())
            await ns.RunConnectAsync(socket);
    }

    private async ValueTask EndAsync(SocketIoDisconnectReason reason)
    {
        SocketIoSocket?[] sockets;
        lock (_gate)
        {
            sockets = [.. _sockets.Values];
            _sockets.Clear();
        }

        foreach (var socket in sockets)
        {
            if (socket is null || !socket.TryLeave())
                continue;

            try
            {
                await socket.Namespace.RunDisconnectAsync(socket, reason);
            }
            catch (Exception e)
            {
                // The other namespaces' handlers must hear of it too.
                _server.Logger.LogError(1527, e, "A disconnect handler of namespace {Namespace} failed", socket.Namespace.Name);
            }
        }
    }

    private SocketIoSocket? Find(in SocketPacket packet, out bool removed)
    {
        removed = false;
        if (_server.FindNamespace(packet.Namespace) is not { } ns)
            return null;

        lock (_gate)
        {
            var known = _sockets.TryGetValue(ns, out var socket);
            removed = known && socket is null;
            return socket;
        }
    }

    private ValueTask Refuse()
    {
        Session.Close(CloseReason.ParseError, EngineIoSession.CloseMode.Discard);
        return ValueTask.CompletedTask;
    }
}
