using KlineOrleans.Contracts;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web;

/// <summary>The event feeds of this node: one per mint whose events some client follows, and for a while after. Thread safe.</summary>
internal sealed class ChainEventFeeds(IChainEventStore store, IServiceProvider services, IOptions<WebOptions> options, TimeProvider time, ILogger<ChainEventFeeds> log) : IHostedService, IDisposable
{
    /// <summary>How long a feed relies on being told before it looks into the store itself.</summary>
    public static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, ChainEventFeed> _feeds = new(StringComparer.Ordinal);
    private IChainEventStream? _stream;
    private ITimer? _timer;

    public IChainEventStore Store => store;

    // Asked for when first needed: a host without events needs no engine for them.
    public IChainEventStream Stream => _stream ??= (IChainEventStream)services.GetService(typeof(IChainEventStream))!;

    public TimeProvider Time => time;

    public ILogger Log => log;

    /// <summary>How an event looks to clients; made once for all of them. Set once, before the first who follows.</summary>
    public Func<StoredEvent, Payload> Encode { get; set; } = static _ => new Payload(default);

    /// <summary>Mints whose events are followed.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _feeds.Count;
            }
        }
    }

    /// <summary>The feed of a mint, ready. Each call is paired with <see cref="Leave"/>.</summary>
    public async ValueTask<ChainEventFeed> Enter(string symbol)
    {
        ChainEventFeed? feed;
        var isNew = false;
        lock (_lock)
        {
            if (!_feeds.TryGetValue(symbol, out feed) || feed.Ready.IsFaulted)
            {
                _feeds[symbol] = feed = new ChainEventFeed(symbol, this);
                isNew = true;
            }

            feed.Users++;
        }

        if (isNew)
        {
            _ = feed.Start();
        }

        try
        {
            await feed.Ready;
            return feed;
        }
        catch
        {
            Leave(feed);
            throw;
        }
    }

    public void Leave(ChainEventFeed feed)
    {
        lock (_lock)
        {
            feed.Users--;
            feed.IdleSince = time.GetTimestamp();
        }
    }

    /// <summary>Once a second. For the timer, and tests without one.</summary>
    public void Tick()
    {
        List<ChainEventFeed> idle = [];
        List<ChainEventFeed> feeds = [];
        lock (_lock)
        {
            foreach (var feed in _feeds.Values)
            {
                (feed.Users == 0 && time.GetElapsedTime(feed.IdleSince) >= options.Value.Feed.Linger ? idle : feeds).Add(feed);
            }

            foreach (var feed in idle)
            {
                _feeds.Remove(feed.Symbol);
            }
        }

        idle.ForEach(static f => _ = f.Stop());
        feeds.ForEach(static f => f.Tick());
    }

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _timer = time.CreateTimer(static feeds => ((ChainEventFeeds)feeds!).Tick(), this, Second, Second);
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _timer?.Dispose();
        List<ChainEventFeed> feeds;
        lock (_lock)
        {
            feeds = [.. _feeds.Values];
            _feeds.Clear();
        }

        await Task.WhenAll(feeds.Select(static f => f.Stop()));
    }

    public void Dispose() => _timer?.Dispose();
}
