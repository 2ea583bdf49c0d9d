using Microsoft.Extensions.Logging;
using Orleans.Runtime;

namespace KlineOrleans.InProcess;

/// <summary>A timer of one activation, and the turn that its tick is: at most one tick is on its way.</summary>
internal sealed class GrainTimer : Turn, IGrainTimer
{
    private readonly Activation _activation;
    private readonly Func<CancellationToken, Task> _callback;
    private readonly GrainTimerCreationOptions _options;
    private readonly CancellationTokenSource _disposed = new();
    private readonly ITimer _timer;
    private int _ticking;
    private bool _changed;
    private TimeSpan _dueTime;
    private TimeSpan _period;

    internal GrainTimer(Activation activation, Func<CancellationToken, Task> callback, GrainTimerCreationOptions options)
    {
        Validate(options.DueTime, nameof(options.DueTime));
        Validate(options.Period, nameof(options.Period));
        _activation = activation;
        _callback = callback;
        _options = options;
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
        {
            _timer = activation.Engine.Time.CreateTimer(static timer => ((GrainTimer)timer!).Tick(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }

    internal override bool AlwaysInterleaves => _options.Interleave;

    internal override bool IsReadOnly => false;

    internal override bool KeepsAlive => _options.KeepAlive;

    internal override bool IsAbandoned => _disposed.IsCancellationRequested;

    public void Change(TimeSpan dueTime, TimeSpan period)
    {
        Validate(dueTime, nameof(dueTime));
        Validate(period, nameof(period));
        _changed = true;
        _dueTime = dueTime;
        _period = period;
        if (Volatile.Read(ref _ticking) == 0)
        {
            _timer.Change(dueTime, Timeout.InfiniteTimeSpan);
        }
    }

    public void Dispose()
    {
        if (!_disposed.IsCancellationRequested)
        {
            _timer.Dispose();
            _activation.Forget(this);
            _disposed.Cancel();
        }
    }

    internal override Task Start(Activation activation)
    {
        _changed = false;
        return _callback(_disposed.Token);
    }

    internal override void End(Activation activation, Task task)
    {
        if (task.Exception is { } exception)
        {
            activation.Engine.Log.LogWarning(1406, exception.InnerExceptions[0], "Grain {Grain}: a timer's callback has thrown; the timer goes on", activation.GrainId);
        }

        Volatile.Write(ref _ticking, 0);
        if (!_disposed.IsCancellationRequested)
        {
            _timer.Change(_changed ? _dueTime : _period, Timeout.InfiniteTimeSpan);
        }
    }

    internal override void Fail(Exception exception)
    {
    }

    internal override void Forward(Activation gone)
    {
    }

    private static void Validate(TimeSpan value, string name)
    {
        var milliseconds = (long)value.TotalMilliseconds;
        ArgumentOutOfRangeException.ThrowIfLessThan(milliseconds, -1, name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(milliseconds, 0xfffffffe, name);
    }

    private void Tick()
    {
        if (Interlocked.Exchange(ref _ticking, 1) == 0)
        {
            _activation.Enqueue(this);
        }
    }
}
