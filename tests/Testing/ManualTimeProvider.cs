namespace KlineOrleans.Testing;

/// <summary>A clock that moves only when told, for tests that must not wait. Thread safe; callbacks run on the thread that moves it.</summary>
/// <param name="start">The first moment; default 2026-01-05 00:00:00Z, a Monday.</param>
public sealed class ManualTimeProvider(DateTimeOffset? start = null) : TimeProvider
{
    private readonly Lock _lock = new();
    private readonly List<ManualTimer> _timers = [];
    private DateTimeOffset _now = start ?? new DateTimeOffset(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);
    private long _created;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow()
    {
        lock (_lock)
        {
            return _now;
        }
    }

    public override long GetTimestamp() => GetUtcNow().UtcTicks;

    /// <summary>Timers that are armed: lets a test see that something waits before it moves the clock.</summary>
    public int ArmedTimers
    {
        get
        {
            lock (_lock)
            {
                return _timers.Count(t => t.Due is not null);
            }
        }
    }

    /// <summary>Moves the clock, firing each timer at its moment, earliest first.</summary>
    public void Advance(TimeSpan by) => AdvanceTo(GetUtcNow() + by);

    /// <inheritdoc cref="Advance"/>
    public void AdvanceTo(DateTimeOffset to)
    {
        while (true)
        {
            ManualTimer? next;
            lock (_lock)
            {
                next = _timers.Where(t => t.Due <= to).OrderBy(t => t.Due).ThenBy(t => t.Number).FirstOrDefault();
                if (next is null)
                {
                    _now = to > _now ? to : _now;
                    return;
                }

                _now = next.Due!.Value > _now ? next.Due.Value : _now;
                next.Due = next.Period > TimeSpan.Zero ? _now + next.Period : null;
            }

            next.Fire();
        }
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, callback, state, Interlocked.Increment(ref _created));
        lock (_lock)
        {
            _timers.Add(timer);
        }

        timer.Change(dueTime, period);
        return timer;
    }

    private sealed class ManualTimer(ManualTimeProvider owner, TimerCallback callback, object? state, long number) : ITimer
    {
        public DateTimeOffset? Due { get; set; }

        public TimeSpan Period { get; private set; }

        public long Number => number;

        public void Fire() => callback(state);

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            bool now;
            lock (owner._lock)
            {
                if (!owner._timers.Contains(this))
                {
                    return false;
                }

                Period = period > TimeSpan.Zero ? period : TimeSpan.Zero;
                Due = dueTime < TimeSpan.Zero ? null : owner._now + dueTime;
                now = dueTime == TimeSpan.Zero;
                if (now)
                {
                    Due = Period > TimeSpan.Zero ? owner._now + Period : null;
                }
            }

            if (now)
            {
                // As the real clock does: on another thread, soon.
                ThreadPool.QueueUserWorkItem(static t => ((ManualTimer)t!).Fire(), this);
            }

            return true;
        }

        public void Dispose()
        {
            lock (owner._lock)
            {
                owner._timers.Remove(this);
                Due = null;
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
