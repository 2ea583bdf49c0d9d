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
    public async Task Killed_whenever_it_touches_its_stores_it_ends_with_the_archive_of_an_undisturbed_run()
    {
        var trades = Trades(seed: 4, mints: 3, count: 240);
        var (expected, writes) = await RunKilledAt(trades, kill: int.MaxValue);
        Assert.True(writes > 20, $"{writes} writes");

        // Every one of them with KLINE_KILLS=all; otherwise some thirty, spread evenly.
        var step = Environment.GetEnvironmentVariable("KLINE_KILLS") == "all" ? 1 : Math.Max(1, writes / 30);
        for (var kill = 1; kill <= writes; kill += step)
        {
            var (archive, _) = await RunKilledAt(trades, kill);
            foreach (var mint in trades.Select(t => t.Symbol).Distinct())
            {
                Assert.Equal(expected.AllOf(mint), archive.AllOf(mint));
            }
        }
    }

    /// <summary>Runs to the end; the process is killed when it is about to touch its stores for the <paramref name="kill"/>th time, and started again.</summary>
    private static async Task<(MemoryKlineArchive Archive, int Writes)> RunKilledAt(List<Trade> trades, int kill)
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
            var host = await GrainHost.Start(Sources(trades, time, storage, killed.Task), storage, new CountingArchive(archive, Count), time);
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
            await using var host = await GrainHost.Start(Sources(trades, time, storage, killed.Task), storage, archive, time);
            await host.Source.Start();
            await host.WaitForEnd();
        }

        return (archive, writes);
    }

    /// <summary>Checkpoints fall due all the time, so that kills meet every state of saving.</summary>
    private static FakeSources Sources(List<Trade> trades, ManualTimeProvider time, MemoryGrainStorage storage, Task killed) => new(Rules, FakeSources.Cut(trades, 12))
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
