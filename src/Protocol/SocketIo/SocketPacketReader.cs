using System.Buffers;
using KlineOrleans.Protocol.Text;

namespace KlineOrleans.Protocol.SocketIo;

/// <summary>Reads Socket.IO packets that a client sends: <c>type [attachments-] [namespace,] [ack id] [JSON]</c>.</summary>
/// <remarks>
/// Stricter than the reference server where the protocol is: an event without a payload is refused, and so are acknowledgement ids above
/// 64 bits, which JavaScript could not give back unchanged. Immutable and thread safe.
/// </remarks>
/// <param name="maxAttachments">The largest number of attachments, from 1. Default 10, as in the reference server.</param>
/// <param name="maxDepth">How deep the JSON may be nested, the outer array included, from 1. Default 16.</param>
public sealed class SocketPacketReader(int maxAttachments = 10, int maxDepth = 16)
{
    /// <summary>The longest namespace that is read, in bytes: a client must not make a server look up a megabyte.</summary>
    public const int MaxNamespaceLength = 256;

    /// <summary>Reads one packet, without the Engine.IO prefix.</summary>
    /// <param name="text">What follows <c>4</c> in a message. Not checked before: it may be anything.</param>
    /// <param name="packet">The packet, in the memory of <paramref name="text"/>; meaningful only for <see cref="SocketReadStatus.Ok"/>.</param>
    public SocketReadStatus Read(in ReadOnlySequence<byte> text, out SocketPacket packet)
    {
        packet = default;
        var reader = new SequenceReader<byte>(text);
        if (!reader.TryRead(out var first))
            return SocketReadStatus.Empty;

        var type = (SocketPacketType)(first - '0');
        if (first < '0' || type > SocketPacketType.BinaryAck)
            return SocketReadStatus.UnknownType;

        var attachments = 0;
        if (type is SocketPacketType.BinaryEvent or SocketPacketType.BinaryAck)
        {
            if (!TryReadDigits(ref reader, out var count, out var any) || !any || count == 0 || count > (ulong)maxAttachments || !reader.IsNext((byte)'-', advancePast: true))
                return SocketReadStatus.BadAttachmentCount;

            attachments = (int)count;
        }

        ReadOnlySequence<byte> ns = default;
        if (reader.IsNext((byte)'/'))
        {
            if (!reader.TryReadTo(out ns, (byte)',', advancePastDelimiter: true))
            {
                ns = reader.UnreadSequence;
                reader.AdvanceToEnd();
            }

            if (ns.Length > MaxNamespaceLength)
                return SocketReadStatus.BadNamespace;

            // `/` written out is the main namespace.
            if (ns.Length == 1)
                ns = default;
        }

        if (!TryReadDigits(ref reader, out var id, out var hasId))
            return SocketReadStatus.BadAckId;

        var mayHaveId = type is not (SocketPacketType.Connect or SocketPacketType.Disconnect or SocketPacketType.ConnectError);
        var mustHaveId = type is SocketPacketType.Ack or SocketPacketType.BinaryAck;
        if (hasId ? !mayHaveId : mustHaveId)
            return SocketReadStatus.BadAckId;

        var payload = reader.UnreadSequence;
        if (!Utf8Text.IsValid(text))
            return SocketReadStatus.BadJson;

        var status = PayloadShape.Check(type, payload, attachments, maxDepth);
        if (status != SocketReadStatus.Ok)
            return status;

        packet = new SocketPacket
        {
            Type = type,
            Attachments = attachments,
            Namespace = ns,
            AckId = hasId ? id : null,
            Payload = payload,
        };
        return SocketReadStatus.Ok;
    }

    // False where the number does not fit into 64 bits. An id is digits directly followed by JSON, and JSON begins with no digit here.
    private static bool TryReadDigits(ref SequenceReader<byte> reader, out ulong number, out bool any)
    {
        number = 0;
        any = false;
        while (reader.TryPeek(out var digit) && digit is >= (byte)'0' and <= (byte)'9')
        {
            var value = (ulong)(digit - '0');
            if (number > (ulong.MaxValue - value) / 10)
                return false;

            number = (number * 10) + value;
            any = true;
            reader.Advance(1);
        }

        return true;
    }
}
