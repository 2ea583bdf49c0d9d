using System.Collections.Concurrent;

namespace KlineOrleans.Web;

/// <summary>What is going on at this node. Thread safe.</summary>
internal sealed class WebCounters
{
    private readonly ConcurrentDictionary<Client, byte> _clients = new(ReferenceEqualityComparer.Instance);
    private readonly long[] _ended = new long[Enum.GetValues<DisconnectReason>().Length];
    private long _connections;
    private long _subscriptions;
    private long _sent;
    private long _sentBytes;
    private long _failed;
    private long _conflated;
    private long _updates;

    public long Connections => Volatile.Read(ref _connections);

    public long Subscriptions => Volatile.Read(ref _subscriptions);

    /// <summary>Messages that transports took.</summary>
    public long Sent => Volatile.Read(ref _sent);

    /// <summary>Bytes of <see cref="Sent"/>, before the transport's framing.</summary>
    public long SentBytes => Volatile.Read(ref _sentBytes);

    /// <summary>Messages that were on their way when their transport broke.</summary>
    public long Failed => Volatile.Read(ref _failed);

    /// <summary>Updates that newer ones replaced, because their client had not taken them yet.</summary>
    public long Conflated => Volatile.Read(ref _conflated);

    /// <summary>Updates of followed mints that came from their grains and were given to followers.</summary>
    public long Updates => Volatile.Read(ref _updates);

    /// <summary>From an update's arrival at this node to the moment a client's transport took it; updates that are sent again after a reconnect do not count.</summary>
    public LatencyHistogram Latency { get; } = new();

    /// <summary>Called with each latency that closes a write, or a stretch of one room's writes, in seconds. Set once, before the first client.</summary>
    public Action<double>? WriteTook { get; set; }

    /// <summary>The clients that are connected now.</summary>
    public IEnumerable<Client> Clients => _clients.Keys;

    /// <summary>Sessions that ended for the reason.</summary>
    public long Ended(DisconnectReason reason) => Volatile.Read(ref _ended[(int)reason]);

    public long AddConnections(int by) => Interlocked.Add(ref _connections, by);

    public void AddSubscriptions(int by) => Interlocked.Add(ref _subscriptions, by);

    public void Add(Client client) => _clients.TryAdd(client, 0);

    public void Remove(Client client) => _clients.TryRemove(client, out _);

    public void AddSent(int messages, long bytes)
    {
        Interlocked.Add(ref _sent, messages);
        Interlocked.Add(ref _sentBytes, bytes);
    }

    public void AddFailed(int messages) => Interlocked.Add(ref _failed, messages);

    public void AddConflated(int deliveries) => Interlocked.Add(ref _conflated, deliveries);

    public void AddUpdate() => Interlocked.Increment(ref _updates);

    public void AddEnded(DisconnectReason reason) => Interlocked.Increment(ref _ended[(int)reason]);
}
