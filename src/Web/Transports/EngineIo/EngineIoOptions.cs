using Microsoft.AspNetCore.Http;

namespace KlineOrleans.Web.Transports.EngineIo;

/// <summary>How an Engine.IO endpoint behaves. Read when the endpoint is mapped; later changes have no effect.</summary>
public sealed class EngineIoOptions
{
    /// <summary>Time from a pong to the next ping. From 1 ms. Default: 25 seconds.</summary>
    public TimeSpan PingInterval { get; set; } = TimeSpan.FromSeconds(25);

    /// <summary>Time that a ping may wait for its pong before the session ends. From 1 ms. Default: 60 seconds.</summary>
    public TimeSpan PingTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>The largest body of a POST and the largest WebSocket message, in bytes. From 64. Default: 1 MiB.</summary>
    public int MaxPayload { get; set; } = 1024 * 1024;

    /// <summary>Whether a client may open a session by polling. Default: true.</summary>
    public bool AllowPolling { get; set; } = true;

    /// <summary>Whether a client may use WebSocket, from the start or by an upgrade. Default: true.</summary>
    public bool AllowWebSocket { get; set; } = true;

    /// <summary>Time for an upgrade from the WebSocket's opening; after it the WebSocket is closed and polling goes on. Default: 10 seconds.</summary>
    public TimeSpan UpgradeTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a poll waits for data during an upgrade before it is ended. The client upgrades only when no poll is open. Default: 10 ms.</summary>
    public TimeSpan UpgradePollTime { get; set; } = TimeSpan.FromMilliseconds(10);

    /// <summary>How long a WebSocket may take to close, or a session closed by the server waits for a poll to tell it to. Default: 5 seconds.</summary>
    public TimeSpan CloseTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>Bound on the frames that wait for a client. From 1. Default: 1,000.</summary>
    public int MaxQueuedFrames { get; set; } = 1000;

    /// <summary>Bound on the bytes that wait for a client. A single frame may be larger if nothing else waits. Default: 1 MiB.</summary>
    public long MaxQueuedBytes { get; set; } = 1024 * 1024;

    /// <summary>
    /// Decides what happens to a frame for which there is no room. Called under the session's lock: decide quickly, and do not use the session but for its
    /// <see cref="EngineIoSession.Tag"/>. Default: null, which ends the session as <see cref="CloseReason.SlowConsumer"/>.
    /// </summary>
    public Func<EngineIoSession, EngineIoFrame, OverflowAction>? OnOverflow { get; set; }

    /// <summary>Sessions at once; a further one gets 503. Default: 10,000.</summary>
    public int MaxSessions { get; set; } = 10_000;

    /// <summary>Sessions at once from one address; a further one gets 429. Default: 200.</summary>
    public int MaxSessionsPerAddress { get; set; } = 200;

    /// <summary>
    /// Origins that may use the endpoint from a browser besides its own, as in <c>https://example.com</c>; <c>*</c> for any. They get CORS headers on every answer,
    /// and only they and the server's own origin may open a WebSocket. A request without an Origin is no browser's and is never refused here. Default: none.
    /// </summary>
    public IList<string> AllowedOrigins { get; } = [];

    /// <summary>Whether browsers may send cookies across origins. Not together with <c>*</c>. Default: false.</summary>
    public bool AllowCredentials { get; set; }

    /// <summary>A poll's answer is compressed if it is larger than this, in bytes, and the client accepts it; 0 for never. Default: 1,024.</summary>
    public int CompressionThreshold { get; set; } = 1024;

    /// <summary>
    /// Whether to accept permessage-deflate, which every browser offers. It costs some hundred kilobytes for each connection, and each connection compresses
    /// what is otherwise encoded once for all. Default: false.
    /// </summary>
    public bool PerMessageDeflate { get; set; }

    /// <summary>The name of a cookie with the session id, which a load balancer can use to keep a polling client on one server. Default: null, for none.</summary>
    public string? CookieName { get; set; }

    /// <summary>Decides whether a client may open a session. Default: null, for everybody.</summary>
    public Func<HttpContext, ValueTask<EngineIoAdmission>>? Admit { get; set; }

    /// <summary>Checks the values.</summary>
    /// <exception cref="ArgumentException">A value is out of range; the message names it and the range.</exception>
    public void Validate()
    {
        Require(PingInterval >= TimeSpan.FromMilliseconds(1), nameof(PingInterval), PingInterval, "at least 1 ms");
        Require(PingTimeout >= TimeSpan.FromMilliseconds(1), nameof(PingTimeout), PingTimeout, "at least 1 ms");
        Require(MaxPayload is >= 64 and <= 1 << 28, nameof(MaxPayload), MaxPayload, "64 bytes to 256 MiB");
        Require(UpgradeTimeout > TimeSpan.Zero, nameof(UpgradeTimeout), UpgradeTimeout, "more than 0");
        Require(UpgradePollTime >= TimeSpan.Zero, nameof(UpgradePollTime), UpgradePollTime, "at least 0");
        Require(CloseTimeout > TimeSpan.Zero, nameof(CloseTimeout), CloseTimeout, "more than 0");
        Require(MaxQueuedFrames >= 1, nameof(MaxQueuedFrames), MaxQueuedFrames, "at least 1");
        Require(MaxQueuedBytes >= 1, nameof(MaxQueuedBytes), MaxQueuedBytes, "at least 1");
        Require(MaxSessions >= 1, nameof(MaxSessions), MaxSessions, "at least 1");
        Require(MaxSessionsPerAddress >= 1, nameof(MaxSessionsPerAddress), MaxSessionsPerAddress, "at least 1");
        Require(AllowPolling || AllowWebSocket, nameof(AllowWebSocket), AllowWebSocket, "true where AllowPolling is false");
        Require(!AllowCredentials || !AllowedOrigins.Contains("*"), nameof(AllowCredentials), AllowCredentials, "false where AllowedOrigins has *");

        static void Require(bool condition, string name, object value, string allowed)
        {
            if (!condition)
                throw new ArgumentException($"{name} is {value}; allowed: {allowed}.", name);
        }
    }
}

/// <summary>What happens to a frame for which a session's queue has no room.</summary>
public enum OverflowAction : byte
{
    /// <summary>The session ends as <see cref="CloseReason.SlowConsumer"/>. Its client may connect anew and start from a snapshot.</summary>
    Close = 0,

    /// <summary>The frame is dropped and counted.</summary>
    Drop = 1,

    /// <summary>The frame is queued beyond the bound.</summary>
    Queue = 2,
}

/// <summary>Whether a client may open a session.</summary>
public readonly record struct EngineIoAdmission
{
    /// <summary>Whether it may.</summary>
    public bool IsAllowed { get; private init; }

    /// <summary>What the client is told if not.</summary>
    public string? Message { get; private init; }

    /// <summary>What the session carries in <see cref="EngineIoSession.Tag"/>.</summary>
    public object? Tag { get; private init; }

    /// <summary>Lets it in.</summary>
    /// <param name="tag">Anything the application wants to know about the session, such as who the client is. Disposed when the session ends, if it can be.</param>
    public static EngineIoAdmission Accept(object? tag = null) => new() { IsAllowed = true, Tag = tag };

    /// <summary>Answers 403 with this sentence.</summary>
    public static EngineIoAdmission Refuse(string message = "Forbidden") => new() { Message = message };
}
