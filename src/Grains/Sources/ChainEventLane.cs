using System.Collections.Immutable;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Grains;

/// <summary>Brings the chain events of one source to their store, in order, and tells of them once they are stored. Thread safe.</summary>
/// <remarks>
/// Stored first, told second: whoever misses what was told reads the store. What fails is tried again, and <see cref="Flush"/> says so, so that no checkpoint passes
/// an event that is not stored.
/// </remarks>
/// <param name="tell">Publishes what is stored, one update a mint. What it throws is logged: readers notice the hole.</param>
internal sealed partial class ChainEventLane(
    string source, IChainEventStore store, Func<ImmutableArray<ChainEventUpdate>, Task> tell, TimeProvider time, ILogger logger, CancellationToken stop)
{
    /// <summary>Events that wait for the store at which <see cref="Add"/> waits.</summary>
    internal const int MaxWaiting = 16_384;

    /// <summary>The most events in one write.</summary>
    internal const int MaxBatch = 1_024;

    private static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LastRetry = TimeSpan.FromSeconds(30);

    private readonly Lock _lock = new();
    private readonly Queue<ChainEvent> _waiting = new();
    private readonly List<(long Until, TaskCompletionSource Done)> _flushes = [];
    private TaskCompletionSource? _room;
    private bool _isRunning;
    private long _added;
    private long _stored;
    private DateTimeOffset? _newest;

    /// <summary>Events stored so far, and when the newest of them happened.</summary>
    public (long Stored, DateTimeOffset? Newest) Figures
    {
        get
        {
            lock (_lock)
            {
                return (_stored, _newest);
            }
        }
    }

    /// <summary>Takes events. Returns when there is room for more.</summary>
    public ValueTask Add(ImmutableArray<ChainEvent> events)
    {
        if (events.IsEmpty || !store.KeepsEvents)
        {
            return ValueTask.CompletedTask;
        }

        lock (_lock)
        {
            foreach (var e in events)
            {
                _waiting.Enqueue(e);
            }

            _added += events.Length;
            Run();
            return _waiting.Count < MaxWaiting || stop.IsCancellationRequested
                ? ValueTask.CompletedTask
                : new ValueTask((_room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task);
        }
    }

    /// <summary>Returns when everything added before is stored; throws what keeps the newest attempt from it.</summary>
    public Task Flush()
    {
        lock (_lock)
        {
            if (_stored == _added)
            {
                return Task.CompletedTask;
            }

            var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _flushes.Add((_added, done));
            Run();
            return done.Task;
        }
    }

    // Under the lock.
    private void Run()
    {
        if (!_isRunning)
        {
            _isRunning = true;
            _ = Task.Run(Drain);
        }
    }

    private async Task Drain()
    {
        var retry = FirstRetry;
        List<ChainEvent> batch = [];
        while (true)
        {
            lock (_lock)
            {
                while (batch.Count < MaxBatch && _waiting.TryDequeue(out var e))
                {
                    batch.Add(e);
                }

                if (batch.Count == 0)
                {
                    _isRunning = false;
                    return;
                }
            }

            ImmutableArray<long> numbers;
            try
            {
                numbers = await store.Write(batch, CancellationToken.None);
            }
            catch (Exception error)
            {
                LogNotStored(source, error.Message, retry, error);
                if (!Fail(batch, error))
                {
                    return;
                }

                await Wait(retry);
                retry = retry * 2 < LastRetry ? retry * 2 : LastRetry;
                continue;
            }

            retry = FirstRetry;
            await Tell(batch, numbers);
            Stored(batch);
            batch = [];
        }
    }

    private async Task Tell(List<ChainEvent> batch, ImmutableArray<long> numbers)
    {
        // 0: older than what is kept.
        var updates = batch.Select((e, i) => new StoredEvent(numbers[i], e)).Where(static e => e.Number > 0)
            .GroupBy(static e => e.Event.Symbol, StringComparer.Ordinal)
            .Select(static mint => new ChainEventUpdate { Symbol = mint.Key, Events = [.. mint.DistinctBy(static e => e.Number).OrderBy(static e => e.Number)] })
            .ToImmutableArray();
        if (updates.IsEmpty)
        {
            return;
        }

        try
        {
            await tell(updates);
        }
        catch (Exception error)
        {
            LogNotTold(source, error.Message, error);
        }
    }

    private void Stored(List<ChainEvent> batch)
    {
        lock (_lock)
        {
            _stored += batch.Count;
            foreach (var e in batch)
            {
                _newest = _newest is { } newest && newest >= e.EventTime ? newest : e.EventTime;
            }

            foreach (var (until, done) in _flushes)
            {
                if (until <= _stored)
                {
                    done.TrySetResult();
                }
            }

            _flushes.RemoveAll(f => f.Until <= _stored);
            if (_waiting.Count < MaxWaiting / 2)
            {
                GiveRoom();
            }
        }
    }

    // False: the source stops, and nobody tries again. No checkpoint passes these, so a restart reads them again.
    private bool Fail(List<ChainEvent> batch, Exception error)
    {
        lock (_lock)
        {
            foreach (var (_, done) in _flushes)
            {
                done.TrySetException(error);
            }

            _flushes.Clear();
            if (!stop.IsCancellationRequested)
            {
                return true;
            }

            // Back to the front: the last save of a source that stops tries once more.
            var rest = _waiting.ToArray();
            _waiting.Clear();
            foreach (var e in batch.Concat(rest))
            {
                _waiting.Enqueue(e);
            }

            _isRunning = false;
            GiveRoom();
            return false;
        }
    }

    private void GiveRoom()
    {
        _room?.TrySetResult();
        _room = null;
    }

    private async Task Wait(TimeSpan delay)
    {
        try
        {
            await Task.Delay(delay, time, stop);
        }
        catch (OperationCanceledException)
        {
            // The next attempt is the last.
        }
    }

    [LoggerMessage(1121, LogLevel.Error, "Source {Name}: chain events were not stored and are stored again in {Delay}: {Reason}")]
    private partial void LogNotStored(string name, string reason, TimeSpan delay, Exception error);

    [LoggerMessage(1122, LogLevel.Warning, "Source {Name}: chain events are stored and were not told: {Reason}. Feeds read them from the store.")]
    private partial void LogNotTold(string name, string reason, Exception error);
}
