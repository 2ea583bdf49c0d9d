namespace KlineOrleans.Web.Transports.EngineIo;

/// <summary>Something that must act at a moment.</summary>
internal interface IDeadlineTarget
{
    /// <summary>Called at the moment or shortly after, on a timer thread, under no lock of the queue.</summary>
    /// <param name="now">The clock's timestamp.</param>
    /// <returns>The timestamp at which to call again, or <see cref="DeadlineQueue.Never"/>.</returns>
    long OnDeadline(Deadline deadline, long now);
}

/// <summary>One entry of a <see cref="DeadlineQueue"/>. Cancelling lets go of the target at once; the entry itself leaves when its moment comes.</summary>
internal sealed class Deadline(IDeadlineTarget target, int kind)
{
    private volatile IDeadlineTarget? _target = target;

    /// <summary>What the target uses to tell its deadlines apart.</summary>
    public int Kind => kind;

    public IDeadlineTarget? Target => _target;

    public void Cancel() => _target = null;
}

/// <summary>All deadlines of a server behind one timer, so that ten thousand idle sessions cost one. Thread safe.</summary>
/// <remarks>
/// Deadlines that move later, as a heartbeat's does with each pong, are not touched: the target looks at the clock when called and names
/// the next moment. The timer is only as exact as the system's; requests therefore check the session's deadlines themselves.
/// </remarks>
internal sealed class DeadlineQueue : IDisposable
{
    public const long Never = long.MaxValue;

    private readonly TimeProvider _time;
    private readonly Lock _lock = new();
    private readonly PriorityQueue<Deadline, long> _queue = new();
    private readonly ITimer _timer;
    private long _armedFor = Never;
    private bool _disposed;

    public DeadlineQueue(TimeProvider time)
    {
        _time = time;
        _timer = time.CreateTimer(static state => ((DeadlineQueue)state!).Run(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>The clock's timestamp.</summary>
    public long Now => _time.GetTimestamp();

    /// <summary><paramref name="span"/> in the unit of timestamps.</summary>
    public long Ticks(TimeSpan span) => (long)(span.TotalSeconds * _time.TimestampFrequency);

    /// <summary>Entries that wait, cancelled ones included.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
                return _queue.Count;
        }
    }

    public void Add(Deadline deadline, long at)
    {
        lock (_lock)
        {
            if (_disposed)
                return;

            _queue.Enqueue(deadline, at);
            Arm();
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            _queue.Clear();
        }

        _timer.Dispose();
    }

    private void Run()
    {
        lock (_lock)
            _armedFor = Never;

        while (true)
        {
            Deadline? due;
            var now = Now;
            lock (_lock)
            {
                if (_disposed)
                    return;

                if (!_queue.TryPeek(out due, out var at) || at > now)
                {
                    Arm();
                    return;
                }

                _queue.Dequeue();
            }

            var next = due.Target?.OnDeadline(due, now) ?? Never;
            if (next != Never && due.Target is not null)
            {
                lock (_lock)
                    _queue.Enqueue(due, next);
            }
        }
    }

    private void Arm()
    {
        if (!_queue.TryPeek(out _, out var first) || first >= _armedFor)
            return;

        _armedFor = first;
        // Rounded up to whole milliseconds: a timer that rings early would ring again at once.
        var ticks = Math.Max(0, first - Now);
        var milliseconds = Math.Ceiling(ticks * 1000.0 / _time.TimestampFrequency);
        _timer.Change(TimeSpan.FromMilliseconds(Math.Min(milliseconds, int.MaxValue)), Timeout.InfiniteTimeSpan);
    }
}
