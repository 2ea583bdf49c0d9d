namespace KlineOrleans.Protocol.EngineIo;

/// <summary>What an Engine.IO 4 packet is for. On the wire: one ASCII digit of this value.</summary>
/// <remarks>The numbers are those of the Engine.IO protocol, version 4, and never change.</remarks>
public enum EnginePacketType : byte
{
    /// <summary>The handshake answer. Only a server sends it.</summary>
    Open = 0,

    /// <summary>The sender ends the session.</summary>
    Close = 1,

    /// <summary>The server's heartbeat; with the data <c>probe</c>, a client's test of a new transport.</summary>
    Ping = 2,

    /// <summary>The answer to <see cref="Ping"/>, with the same data.</summary>
    Pong = 3,

    /// <summary>Data of the application.</summary>
    Message = 4,

    /// <summary>The client moves to the transport that carries this packet.</summary>
    Upgrade = 5,

    /// <summary>Nothing; ends a poll during an upgrade.</summary>
    Noop = 6,
}
