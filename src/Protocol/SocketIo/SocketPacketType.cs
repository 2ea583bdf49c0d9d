namespace KlineOrleans.Protocol.SocketIo;

/// <summary>What a Socket.IO 5 packet is for. On the wire: one ASCII digit of this value.</summary>
/// <remarks>The numbers are those of the Socket.IO protocol, version 5, and never change.</remarks>
public enum SocketPacketType : byte
{
    /// <summary>A client asks to join a namespace, or the server's consent.</summary>
    Connect = 0,

    /// <summary>The sender leaves a namespace.</summary>
    Disconnect = 1,

    /// <summary>A named event with arguments.</summary>
    Event = 2,

    /// <summary>The answer to an event that carried an acknowledgement id.</summary>
    Ack = 3,

    /// <summary>The server refuses to let a client join. Never sent by a client.</summary>
    ConnectError = 4,

    /// <summary>An <see cref="Event"/> followed by binary attachments.</summary>
    BinaryEvent = 5,

    /// <summary>An <see cref="Ack"/> followed by binary attachments.</summary>
    BinaryAck = 6,
}
