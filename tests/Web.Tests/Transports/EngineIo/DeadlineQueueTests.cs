using KlineOrleans.Testing;
using KlineOrleans.Web.Transports.EngineIo;

namespace KlineOrleans.Web.Tests.Transports.EngineIo;

public sealed class DeadlineQueueTests
{
    private readonly ManualTimeProvider _clock = new();

    [Fact]
    public void Deadlines_come_in_their_order_each_at_its_moment_behind_one_timer()
    {
        using var queue = new DeadlineQueue(_clock);
        var target = new Target(_clock);
        foreach (var milliseconds in (int[])[30, 10, 20, 10])
            queue.Add(new Deadline(target, milliseconds), queue.Now + queue.Ticks(TimeSpan.FromMilliseconds(milliseconds)));
        Assert.Equal(1, _clock.ArmedTimers);
        _clock.Advance(TimeSpan.FromMilliseconds(9));
        Assert.Empty(target.Seen);
        _clock.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal([(10, 10), (10, 10), (20, 20), (30, 30)], target.Seen);
        Assert.Equal((0, 0), (queue.Count, _clock.ArmedTimers));
    }

    [Fact]
    public void Target_is_called_again_at_the_moment_that_it_names()
    {
        using var queue = new DeadlineQueue(_clock);
        var target = new Target(_clock) { Again = now => now + queue.Ticks(TimeSpan.FromMilliseconds(50)) };
        queue.Add(new Deadline(target, 1), queue.Now + queue.Ticks(TimeSpan.FromMilliseconds(100)));
        _clock.Advance(TimeSpan.FromMilliseconds(210));
        Assert.Equal([(1, 100), (1, 150), (1, 200)], target.Seen);
    }

    [Fact]
    public void Cancelled_deadline_calls_nobody_and_holds_nobody()
    {
        using var queue = new DeadlineQueue(_clock);
        var target = new Target(_clock);
        var deadline = new Deadline(target, 1);
        queue.Add(deadline, queue.Now + 1);
        deadline.Cancel();
        Assert.Null(deadline.Target);
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Empty(target.Seen);
        Assert.Equal(0, queue.Count);
    }

    [Fact]
    public void Part_of_a_millisecond_is_rounded_up_and_never_rings_early()
    {
        using var queue = new DeadlineQueue(_clock);
        var target = new Target(_clock);
        queue.Add(new Deadline(target, 1), queue.Now + 1);
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Single(target.Seen);
    }

    private sealed class Target(ManualTimeProvider clock) : IDeadlineTarget
    {
        private readonly DateTimeOffset _start = clock.GetUtcNow();

        public List<(int Kind, int Milliseconds)> Seen { get; } = [];

        public Func<long, long>? Again { get; init; }

        public long OnDeadline(Deadline deadline, long now)
        {
            Seen.Add((deadline.Kind, (int)(clock.GetUtcNow() - _start).TotalMilliseconds));
            return Again?.Invoke(now) ?? DeadlineQueue.Never;
        }
    }
}
