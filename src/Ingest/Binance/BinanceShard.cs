using Microsoft.Extensions.Logging;

namespace KlineOrleans.Ingest.Binance;

/// <summary>Up to 1,024 streams that share a connection, and that connection's successors, for ever. Thread safe.</summary>
/// <remarks>
/// A connection that grows old, or whose server says that it shuts down, is replaced by one that hears everything before the old one goes: what both
/// say comes twice and counts once. A connection that is lost is opened again, with waits that double up to a bound, and everything that the shard should hear is subscribed
/// again, whenever it was added. Then <paramref name="ready"/> is called, for the source to fetch what was missed.
/// </remarks>
internal sealed class BinanceShard(
    BinanceOptions options,
    TimeProvider time,
    IBinanceListener listener,
    BinanceRest rest,
    SkipCounts skipped,
    ILogger logger,
    Action<BinanceShard, bool> ready,
    Action<BinanceShard> lost,
    Action<BinanceShard, string> confirmed)
{
    /// <summary>A connection that lived this long was a good one: the waits begin small again.</summary>
    private static readonly TimeSpan GoodLife = TimeSpan.FromSeconds(30);

    private readonly Lock _lock = new();
    private readonly HashSet<string> _streams = new(StringComparer.Ordinal);
    private readonly List<BinanceConnection> _connections = [];
    private long _heard = time.GetTimestamp();
    private long _opened;

    /// <summary>How long nothing was heard.</summary>
    public TimeSpan Silence => time.GetElapsedTime(Interlocked.Read(ref _heard));

    /// <summary>Connections opened so far.</summary>
    public long Opened => Interlocked.Read(ref _opened);

    /// <summary>The venue's clock up to which everything was received, Unix ms; the source's to keep.</summary>
    public long CompleteTo { get; set; }

    /// <summary>Connected, and what was missed while it was not is known; the source's to keep.</summary>
    public bool IsWhole { get; set; }

    /// <summary>Why the last connection ended; null while one is up.</summary>
    public string? Error { get; private set; }

    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _streams.Count;
            }
        }
    }

    public void Hear() => Interlocked.Exchange(ref _heard, time.GetTimestamp());

    /// <summary>Adds a stream; <c>confirmed</c> or <c>ready</c> tells when it is heard.</summary>
    /// <returns>False if the shard is full.</returns>
    public bool TryAdd(string stream)
    {
        lock (_lock)
        {
            if (_streams.Count >= options.StreamsPerConnection)
            {
                return false;
            }

            if (_streams.Add(stream))
            {
                foreach (var connection in _connections)
                {
                    connection.Change(subscribe: true, [stream]);
                }
            }

            return true;
        }
    }

    public void Remove(string stream)
    {
        lock (_lock)
        {
            if (_streams.Remove(stream))
            {
                foreach (var connection in _connections)
                {
                    connection.Change(subscribe: false, [stream]);
                }
            }
        }
    }

    public void Confirmed(string method, string[] streams)
    {
        if (method == "SUBSCRIBE")
        {
            foreach (var stream in streams)
            {
                confirmed(this, stream);
            }
        }
    }

    public async Task Run(CancellationToken cancellationToken)
    {
        var retry = options.FirstRetry;
        BinanceConnection? current = null;
        try
        {
            while (true)
            {
                cancellationToken.ThrowIfCancellationRequested();
                current ??= Open(cancellationToken);
                var opened = time.GetTimestamp();
                await Task.WhenAny(current.Ready, current.Ended);
                if (current.Ready.IsCompleted && !current.Ended.IsCompleted)
                {
                    Error = null;
                    ready(this, true);
                    current = await KeepUp(current, cancellationToken);
                }

                var reason = await current.Ended;
                Close(current);
                current = null;
                cancellationToken.ThrowIfCancellationRequested();
                Error = $"{options.StreamAddress.Host}: {reason}";
                lost(this);
                retry = time.GetElapsedTime(opened) >= GoodLife ? options.FirstRetry : retry;
                logger.LogWarning(1304, "Streams of {Host} were lost ({Reason}) and are opened again in {Delay}", options.StreamAddress.Host, reason, retry);
                await Task.Delay(BinanceRest.Jitter(retry), time, cancellationToken);
                retry = retry * 2 < options.LastRetry ? retry * 2 : options.LastRetry;
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }

        List<BinanceConnection> left;
        lock (_lock)
        {
            left = [.. _connections];
        }

        foreach (var connection in left)
        {
            connection.End("stopped");
            await connection.Ended;
        }
    }

    /// <summary>Replaces the connection whenever it is time; gives the one that in the end was lost.</summary>
    private async Task<BinanceConnection> KeepUp(BinanceConnection current, CancellationToken cancellationToken)
    {
        var retry = options.FirstRetry;

        // Not all at the same moment: a part of the lifetime less for each.
        var lifetime = options.ConnectionLifetime * (1 - (Random.Shared.NextDouble() * 0.02));
        while (true)
        {
            using (var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken))
            {
                await Task.WhenAny(current.Ended, current.RenewAsked, Task.Delay(lifetime, time, stop.Token));
                await stop.CancelAsync();
            }

            if (current.Ended.IsCompleted)
            {
                return current;
            }

            var next = Open(cancellationToken);
            await Task.WhenAny(next.Ready, next.Ended);
            if (next.Ended.IsCompleted)
            {
                Close(next);
                if (current.Ended.IsCompleted)
                {
                    return current;
                }

                lifetime = retry;
                retry = retry * 2 < options.LastRetry ? retry * 2 : options.LastRetry;

                // The server that asked may be gone before the next attempt; until then this one still hears.
                using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
                await Task.WhenAny(current.Ended, Task.Delay(BinanceRest.Jitter(lifetime), time, stop.Token));
                await stop.CancelAsync();
                lifetime = TimeSpan.Zero;
                continue;
            }

            var wasLost = current.Ended.IsCompleted;
            Close(current);
            current.End("replaced");
            current = next;
            retry = options.FirstRetry;
            lifetime = options.ConnectionLifetime * (1 - (Random.Shared.NextDouble() * 0.02));
            ready(this, wasLost);
        }
    }

    private BinanceConnection Open(CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _opened);
        lock (_lock)
        {
            var connection = new BinanceConnection(options, time, this, listener, rest, skipped, [.. _streams], cancellationToken);
            _connections.Add(connection);
            return connection;
        }
    }

    private void Close(BinanceConnection connection)
    {
        lock (_lock)
        {
            _connections.Remove(connection);
        }
    }
}
