namespace KlineOrleans.Web;

/// <summary>What the web room may be told (section <see cref="Section"/>). The empty section runs.</summary>
public sealed class WebOptions
{
    public const string Section = "Kline:Web";

    /// <summary>The grain engine's name, as health shows it. Given by composition. Default: unknown.</summary>
    public string Engine { get; set; } = "unknown";

    /// <summary>The folder of the built chart page. Default: <c>wwwroot</c> next to the program. May be absent.</summary>
    public string PagePath { get; set; } = Path.Combine(AppContext.BaseDirectory, "wwwroot");

    /// <summary>Origins of other sites whose pages may call: <c>https://chart.example</c>, or <c>*</c> for all. Default: none, so pages of this server only.</summary>
    public IList<string> AllowedOrigins { get; } = [];

    public HistoryOptions History { get; } = new();

    public OutboxOptions Outbox { get; } = new();

    public LimitOptions Limits { get; } = new();

    public PingOptions Ping { get; } = new();

    public FeedOptions Feed { get; } = new();

    public SocketOptions Sockets { get; } = new();

    public AccessOptions Access { get; } = new();

    /// <summary>How much history an answer holds.</summary>
    public sealed class HistoryOptions
    {
        /// <summary>Klines in an answer when the request names no limit. 1 to <see cref="Max"/>. Default: 100.</summary>
        public int Default { get; set; } = 100;

        /// <summary>The most klines in an answer. 1 to 1,000. Default: 1,000.</summary>
        public int Max { get; set; } = 1_000;
    }

    /// <summary>What may wait for one client before it counts as a slow consumer.</summary>
    public sealed class OutboxOptions
    {
        /// <summary>
        /// Whether a newer update of a forming kline takes the place of an older one that waits. Without it a client gets every update, and one that reads slower than
        /// they come ends as a slow consumer. Default: true.
        /// </summary>
        public bool Conflate { get; set; } = true;

        /// <summary>Bytes. 1,024 to 1 GiB. Default: 1 MiB.</summary>
        public int Bytes { get; set; } = 1_048_576;

        /// <summary>Messages. 8 to 1,000,000. Default: 1,000.</summary>
        public int Messages { get; set; } = 1_000;
    }

    /// <summary>What a client may ask of the server.</summary>
    public sealed class LimitOptions
    {
        /// <summary>Pairs of symbol and interval that one client may follow. 1 to 100,000. Default: 100.</summary>
        public int SubscriptionsPerClient { get; set; } = 100;

        /// <summary>The longest message of a client, in bytes. 1,024 to 64 MiB. Default: 1 MiB.</summary>
        public int MessageBytes { get; set; } = 1_048_576;

        /// <summary>How deep JSON of a client may nest. 2 to 64. Default: 16.</summary>
        public int JsonDepth { get; set; } = 16;

        /// <summary>Clients at once. 1 to 10,000,000. Default: 10,000.</summary>
        public int Connections { get; set; } = 10_000;

        /// <summary>Clients at once from one address. 1 to 10,000,000. Default: 200.</summary>
        public int ConnectionsPerAddress { get; set; } = 200;

        /// <summary>Requests a second of one client, in the long run. 1 to 1,000,000. Default: 20.</summary>
        public int MessagesPerSecond { get; set; } = 20;

        /// <summary>Requests of one client at once. 1 to 1,000,000. Default: 100.</summary>
        public int MessageBurst { get; set; } = 100;

        /// <summary>HTTP requests a second from one address, in the long run. 1 to 1,000,000. Default: 200.</summary>
        public int RequestsPerSecond { get; set; } = 200;

        /// <summary>HTTP requests from one address at once. 1 to 1,000,000. Default: 2,000.</summary>
        public int RequestBurst { get; set; } = 2_000;
    }

    /// <summary>How it is noticed that a client is gone.</summary>
    public sealed class PingOptions
    {
        /// <summary>Time between pings of the server. 1 s to 10 min. Default: 25 s.</summary>
        public TimeSpan Interval { get; set; } = TimeSpan.FromSeconds(25);

        /// <summary>Silence of a client after which its session ends. Longer than <see cref="Interval"/>, at most 1 h. Default: 60 s.</summary>
        public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(60);
    }

    /// <summary>The raw WebSockets and Socket.IO.</summary>
    public sealed class SocketOptions
    {
        /// <summary>
        /// Whether to accept permessage-deflate, which every browser offers. It costs some hundred kilobytes for each connection, and each connection
        /// compresses what is otherwise encoded once for all. Default: false.
        /// </summary>
        public bool Deflate { get; set; }
    }

    /// <summary>What a followed mint keeps.</summary>
    public sealed class FeedOptions
    {
        /// <summary>Updates kept for clients that come back; each takes some 4 KB with all intervals. 32 to 1,000,000. Default: 512.</summary>
        public int Ring { get; set; } = 512;

        /// <summary>How long a mint without followers is still followed. 0 to 1 h. Default: 10 s.</summary>
        public TimeSpan Linger { get; set; } = TimeSpan.FromSeconds(10);

        /// <summary>Time between two looks at the grain of a followed mint: keeps it active and finds lost updates. 1 s to 1 h. Default: 5 min.</summary>
        public TimeSpan Touch { get; set; } = TimeSpan.FromMinutes(5);
    }
}
