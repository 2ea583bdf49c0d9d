using System.Globalization;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Storage.Tests;

/// <summary>What every store of chain events promises. Each store runs all of it.</summary>
public abstract class ChainEventStoreTests : IAsyncLifetime
{
    protected const string Mint = "AgDBATryhzzyfxJrMn5va3qvQdoAEpoQYannRXwXgPJN";

    protected static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public virtual ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        await Release();
        GC.SuppressFinalize(this);
    }

    /// <summary>A new store.</summary>
    protected abstract IChainEventStore Create(int perMint = 1_000, long total = 100_000);

    protected abstract Task Release();

    protected static ChainEvent Event(long slot, long sequence = 0, int index = 0, string? signature = null, string mint = Mint, string fields = """{"event_type":"BuySell"}""") => new()
    {
        Symbol = mint,
        Order = new TradeOrder(new TradeId(slot, signature ?? string.Create(CultureInfo.InvariantCulture, $"sig{slot}-{sequence}"), index), sequence),
        Type = "BuySell",
        EventTime = DateTimeOffset.UnixEpoch.AddSeconds(slot).AddTicks(7),
        Fields = fields,
    };

    private static async Task<IReadOnlyList<StoredEvent>> All(IChainEventStore store, string mint = Mint) => await store.Read(mint, new ChainEventRange(null, NewestFirst: false, 1_000), Cancellation);

    [Fact]
    public async Task Empty_store_answers_nothing()
    {
        var store = Create();
        Assert.True(store.KeepsEvents);
        Assert.Empty(await All(store));
        Assert.Empty(await store.ReadAfter(Mint, 0, 10, Cancellation));
        Assert.Equal(default, await store.Count(Mint, Cancellation));
        Assert.Empty(await store.Write([], Cancellation));
    }

    [Fact]
    public async Task Every_member_of_an_event_comes_back()
    {
        var store = Create();
        var e = Event(5, 9, 2, "4Ux45p8fnMniLTrafw6RCtiEkDKKVvMU69hi8fPkpo7Hm6j1Aq5KRkuLa5qtcVRn7rqkvDGEuxwZJHcLR8KkGGDk", fields: """{"event_type":"TokenCreated","name":"Größe 🐶 'x'"}""") with { Type = "TokenCreated" };
        Assert.Equal([1], await store.Write([e], Cancellation));
        Assert.Equal([new StoredEvent(1, e)], await All(store));
    }

    [Fact]
    public async Task Writing_again_changes_nothing_and_answers_the_same_numbers()
    {
        var store = Create();
        ChainEvent[] events = [Event(1), Event(2), Event(2, index: 1), Event(1, mint: "other")];
        Assert.Equal([1, 2, 3, 1], await store.Write(events, Cancellation));
        Assert.Equal([1, 2, 3, 1], await store.Write(events, Cancellation));
        Assert.Equal([2, 1, 4], await store.Write([events[1], events[0], Event(3)], Cancellation));
        Assert.Equal(new ChainEventCount(4, 4), await store.Count(Mint, Cancellation));
        Assert.Equal(new ChainEventCount(1, 1), await store.Count("other", Cancellation));
    }

    [Fact]
    public async Task An_event_twice_in_one_write_is_one()
    {
        var store = Create();
        Assert.Equal([1, 1, 2], await store.Write([Event(1), Event(1), Event(2)], Cancellation));
        Assert.Equal(2, (await All(store)).Count);
    }

    [Fact]
    public async Task Place_and_time_that_are_known_better_later_are_taken()
    {
        var store = Create();
        await store.Write([Event(1, 100, signature: "a"), Event(1, 101, signature: "b")], Cancellation);
        var better = Event(1, 7, signature: "b") with { EventTime = DateTimeOffset.UnixEpoch.AddHours(1) };
        Assert.Equal([2], await store.Write([better], Cancellation));
        var all = await All(store);
        Assert.Equal([2, 1], all.Select(e => e.Number));
        Assert.Equal(better, all[0].Event);
    }

    [Fact]
    public async Task Events_of_one_transaction_and_of_one_type_are_all_kept()
    {
        var store = Create();
        await store.Write([.. Enumerable.Range(0, 5).Select(i => Event(1, 0, i, "one"))], Cancellation);
        Assert.Equal([0, 1, 2, 3, 4], (await All(store)).Select(e => e.Event.Order.Id.Index));
    }

    [Fact]
    public async Task Pages_follow_one_another_in_both_directions_whatever_the_order_of_arrival()
    {
        var store = Create();
        var events = Enumerable.Range(0, 250).Select(i => Event(i / 10, i / 2 % 5, i % 2)).ToList();
        var random = new Random(7);
        foreach (var some in events.OrderBy(_ => random.Next()).Chunk(17))
            await store.Write(some, Cancellation);
        foreach (var newestFirst in new[] { false, true })
        {
            var read = new List<ChainEvent>();
            TradeOrder? after = null;
            while (true)
            {
                var page = await store.Read(Mint, new ChainEventRange(after, newestFirst, 33), Cancellation);
                if (page.Count == 0)
                    break;
                read.AddRange(page.Select(e => e.Event));
                after = page[^1].Event.Order;
            }

            Assert.Equal(newestFirst ? events.AsEnumerable().Reverse() : events, read);
        }
    }

    [Fact]
    public async Task Reading_up_to_a_number_leaves_later_ones_out()
    {
        var store = Create();
        await store.Write([Event(1), Event(9)], Cancellation);
        await store.Write([Event(5)], Cancellation);
        Assert.Equal([2, 1], (await store.Read(Mint, new ChainEventRange(null, true, 10) { UpTo = 2 }, Cancellation)).Select(e => e.Number));
    }

    [Fact]
    public async Task Reading_after_a_number_gives_what_was_stored_since_in_that_order()
    {
        var store = Create();
        await store.Write([Event(9), Event(3), Event(6)], Cancellation);
        Assert.Equal([(2, 3), (3, 6)], (await store.ReadAfter(Mint, 1, 10, Cancellation)).Select(e => (e.Number, e.Event.Order.Id.Position)));
        Assert.Equal([2], (await store.ReadAfter(Mint, 1, 1, Cancellation)).Select(e => e.Number));
        Assert.Empty(await store.ReadAfter(Mint, 3, 10, Cancellation));
        Assert.Empty(await store.ReadAfter("nobody", 0, 10, Cancellation));
    }

    [Fact]
    public async Task A_mint_with_too_many_loses_its_oldest_and_they_do_not_come_back()
    {
        var store = Create(perMint: 10);
        var events = Enumerable.Range(1, 25).Select(i => Event(i)).ToList();
        foreach (var some in events.Chunk(4))
            await store.Write(some, Cancellation);
        Assert.Equal(Enumerable.Range(16, 10).Select(i => (long)i), (await All(store)).Select(e => e.Event.Order.Id.Position));
        Assert.Equal([0, 15 + 1], await store.Write([events[3], events[15]], Cancellation));
        Assert.Equal(new ChainEventCount(10, 25), await store.Count(Mint, Cancellation));
        Assert.Equal([26], await store.Write([Event(26)], Cancellation));
        Assert.Equal(17, (await All(store))[0].Event.Order.Id.Position);
    }

    [Fact]
    public async Task More_events_in_one_slot_than_a_mint_may_have_leave_the_newest()
    {
        var store = Create(perMint: 3);
        foreach (var i in Enumerable.Range(0, 8))
            await store.Write([Event(1, i / 4, i % 4, string.Create(CultureInfo.InvariantCulture, $"tx{i / 4}"))], Cancellation);
        Assert.Equal([(1, 1), (1, 2), (1, 3)], (await All(store)).Select(e => ((int)e.Event.Order.Sequence, e.Event.Order.Id.Index)));
    }

    [Fact]
    public async Task Too_many_in_all_push_out_what_was_stored_first()
    {
        var store = Create(total: 1_000);
        await store.Write([Event(1, mint: "quiet")], Cancellation);
        foreach (var i in Enumerable.Range(0, 4))
            await store.Write([.. Enumerable.Range(0, 300).Select(j => Event((i * 300) + j + 1, mint: string.Create(CultureInfo.InvariantCulture, $"m{i}")))], Cancellation);
        Assert.Equal(new ChainEventCount(0, 1), await store.Count("quiet", Cancellation));
        Assert.Equal(new ChainEventCount(100, 300), await store.Count("m0", Cancellation));
        Assert.Equal(new ChainEventCount(300, 300), await store.Count("m3", Cancellation));
        // Its row stays: a number is never given twice, and what left stays away.
        Assert.Equal([0, 2], await store.Write([Event(1, mint: "quiet"), Event(2_000, mint: "quiet")], Cancellation));
    }

    [Fact]
    public async Task A_store_that_keeps_none_says_so()
    {
        var store = Create(perMint: 0);
        Assert.False(store.KeepsEvents);
        Assert.Equal([0], await store.Write([Event(1)], Cancellation));
        Assert.Empty(await All(store));
    }

    [Fact]
    public async Task Limits_outside_1_to_1000_and_empty_symbols_are_refused()
    {
        var store = Create();
        await Assert.ThrowsAnyAsync<ArgumentException>(() => store.Read(Mint, new ChainEventRange(null, true, 0), Cancellation));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => store.Read(Mint, new ChainEventRange(null, true, 1_001), Cancellation));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => store.ReadAfter(Mint, 0, 0, Cancellation));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => store.Count("", Cancellation));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => store.Write([Event(1, mint: "")], Cancellation));
    }

    [Fact]
    public async Task Writers_at_the_same_time_give_each_number_once()
    {
        var store = Create();
        var numbers = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => Task.Run(() => store.Write([.. Enumerable.Range(0, 10).Select(j => Event(j, i))], Cancellation))));
        Assert.Equal(Enumerable.Range(1, 200).Select(i => (long)i), numbers.SelectMany(n => n).Order());
    }
}

/// <summary>The store in memory, which other tests rely on, keeps every promise.</summary>
public sealed class MemoryChainEventsTests : ChainEventStoreTests
{
    protected override IChainEventStore Create(int perMint = 1_000, long total = 100_000) => new Testing.Archive.MemoryChainEvents(perMint, total);

    protected override Task Release() => Task.CompletedTask;
}

/// <summary>The SQLite store keeps every promise, and what it holds outlives it.</summary>
public sealed class SqliteChainEventsTests : ChainEventStoreTests
{
    private readonly SqliteFile _file = new();

    protected override IChainEventStore Create(int perMint = 1_000, long total = 100_000) =>
        new Sqlite.SqliteChainEvents(_file.Store(), new ChainEventOptions { PerMint = perMint, Total = total });

    protected override async Task Release() => await _file.DisposeAsync();

    [Fact]
    public async Task Events_and_numbers_outlive_the_process()
    {
        var first = _file.Store();
        var options = new ChainEventOptions { PerMint = 2 };
        await new Sqlite.SqliteChainEvents(first, options).Write([Event(1), Event(2), Event(3)], Cancellation);
        await first.Close();
        var again = new Sqlite.SqliteChainEvents(_file.Store(), options);
        Assert.Equal([2, 3], (await again.ReadAfter(Mint, 0, 10, Cancellation)).Select(e => e.Number));
        Assert.Equal([0, 3, 4], await again.Write([Event(1), Event(3), Event(4)], Cancellation));
    }

    [Fact]
    public async Task A_file_from_before_there_were_events_gets_their_tables_and_keeps_its_klines()
    {
        var kline = SampleKlines.One(KlineInterval.S1, SampleKlines.Start);
        var old = _file.Store();
        await new Sqlite.SqliteKlineArchive(old).Write(Mint, [kline], Cancellation);
        await old.Write(
            session =>
            {
                session.Connection.Execute("DROP TABLE chain_event; DROP TABLE chain_mint; PRAGMA user_version = 1");
                return true;
            },
            1,
            Cancellation);
        await old.Close();

        var store = _file.Store();
        Assert.Equal([1], await new Sqlite.SqliteChainEvents(store, new ChainEventOptions()).Write([Event(1)], Cancellation));
        Assert.Equal([kline], await new Sqlite.SqliteKlineArchive(store).Read(Mint, KlineInterval.S1, new KlineRange(null, null, 10, false), Cancellation));
    }

    [Theory]
    [InlineData("Kline:Events:PerMint", "-1", "0 to 10000000")]
    [InlineData("Kline:Events:PerMint", "10000001", "0 to 10000000")]
    [InlineData("Kline:Events:Total", "999", "1000 to 1000000000")]
    public void A_setting_outside_its_range_is_named_with_what_is_allowed(string key, string value, string allowed)
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?> { [key] = value, ["Kline:Storage:Path"] = _file.Path }).Build();
        using var services = new ServiceCollection().AddLogging().AddKlineStorage(configuration).BuildServiceProvider();
        var error = Assert.Throws<OptionsValidationException>(() => services.GetRequiredService<IOptions<ChainEventOptions>>().Value);
        Assert.Contains($"{key}: {value} is not allowed. Allowed: {allowed}.", Assert.Single(error.Failures), StringComparison.Ordinal);
    }
}

/// <summary>The PostgreSQL store keeps every promise, and what it holds outlives it.</summary>
public sealed class PostgresChainEventsTests : ChainEventStoreTests
{
    private PostgresUnderTest? _store;

    public override async ValueTask InitializeAsync() => _store = await PostgresUnderTest.Create();

    protected override IChainEventStore Create(int perMint = 1_000, long total = 100_000) =>
        new Postgres.PostgresChainEvents(_store!.Postgres, new ChainEventOptions { PerMint = perMint, Total = total });

    protected override async Task Release()
    {
        if (_store is not null)
            await _store.DisposeAsync();
    }

    [Fact]
    public async Task Two_processes_that_write_the_same_events_number_them_once()
    {
        var options = new ChainEventOptions();
        IChainEventStore[] both = [new Postgres.PostgresChainEvents(_store!.Open(shared: true), options), new Postgres.PostgresChainEvents(_store.Open(shared: true), options)];
        var events = Enumerable.Range(1, 200).Select(i => Event(i)).ToList();
        var writes = new List<Task>();
        for (var i = 0; i < events.Count; i += 10)
        {
            var part = events.GetRange(i, 10);
            writes.AddRange(both.Select(store => store.Write(part, Cancellation)));
        }

        await Task.WhenAll(writes);
        var stored = await both[0].ReadAfter(Mint, 0, 1_000, Cancellation);
        Assert.Equal(Enumerable.Range(1, 200).Select(n => (long)n), stored.Select(e => e.Number));
        Assert.Equal(200, stored.Select(e => e.Event.Order.Id.Position).Distinct().Count());
        Assert.Equal(new ChainEventCount(200, 200), await both[1].Count(Mint, Cancellation));
    }
}
