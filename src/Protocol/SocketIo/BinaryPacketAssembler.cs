using System.Buffers;

namespace KlineOrleans.Protocol.SocketIo;

/// <summary>What came of handing a packet or a binary frame to a <see cref="BinaryPacketAssembler"/>.</summary>
public enum AssemblyStatus : byte
{
    /// <summary>All is there: take the packet.</summary>
    Complete = 0,

    /// <summary>More binary frames must follow.</summary>
    NeedsMore = 1,

    /// <summary>A text packet came while attachments were missing, or a binary frame that no packet announced: end the connection.</summary>
    OutOfTurn = 2,

    /// <summary>The attachments are larger together than the bound: end the connection.</summary>
    TooLarge = 3,
}

/// <summary>Joins a packet with the binary frames that follow it, over any number of reads and requests.</summary>
/// <remarks>Not thread safe: one receiver owns it. It copies what it keeps, and keeps nothing between packets.</remarks>
/// <param name="maxBytes">Bound on all attachments of one packet together, in bytes.</param>
public sealed class BinaryPacketAssembler(long maxBytes)
{
    private byte[][]? _attachments;
    private int _count;
    private long _bytes;

    /// <summary>Whether attachments are missing.</summary>
    public bool IsWaiting => _attachments is not null && _count < _attachments.Length;

    /// <summary>The packet, whose slices are its own copy once it had attachments to wait for.</summary>
    public SocketPacket Packet { get; private set; }

    /// <summary>Takes a text packet. One without attachments is complete at once and still borrows the caller's buffer.</summary>
    public AssemblyStatus Start(in SocketPacket packet)
    {
        if (IsWaiting)
            return AssemblyStatus.OutOfTurn;

        if (packet.Attachments == 0)
        {
            Packet = packet;
            return AssemblyStatus.Complete;
        }

        Packet = packet with
        {
            Namespace = new ReadOnlySequence<byte>(packet.Namespace.ToArray()),
            Payload = new ReadOnlySequence<byte>(packet.Payload.ToArray()),
        };
        _attachments = new byte[packet.Attachments][];
        _count = 0;
        _bytes = 0;
        return AssemblyStatus.NeedsMore;
    }

    /// <summary>Takes a binary frame.</summary>
    public AssemblyStatus Add(in ReadOnlySequence<byte> data)
    {
        if (!IsWaiting)
            return AssemblyStatus.OutOfTurn;

        _bytes += data.Length;
        if (_bytes > maxBytes)
            return AssemblyStatus.TooLarge;

        _attachments![_count++] = data.ToArray();
        return IsWaiting ? AssemblyStatus.NeedsMore : AssemblyStatus.Complete;
    }

    /// <summary>Hands over the complete packet and its attachments, and forgets them.</summary>
    public SocketPacket Take(out byte[][] attachments)
    {
        var packet = Packet;
        attachments = _attachments ?? [];
        _attachments = null;
        Packet = default;
        return packet;
    }
}
