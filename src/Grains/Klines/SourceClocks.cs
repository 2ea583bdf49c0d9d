using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Grains;

/// <summary>Looks at the clocks of sources for all grains of this process: once a second and source, however many grains wait, and wakes those whose moment has come. Thread safe.</summary>
/// <remarks>
/// It is for clocks that stand or run at a pace of their own. What it looks at is the clock of mints that nothing is on its way to, which no mint's own is ahead of: it
/// says when it is worth asking for that (<see cref="ISourceGrain.GetClock"/>), and makes nothing final itself.
/// </remarks>
public sealed partial class SourceClocks(IGrainFactory grains, TimeProvider time, ILogger<SourceClocks> logger) : IDisposable
{
    /// <summary>How often a clock is looked at.</summary>
    internal static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    /// <summary>How long a source may take to tell its clock.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>How long a grain holds a place among those awake.</summary>
    private static readonly TimeSpan WakePatience = TimeSpan.FromMinutes(1);

    /// <summary>Grains that are awake at the same time. A minute ends for all mints at once.</summary>
    private const int MostAwake = 500;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, Source> _sources = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _awake = new(MostAwake, MostAwake);
    private ITimer? _timer;
    private bool _isDisposed;

    /// <summary>Wakes the waiter once, about when the source's clock has reached the moment, instead of at what it waited for until now.</summary>
    internal void Wait(Waiter waiter, string source, DateTimeOffset due)
    {
        lock (_lock)
        {
            if (_isDisposed || (waiter.Source?.Name == source && waiter.Due == due.UtcTicks))
            {
                return;
            }

            Remove(waiter);
            if (!_sources.TryGetValue(source, out var entry))
            {
                _sources.Add(source, entry = new Source(source));
            }

            (waiter.Source, waiter.Due) = (entry, due.UtcTicks);

            // Buckets end together: few moments, each with many mints.
            if (!entry.Waiting.TryGetValue(waiter.Due, out var waiting))
            {
                entry.Waiting.Add(waiter.Due, waiting = []);
            }

            waiting.Add(waiter);
            _timer ??= time.CreateTimer(static clocks => ((SourceClocks)clocks!).Look(), this, Interval, Interval);
        }
    }

    /// <summary>It waits for nothing any more.</summary>
    internal void Forget(Waiter waiter)
    {
        lock (_lock)
        {
            Remove(waiter);
        }
    }

    /// <summary>Nobody is woken any more.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _isDisposed = true;
            _sources.Clear();
            _timer?.Dispose();
        }
    }

    private static void Remove(Waiter waiter)
    {
        if (waiter.Source is { } source)
        {
            if (source.Waiting.TryGetValue(waiter.Due, out var waiting) && waiting.Remove(waiter) && waiting.Count == 0)
            {
                source.Waiting.Remove(waiter.Due);
            }

            waiter.Source = null;
        }
    }

    private void Look()
    {
        lock (_lock)
        {
            foreach (var source in _sources.Values)
            {
                if (!source.IsLookedAt && source.Waiting.Count > 0)
                {
                    source.IsLookedAt = true;
                    _ = Look(source);
                }
            }
        }
    }

    private async Task Look(Source source)
    {
        try
        {
            // Off the timer's thread and its lock.
            await Task.Yield();
            var clock = await grains.GetGrain<ISourceGrain>(source.Name).GetClock("", 0).WaitAsync(Patience, time);

            // By a clock that runs on with ours a grain goes by itself, to the moment, once it has seen it.
            foreach (var waiter in Take(source, clock.IsLive ? clock.Time + Interval : clock.Time))
            {
                await _awake.WaitAsync();
                _ = Wake(waiter);
            }
        }
        catch (Exception error)
        {
            // Looked at again in a second; whoever watches the source sees what is wrong with it.
            LogLookFailed(source.Name, error.Message, error);
        }
        finally
        {
            lock (_lock)
            {
                source.IsLookedAt = false;
            }
        }
    }

    private List<Waiter> Take(Source source, DateTimeOffset clock)
    {
        List<Waiter> due = [];
        lock (_lock)
        {
            while (source.Waiting.Count > 0 && source.Waiting.First() is var (moment, waiting) && moment <= clock.UtcTicks)
            {
                source.Waiting.Remove(moment);
                foreach (var waiter in waiting)
                {
                    waiter.Source = null;
                    due.Add(waiter);
                }
            }
        }

        return due;
    }

    private async Task Wake(Waiter waiter)
    {
        try
        {
            // One whose activation has ended meanwhile may never answer.
            await waiter.Wake().WaitAsync(WakePatience, time);
        }
        catch (Exception error)
        {
            LogWakeFailed(error.Message, error);
        }
        finally
        {
            _awake.Release();
        }
    }

    [LoggerMessage(1131, LogLevel.Debug, "The clock of source {Name} cannot be seen and is looked at again: {Reason}")]
    private partial void LogLookFailed(string name, string reason, Exception error);

    [LoggerMessage(1132, LogLevel.Warning, "A grain could not look at its source's clock: {Reason}")]
    private partial void LogWakeFailed(string reason, Exception error);

    /// <summary>One grain's place. Its other members are the clocks' own.</summary>
    /// <param name="wake">Completes when the grain is done; called on any thread.</param>
    internal sealed class Waiter(Func<Task> wake)
    {
        public Source? Source { get; set; }

        /// <summary>By the source's clock, in ticks.</summary>
        public long Due { get; set; }

        public Task Wake() => wake();
    }

    /// <summary>Who waits for one source's clock, by moment.</summary>
    internal sealed class Source(string name)
    {
        public string Name => name;

        public SortedDictionary<long, HashSet<Waiter>> Waiting { get; } = [];

        public bool IsLookedAt { get; set; }
    }
}
