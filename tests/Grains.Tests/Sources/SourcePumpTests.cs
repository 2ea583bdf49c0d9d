using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Archive;

namespace KlineOrleans.Grains.Tests;

/// <summary>A source through its grain and pump into the mints' grains: everything once, whatever fails, and nothing forgotten by a crash.</summary>
public class SourcePumpTests
{
    private static readonly KlineRules Rules = new() { Open = OpenPolicy.PreviousClose };

    [Fact]
    public async Task Every_trade_reaches_its_mint_and_is_saved_at_the_end()
    {
        var (storage, archive) = (new MemoryGrainStorage(), new MemoryKlineArchive());
        var trades = Trades(seed: 1, mints: 5, count: 400);
        await using var host = await GrainHost.Start(new FakeSources(Rules, FakeSources.Cut(trades, 16)), storage, archive);
        await host.Source.Start();
        await host.WaitForEnd();

        var clock = trades.Max(t => t.ReceivedTime);
        foreach (var mint in trades.GroupBy(t => t.Symbol))
        {
            var expected = Rules.Intervals.SelectMany(i => KlineOracle.Build(Rules, i, mint, clock)).Where(k => k.IsFinal);
            Assert.Equal(expected, archive.AllOf(mint.Key).Select(k => k with { Revision = 0 }));
            Assert.Equal(mint.Key, (await archive.GetSymbol(mint.Key, TestContext.Current.CancellationToken))!.Name);
        }

        var status = await host.Source.GetStatus();
        Assert.Equal((5, clock, "25"), (status.Mints, status.Clock, status.Checkpoint));
    }

    [Fact]
    public async Task A_source_that_fails_is_read_again_from_where_it_was()
    {
        var (storage, archive, time) = (new MemoryGrainStorage(), new MemoryKlineArchive(), new ManualTimeProvider());
        var trades = Trades(seed: 2, mints: 2, count: 60);
        var failed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var sources = new FakeSources(Rules, FakeSources.Cut(trades, 10));
        sources.BeforeChunk = i =>
        {
            if (i == 3 && failed.TrySetResult())
            {
                throw new SourceException("the cable is out");
            }

            return Task.CompletedTask;
        };
        await using var host = await GrainHost.Start(sources, storage, archive, time);
        await host.Source.Start();
        await failed.Task;
        while ((await host.Source.GetStatus()) is not { State: SourceState.Failed, Error: "the cable is out" })
        {
            await Task.Yield();
        }

        while ((await host.Source.GetStatus()).State != SourceState.Ended)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        Assert.Equal([null, "3"], sources.Reads);
        Assert.Equal(0, (await host.Source.GetStatus()).Duplicates);
    }

    [Fact]
    public async Task A_checkpoint_does_not_pass_what_could_not_be_saved()
    {
        var (storage, archive, time) = (new MemoryGrainStorage(), new MemoryKlineArchive { IsUnavailable = true }, new ManualTimeProvider());
        await using var host = await GrainHost.Start(new FakeSources(Rules, FakeSources.Cut(Trades(seed: 3, mints: 2, count: 60), 10)), storage, archive, time);
        await host.Source.Start();
        while ((await host.Source.GetStatus()) is not { Error: { } error } || !error.Contains("Saving is behind", StringComparison.Ordinal))
        {
            await Task.Yield();
        }

        Assert.Null((await host.Source.GetStatus()).Checkpoint);
        archive.IsUnavailable = false;
        while ((await host.Source.GetStatus()).State != SourceState.Ended)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        Assert.Equal("6", (await host.Source.GetStatus()).Checkpoint);
        Assert.Null((await host.Source.GetStatus()).Error);
    }

    [Fact]
    public async Task A_past_goes_to_the_archive_and_its_forming_klines_go_on_with_the_trades()
    {
        var (storage, archive) = (new MemoryGrainStorage(), new MemoryKlineArchive());
        var (chunks, trades) = ChunksWithPasts();
        await using var host = await GrainHost.Start(new FakeSources(Rules, chunks), storage, archive);
        await host.Source.Start();
        await host.WaitForEnd();

        // The second mint's past came twice, with trades that only klines tell between.
        var clock = chunks[^1].Clock.Time;
        foreach (var mint in trades.GroupBy(t => t.Symbol))
        {
            var expected = Rules.Intervals.SelectMany(i => KlineOracle.Build(Rules, i, mint, clock)).Where(k => k.IsFinal).Select(Values);
            Assert.Equal(expected, archive.AllOf(mint.Key).Select(Values));
        }

        Assert.Equal(3, (await host.Source.GetStatus()).Mints);
        Assert.Equal($"{chunks.Count}", (await host.Source.GetStatus()).Checkpoint);
    }

    [Fact]
    public async Task A_checkpoint_has_passed_a_past_before_any_later_trade_of_its_symbol()
    {
        var (storage, archive) = (new MemoryGrainStorage(), new MemoryKlineArchive());
        var (chunks, _) = ChunksWithPasts();
        var first = chunks.FindIndex(c => !c.History.IsEmpty);
        var symbol = chunks[first].History[0].Symbol;
        var began = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        storage.Before = (operation, grain) =>
        {
            // The checkpoint cannot be saved once the past is there.
            if (operation == "write" && grain.ToString().Contains(FakeSources.Name, StringComparison.Ordinal) && archive.AllOf(symbol).Count > 0)
            {
                began.TrySetResult();
                throw new IOException("no more");
            }

            return Task.CompletedTask;
        };
        var time = new ManualTimeProvider();
        await using var host = await GrainHost.Start(new FakeSources(Rules, chunks), storage, archive, time);
        await host.Source.Start();
        await began.Task;
        var snapshot = await host.Mint(symbol).GetSnapshot();
        Assert.All(snapshot.Klines, k => Assert.Equal(default, k.Last));
        Assert.Equal(chunks[first].History[0].Forming.Select(k => k.Interval), snapshot.Klines.Select(k => k.Interval));

        storage.Before = null;
        while ((await host.Source.GetStatus()).State != SourceState.Ended)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        Assert.NotEqual(snapshot.Klines.AsEnumerable(), (await host.Mint(symbol).GetSnapshot()).Klines);
    }

    [Fact]
    public async Task A_clock_that_runs_ahead_makes_nothing_of_a_symbol_final_before_its_trades_have_caught_up()
    {
        var (storage, archive) = (new MemoryGrainStorage(), new MemoryKlineArchive());
        var from = TradeMaker.Start.AddSeconds(30);
        var ahead = new SourceClock(from.AddMinutes(3), IsLive: false);
        var trades = Enumerable.Range(0, 200).Select(i => TradeMaker.Trade(i, TradeMaker.Start.AddSeconds(i), 1 + (i % 7))).ToList();
        var past = VenueHistory.Of(TradeMaker.Symbol, trades, from);
        List<SourceChunk> chunks =
        [
            new([], "1", ahead) { History = [past] },
            new([.. trades.Where(t => t.EventTime >= from).Take(40)], "2", ahead),
            new([.. trades.Where(t => t.EventTime >= from).Skip(40)], "3", ahead),
            new([], "4", ahead) { CaughtUp = [TradeMaker.Symbol] },
        ];
        var finals = new Dictionary<int, int>();
        var sources = new FakeSources(Rules, chunks);
        GrainHost host = null!;
        sources.BeforeChunk = async i =>
        {
            if (i is 2 or 3)
            {
                await host.Mint().Settle(FakeSources.Name, ahead);
                finals[i] = (await host.Mint().GetSnapshot()).Klines.Count(k => k.Interval == KlineInterval.M1 && k.IsFinal) + archive.AllOf(TradeMaker.Symbol).Count(k => k.Interval == KlineInterval.M1 && k.Revision > 0);
            }
        };
        host = await GrainHost.Start(sources, storage, archive);
        await using (host)
        {
            await host.Source.Start();
            await host.WaitForEnd();
        }

        Assert.All(finals.Values, n => Assert.InRange(n, 0, 3));
        Assert.All(archive.AllOf(TradeMaker.Symbol), k => Assert.Equal(0, k.Revision));
        var expected = Rules.Intervals.SelectMany(i => KlineOracle.Build(Rules, i, trades, ahead.Time)).Where(k => k.IsFinal).Select(Values);
        Assert.Equal(expected, archive.AllOf(TradeMaker.Symbol).Select(Values));
    }

    [Fact]
    public async Task A_past_of_a_symbol_that_another_source_feeds_is_refused_and_nothing_of_it_written()
    {
        var (storage, archive) = (new MemoryGrainStorage(), new MemoryKlineArchive());
        var trades = Enumerable.Range(0, 60).Select(i => TradeMaker.Trade(i, TradeMaker.Start.AddSeconds(i), 1)).ToList();
        var past = VenueHistory.Of(TradeMaker.Symbol, trades, TradeMaker.Start.AddSeconds(30));
        var sources = new FakeSources(Rules, [new SourceChunk([], "1", new SourceClock(past.From, IsLive: false)) { History = [past] }], ends: false, others: "first");
        await using var host = await GrainHost.Start(sources, storage, archive);
        await host.Mint().Ingest(new TradeBatch { Source = "first", Trades = [trades[0]] });

        await host.Source.Start();
        while ((await host.Source.GetStatus()).Error?.Contains("first", StringComparison.Ordinal) != true)
        {
            await Task.Yield();
        }

        Assert.Empty(archive.AllOf(TradeMaker.Symbol));
        Assert.All((await host.Mint().GetSnapshot()).Klines, k => Assert.Equal((1, trades[0].Order), (k.TradeCount, k.First)));
    }

    [Fact]
    public async Task Killed_whenever_it_touches_its_stores_while_pasts_come_it_ends_with_the_archive_of_an_undisturbed_run()
    {
        var (chunks, trades) = ChunksWithPasts();
        var (expected, writes) = await RunKilledAt(chunks, kill: int.MaxValue);
        Assert.True(writes > 20, $"{writes} writes");
        var step = Environment.GetEnvironmentVariable("KLINE_KILLS") == "all" ? 1 : Math.Max(1, writes / 30);
        for (var kill = 1; kill <= writes; kill += step)
        {
            var (archive, _) = await RunKilledAt(chunks, kill);
            foreach (var mint in trades.Select(t => t.Symbol).Distinct())
            {
                Assert.Equal(expected.AllOf(mint), archive.AllOf(mint));
            }
        }
    }

    [Fact]
    public async Task Killed_whenever_it_touches_its_stores_it_ends_with_the_archive_of_an_undisturbed_run()
    {
        var trades = Trades(seed: 4, mints: 3, count: 240);
        var chunks = FakeSources.Cut(trades, 12);
        var (expected, writes) = await RunKilledAt(chunks, kill: int.MaxValue);
        Assert.True(writes > 20, $"{writes} writes");

        // Every one of them with KLINE_KILLS=all; otherwise some thirty, spread evenly.
        var step = Environment.GetEnvironmentVariable("KLINE_KILLS") == "all" ? 1 : Math.Max(1, writes / 30);
        for (var kill = 1; kill <= writes; kill += step)
        {
            var (archive, _) = await RunKilledAt(chunks, kill);
            foreach (var mint in trades.Select(t => t.Symbol).Distinct())
            {
                Assert.Equal(expected.AllOf(mint), archive.AllOf(mint));
            }
        }
    }

    /// <summary>Runs to the end; the process is killed when it is about to touch its stores for the <paramref name="kill"/>th time, and started again.</summary>
    private static async Task<(MemoryKlineArchive Archive, int Writes)> RunKilledAt(List<SourceChunk> chunks, int kill)
    {
        var (storage, archive) = (new MemoryGrainStorage(), new MemoryKlineArchive());
        var writes = 0;
        var killed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        // A read or write that the kill meets never happens, and whoever waits for it never goes on.
        async Task Count()
        {
            if (Interlocked.Increment(ref writes) >= kill)
            {
                killed.TrySetResult();
                await new TaskCompletionSource().Task;
            }
        }

        var crashed = kill != int.MaxValue;
        {
            var time = new ManualTimeProvider();
            var host = await GrainHost.Start(Sources(chunks, time, storage, killed.Task), storage, new CountingArchive(archive, Count), time);
            storage.Before = (_, _) => Count();
            var starting = host.Source.Start();
            if (crashed)
            {
                // A run makes a few writes more or less, as its saves fall together: one that ends before the kill is undisturbed.
                await Task.WhenAny(killed.Task, starting.ContinueWith(_ => host.WaitForEnd(), TaskScheduler.Default).Unwrap());
                storage.Before = null;
                await host.Engine.Kill();
            }
            else
            {
                await starting;
                await host.WaitForEnd();
                await host.DisposeAsync();
            }
        }

        if (crashed)
        {
            var time = new ManualTimeProvider();
            await using var host = await GrainHost.Start(Sources(chunks, time, storage, killed.Task), storage, archive, time);
            await host.Source.Start();
            await host.WaitForEnd();
        }

        return (archive, writes);
    }

    /// <summary>Checkpoints fall due all the time, so that kills meet every state of saving.</summary>
    private static FakeSources Sources(List<SourceChunk> chunks, ManualTimeProvider time, MemoryGrainStorage storage, Task killed) => new(Rules, chunks)
    {
        BeforeChunk = async _ =>
        {
            var written = storage.Writes;
            time.Advance(TimeSpan.FromSeconds(5));
            for (var i = 0; i < 20 && storage.Writes < written + 4 && !killed.IsCompleted; i++)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
            }
        },
    };

    /// <summary>
    /// Three mints: the first has trades only; the second has a past after its first trades, as after an absence, and the third begins with one. What lies between
    /// the second's trades and its past is in klines alone. The trades returned are all of them, the klines' included.
    /// </summary>
    private static (List<SourceChunk> Chunks, List<Trade> Trades) ChunksWithPasts()
    {
        var random = new Random(6);
        var trades = TradeMaker.InOrder(random, 240, TimeSpan.FromMinutes(10), onChain: false).Select((t, i) => t with { Symbol = $"Mint{i % 3}" }).ToList();
        var (away, from) = (TradeMaker.Start.AddMinutes(2.5), TradeMaker.Start.AddMinutes(4.5));
        var chunks = new List<SourceChunk>();
        var (clock, number) = (DateTimeOffset.MinValue, 0);
        void Add(SourceChunk chunk) => chunks.Add(chunk with { Checkpoint = $"{++number}", Clock = new SourceClock(clock, IsLive: false) });
        void Give(IEnumerable<Trade> some, string catchesUp = "")
        {
            foreach (var part in some.Chunk(12))
            {
                Add(new SourceChunk([.. part.Select(t =>
                {
                    // A symbol that catches up does not move the clock.
                    clock = t.EventTime > clock && t.Symbol != catchesUp ? t.EventTime : clock;
                    return t with { ReceivedTime = t.Symbol == catchesUp ? t.EventTime : clock };
                })], "", default));
            }
        }

        Give(trades.Where(t => t.EventTime < away && t.Symbol != "Mint2"));

        // The clock stands until both have begun.
        Add(new SourceChunk([], "", default) { History = [VenueHistory.Of("Mint1", trades.Where(t => t.Symbol == "Mint1"), from) with { WholeTo = clock }] });
        Give(trades.Where(t => t.Symbol == "Mint1" && t.EventTime >= from).Take(10), "Mint1");
        Add(new SourceChunk([], "", default) { CaughtUp = ["Mint1"], History = [VenueHistory.Of("Mint2", trades.Where(t => t.Symbol == "Mint2"), from)] });
        var given = trades.Where(t => t.Symbol == "Mint1" && t.EventTime >= from).Take(10).ToHashSet();
        Give(trades.Where(t => (t.Symbol == "Mint0" ? t.EventTime >= away : t.EventTime >= from) && !given.Contains(t)), "Mint2");
        Add(new SourceChunk([], "", default) { CaughtUp = ["Mint2"] });
        return (chunks, trades);
    }

    /// <summary>A kline without what sums cannot tell.</summary>
    private static Kline Values(Kline kline) => kline with { First = default, Last = default, UpdateCount = 0, Revision = 0 };

    private static List<Trade> Trades(int seed, int mints, int count)
    {
        var random = new Random(seed);
        var trades = TradeMaker.Delayed(random, TradeMaker.InOrder(random, count, TimeSpan.FromMinutes(10), onChain: true), TimeSpan.FromMinutes(2));
        var clock = DateTimeOffset.MinValue;
        return [.. trades.Select(t =>
        {
            // The recording's clock is one for all mints.
            clock = t.ReceivedTime > clock ? t.ReceivedTime : clock;
            return t with { Symbol = $"Mint{t.Order.Sequence % mints}", ReceivedTime = clock };
        })];
    }

    private sealed class CountingArchive(MemoryKlineArchive archive, Func<Task> count) : IKlineArchive
    {
        public async Task Write(string symbol, IReadOnlyList<Kline> klines, CancellationToken cancellationToken = default)
        {
            await count();
            await archive.Write(symbol, klines, cancellationToken);
        }

        public Task<IReadOnlyList<Kline>> Read(string symbol, KlineInterval interval, KlineRange range, CancellationToken cancellationToken = default) =>
            archive.Read(symbol, interval, range, cancellationToken);

        public Task<IReadOnlyList<Kline>> ReadEndingAfter(string symbol, DateTimeOffset endAfter, CancellationToken cancellationToken = default) =>
            archive.ReadEndingAfter(symbol, endAfter, cancellationToken);

        public async Task PutSymbol(SymbolInfo symbol, CancellationToken cancellationToken = default)
        {
            await count();
            await archive.PutSymbol(symbol, cancellationToken);
        }

        public Task<SymbolInfo?> GetSymbol(string symbol, CancellationToken cancellationToken = default) => archive.GetSymbol(symbol, cancellationToken);

        public Task<IReadOnlyList<SymbolInfo>> ListSymbols(string query, SymbolInfo? after, int limit, CancellationToken cancellationToken = default) =>
            archive.ListSymbols(query, after, limit, cancellationToken);

        public Task<IReadOnlyList<SymbolInfo>> ListNewestSymbols(SymbolInfo? before, int limit, CancellationToken cancellationToken = default) =>
            archive.ListNewestSymbols(before, limit, cancellationToken);
    }
}
