using System.Diagnostics;

namespace KlineOrleans.Testing;

/// <summary>A clock that runs faster than the real one, timers included, for tests whose outcome does not depend on how long anything takes. Thread safe.</summary>
/// <param name="factor">How many times as fast.</param>
public sealed class FastTimeProvider(double factor, DateTimeOffset? start = null) : TimeProvider
{
    private readonly long _began = Stopwatch.GetTimestamp();
    private readonly DateTimeOffset _start = start ?? new DateTimeOffset(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow() => _start + (Stopwatch.GetElapsedTime(_began) * factor);

    public override long GetTimestamp() => GetUtcNow().UtcTicks;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        new FastTimer(this, System.CreateTimer(callback, state, Real(dueTime), Real(period)));

    // Never less than a millisecond: a real timer knows no shorter period.
    private TimeSpan Real(TimeSpan time) =>
        time <= TimeSpan.Zero ? time : time / factor < TimeSpan.FromMilliseconds(1) ? TimeSpan.FromMilliseconds(1) : time / factor;

    private sealed class FastTimer(FastTimeProvider owner, ITimer timer) : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period) => timer.Change(owner.Real(dueTime), owner.Real(period));

        public void Dispose() => timer.Dispose();

        public ValueTask DisposeAsync() => timer.DisposeAsync();
    }
}
