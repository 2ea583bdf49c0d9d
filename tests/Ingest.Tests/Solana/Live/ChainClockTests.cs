using KlineOrleans.Ingest.Solana.Live;
using KlineOrleans.Testing;

namespace KlineOrleans.Ingest.Tests.Solana.Live;

public sealed class ChainClockTests
{
    private readonly ManualTimeProvider _time = new();
    private readonly ChainClock _clock;

    public ChainClockTests() => _clock = new ChainClock(_time);

    private static DateTimeOffset At(double seconds) => DateTimeOffset.FromUnixTimeSeconds(1_700_000_000) + TimeSpan.FromSeconds(seconds);

    [Fact]
    public void Clock_without_a_block_time_says_nothing()
    {
        _clock.Reach(100);
        Assert.False(_clock.IsKnown);
    }

    [Fact]
    public void Slots_after_a_known_one_count_400_ms_each()
    {
        _clock.Learn(100, At(0).ToUnixTimeSeconds());
        _clock.Reach(105);
        Assert.Equal(At(2), _clock.Now(isLive: false));
    }

    [Fact]
    public void Block_time_of_a_later_slot_does_not_move_the_clock_before_that_slot_is_reached()
    {
        _clock.Learn(100, At(0).ToUnixTimeSeconds());
        _clock.Reach(100);
        _clock.Learn(110, At(40).ToUnixTimeSeconds());
        Assert.Equal(At(0), _clock.Now(isLive: false));
        _clock.Reach(110);
        Assert.Equal(At(40), _clock.Now(isLive: false));
    }

    [Fact]
    public void Live_clock_runs_on_between_slots_for_two_seconds()
    {
        _clock.Learn(100, At(0).ToUnixTimeSeconds());
        _clock.Reach(100);
        _time.Advance(TimeSpan.FromMilliseconds(300));
        Assert.Equal(At(0.3), _clock.Now(isLive: true));
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(At(2), _clock.Now(isLive: true));
    }

    [Fact]
    public void Clock_never_runs_back()
    {
        _clock.Learn(100, At(10).ToUnixTimeSeconds());
        _clock.Reach(100);
        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(At(12), _clock.Now(isLive: true));
        _clock.Reach(90);
        _clock.Learn(101, At(5).ToUnixTimeSeconds());
        _clock.Reach(101);
        Assert.Equal(At(12), _clock.Now(isLive: true));
        Assert.Equal(At(12), _clock.Now(isLive: false));
    }

    [Fact]
    public void Slot_of_another_world_moves_the_clock_by_a_minute_at_most()
    {
        _clock.Learn(100, At(0).ToUnixTimeSeconds());
        _clock.Reach(99_000_000_000);
        Assert.Equal(At(60), _clock.Now(isLive: false));
    }
}
