namespace KlineOrleans.Web.Transports.EngineIo;

/// <summary>Counts of an endpoint since it was mapped. Reading is thread safe; the figures are not of one moment.</summary>
public sealed class EngineIoStatistics
{
    private long _opened, _upgraded, _sent, _sentBytes, _received, _conflated, _dropped, _refused;
    private readonly long[] _closed = new long[16];

    /// <summary>Sessions opened.</summary>
    public long Opened => Interlocked.Read(ref _opened);

    /// <summary>Sessions that moved from polling to WebSocket.</summary>
    public long Upgraded => Interlocked.Read(ref _upgraded);

    /// <summary>Handshakes refused.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    /// <summary>Messages handed to a transport.</summary>
    public long Sent => Interlocked.Read(ref _sent);

    /// <summary>Bytes of those messages, without framing.</summary>
    public long SentBytes => Interlocked.Read(ref _sentBytes);

    /// <summary>Messages received.</summary>
    public long Received => Interlocked.Read(ref _received);

    /// <summary>Waiting messages replaced by a newer one.</summary>
    public long Conflated => Interlocked.Read(ref _conflated);

    /// <summary>Messages dropped because a queue was full.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>Sessions closed for this reason.</summary>
    public long Closed(CloseReason reason) => Interlocked.Read(ref _closed[(int)reason]);

    internal void CountOpened() => Interlocked.Increment(ref _opened);

    internal void CountUpgraded() => Interlocked.Increment(ref _upgraded);

    internal void CountRefused() => Interlocked.Increment(ref _refused);

    internal void CountReceived() => Interlocked.Increment(ref _received);

    internal void CountConflated() => Interlocked.Increment(ref _conflated);

    internal void CountDropped() => Interlocked.Increment(ref _dropped);

    internal void CountClosed(CloseReason reason) => Interlocked.Increment(ref _closed[(int)reason]);

    internal void CountSent(long messages, long bytes)
    {
        Interlocked.Add(ref _sent, messages);
        Interlocked.Add(ref _sentBytes, bytes);
    }
}
