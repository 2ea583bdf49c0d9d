using KlineOrleans.Contracts;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web;

/// <summary>The event feeds of this node: one per mint whose events some client follows, and for a while after. Thread safe.</summary>
internal sealed class ChainEventFeeds : IHostedService, IDisposable
{
    /// <summary>How long a feed relies on being told before it looks into the store itself.</summary>
    public static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(15);

    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly FeedTable<ChainEventFeed> _feeds;
    private readonly IServiceProvider _services;
    private IChainEventStream? _stream;
    private ITimer? _timer;

    public ChainEventFeeds(IChainEventStore store, IServiceProvider services, IOptions<WebOptions> options, TimeProvider time, ILogger<ChainEventFeeds> log)
    {
        _services = services;
        _feeds = new FeedTable<ChainEventFeed>(symbol => new ChainEventFeed(symbol, this), options.Value.Feed.Linger, time);
        Store = store;
        Time = time;
        Log = log;
    }

    public IChainEventStore Store { get; }

    // Asked for when first needed: a host without events needs no engine for them.
    public IChainEventStream Stream => _stream ??= (IChainEventStream)_services.GetService(typeof(IChainEventStream))!;

    public TimeProvider Time { get; }

    public ILogger Log { get; }

    /// <summary>How an event looks to clients; made once for all of them. Set once, before the first who follows.</summary>
    public Func<StoredEvent, Payload> Encode { get; set; } = static _ => new Payload(default);

    /// <summary>Mints whose events are followed.</summary>
    public int Count => _feeds.Count;

    /// <summary>The feed of a mint, ready. Each call is paired with <see cref="Leave"/>.</summary>
    public ValueTask<ChainEventFeed> Enter(string symbol) => _feeds.Enter(symbol);

    public void Leave(ChainEventFeed feed) => _feeds.Leave(feed);

    /// <summary>Once a second. For the timer, and tests without one.</summary>
    public void Tick() => _feeds.Sweep().ForEach(static feed => feed.Tick());

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _timer = Time.CreateTimer(static feeds => ((ChainEventFeeds)feeds!).Tick(), this, Second, Second);
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _timer?.Dispose();
        await _feeds.Clear();
    }

    public void Dispose() => _timer?.Dispose();
}
