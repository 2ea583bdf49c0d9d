using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Archive;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Grains.Tests;

public class KlineGrainTests
{
    private static readonly KlineRules Rules = new();
    private readonly MemoryGrainStorage _storage = new();
    private readonly MemoryKlineArchive _archive = new();
    private readonly ManualTimeProvider _time = new(TradeMaker.Start);

    [Fact]
    public async Task A_batch_gives_one_update_with_every_interval_and_consecutive_numbers()
    {
        await using var host = await Start();
        var updates = await host.Follow();

        await Ingest(host, Trade(0, 0), Trade(1, 1));
        await Ingest(host, Trade(2, 2));

        var first = await updates.ReadAsync(TestContext.Current.CancellationToken);
        var second = await updates.ReadAsync(TestContext.Current.CancellationToken);
        Assert.Equal((1, 2), (first.Seq, second.Seq));
        Assert.Equal(first.Epoch, second.Epoch);
        Assert.Equal(Rules.Intervals, second.Klines.Where(k => !k.IsFinal && k.OpenTime == k.Interval.OpenTime(TradeMaker.Start.AddSeconds(2))).Select(k => k.Interval));
        Assert.Equal(TradeMaker.Start.AddSeconds(2), second.EventTime);
    }

    [Fact]
    public async Task A_batch_that_changes_nothing_gives_no_update()
    {
        await using var host = await Start();
        await Ingest(host, Trade(0, 0));
        var before = await host.Mint().GetSnapshot();

        var again = await Ingest(host, Trade(0, 0));

        Assert.Equal((0, 1, 0), (again.Applied, again.Duplicates, again.Late));
        Assert.Equal(before.Seq, (await host.Mint().GetSnapshot()).Seq);
    }

    [Fact]
    public async Task A_snapshot_is_what_the_updates_up_to_its_number_add_up_to()
    {
        await using var host = await Start();
        var updates = await host.Follow();
        var random = new Random(5);
        var trades = TradeMaker.Delayed(random, TradeMaker.InOrder(random, 200, TimeSpan.FromMinutes(10), onChain: true), TimeSpan.FromMinutes(3));
        foreach (var some in trades.Chunk(7))
        {
            await Ingest(host, some);
        }

        var snapshot = await host.Mint().GetSnapshot();
        var heard = new Dictionary<(KlineInterval, DateTimeOffset), Kline>();
        for (var seq = 1L; seq <= snapshot.Seq; seq++)
        {
            var update = await updates.ReadAsync(TestContext.Current.CancellationToken);
            Assert.Equal((snapshot.Epoch, seq), (update.Epoch, update.Seq));
            foreach (var kline in update.Klines)
            {
                heard[(kline.Interval, kline.OpenTime)] = kline;
            }
        }

        Assert.Equal(snapshot.Klines, heard.Values.OrderBy(k => k.Interval).ThenBy(k => k.OpenTime));
        Assert.Equal(trades.Max(t => t.ReceivedTime), snapshot.Clock);
    }

    [Fact]
    public async Task A_mint_never_seen_has_an_empty_snapshot_and_leaves_nothing_behind()
    {
        await using var host = await Start();

        var snapshot = await host.Mint("NobodyTradesThisMint11111111111111111111111").GetSnapshot();
        await host.Engine.DeactivateAll();

        Assert.Empty(snapshot.Klines);
        Assert.Equal("", snapshot.Source);
        Assert.Equal(0, _storage.Writes);
    }

    [Fact]
    public async Task Trades_of_another_mint_or_of_a_second_source_are_refused()
    {
        var sources = new FakeSources(Rules, []);
        await using var host = await GrainHost.Start(sources, _storage, _archive, _time);
        await Ingest(host, Trade(0, 0));

        await Assert.ThrowsAsync<ArgumentException>(() => Ingest(host, Trade(1, 1) with { Symbol = "Other" }));
        var result = await host.Mint().Ingest(new TradeBatch { Source = "second", Trades = [Trade(1, 1)] });

        Assert.Contains("second", result.Refusal, StringComparison.Ordinal);
        Assert.Contains(FakeSources.Name, result.Refusal, StringComparison.Ordinal);
        Assert.Equal(0, result.Applied);
    }

    [Fact]
    public async Task Klines_are_in_the_archive_only_after_the_state_that_holds_them_is_saved()
    {
        await using var host = await Start();
        await Ingest(host, Trade(0, 0), Trade(1, 10));
        var archivedAtStateWrite = -1;
        _storage.Before = (_, _) =>
        {
            archivedAtStateWrite = _archive.AllOf(TradeMaker.Symbol).Count;
            return Task.CompletedTask;
        };

        await host.Mint().Settle(FakeSources.Name, new SourceClock(TradeMaker.Start.AddSeconds(10), IsLive: false));

        Assert.Equal(0, archivedAtStateWrite);
        Assert.Equal([KlineInterval.S1, KlineInterval.S5], _archive.AllOf(TradeMaker.Symbol).Select(k => k.Interval));
    }

    [Fact]
    public async Task Trades_go_on_while_a_save_waits_for_the_store()
    {
        await using var host = await Start();
        await Ingest(host, Trade(0, 0), Trade(1, 10));
        Task saving;
        using (_archive.HoldWrites())
        {
            saving = host.Mint().Settle(FakeSources.Name, new SourceClock(TradeMaker.Start.AddSeconds(10), IsLive: false));
            await _archive.WaitForHeldWrites(1, TestContext.Current.CancellationToken);
            var result = await Ingest(host, Trade(2, 20));
            Assert.Equal(1, result.Applied);
            Assert.False(saving.IsCompleted);
        }

        await saving;
    }

    [Fact]
    public async Task A_store_that_is_away_fails_the_save_and_the_next_one_saves_all()
    {
        await using var host = await Start();
        await Ingest(host, Trade(0, 0), Trade(1, 10));
        _archive.IsUnavailable = true;
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => host.Mint().Settle(FakeSources.Name, new SourceClock(TradeMaker.Start.AddSeconds(10), IsLive: false)));
        await Ingest(host, Trade(2, 20));
        _archive.IsUnavailable = false;

        await host.Mint().Settle(FakeSources.Name, new SourceClock(TradeMaker.Start.AddSeconds(20), IsLive: false));

        Assert.Equal(2, _archive.AllOf(TradeMaker.Symbol).Count(k => k.Interval == KlineInterval.S1));
    }

    [Fact]
    public async Task A_process_full_of_klines_that_are_not_stored_takes_no_more_trades_until_they_are()
    {
        await using var host = await Start();
        var metrics = host.Engine.Services.GetRequiredService<GrainMetrics>();
        metrics.MostUnarchived = 40;
        _archive.IsUnavailable = true;
        await Ingest(host, [.. Enumerable.Range(0, 20).Select(i => Trade(i, i))]);
        Assert.InRange(metrics.Unarchived, 1, 39);
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => Ingest(host, [.. Enumerable.Range(20, 40).Select(i => Trade(i, i))]));
        var full = metrics.Unarchived;
        Assert.True(full >= 40);

        // Sent again, as the pump does, they are known already; the grain still has no room.
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => Ingest(host, Trade(59, 59)));
        Assert.Equal(full, metrics.Unarchived);
        _archive.IsUnavailable = false;
        var result = await Ingest(host, Trade(59, 59));
        Assert.Equal((0, 1, 0), (result.Applied, result.Duplicates, result.Late));
        Assert.Equal(0, metrics.Unarchived);
        Assert.Equal((int)full, _archive.AllOf(TradeMaker.Symbol).Count);
    }

    [Fact]
    public async Task An_activation_begins_a_new_epoch_and_goes_on_with_the_klines()
    {
        var host = await Start();
        await Ingest(host, Trade(0, 0, price: 5), Trade(1, 1, price: 3));
        var before = await host.Mint().GetSnapshot();

        await host.Engine.DeactivateAll();
        var after = await host.Mint().GetSnapshot();

        Assert.True(after.Epoch > before.Epoch);
        Assert.Equal(0, after.Seq);
        Assert.Equal(before.Klines, after.Klines);
        await host.DisposeAsync();
    }

    [Fact]
    public async Task A_live_clock_makes_klines_final_without_another_trade()
    {
        var live = new SourceChunk([Trade(0, 0)], "1", new SourceClock(TradeMaker.Start, IsLive: true));
        var sources = new FakeSources(Rules, [live, .. Enumerable.Range(1, 30).Select(i => new SourceChunk([], $"{i + 1}", new SourceClock(TradeMaker.Start.AddMilliseconds(i * 250), IsLive: true)))], ends: false)
        {
            // Each chunk is a quarter of a second later.
            BeforeChunk = i =>
            {
                if (i > 0)
                {
                    _time.Advance(TimeSpan.FromMilliseconds(250));
                }

                return Task.CompletedTask;
            },
        };
        await using var host = await GrainHost.Start(sources, _storage, _archive, _time);
        var updates = await host.Follow();
        await host.Source.Start();

        var finals = new List<Kline>();
        while (finals.Count < 1)
        {
            // The timer of a grain runs on its own thread: what it has to say comes when the clock is far enough.
            if (updates.TryRead(out var update))
            {
                finals.AddRange(update.Klines.Where(k => k.IsFinal));
            }
            else
            {
                _time.Advance(TimeSpan.FromMilliseconds(1));
                await Task.Yield();
            }
        }

        Assert.Equal((KlineInterval.S1, TradeMaker.Start, 0), (finals[0].Interval, finals[0].OpenTime, finals[0].Revision));
    }

    [Fact]
    public async Task A_clock_that_stands_still_holds_klines_open()
    {
        var sources = new FakeSources(Rules, [new SourceChunk([Trade(0, 0)], "1", new SourceClock(TradeMaker.Start, IsLive: false))], ends: false);
        await using var host = await GrainHost.Start(sources, _storage, _archive, _time);
        await host.Source.Start();
        while ((await host.Mint().GetSnapshot()).Klines.IsEmpty)
        {
            await Task.Yield();
        }

        _time.Advance(TimeSpan.FromHours(1));
        var snapshot = await host.Mint().GetSnapshot();

        Assert.All(snapshot.Klines, k => Assert.False(k.IsFinal));
    }

    [Fact]
    public async Task A_correction_of_order_sets_open_and_close_right()
    {
        await using var host = await Start();
        Trade At(int sequence, string signature, decimal price) => Trade(0, 0, price) with { Order = new TradeOrder(new TradeId(7, signature), sequence) };
        await Ingest(host, At(1_000, "c", 3), At(1_001, "a", 1), At(1_002, "b", 2));

        await host.Mint().Ingest(new TradeBatch { Source = FakeSources.Name, Trades = [At(0, "a", 1), At(1, "b", 2), At(2, "c", 3), At(3, "d", 9)], IsSlotOrder = true });

        var kline = (await host.Mint().GetSnapshot()).Klines[0];
        Assert.Equal((1m, 9m, 9m, 1m), (kline.Open.Value, kline.Close.Value, kline.High.Value, kline.Low.Value));
        Assert.Equal(4, kline.UpdateCount);
    }

    [Fact]
    public async Task A_second_correction_of_a_slot_in_one_batch_is_a_correction_of_its_own()
    {
        await using var host = await Start();
        Trade At(int sequence, string signature, decimal price) => Trade(0, 0, price) with { Order = new TradeOrder(new TradeId(7, signature), sequence) };
        await Ingest(host, At(1_000, "b", 2), At(1_001, "a", 1));

        await host.Mint().Ingest(new TradeBatch { Source = FakeSources.Name, Trades = [At(1, "a", 1), At(2, "b", 2), At(0, "c", 3), At(1, "a", 1), At(2, "b", 2)], IsSlotOrder = true });

        var kline = (await host.Mint().GetSnapshot()).Klines[0];
        Assert.Equal((3m, 2m, 3), (kline.Open.Value, kline.Close.Value, kline.UpdateCount));
    }

    [Fact]
    public async Task A_save_for_an_activation_that_is_gone_is_refused()
    {
        await using var host = await Start();
        _storage.Before = (operation, _) => operation == "write" ? throw new IOException("database away") : Task.CompletedTask;
        var taken = await Ingest(host, Trade(0, 0));
        await host.Engine.DeactivateAll();
        _storage.Before = null;

        var refused = await host.Mint().Save(new SourceClock(TradeMaker.Start.AddSeconds(1), IsLive: false), taken.Activation);
        var later = await host.Mint().Ingest(new TradeBatch { Source = FakeSources.Name, Trades = [Trade(1, 1)], Activation = taken.Activation });
        var again = await Ingest(host, Trade(0, 0));
        var saved = await host.Mint().Save(new SourceClock(TradeMaker.Start.AddSeconds(1), IsLive: false), again.Activation);

        Assert.False(refused.IsSaved);
        Assert.Equal((0, again.Activation), (later.Applied, later.Activation));
        Assert.Equal(1, again.Applied);
        Assert.NotEqual(taken.Activation, again.Activation);
        Assert.True(saved.IsSaved);
        Assert.Equal(TradeMaker.Start.AddSeconds(3), saved.NextFinal);
    }

    [Fact]
    public async Task A_grain_with_unsaved_trades_is_not_collected_and_one_without_is()
    {
        // One short interval, made final: the grain has no timer but the one for its save.
        await using var host = await GrainHost.Start(new FakeSources(new KlineRules { Intervals = [KlineInterval.S1] }, []), _storage, _archive, _time);
        _storage.Before = (operation, _) => operation == "write" ? throw new IOException("database away") : Task.CompletedTask;
        var activation = (await Ingest(host, Trade(0, 0))).Activation;
        await Assert.ThrowsAnyAsync<Exception>(() => host.Mint().Settle(FakeSources.Name, new SourceClock(TradeMaker.Start.AddMinutes(1), IsLive: false)));

        // A second sweep for idle grains is over when it has taken another that came after the first: both have looked at this one.
        await Leaves(host, _time, "witness1", 1);
        await Leaves(host, _time, "witness2", 2);

        await host.Engine.CollectIdle();
        Assert.Equal(activation, (await Ingest(host, Trade(0, 0))).Activation);
        _storage.Before = null;
        await FakeMints.Until(_time, () => Task.FromResult(_archive.AllOf(TradeMaker.Symbol).Count > 0));
        var reads = _storage.Reads;
        await FakeMints.Until(_time, () => HaveLeft(host, 3), TimeSpan.FromMinutes(1));

        Assert.NotEqual(activation, (await Ingest(host, Trade(0, 0))).Activation);
        Assert.Equal(reads + 1, _storage.Reads);
    }

    [Fact]
    public async Task A_grain_that_has_saved_by_itself_stays_until_its_source_has_asked_for_the_save()
    {
        // Not before the machine's time: an engine may count by that how long a grain keeps itself.
        var time = new ManualTimeProvider(TimeProvider.System.GetUtcNow());
        await using var host = await GrainHost.Start(new FakeSources(new KlineRules { Intervals = [KlineInterval.S1] }, []), _storage, _archive, time, collectionAge: TimeSpan.FromSeconds(30));
        var taken = await Ingest(host, Trade(0, 0));
        await FakeMints.Until(time, () => Task.FromResult(_storage.Writes > 0));
        await Leaves(host, time, "witness1", 1);
        await Leaves(host, time, "witness2", 2);

        // The checkpoint of a busy source comes late, and finds the activation that has the trades.
        var clock = new SourceClock(TradeMaker.Start.AddMinutes(1), IsLive: false);
        Assert.True((await host.Mint().Save(clock, taken.Activation)).IsSaved);

        await FakeMints.Until(time, () => HaveLeft(host, 3));
        Assert.NotEqual(taken.Activation, (await Ingest(host, Trade(0, 0))).Activation);
    }

    [Fact]
    public async Task Grains_of_a_process_that_stops_save_and_leave_and_none_comes_in_their_place()
    {
        await using (var host = await GrainHost.Start(new FakeSources(Rules, []), _storage, _archive, _time))
        {
            await host.Source.Start();
            await Ingest(host, Trade(0, 0), Trade(1, 1));
            Assert.Equal(0, _storage.Writes);

            await host.Engine.Services.GetRequiredService<ActiveGrains>().Leave(TestContext.Current.CancellationToken);

            Assert.Equal(1, Left(host));
            await Assert.ThrowsAnyAsync<Exception>(() => host.Mint().GetSnapshot());
            await Assert.ThrowsAnyAsync<Exception>(() => host.Source.GetStatus());
        }

        // Another process knows all that this one took.
        await using var other = await Start();
        Assert.Equal((0, 2), await Ingest(other, Trade(0, 0), Trade(1, 1)) is var again ? (again.Applied, again.Duplicates) : default);
    }

    [Fact]
    public async Task A_grain_whose_state_is_read_within_its_own_turn_is_woken_in_turns()
    {
        // The read completes on the grain, so that what waits for it goes on at once, inside.
        _storage.Before = async (_, _) => await Task.Yield();
        var chunks = new List<SourceChunk> { new([Trade(0, 0)], "1", new SourceClock(TradeMaker.Start, IsLive: false)), new([], "2", new SourceClock(TradeMaker.Start.AddMinutes(3), IsLive: false)) };
        await using var host = await GrainHost.Start(new FakeSources(Rules, chunks, ends: false), _storage, _archive, _time);
        var updates = await host.Follow();
        await host.Source.Start();

        var finals = new HashSet<KlineInterval>();
        await FakeMints.Until(_time, () =>
        {
            while (updates.TryRead(out var update))
            {
                finals.UnionWith(update.Klines.Where(k => k.IsFinal).Select(k => k.Interval));
            }

            return Task.FromResult(finals.Contains(KlineInterval.M1));
        });
        Assert.Contains(KlineInterval.S1, finals);
    }

    [Fact]
    public async Task A_mint_woken_to_be_settled_stores_what_is_final_and_leaves_memory()
    {
        var host = await Start();
        await Ingest(host, Trade(0, 0));
        await host.Mint().Settle(FakeSources.Name, new SourceClock(TradeMaker.Start, IsLive: false));
        await host.DisposeAsync();

        await using var next = await Start();
        var reads = _storage.Reads;
        var clock = new SourceClock(TradeMaker.Start.AddMinutes(1), IsLive: false);
        var first = await next.Mint().Settle(FakeSources.Name, clock);
        var other = await next.Mint().Settle("second", new SourceClock(TradeMaker.Start.AddYears(1), IsLive: false));

        Assert.Contains(_archive.AllOf(TradeMaker.Symbol), k => k.Interval == KlineInterval.M1);
        Assert.Equal(KlineInterval.M5.OpenTime(TradeMaker.Start) + TimeSpan.FromMinutes(5) + Rules.Grace, first.NextFinal);
        Assert.Equal(new SaveResult(true, null), other);
        Assert.DoesNotContain(_archive.AllOf(TradeMaker.Symbol), k => k.Interval == KlineInterval.D1);
        Assert.Equal(2, _storage.Reads - reads);
    }

    [Fact]
    public async Task A_renamed_source_goes_on_with_its_own_rules()
    {
        var rules = new KlineRules { Open = OpenPolicy.PreviousClose, Intervals = [KlineInterval.M1, KlineInterval.H1] };
        var host = await GrainHost.Start(new FakeSources(rules, []), _storage, _archive, _time);
        await Ingest(host, Trade(0, 0, price: 1));
        await host.DisposeAsync();

        await using var renamed = await GrainHost.Start(new OnlySource("new", rules), _storage, _archive, _time);
        var before = await renamed.Mint().GetSnapshot();
        await Assert.ThrowsAsync<InvalidOperationException>(() => renamed.Mint().Ingest(new TradeBatch { Source = "unknown", Trades = [Trade(1, 90, price: 7)] }));
        await renamed.Mint().Ingest(new TradeBatch { Source = "new", Trades = [Trade(1, 90, price: 7)] });
        var after = await renamed.Mint().GetSnapshot();

        Assert.Equal((FakeSources.Name, OpenPolicy.PreviousClose), (before.Source, before.Rules.Open));
        Assert.Equal([KlineInterval.M1, KlineInterval.H1], before.Rules.Intervals);
        Assert.Equal(("new", OpenPolicy.PreviousClose), (after.Source, after.Rules.Open));
        Assert.Equal([KlineInterval.M1, KlineInterval.H1], after.Rules.Intervals);
        Assert.Equal(1m, after.Klines.Last(k => k.Interval == KlineInterval.M1).Open.Value);
        Assert.True(after.Epoch > before.Epoch);
    }

    [Fact]
    public async Task A_store_that_refuses_writes_is_not_asked_with_every_batch()
    {
        _archive.IsUnavailable = true;
        await using var host = await GrainHost.Start(new FakeSources(new KlineRules { Intervals = [KlineInterval.S1] }, []), _storage, _archive, _time);
        for (var i = 0; i < 1_100; i++)
        {
            await Ingest(host, Trade(i, i));
        }

        var before = _storage.Writes;
        for (var i = 1_100; i < 1_200; i++)
        {
            await Ingest(host, Trade(i, i));
        }

        Assert.InRange(before, 1, 5);
        Assert.Equal(before, _storage.Writes);
    }

    [Fact]
    public async Task Klines_become_final_while_a_save_hangs()
    {
        var hang = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var hung = false;
        _storage.Before = (operation, grain) =>
        {
            if (operation != "write" || !grain.ToString().Contains("kline", StringComparison.OrdinalIgnoreCase))
            {
                return Task.CompletedTask;
            }

            hung = true;
            return hang.Task;
        };
        List<SourceChunk> chunks = [new([Trade(0, 0)], "1", new SourceClock(TradeMaker.Start, IsLive: false)), new([], "2", new SourceClock(TradeMaker.Start.AddMinutes(3), IsLive: false))];
        var sources = new FakeSources(Rules, chunks, ends: false)
        {
            BeforeChunk = async i =>
            {
                while (i == 1 && !hung)
                {
                    await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
                }
            },
        };
        await using var host = await GrainHost.Start(sources, _storage, _archive, _time);
        var updates = await host.Follow();
        await host.Source.Start();

        var finals = new HashSet<KlineInterval>();
        await FakeMints.Until(_time, () =>
        {
            while (updates.TryRead(out var update))
            {
                finals.UnionWith(update.Klines.Where(k => k.IsFinal).Select(k => k.Interval));
            }

            return Task.FromResult(finals.Contains(KlineInterval.M1));
        });
        Assert.True(hung);
        hang.SetResult();
    }

    private sealed class OnlySource(string name, KlineRules rules) : ITradeSourceFactory
    {
        public System.Collections.Immutable.ImmutableArray<SourceDescription> Sources { get; } = [new(name, "Replay", rules, IsSimulated: false, IsChain: true)];

        public ITradeSource Create(string name) => throw new NotSupportedException();
    }

    private static Trade Trade(int number, double seconds, decimal price = 1) => TradeMaker.Trade(number, TradeMaker.Start.AddSeconds(seconds), price);

    private static Task<IngestResult> Ingest(GrainHost host, params Trade[] trades) =>
        host.Mint().Ingest(new TradeBatch { Source = FakeSources.Name, Trades = [.. trades] });

    private static long Left(GrainHost host) => host.Engine.Services.GetRequiredService<GrainMetrics>().Left;

    /// <summary>Whether so many mints have left for being idle, of an engine that collects by the clock of the test, or when it is asked to.</summary>
    private static async Task<bool> HaveLeft(GrainHost host, long left)
    {
        await host.Engine.CollectIdle();
        return Left(host) >= left;
    }

    /// <summary>Has a mint without trades come and leave for being idle; it is that number among those that left.</summary>
    private static async Task Leaves(GrainHost host, ManualTimeProvider time, string witness, long left)
    {
        await host.Mint(witness).GetSnapshot();
        await FakeMints.Until(time, () => HaveLeft(host, left), TimeSpan.FromSeconds(10));
        Assert.Equal(left, Left(host));
    }

    private Task<GrainHost> Start() => GrainHost.Start(new FakeSources(Rules, []), _storage, _archive, _time);
}
