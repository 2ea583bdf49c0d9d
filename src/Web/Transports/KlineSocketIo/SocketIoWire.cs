using System.Buffers;
using System.Threading.Tasks.Sources;
using KlineOrleans.Web.Transports.EngineIo;
using KlineOrleans.Web.Transports.Events;
using KlineOrleans.Web.Transports.SocketIo;

namespace KlineOrleans.Web.Transports.KlineSocketIo;

/// <summary>Socket.IO packets of one namespace, encoded once for all sockets of a room. Immutable.</summary>
internal sealed class SocketIoPayload(SocketIoPacket[] packets) : Payload(default, packets.Sum(p => p.Frame.Length))
{
    public ReadOnlySpan<SocketIoPacket> Packets => packets;

    public override int LongestFrames(int middle) => Length + (packets.Length * (WebSocketFrame.LongestHeader + middle));

    public override int WriteFrames(Span<byte> buffer, ReadOnlySpan<byte> middle)
    {
        var length = 0;
        foreach (var packet in packets)
        {
            var frame = packet.Frame;
            length += WebSocketFrame.WriteText(buffer[length..], frame.Head.Span, frame.Tail.IsEmpty ? [] : middle, frame.Tail.Span);
        }

        return length;
    }
}

/// <summary>A Socket.IO client in one namespace as a session's wire. A write is complete when the transport took it, so that nothing piles up behind the outbox.</summary>
internal sealed class SocketIoWire : ISessionWire, IBatchWire, IValueTaskSource
{
    private static readonly ReadOnlyMemory<byte> TooSlow = HubJson.Make(ApiError.SlowConsumer, static (json, error) =>
    {
        json.WriteStartObject();
        EventFormat.WriteError(json, error);
        json.WriteEndObject();
    });

    private readonly SocketIoSocket _socket;
    private readonly Action _onDrained;
    private ManualResetValueTaskSourceCore<bool> _drained;

    public SocketIoWire(SocketIoSocket socket)
    {
        _socket = socket;
        _onDrained = () => _drained.SetResult(true);
    }

    public bool TryWrite(RoomBatch batch, Follower follower, out ValueTask written)
    {
        written = default;
        return _socket.IsConnected && _socket.Session.CanWriteFrames && _socket.Session.TryWriteFrames(batch.FramesFor(follower), batch.Count, out written);
    }

    public int ReadAhead() => _socket.IsConnected ? _socket.Session.ReadAhead() : 0;

    public ValueTask Write(ReadOnlyMemory<Outgoing> messages)
    {
        if (_socket.Session.CanWriteFrames && TryWriteTogether(messages.Span, out var written))
        {
            return written;
        }

        foreach (ref readonly var message in messages.Span)
        {
            if (message.IsOver)
            {
                continue;
            }

            var middle = message.Follower?.Middle ?? default;
            foreach (var packet in ((SocketIoPayload)message.Payload).Packets)
            {
                _socket.Send(packet, middle);
            }
        }

        _drained.Reset();
        return _socket.Session.TryWaitUntilDrained(_onDrained) ? new ValueTask(this, _drained.Version) : ValueTask.CompletedTask;
    }

    /// <summary>Writes the batch as one piece, if the client has a WebSocket with nothing before it.</summary>
    private bool TryWriteTogether(ReadOnlySpan<Outgoing> messages, out ValueTask written)
    {
        var buffer = WebSocketFrame.Join(messages, out var length, out var count);
        try
        {
            written = default;
            return length == 0 || !_socket.IsConnected || _socket.Session.TryWriteFrames(buffer.AsSpan(0, length), count, out written);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    public void Close(DisconnectReason reason, Task written)
    {
        // A client that left the namespace may go on in others. Every other end closes the transport, never the namespace alone: a JavaScript client comes
        // back by itself after the one, and not after the other.
        var close = reason switch
        {
            DisconnectReason.ClientClosed or DisconnectReason.TransportClosed => default(CloseReason?),
            DisconnectReason.SlowConsumer => CloseReason.SlowConsumer,
            DisconnectReason.ServerShutdown => CloseReason.ServerShutdown,
            _ => CloseReason.ForcedClose,
        };
        if (close is { } why)
        {
            // One that is slow is told so in place of what waits: it may begin to read again.
            var isSlow = reason == DisconnectReason.SlowConsumer;
            _socket.Session.Close(
                why,
                isSlow ? EngineIoSession.CloseMode.Discard : EngineIoSession.CloseMode.Flush,
                last: isSlow ? SocketIoPacket.Event(_socket.Namespace.Name, "error", TooSlow.Span).Frame : null);
        }
    }

    void IValueTaskSource.GetResult(short token) => _drained.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _drained.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _drained.OnCompleted(continuation, state, token, flags);
}
