using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace KlineOrleans.Grains.Tests;

public sealed class SourceClocksTests : IDisposable
{
    private readonly ManualTimeProvider _time = new(TradeMaker.Start);
    private readonly FakeSource _source = new();
    private readonly SourceClocks _clocks;

    public SourceClocksTests() => _clocks = new SourceClocks(FakeGrainFactory.Of<ISourceGrain>(_ => _source), _time, NullLogger<SourceClocks>.Instance);

    public void Dispose() => _clocks.Dispose();

    [Fact]
    public async Task A_source_is_asked_at_most_once_a_second_however_many_wait_and_each_is_woken_once()
    {
        var woken = new int[1_000];
        for (var i = 0; i < woken.Length; i++)
        {
            var number = i;
            _clocks.Wait(new SourceClocks.Waiter(() => Task.FromResult(Interlocked.Increment(ref woken[number]))), "fake", TradeMaker.Start.AddSeconds(10));
        }

        _source.Clock = new SourceClock(TradeMaker.Start.AddSeconds(9.999), IsLive: false);
        var seconds = await Advance(() => _source.Asked >= 3);
        Assert.InRange(_source.Asked, 3, seconds);
        Assert.All(woken, w => Assert.Equal(0, w));

        _source.Clock = new SourceClock(TradeMaker.Start.AddSeconds(10), IsLive: false);
        await Advance(() => woken.All(w => w > 0));
        var asked = _source.Asked;
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.All(woken, w => Assert.Equal(1, w));
        Assert.InRange(_source.Asked, asked, asked + 1);
    }

    [Fact]
    public async Task Who_waits_for_a_clock_that_has_become_live_is_woken_before_the_moment()
    {
        var woken = 0;
        _clocks.Wait(new SourceClocks.Waiter(() => Task.FromResult(Interlocked.Increment(ref woken))), "fake", TradeMaker.Start.AddSeconds(10));
        _source.Clock = new SourceClock(TradeMaker.Start.AddSeconds(9), IsLive: true);

        await Advance(() => woken > 0);

        Assert.Equal(1, woken);
    }

    [Fact]
    public async Task Who_waits_for_another_moment_or_for_nothing_any_more_is_not_woken_for_the_first()
    {
        int later = 0, gone = 0, witness = 0;
        var first = new SourceClocks.Waiter(() => Task.FromResult(Interlocked.Increment(ref later)));
        var second = new SourceClocks.Waiter(() => Task.FromResult(Interlocked.Increment(ref gone)));
        _clocks.Wait(first, "fake", TradeMaker.Start);
        _clocks.Wait(second, "fake", TradeMaker.Start);
        _clocks.Wait(first, "fake", TradeMaker.Start.AddSeconds(20));
        _clocks.Forget(second);
        _clocks.Wait(new SourceClocks.Waiter(() => Task.FromResult(Interlocked.Increment(ref witness))), "fake", TradeMaker.Start.AddSeconds(10));

        _source.Clock = new SourceClock(TradeMaker.Start.AddSeconds(10), IsLive: false);
        await Advance(() => witness > 0);
        Assert.Equal((0, 0), (later, gone));

        _source.Clock = new SourceClock(TradeMaker.Start.AddSeconds(20), IsLive: false);
        await Advance(() => later > 0);
        Assert.Equal((1, 0, 1), (later, gone, witness));
    }

    [Fact]
    public async Task A_source_that_cannot_be_asked_is_asked_again()
    {
        var woken = 0;
        _source.Failures = 2;
        _source.Clock = new SourceClock(TradeMaker.Start, IsLive: false);
        _clocks.Wait(new SourceClocks.Waiter(() => Task.FromResult(Interlocked.Increment(ref woken))), "fake", TradeMaker.Start);

        await Advance(() => woken > 0);

        Assert.Equal(3, _source.Asked);
    }

    /// <returns>How many seconds it took.</returns>
    private async Task<int> Advance(Func<bool> condition)
    {
        var from = _time.GetUtcNow();
        await FakeMints.Until(_time, () => Task.FromResult(condition()));
        return (int)(_time.GetUtcNow() - from).TotalSeconds;
    }

    private sealed class FakeSource : ISourceGrain
    {
        private int _asked;

        public SourceClock Clock { get; set; }

        public int Failures { get; set; }

        public int Asked => Volatile.Read(ref _asked);

        public Task<SourceClock> GetClock(string symbol, long activation) =>
            Interlocked.Increment(ref _asked) <= Failures ? Task.FromException<SourceClock>(new TimeoutException("busy")) : Task.FromResult(Clock);

        public Task Start() => throw new NotSupportedException();

        public Task Stop() => throw new NotSupportedException();

        public Task<SourceStatus> GetStatus() => throw new NotSupportedException();
    }
}
