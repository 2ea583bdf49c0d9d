namespace KlineOrleans.Web.Transports.EngineIo;

/// <summary>Why a session ended. The numbers are stable: they appear in logs and counters.</summary>
public enum CloseReason : byte
{
    /// <summary>The client closed the transport, or its connection broke.</summary>
    TransportClose = 1,

    /// <summary>The client broke a rule of the transport, for example with two polls at once.</summary>
    TransportError = 2,

    /// <summary>No pong came in time.</summary>
    PingTimeout = 3,

    /// <summary>Bytes that are no packet.</summary>
    ParseError = 4,

    /// <summary>The application closed the session.</summary>
    ForcedClose = 5,

    /// <summary>The outgoing queue was full.</summary>
    SlowConsumer = 6,

    /// <summary>The server is stopping.</summary>
    ServerShutdown = 7,
}
