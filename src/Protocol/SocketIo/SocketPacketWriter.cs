using System.Buffers;
using System.Buffers.Text;
using KlineOrleans.Protocol.Text;

namespace KlineOrleans.Protocol.SocketIo;

/// <summary>Writes Socket.IO packets, without the Engine.IO prefix. Allocates nothing.</summary>
/// <remarks>
/// A namespace is its UTF-8 with the slash; empty, or just the slash, is the main one. JSON that the caller hands in is written as it is:
/// it must be valid and compact enough for the caller's taste.
/// </remarks>
public static class SocketPacketWriter
{
    /// <summary>Consent to a CONNECT: the socket's id and nothing else, for a <c>pid</c> would promise recovery.</summary>
    public static void WriteConnect(IBufferWriter<byte> writer, ReadOnlySpan<byte> ns, ReadOnlySpan<char> sid)
    {
        WriteHeader(writer, SocketPacketType.Connect, 0, ns, null);
        writer.Write("{\"sid\":"u8);
        JsonText.WriteString(writer, sid);
        writer.Write("}"u8);
    }

    /// <summary>A refusal of a CONNECT.</summary>
    /// <param name="data">More for the client, as JSON; empty for none.</param>
    public static void WriteConnectError(IBufferWriter<byte> writer, ReadOnlySpan<byte> ns, ReadOnlySpan<char> message, ReadOnlySpan<byte> data)
    {
        WriteHeader(writer, SocketPacketType.ConnectError, 0, ns, null);
        writer.Write("{\"message\":"u8);
        JsonText.WriteString(writer, message);
        if (!data.IsEmpty)
        {
            writer.Write(",\"data\":"u8);
            writer.Write(data);
        }

        writer.Write("}"u8);
    }

    /// <summary>The server removes the socket from the namespace. A JavaScript client does not reconnect after it by itself.</summary>
    public static void WriteDisconnect(IBufferWriter<byte> writer, ReadOnlySpan<byte> ns) =>
        WriteHeader(writer, SocketPacketType.Disconnect, 0, ns, null);

    /// <summary>An event with its arguments.</summary>
    /// <param name="arguments">The arguments as JSON, joined by commas, without brackets; empty for none.</param>
    /// <param name="attachments">How many binary frames the caller sends right after; the arguments hold a placeholder for each.</param>
    public static void WriteEvent(IBufferWriter<byte> writer, ReadOnlySpan<byte> ns, ulong? ackId, ReadOnlySpan<char> name, ReadOnlySpan<byte> arguments, int attachments = 0)
    {
        WriteEventStart(writer, ns, ackId, name, attachments);
        if (!arguments.IsEmpty)
        {
            writer.Write(","u8);
            writer.Write(arguments);
        }

        writer.Write("]"u8);
    }

    /// <summary>The beginning of an event, up to and including its name; the caller writes <c>,</c> and each argument, then <c>]</c>.</summary>
    public static void WriteEventStart(IBufferWriter<byte> writer, ReadOnlySpan<byte> ns, ulong? ackId, ReadOnlySpan<char> name, int attachments = 0)
    {
        WriteHeader(writer, attachments == 0 ? SocketPacketType.Event : SocketPacketType.BinaryEvent, attachments, ns, ackId);
        writer.Write("["u8);
        JsonText.WriteString(writer, name);
    }

    /// <summary>The answer to an event.</summary>
    /// <inheritdoc cref="WriteEvent" path="/param"/>
    public static void WriteAck(IBufferWriter<byte> writer, ReadOnlySpan<byte> ns, ulong ackId, ReadOnlySpan<byte> arguments, int attachments = 0)
    {
        WriteHeader(writer, attachments == 0 ? SocketPacketType.Ack : SocketPacketType.BinaryAck, attachments, ns, ackId);
        writer.Write("["u8);
        writer.Write(arguments);
        writer.Write("]"u8);
    }

    /// <summary>What stands before the payload of a packet.</summary>
    public static void WriteHeader(IBufferWriter<byte> writer, SocketPacketType type, int attachments, ReadOnlySpan<byte> ns, ulong? ackId)
    {
        ArgumentNullException.ThrowIfNull(writer);
        var span = writer.GetSpan(1 + 11 + 1);
        span[0] = (byte)('0' + (byte)type);
        var length = 1;
        if (type is SocketPacketType.BinaryEvent or SocketPacketType.BinaryAck)
        {
            Utf8Formatter.TryFormat(attachments, span[1..], out var written);
            length += written;
            span[length++] = (byte)'-';
        }

        writer.Advance(length);
        if (ns.Length > 1)
        {
            writer.Write(ns);
            writer.Write(","u8);
        }

        if (ackId is { } id)
        {
            Utf8Formatter.TryFormat(id, writer.GetSpan(20), out var written);
            writer.Advance(written);
        }
    }
}
