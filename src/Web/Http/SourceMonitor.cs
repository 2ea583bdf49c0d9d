using System.Collections.Immutable;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web;

/// <summary>Asks every source once a second how it is: one asker per node, however many clients want to know. Thread safe.</summary>
internal sealed class SourceMonitor(IKlineCluster cluster, ITradeSourceFactory sources, TimeProvider time, ILogger<SourceMonitor> log) : BackgroundService
{
    public static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    private readonly bool[] _failed = new bool[sources.Sources.Length];
    private ImmutableArray<SourceStatus?> _statuses = [.. new SourceStatus?[sources.Sources.Length]];

    /// <summary>The newest status of each source, in the order of the configuration; null where none was heard yet.</summary>
    public ImmutableArray<SourceStatus?> Statuses => _statuses;

    public ImmutableArray<SourceDescription> Sources => sources.Sources;

    /// <summary>The newest status of a source; null if none was heard yet.</summary>
    public SourceStatus? Get(string name)
    {
        var statuses = _statuses;
        for (var i = 0; i < statuses.Length; i++)
        {
            if (sources.Sources[i].Name == name)
            {
                return statuses[i];
            }
        }

        return null;
    }

    /// <summary>Called after a source was seen in another state than before, one at a time. Set once, before the first question.</summary>
    public Action<SourceStatus>? StateChanged { get; set; }

    /// <summary>Asks every source now.</summary>
    public async Task Poll(CancellationToken cancellationToken)
    {
        for (var i = 0; i < sources.Sources.Length; i++)
        {
            try
            {
                var status = await cluster.GetStatus(sources.Sources[i].Name).WaitAsync(TimeSpan.FromSeconds(10), time, cancellationToken);
                var before = _statuses[i];
                _statuses = _statuses.SetItem(i, status);
                _failed[i] = false;
                if (before is null || before.State != status.State)
                {
                    StateChanged?.Invoke(status);
                }
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                // The grain answers again or it does not: the next second asks. Said once, not every second.
                if (!_failed[i])
                {
                    _failed[i] = true;
                    log.LogWarning(1502, e, "Source {Source} does not answer", sources.Sources[i].Name);
                }
            }
        }
    }

    /// <summary>Whether the last question to the source went without an answer.</summary>
    public bool IsSilent(int index) => Volatile.Read(ref _failed[index]);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await Task.Yield();
        using var timer = new PeriodicTimer(Period, time);
        try
        {
            do
            {
                await Poll(stoppingToken);
            }
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException)
        {
            // The server stops.
        }
    }
}

/// <summary>The state of a feed as clients see it, and of a source as operators do.</summary>
internal static class SourceStates
{
    /// <summary>live, stale, backfilling or closed. A recording that plays is live; one that ended is closed.</summary>
    public static string FeedState(SourceState? state) => state switch
    {
        SourceState.Live or SourceState.Replaying => "live",
        SourceState.Backfilling or SourceState.Starting or null => "backfilling",
        SourceState.Ended or SourceState.Closed => "closed",
        _ => "stale",
    };

    /// <summary>How far a source's clock is behind ours; null where that says nothing: a recording, a source that has ended or not begun.</summary>
    public static TimeSpan? Lag(SourceStatus status, DateTimeOffset now) =>
        status.State is SourceState.Live or SourceState.Stale or SourceState.Backfilling && status.Clock > DateTimeOffset.UnixEpoch
            ? TimeSpan.FromTicks(Math.Max(0, (now - status.Clock).Ticks))
            : null;

    public static string Name(SourceState state) => state switch
    {
        SourceState.Starting => "starting",
        SourceState.Live => "live",
        SourceState.Stale => "stale",
        SourceState.Backfilling => "backfilling",
        SourceState.Replaying => "replaying",
        SourceState.Ended => "ended",
        SourceState.Failed => "failed",
        _ => "closed",
    };
}
