namespace KlineOrleans.Web;

/// <summary>Why a session ended. The numbers are logged and counted, and never change.</summary>
public enum DisconnectReason
{
    None = 0,

    /// <summary>The client said goodbye.</summary>
    ClientClosed = 1,

    /// <summary>The transport broke or was closed under the session.</summary>
    TransportClosed = 2,

    /// <summary>The outbox was full: the client reads slower than its klines change. It may come back and resume.</summary>
    SlowConsumer = 3,

    /// <summary>The server stops. The client may come back.</summary>
    ServerShutdown = 4,

    /// <summary>The client asked too often.</summary>
    RateLimit = 5,

    /// <summary>The server holds as many clients as it may. The client may come back later.</summary>
    Busy = 6,

    /// <summary>The token that the client came with has expired. It may come back with a new one.</summary>
    Expired = 7,

    /// <summary>The client was silent: no answer to a ping in time.</summary>
    PingTimeout = 8,

    /// <summary>The client sent what its wire does not allow: a binary frame, or one over the limit.</summary>
    BadFrame = 9,
}
