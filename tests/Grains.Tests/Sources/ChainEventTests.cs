using System.Globalization;
using System.Threading.Channels;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Archive;
using Orleans;
using Orleans.Streams;

namespace KlineOrleans.Grains.Tests;

/// <summary>Chain events through the source's grain: stored once, told after that, and never passed by a checkpoint.</summary>
public class ChainEventTests
{
    private static readonly KlineRules Rules = new();

    [Fact]
    public async Task Every_event_is_stored_and_told_once_stored()
    {
        var store = new MemoryChainEvents();
        await using var host = await GrainHost.Start(new FakeSources(Rules, Chunks(100, mints: 3)), new MemoryGrainStorage(), new MemoryKlineArchive(), events: store);
        var told = await Follow(host, "Mint1");
        await host.Source.Start();
        await host.WaitForEnd();

        Assert.Equal([34, 33, 33], Enumerable.Range(0, 3).Select(m => store.AllOf(Mint(m)).Count));
        Assert.Equal(store.AllOf("Mint1"), await Take(told, 33));
        var status = await host.Source.GetStatus();
        Assert.Equal((100, Time(99), "100"), (status.Events, status.LastEventTime!.Value, status.Checkpoint));
    }

    [Fact]
    public async Task An_event_is_stored_before_it_is_told()
    {
        var hold = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var writing = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var store = new MemoryChainEvents
        {
            BeforeWrite = () =>
            {
                writing.TrySetResult();
                return hold.Task;
            },
        };
        await using var host = await GrainHost.Start(new FakeSources(Rules, Chunks(1, mints: 1)), new MemoryGrainStorage(), new MemoryKlineArchive(), events: store);
        var told = await Follow(host, Mint(0));
        await host.Source.Start();
        await writing.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Assert.False(told.TryRead(out _));
        Assert.Null((await host.Source.GetStatus()).Checkpoint);
        hold.SetResult();
        Assert.Equal(1, Assert.Single(await Take(told, 1)).Number);
    }

    [Fact]
    public async Task Delivered_again_it_is_told_with_the_number_it_had()
    {
        var store = new MemoryChainEvents();
        var once = Chunks(20, mints: 1);
        var twice = once.Select((c, i) => c with { Events = [.. once.Take(i + 1).TakeLast(3).SelectMany(o => o.Events)] }).ToList();
        await using var host = await GrainHost.Start(new FakeSources(Rules, twice), new MemoryGrainStorage(), new MemoryKlineArchive(), events: store);
        var told = await Follow(host, Mint(0));
        await host.Source.Start();
        await host.WaitForEnd();

        Assert.Equal(Enumerable.Range(1, 20).Select(i => (long)i), store.AllOf(Mint(0)).Select(e => e.Number));
        var last = 0L;
        while (last < 20 && await told.WaitToReadAsync(TestContext.Current.CancellationToken))
        {
            while (told.TryRead(out var update))
            {
                foreach (var e in update.Events.Where(e => e.Number > last))
                {
                    Assert.Equal(++last, e.Number);
                    Assert.Equal(last - 1, e.Event.Order.Id.Position);
                }
            }
        }
    }

    [Fact]
    public async Task While_the_store_is_away_no_checkpoint_is_written_and_afterwards_all_is_there()
    {
        var (store, time) = (new MemoryChainEvents { IsUnavailable = true }, new ManualTimeProvider());
        await using var host = await GrainHost.Start(new FakeSources(Rules, Chunks(50, mints: 2)), new MemoryGrainStorage(), new MemoryKlineArchive(), time, store);
        await host.Source.Start();
        while ((await host.Source.GetStatus()) is not { Error: { } error } || !error.Contains("Saving is behind", StringComparison.Ordinal))
        {
            await Task.Yield();
        }

        Assert.Null((await host.Source.GetStatus()).Checkpoint);
        store.IsUnavailable = false;
        while ((await host.Source.GetStatus()).State != SourceState.Ended)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        Assert.Equal((25, 25, "50"), (store.AllOf(Mint(0)).Count, store.AllOf(Mint(1)).Count, (await host.Source.GetStatus()).Checkpoint));
    }

    [Fact]
    public async Task A_source_that_stops_while_the_store_is_away_ends_and_a_restart_stores_the_rest()
    {
        var (storage, store) = (new MemoryGrainStorage(), new MemoryChainEvents { IsUnavailable = true });
        var chunks = Chunks(30, mints: 1);
        var reading = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var sources = new FakeSources(Rules, chunks, ends: false)
        {
            BeforeChunk = i =>
            {
                if (i == 20)
                {
                    reading.TrySetResult();
                }

                return Task.CompletedTask;
            },
        };
        await using (var host = await GrainHost.Start(sources, storage, new MemoryKlineArchive(), new ManualTimeProvider(), store))
        {
            await host.Source.Start();
            await reading.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
            await Assert.ThrowsAsync<ArchiveUnavailableException>(host.Source.Stop);
        }

        store.IsUnavailable = false;
        await using var again = await GrainHost.Start(new FakeSources(Rules, chunks), storage, new MemoryKlineArchive(), events: store);
        await again.Source.Start();
        await again.WaitForEnd();
        Assert.Equal(Enumerable.Range(0, 30).Select(i => (long)i), store.AllOf(Mint(0)).Select(e => e.Event.Order.Id.Position));
    }

    [Fact]
    public async Task Killed_before_or_after_any_write_every_event_is_stored_once()
    {
        var chunks = Chunks(60, mints: 2);
        for (var kill = 1; kill <= 24; kill++)
        {
            var (storage, archive, store) = (new MemoryGrainStorage(), new MemoryKlineArchive(), new MemoryChainEvents());
            var killed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var touched = 0;
            async Task Count()
            {
                if (Interlocked.Increment(ref touched) >= kill)
                {
                    // What the kill meets before it is written never is, and after it nobody hears of it.
                    killed.TrySetResult();
                    await new TaskCompletionSource().Task;
                }
            }

            (store.BeforeWrite, store.AfterWrite) = (Count, Count);
            var time = new ManualTimeProvider();
            var sources = new FakeSources(Rules, chunks)
            {
                BeforeChunk = async i =>
                {
                    time.Advance(TimeSpan.FromSeconds(5));
                    await Task.Delay(TimeSpan.FromMilliseconds(i % 5 == 0 ? 1 : 0), TimeProvider.System);
                },
            };
            var host = await GrainHost.Start(sources, storage, archive, time, store);
            var starting = host.Source.Start();
            await Task.WhenAny(killed.Task, starting.ContinueWith(_ => host.WaitForEnd(), TaskScheduler.Default).Unwrap());
            await host.Engine.Kill();
            (store.BeforeWrite, store.AfterWrite) = (null, null);

            await using var again = await GrainHost.Start(new FakeSources(Rules, chunks), storage, archive, events: store);
            await again.Source.Start();
            await again.WaitForEnd();
            foreach (var m in new[] { 0, 1 })
            {
                Assert.Equal(Enumerable.Range(0, 30).Select(i => (i * 2L) + m), store.AllOf(Mint(m)).Select(e => e.Event.Order.Id.Position));
                Assert.Equal(Enumerable.Range(1, 30).Select(i => (long)i), store.AllOf(Mint(m)).Select(e => e.Number));
            }
        }
    }

    [Fact]
    public async Task Too_many_that_wait_make_reading_wait()
    {
        var hold = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var store = new MemoryChainEvents(perMint: 100) { BeforeWrite = () => hold.Task };
        var chunk = Chunks(1, mints: 1)[0];
        var given = 0;
        var full = ChainEventLane.MaxWaiting / 1_000;
        var sources = new FakeSources(Rules, [.. Enumerable.Range(0, 40).Select(i => chunk with { Checkpoint = (i + 1).ToString(CultureInfo.InvariantCulture), Events = [.. Enumerable.Range(0, 1_000).Select(j => Event((i * 1_000) + j, 0))] })])
        {
            BeforeChunk = i =>
            {
                Volatile.Write(ref given, i);
                return Task.CompletedTask;
            },
        };
        await using var host = await GrainHost.Start(sources, new MemoryGrainStorage(), new MemoryKlineArchive(), events: store);
        await host.Source.Start();
        while (Volatile.Read(ref given) < full)
        {
            await Task.Yield();
        }

        await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, TestContext.Current.CancellationToken);
        Assert.InRange(Volatile.Read(ref given), full, full + 2);
        hold.SetResult();
        await host.WaitForEnd();
        Assert.Equal(40_000, (await host.Source.GetStatus()).Events);
    }

    [Fact]
    public async Task A_store_that_keeps_none_is_not_asked()
    {
        var store = new MemoryChainEvents(perMint: 0) { BeforeWrite = () => throw new InvalidOperationException("asked") };
        await using var host = await GrainHost.Start(new FakeSources(Rules, Chunks(5, mints: 1)), new MemoryGrainStorage(), new MemoryKlineArchive(), events: store);
        await host.Source.Start();
        await host.WaitForEnd();
        Assert.Equal("5", (await host.Source.GetStatus()).Checkpoint);
    }

    private static string Mint(int number) => string.Create(CultureInfo.InvariantCulture, $"Mint{number}");

    private static DateTimeOffset Time(int number) => DateTimeOffset.UnixEpoch.AddSeconds(number);

    private static ChainEvent Event(int slot, int mint) => new()
    {
        Symbol = Mint(mint),
        Order = new TradeOrder(new TradeId(slot, string.Create(CultureInfo.InvariantCulture, $"sig{slot}"))),
        Type = "BuySell",
        EventTime = Time(slot),
        Fields = """{"event_type":"BuySell"}""",
    };

    private static List<SourceChunk> Chunks(int count, int mints) =>
        [.. Enumerable.Range(0, count).Select(i => new SourceChunk([], (i + 1).ToString(CultureInfo.InvariantCulture), new SourceClock(Time(i), IsLive: false)) { Events = [Event(i, i % mints)] })];

    private static async Task<ChannelReader<ChainEventUpdate>> Follow(GrainHost host, string symbol)
    {
        var updates = Channel.CreateUnbounded<ChainEventUpdate>();
        await host.Engine.Client.GetStreamProvider(KlineStreams.Provider).GetStream<ChainEventUpdate>(KlineStreams.EventsOf(symbol))
            .SubscribeAsync((update, _) => updates.Writer.WriteAsync(update).AsTask());
        return updates.Reader;
    }

    private static async Task<List<StoredEvent>> Take(ChannelReader<ChainEventUpdate> told, int count)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        var events = new List<StoredEvent>();
        while (events.Count < count)
        {
            events.AddRange((await told.ReadAsync(patience.Token)).Events);
        }

        return events;
    }
}
