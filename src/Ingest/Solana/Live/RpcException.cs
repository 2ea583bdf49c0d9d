namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>Who is to blame that a call gave no result.</summary>
internal enum RpcOrigin
{
    /// <summary>No connection, or one that broke.</summary>
    Transport,

    /// <summary>No answer in time.</summary>
    Timeout,

    /// <summary>The server or what stands before it refused; the code is the HTTP status.</summary>
    Http,

    /// <summary>Something answered that is not JSON-RPC.</summary>
    Malformed,

    /// <summary>The node answered with an error; the code is the protocol's.</summary>
    Node,

    /// <summary>The node is of another cluster than the one that is followed.</summary>
    Cluster,
}

/// <summary>A call to a node gave no result.</summary>
internal sealed class RpcException(RpcOrigin origin, int code, string message, TimeSpan? retryAfter = null, Exception? inner = null) : Exception(message, inner)
{
    public const int InternalError = -32603;
    public const int BlockCleanedUp = -32001;
    public const int BlockNotAvailable = -32004;
    public const int NodeUnhealthy = -32005;
    public const int SlotSkipped = -32007;
    public const int NoSnapshot = -32008;
    public const int LongTermStorageSlotSkipped = -32009;
    public const int BlockStatusNotAvailableYet = -32014;
    public const int MinContextSlotNotReached = -32016;

    public RpcOrigin Origin => origin;

    public int Code => code;

    /// <summary>The node said when to come again.</summary>
    public TimeSpan? RetryAfter => retryAfter;

    /// <summary>Another node, or the same one later, may give a result.</summary>
    public bool IsTransient => origin != RpcOrigin.Node || (code is NodeUnhealthy or MinContextSlotNotReached or InternalError or NoSnapshot);

    /// <summary>The block may come.</summary>
    public bool IsNotYet => origin == RpcOrigin.Node && (code is BlockNotAvailable or BlockStatusNotAvailableYet);
}
