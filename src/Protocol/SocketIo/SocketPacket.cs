using System.Buffers;

namespace KlineOrleans.Protocol.SocketIo;

/// <summary>One Socket.IO packet, read in place; its attachments, if it has any, are still to come.</summary>
/// <remarks>Slices borrow the caller's buffer. The payload has been checked against the packet type (see <see cref="SocketPacketReader"/>).</remarks>
public readonly record struct SocketPacket
{
    /// <summary>What it is for.</summary>
    public SocketPacketType Type { get; init; }

    /// <summary>How many binary frames follow; 0 for the types without attachments.</summary>
    public int Attachments { get; init; }

    /// <summary>The namespace in UTF-8, with its slash. Empty for the main namespace <c>/</c>.</summary>
    public ReadOnlySequence<byte> Namespace { get; init; }

    /// <summary>The acknowledgement id, or null where the packet has none.</summary>
    public ulong? AckId { get; init; }

    /// <summary>The JSON text, or empty where the packet has none.</summary>
    public ReadOnlySequence<byte> Payload { get; init; }
}
