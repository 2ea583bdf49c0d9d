namespace KlineOrleans.Testing.Clients;

/// <summary>The wires of docs/wire.</summary>
public enum Wire
{
    /// <summary>/hubs/kline over a WebSocket.</summary>
    Hub,

    /// <summary>/ws.</summary>
    Raw,

    /// <summary>/ws/kline/live.</summary>
    Live,

    /// <summary>/socket.io over a WebSocket, namespace /kline.</summary>
    SocketIo,

    /// <summary>/socket.io by long polling, namespace /kline.</summary>
    Polling,
}

/// <summary>What a message of the server is, whatever the wire.</summary>
public enum WireMessageKind
{
    /// <summary>The wire's greeting.</summary>
    Greeting,

    /// <summary>Klines of the past at a position: on the hub part of <see cref="Confirmed"/>.</summary>
    History,

    /// <summary>A subscription is made.</summary>
    Confirmed,

    /// <summary>A subscription is ended, or on the live wire all that was asked before was taken.</summary>
    Done,

    /// <summary>Klines changed.</summary>
    Klines,

    /// <summary>Updates were left out for this client.</summary>
    Skipped,

    /// <summary>The state of a source.</summary>
    Status,

    /// <summary>The server will close the connection because it stops.</summary>
    Shutdown,

    /// <summary>A request was refused.</summary>
    Error,

    /// <summary>The server says why it closes, in a message (the hub).</summary>
    Close,

    /// <summary>Anything else.</summary>
    Other,
}

/// <summary>A kline as a wire shows it. Times in Unix milliseconds. Equal if every value is.</summary>
/// <param name="Revision">-1 on a wire that does not tell it.</param>
public readonly record struct WireKline(string Interval, long OpenTime, double Open, double High, double Low, double Close, double Volume, bool IsFinal, int Revision = -1);

/// <summary>A message of the server, as all wires could say it.</summary>
public sealed record WireMessage(WireMessageKind Kind)
{
    public string Symbol { get; init; } = "";

    /// <summary>The interval of a pair; empty where a wire sends all intervals together.</summary>
    public string Interval { get; init; } = "";

    public long Epoch { get; init; }

    public long Seq { get; init; }

    public bool Recovered { get; init; }

    public long Count { get; init; }

    public IReadOnlyList<WireKline> Klines { get; init; } = [];

    /// <summary>The message as it came.</summary>
    public string Text { get; init; } = "";
}
