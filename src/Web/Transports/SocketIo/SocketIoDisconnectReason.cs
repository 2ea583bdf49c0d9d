using KlineOrleans.Web.Transports.EngineIo;

namespace KlineOrleans.Web.Transports.SocketIo;

/// <summary>Why a socket left its namespace. The numbers are stable: they appear in logs and counters.</summary>
public enum SocketIoDisconnectReason : byte
{
    /// <summary>The client left this namespace; its connection may go on.</summary>
    ClientNamespaceDisconnect = 1,

    /// <summary>The application removed the socket.</summary>
    ServerNamespaceDisconnect = 2,

    /// <summary>The client closed its transport, or the connection broke.</summary>
    TransportClose = 3,

    /// <summary>The client broke a rule of the transport.</summary>
    TransportError = 4,

    /// <summary>No pong came in time.</summary>
    PingTimeout = 5,

    /// <summary>The client sent something that is no packet, or not allowed where it came.</summary>
    ParseError = 6,

    /// <summary>The server closed the connection.</summary>
    ForcedClose = 7,

    /// <summary>The client did not read fast enough.</summary>
    SlowConsumer = 8,

    /// <summary>The server is stopping.</summary>
    ServerShuttingDown = 9,
}

/// <summary>The words that Socket.IO users know these reasons by.</summary>
public static class SocketIoDisconnectReasons
{
    /// <summary>As in <c>transport close</c>. For logs: nothing on the wire carries it.</summary>
    public static string ToText(this SocketIoDisconnectReason reason) => reason switch
    {
        SocketIoDisconnectReason.ClientNamespaceDisconnect => "client namespace disconnect",
        SocketIoDisconnectReason.ServerNamespaceDisconnect => "server namespace disconnect",
        SocketIoDisconnectReason.TransportClose => "transport close",
        SocketIoDisconnectReason.TransportError => "transport error",
        SocketIoDisconnectReason.PingTimeout => "ping timeout",
        SocketIoDisconnectReason.ParseError => "parse error",
        SocketIoDisconnectReason.ForcedClose => "forced close",
        SocketIoDisconnectReason.SlowConsumer => "slow consumer",
        SocketIoDisconnectReason.ServerShuttingDown => "server shutting down",
        _ => "unknown",
    };

    internal static SocketIoDisconnectReason From(CloseReason reason) => reason switch
    {
        CloseReason.TransportClose => SocketIoDisconnectReason.TransportClose,
        CloseReason.TransportError => SocketIoDisconnectReason.TransportError,
        CloseReason.PingTimeout => SocketIoDisconnectReason.PingTimeout,
        CloseReason.ParseError => SocketIoDisconnectReason.ParseError,
        CloseReason.SlowConsumer => SocketIoDisconnectReason.SlowConsumer,
        CloseReason.ServerShutdown => SocketIoDisconnectReason.ServerShuttingDown,
        _ => SocketIoDisconnectReason.ForcedClose,
    };
}
