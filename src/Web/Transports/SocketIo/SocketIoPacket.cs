using System.Buffers;
using System.Text;
using KlineOrleans.Protocol.EngineIo;
using KlineOrleans.Protocol.SocketIo;
using KlineOrleans.Web.Transports.EngineIo;

namespace KlineOrleans.Web.Transports.SocketIo;

/// <summary>An event that has been encoded once and can be sent to any number of sockets of its namespace. Immutable, so thread safe.</summary>
public sealed class SocketIoPacket
{
    private SocketIoPacket(EngineIoFrame frame, EngineIoFrame[]? all)
    {
        Frame = frame;
        All = all;
    }

    /// <summary>The packet's text.</summary>
    public EngineIoFrame Frame { get; }

    /// <summary>The text and its attachments, or null where it has none.</summary>
    internal EngineIoFrame[]? All { get; }

    /// <summary>Encodes an event.</summary>
    /// <param name="ns">The namespace, as in <c>/</c> or <c>/chat</c>.</param>
    /// <param name="name">The event's name.</param>
    /// <param name="arguments">The arguments as valid JSON, joined by commas, without brackets; empty for none.</param>
    /// <param name="attachments">Binary data; the arguments hold <c>{"_placeholder":true,"num":n}</c> for each. Kept: do not change it.</param>
    public static SocketIoPacket Event(string ns, string name, ReadOnlySpan<byte> arguments, ReadOnlySpan<ReadOnlyMemory<byte>> attachments = default)
    {
        using var body = new PooledBuffer(arguments.Length + 128);
        Begin(body);
        SocketPacketWriter.WriteEvent(body, Utf8(ns), null, name, arguments, attachments.Length);
        return Create(body.Written.ToArray(), attachments);
    }

    /// <summary>Encodes an event with one argument that has a gap, which each socket fills with bytes of its own.</summary>
    /// <param name="head">The argument's JSON before the gap.</param>
    /// <param name="tail">The argument's JSON after the gap.</param>
    public static SocketIoPacket EventWithGap(string ns, string name, ReadOnlySpan<byte> head, ReadOnlySpan<byte> tail)
    {
        using var body = new PooledBuffer(head.Length + 128);
        Begin(body);
        SocketPacketWriter.WriteEventStart(body, Utf8(ns), null, name);
        BuffersExtensions.Write(body, ","u8);
        BuffersExtensions.Write(body, head);
        var end = new byte[tail.Length + 1];
        tail.CopyTo(end);
        end[^1] = (byte)']';
        return new SocketIoPacket(EngineIoFrame.EncodedText(body.Written.ToArray(), end), null);
    }

    internal static SocketIoPacket EventWithAck(SocketIoNamespace ns, ulong id, string name, ReadOnlySpan<byte> arguments, ReadOnlySpan<ReadOnlyMemory<byte>> attachments)
    {
        using var body = new PooledBuffer(arguments.Length + 128);
        Begin(body);
        SocketPacketWriter.WriteEvent(body, ns.Utf8Name, id, name, arguments, attachments.Length);
        return Create(body.Written.ToArray(), attachments);
    }

    internal static SocketIoPacket Ack(SocketIoNamespace ns, ulong id, ReadOnlySpan<byte> arguments, ReadOnlySpan<ReadOnlyMemory<byte>> attachments)
    {
        using var body = new PooledBuffer(arguments.Length + 64);
        Begin(body);
        SocketPacketWriter.WriteAck(body, ns.Utf8Name, id, arguments, attachments.Length);
        return Create(body.Written.ToArray(), attachments);
    }

    internal static EngineIoFrame Connect(SocketIoNamespace ns, string sid)
    {
        using var body = new PooledBuffer(128);
        Begin(body);
        SocketPacketWriter.WriteConnect(body, ns.Utf8Name, sid);
        return EngineIoFrame.EncodedText(body.Written.ToArray());
    }

    internal static EngineIoFrame ConnectError(ReadOnlySpan<byte> ns, SocketIoRefusal refusal)
    {
        using var body = new PooledBuffer(256);
        Begin(body);
        SocketPacketWriter.WriteConnectError(body, ns, refusal.Message, refusal.Data.Span);
        return EngineIoFrame.EncodedText(body.Written.ToArray());
    }

    internal static EngineIoFrame Disconnect(SocketIoNamespace ns)
    {
        using var body = new PooledBuffer(64);
        Begin(body);
        SocketPacketWriter.WriteDisconnect(body, ns.Utf8Name);
        return EngineIoFrame.EncodedText(body.Written.ToArray());
    }

    private static SocketIoPacket Create(byte[] text, ReadOnlySpan<ReadOnlyMemory<byte>> attachments)
    {
        var frame = EngineIoFrame.EncodedText(text);
        if (attachments.IsEmpty)
            return new SocketIoPacket(frame, null);

        var all = new EngineIoFrame[attachments.Length + 1];
        all[0] = frame;
        for (var i = 0; i < attachments.Length; i++)
            all[i + 1] = EngineIoFrame.Binary(attachments[i]);
        return new SocketIoPacket(frame, all);
    }

    private static void Begin(PooledBuffer body) => EnginePacketWriter.Write(body, EnginePacketType.Message, default);

    private static byte[] Utf8(string ns) => ns == "/" ? [] : Encoding.UTF8.GetBytes(ns);
}
