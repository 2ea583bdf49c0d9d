namespace KlineOrleans.Protocol.SocketIo;

/// <summary>What came of reading a Socket.IO packet. Everything but <see cref="Ok"/> ends the connection.</summary>
public enum SocketReadStatus : byte
{
    /// <summary>A packet was read.</summary>
    Ok = 0,

    /// <summary>No bytes.</summary>
    Empty = 1,

    /// <summary>The first byte names no packet type.</summary>
    UnknownType = 2,

    /// <summary>The number of attachments is missing, zero, negative, not a number or above the limit.</summary>
    BadAttachmentCount = 3,

    /// <summary>The acknowledgement id is missing, not plain digits, above 64 bits, or stands where none may.</summary>
    BadAckId = 4,

    /// <summary>The payload is not JSON, is nested too deep, or the packet is not UTF-8.</summary>
    BadJson = 5,

    /// <summary>The payload is missing, or is not of the kind that this packet type demands.</summary>
    BadShape = 6,

    /// <summary>An event has a name that the library itself uses, such as <c>connect</c>.</summary>
    ReservedEvent = 7,

    /// <summary>A placeholder names no attachment.</summary>
    BadPlaceholder = 8,

    /// <summary>The namespace is longer than <see cref="SocketPacketReader.MaxNamespaceLength"/>.</summary>
    BadNamespace = 9,
}
