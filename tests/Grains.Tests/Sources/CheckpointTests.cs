using KlineOrleans.Contracts;

namespace KlineOrleans.Grains.Tests;

/// <summary>What a checkpoint may pass, and what one mint's trouble does to the others.</summary>
public class CheckpointTests
{
    private readonly FakeMints _mints = new();

    [Fact]
    public async Task A_trade_under_way_during_a_checkpoint_is_saved_before_the_next_one_passes_it()
    {
        var (second, gate) = (Signal(), Signal());
        var started = Signal();
        _mints["A"].Before = async batch =>
        {
            if (batch.Trades[0].Order.Id.Position == 1_002)
            {
                started.TrySetResult();
                await gate.Task;
            }
        };
        var sources = new FakeSources(new KlineRules(), [Chunk(1, Trade("A", 1)), Chunk(2, Trade("A", 2))], ends: false) { BeforeChunk = i => i == 1 ? second.Task : Task.CompletedTask };
        var pump = _mints.Pump(sources);
        await Spin(() => _mints["A"].Applied.Count == 1);
        second.SetResult();
        await started.Task;
        await _mints.Until(() => !_mints.Checkpoints.IsEmpty);
        gate.SetResult();
        await _mints.Until(() => _mints.Checkpoints.Any(c => c.Checkpoint == "2"));

        Assert.Equal(("1", "A:1001"), _mints.Checkpoints.First());
        Assert.Equal(("2", "A:1001,1002"), _mints.Checkpoints.First(c => c.Checkpoint == "2"));
        await pump.Stop();
    }

    [Fact]
    public async Task Mints_arrive_a_bounded_number_at_a_time_and_those_in_memory_do_not_wait_for_them()
    {
        const int arriving = 3_000;
        var (warm, gate) = (Signal(), Signal());
        var (underWay, most) = (0, 0);
        for (var i = 0; i < arriving; i++)
        {
            _mints[$"N{i}"].Before = async _ =>
            {
                var now = Interlocked.Increment(ref underWay);
                InterlockedMax(ref most, now);
                await gate.Task;
                Interlocked.Decrement(ref underWay);
            };
        }

        var newcomers = Chunk(2, [.. Enumerable.Range(0, arriving).Select(i => Trade($"N{i}", 2 + i))]);
        var sources = new FakeSources(new KlineRules(), [Chunk(1, Trade("A", 1)), newcomers, Chunk(3, Trade("A", arriving + 2))], ends: false) { BeforeChunk = i => i == 1 ? warm.Task : Task.CompletedTask };
        var pump = _mints.Pump(sources);
        await Spin(() => _mints["A"].Applied.Count == 1);
        warm.SetResult();
        await Spin(() => _mints["A"].Applied.Count == 2);
        await Spin(() => Volatile.Read(ref underWay) == SourcePump.MaxArrivals);
        gate.SetResult();
        await Spin(() => Enumerable.Range(0, arriving).All(i => _mints[$"N{i}"].Applied.Count == 1));

        Assert.Equal(SourcePump.MaxArrivals, most);
        await pump.Stop();

        static void InterlockedMax(ref int target, int value)
        {
            for (var seen = Volatile.Read(ref target); value > seen; seen = Volatile.Read(ref target))
            {
                if (Interlocked.CompareExchange(ref target, value, seen) == seen)
                {
                    return;
                }
            }
        }
    }

    [Fact]
    public async Task What_a_lost_activation_had_not_saved_is_read_again_before_a_checkpoint_passes_it()
    {
        var sources = new FakeSources(new KlineRules(), [Chunk(1, Trade("A", 1), Trade("B", 2)), Chunk(2, Trade("A", 3)), Chunk(3, Trade("B", 4))], ends: false);
        var pump = _mints.Pump(sources);
        await Spin(() => _mints["A"].Applied.Count == 2 && _mints["B"].Applied.Count == 2);
        _mints["A"].Lose();
        Assert.Empty(_mints["A"].Applied);
        await _mints.Until(() => _mints.Checkpoints.Any(c => c.Checkpoint == "3"));

        Assert.Equal([null, null], sources.Reads);
        Assert.All(_mints.Checkpoints.Where(c => c.Checkpoint == "3"), c => Assert.Equal("A:1001,1003 B:1002,1004", c.Saved));
        Assert.Equal([1_002L, 1_004], _mints["B"].Applied);
        await pump.Stop();
    }

    [Fact]
    public async Task An_activation_lost_after_its_save_costs_nothing()
    {
        var next = Signal();
        var sources = new FakeSources(new KlineRules(), [Chunk(1, Trade("A", 1)), Chunk(2, Trade("A", 2))], ends: false) { BeforeChunk = i => i == 1 ? next.Task : Task.CompletedTask };
        var pump = _mints.Pump(sources);
        await _mints.Until(() => _mints.Checkpoints.Any(c => c.Checkpoint == "1"));
        _mints["A"].Lose();
        Assert.Equal(TradeMaker.Start.AddSeconds(1), pump.ClockOf("A", _mints["A"].Activation).Time);
        next.SetResult();
        await _mints.Until(() => _mints.Checkpoints.Any(c => c.Checkpoint == "2"));

        Assert.Equal([null], sources.Reads);
        Assert.Equal("A:1001,1002", _mints.Checkpoints.First(c => c.Checkpoint == "2").Saved);
        await pump.Stop();
    }

    [Fact]
    public async Task A_call_that_was_applied_and_then_timed_out_is_given_to_whatever_activation_there_is()
    {
        var failures = 0;
        _mints["A"].After = batch =>
        {
            if (batch.Trades[0].Order.Id.Position == 1_002 && Interlocked.Increment(ref failures) == 1)
            {
                // Applied, the answer lost, and then the process that had it.
                _mints["A"].Lose();
                throw new TimeoutException("no answer");
            }

            return Task.CompletedTask;
        };
        var sources = new FakeSources(new KlineRules(), [Chunk(1, Trade("A", 1)), Chunk(2, Trade("A", 2))], ends: false) { BeforeChunk = i => i == 1 ? Spin(() => _mints["A"].Applied.Count > 0) : Task.CompletedTask };
        var pump = _mints.Pump(sources);
        await _mints.Until(() => _mints.Checkpoints.Any(c => c.Checkpoint == "2"));

        Assert.All(_mints.Checkpoints.Where(c => c.Checkpoint == "2"), c => Assert.Equal("A:1001,1002", c.Saved));
        await pump.Stop();
    }

    [Fact]
    public async Task An_activation_that_lacks_trades_gets_no_clock_and_has_them_read_again()
    {
        var sources = new FakeSources(new KlineRules(), [Chunk(1, Trade("A", 1)), Chunk(2, Trade("B", 2))], ends: false);
        var pump = _mints.Pump(sources);
        await Spin(() => _mints["A"].Applied.Count == 1 && pump.ClockOf("A", 1).Time == TradeMaker.Start.AddSeconds(2));
        _mints["A"].Lose();

        Assert.Equal(DateTimeOffset.MinValue, pump.ClockOf("A", _mints["A"].Activation).Time);

        await Spin(() => _mints["A"].Applied.Count == 1);
        Assert.Equal(2, sources.Reads.Count);
        await pump.Stop();
    }

    [Fact]
    public async Task A_mint_that_cannot_take_its_trades_holds_up_its_own_clock_and_the_checkpoint_alone()
    {
        _mints["A"].Before = _ => throw new ArchiveUnavailableException("its history cannot be read");
        List<SourceChunk> chunks = [Chunk(1, Trade("B", 1)), Chunk(2, Trade("A", 2)), .. Enumerable.Range(3, 3_000).Select(i => Chunk(i, Trade("B", i)))];
        var pump = _mints.Pump(new FakeSources(new KlineRules(), chunks, ends: false));
        await _mints.Until(() => _mints["B"].Applied.Count == 3_001 && _mints.Checkpoints.Any(c => c.Checkpoint == "1"));

        Assert.Equal(TradeMaker.Start.AddSeconds(3_002), pump.ClockOf("B", 1).Time);
        Assert.Equal(TradeMaker.Start.AddSeconds(1), pump.ClockOf("A", 1).Time);
        Assert.DoesNotContain(_mints.Checkpoints, c => c.Checkpoint != "1");
        Assert.Contains("its history cannot be read", pump.GetStatus().Error, StringComparison.Ordinal);

        _mints["A"].Before = _ => Task.CompletedTask;
        await _mints.Until(() => _mints.Checkpoints.Any(c => c.Checkpoint == "3002"));
        Assert.Null(pump.GetStatus().Error);
        await pump.Stop();
    }

    [Fact]
    public async Task A_source_stops_when_one_mint_gives_up_and_another_ends_after_it()
    {
        var (started, failed, gate) = (Signal(), Signal(), Signal());
        _mints["A"].Before = _ =>
        {
            failed.TrySetResult();
            throw new ArchiveUnavailableException("away");
        };
        _mints["B"].Before = async _ =>
        {
            started.TrySetResult();
            await gate.Task;
        };
        var pump = _mints.Pump(new FakeSources(new KlineRules(), [Chunk(1, Trade("A", 1), Trade("B", 2))], ends: false));
        await started.Task;
        await failed.Task;
        var stop = pump.Stop();
        await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, TestContext.Current.CancellationToken);
        gate.SetResult();

        await stop.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Assert.Empty(_mints.Checkpoints);
        Assert.Equal([1_002L], _mints["B"].Saved);
    }

    [Fact]
    public async Task Trades_lost_while_the_source_stops_are_not_passed_by_its_last_checkpoint()
    {
        var pump = _mints.Pump(new FakeSources(new KlineRules(), [Chunk(1, Trade("A", 1))], ends: false));
        await Spin(() => _mints["A"].Applied.Count == 1);
        _mints["A"].Lose();

        await pump.Stop();

        Assert.Empty(_mints.Checkpoints);
    }

    [Fact]
    public async Task What_a_mint_refuses_is_counted_and_passed_by_and_what_it_fails_on_is_sent_again()
    {
        _mints["A"].Refusal = "another source feeds it";
        var failures = 0;
        _mints["B"].Before = _ => Interlocked.Increment(ref failures) < 3 ? throw new ArgumentException("a bug") : Task.CompletedTask;
        var pump = _mints.Pump(new FakeSources(new KlineRules(), [Chunk(1, Trade("A", 1), Trade("A", 2), Trade("B", 3))], ends: false));
        await _mints.Until(() => _mints.Checkpoints.Any(c => c.Checkpoint == "1"));

        Assert.Equal(2, pump.GetStatus().Skipped["otherSource"]);
        Assert.Equal("another source feeds it", pump.GetStatus().Error);
        Assert.Equal([1_003L], _mints["B"].Saved);
        await pump.Stop();
    }

    [Fact]
    public async Task Saves_do_not_wait_for_the_index_of_symbols_and_the_checkpoint_does()
    {
        _mints.Archive.IsUnavailable = true;
        var pump = _mints.Pump(new FakeSources(new KlineRules(), [Chunk(1, Trade("A", 1))], ends: false));
        await _mints.Until(() => _mints["A"].Saved.Count == 1 && pump.GetStatus().Error is not null);
        Assert.Empty(_mints.Checkpoints);

        _mints.Archive.IsUnavailable = false;
        await _mints.Until(() => _mints.Checkpoints.Any(c => c.Checkpoint == "1"));
        Assert.NotNull(await _mints.Archive.GetSymbol("A", TestContext.Current.CancellationToken));
        await pump.Stop();
    }

    [Fact]
    public async Task A_mint_that_falls_quiet_is_settled_when_the_clock_passes_what_it_still_forms()
    {
        _mints["A"].NextFinal = TradeMaker.Start.AddSeconds(60);
        var rest = Signal();
        List<SourceChunk> chunks = [Chunk(1, Trade("A", 1)), .. Enumerable.Range(1, 20).Select(i => Chunk(i * 10, Trade("B", i * 10)))];
        var pump = _mints.Pump(new FakeSources(new KlineRules(), chunks, ends: false) { BeforeChunk = i => i == 1 ? rest.Task : Task.CompletedTask });
        await _mints.Until(() => _mints["A"].Saved.Count == 1);
        var before = _mints["A"].Settled;
        rest.SetResult();
        await _mints.Until(() => _mints["A"].Settled > before);

        Assert.InRange(_mints["A"].Clock.Time, TradeMaker.Start.AddSeconds(60), TradeMaker.Start.AddSeconds(200));
        await pump.Stop();
    }

    [Fact]
    public async Task Mints_known_from_an_earlier_run_are_settled_up_to_the_stored_clock_though_nothing_is_read()
    {
        for (var i = 0; i < 1_500; i++)
        {
            await _mints.Archive.PutSymbol(new SymbolInfo($"Quiet{i}", $"Quiet{i}", i % 500 == 0 ? "another" : FakeSources.Name, TradeMaker.Start.AddSeconds(i)), TestContext.Current.CancellationToken);
        }

        var clock = TradeMaker.Start.AddDays(1);
        var pump = _mints.Pump(new FakeSources(new KlineRules(), [], ends: false), "0", clock);
        await _mints.Until(() => Enumerable.Range(0, 1_500).All(i => i % 500 == 0 || _mints[$"Quiet{i}"].Settled > 0));

        Assert.All(Enumerable.Range(0, 1_500), i => Assert.Equal(i % 500 == 0 ? (0, default) : (1, clock), (_mints[$"Quiet{i}"].Settled, _mints[$"Quiet{i}"].Clock.Time)));
        await pump.Stop();
    }

    private static TaskCompletionSource Signal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static Trade Trade(string symbol, int number) => TradeMaker.Trade(number, TradeMaker.Start.AddSeconds(number), 1) with { Symbol = symbol };

    private static SourceChunk Chunk(int number, params Trade[] trades) => new([.. trades], $"{number}", new SourceClock(TradeMaker.Start.AddSeconds(number), IsLive: false));

    private static async Task Spin(Func<bool> condition)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!condition())
        {
            patience.Token.ThrowIfCancellationRequested();
            await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
        }
    }
}
