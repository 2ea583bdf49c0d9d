namespace KlineOrleans.Web;

/// <summary>What is going on at this node. Thread safe.</summary>
internal sealed class WebCounters
{
    private long _connections;
    private long _subscriptions;

    public long Connections => Volatile.Read(ref _connections);

    public long Subscriptions => Volatile.Read(ref _subscriptions);

    public long AddConnections(int by) => Interlocked.Add(ref _connections, by);

    public void AddSubscriptions(int by) => Interlocked.Add(ref _subscriptions, by);
}
