using System.Diagnostics.CodeAnalysis;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web;

/// <summary>The feeds of this node: one per followed mint, from its first follower until a while after its last. Thread safe.</summary>
internal sealed class MintFeeds : IHostedService, IDisposable
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestHold = TimeSpan.FromSeconds(2);

    private readonly FeedTable<MintFeed> _feeds;
    private readonly MintFeedServices _services;
    private readonly SymbolDirectory _symbols;
    private readonly SourceMonitor _monitor;
    private ITimer? _timer;
    private int _nextLane;

    public MintFeeds(IKlineCluster cluster, IKlineArchive archive, SymbolDirectory symbols, SourceMonitor monitor, IOptions<WebOptions> options, WebCounters counters, TimeProvider time, ILogger<MintFeeds> log)
    {
        Lane[] lanes = [.. Enumerable.Range(0, Environment.ProcessorCount).Select(i => new Lane(i, log: log) { Counters = counters, Conflates = options.Value.Outbox.Conflate })];
        _services = new MintFeedServices(cluster, archive, lanes, options.Value.Feed, time, log) { Counters = counters };
        _feeds = new FeedTable<MintFeed>(symbol => new MintFeed(symbol, _services), options.Value.Feed.Linger, time);
        _symbols = symbols;
        _monitor = monitor;
        monitor.StateChanged = OnStateChanged;
    }

    /// <summary>Mints that are followed.</summary>
    public int Count => _feeds.Count;

    /// <summary>The followed mints with the most clients, most first.</summary>
    public IReadOnlyList<(string Symbol, int Clients)> Top(int most) => _feeds.Top(most);

    /// <summary>The lane for the next session.</summary>
    public Lane NextLane() => _services.Lanes[(int)((uint)Interlocked.Increment(ref _nextLane) % (uint)_services.Lanes.Count)];

    /// <summary>The feed of a mint, ready. Each call is paired with <see cref="Leave"/>.</summary>
    /// <remarks>However many come at once: one subscription, one snapshot.</remarks>
    public ValueTask<MintFeed> Enter(string symbol) => _feeds.Enter(symbol);

    public void Leave(MintFeed feed) => _feeds.Leave(feed);

    /// <summary>The newest klines of a mint that is followed.</summary>
    public bool TryGetView(string symbol, int intervals, [NotNullWhen(true)] out KlineView? view)
    {
        view = null;
        return _feeds.TryGet(symbol, out var feed) && feed.TryGetView(intervals, out view) && view is not null;
    }

    /// <summary>The state of a mint's source now.</summary>
    public StatusMessage Status(MintFeed feed)
    {
        var source = _symbols.SourceOf(feed.Source);
        var status = source is null ? null : _monitor.Get(source.Name);
        return Status(feed.Symbol, source, status);
    }

    /// <summary>Once a second. For the timer, and tests without one.</summary>
    public void Tick()
    {
        var tick = new LaneTick(_services.Time.GetTimestamp(), (long)(LongestHold.TotalSeconds * _services.Time.TimestampFrequency));
        foreach (var feed in _feeds.Sweep())
        {
            feed.Tick(tick);
        }
    }

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _timer = _services.Time.CreateTimer(static feeds => ((MintFeeds)feeds!).Tick(), this, Second, Second);
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _timer?.Dispose();
        await _feeds.Clear();
    }

    public void Dispose() => _timer?.Dispose();

    private void OnStateChanged(SourceStatus status)
    {
        foreach (var feed in _feeds.All())
        {
            var source = _symbols.SourceOf(feed.Source);
            if (source?.Name == status.Name)
            {
                feed.Tell(Status(feed.Symbol, source, status));
            }
        }
    }

    private static StatusMessage Status(string symbol, SourceDescription? source, SourceStatus? status) =>
        new(symbol, SourceStates.FeedState(status?.State), status?.Since ?? DateTimeOffset.UnixEpoch, source?.Name ?? "", source?.IsSimulated ?? false);
}
