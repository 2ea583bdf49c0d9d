using System.Security.Cryptography;

namespace KlineOrleans.Storage.Tests;

/// <summary>Grain states: who wrote last is never in doubt. Each store runs all of it.</summary>
public abstract class StateStoreTests : IAsyncLifetime
{
    private const string Grain = "kline/6zRWT4aBUDVYQhYTdWvXnFVZxfMqA8TyqFsbLFqcpump";

    private IStoreUnderTest _store = null!;

    protected static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    protected abstract Task<IStoreUnderTest> Create();

    public async ValueTask InitializeAsync() => _store = await Create();

    public async ValueTask DisposeAsync()
    {
        if (_store is not null)
            await _store.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Unknown_state_has_no_payload_and_no_etag()
    {
        var states = _store.States;
        Assert.Equal(default, await states.Read(Grain, "kline", Cancellation));
    }

    [Fact]
    public async Task Each_write_gives_a_new_etag_that_the_next_one_needs()
    {
        var states = _store.States;
        var first = await states.Write(Grain, "kline", new byte[] { 1 }, null, Cancellation);
        var second = await states.Write(Grain, "kline", new byte[] { 2 }, first.ETag, Cancellation);
        Assert.True(first.IsStored && second.IsStored);
        Assert.NotEqual(first.ETag, second.ETag);
        var read = await states.Read(Grain, "kline", Cancellation);
        Assert.Equal([2], read.Payload);
        Assert.Equal(second.ETag, read.ETag);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("0")]
    [InlineData("12")]
    [InlineData("")]
    [InlineData(" 1")]
    public async Task Write_with_another_etag_changes_nothing_and_tells_the_stored_one(string? etag)
    {
        var states = _store.States;
        var stored = await states.Write(Grain, "kline", new byte[] { 1 }, null, Cancellation);
        Assert.Equal(new StateWriteResult(false, stored.ETag), await states.Write(Grain, "kline", new byte[] { 2 }, etag, Cancellation));
        Assert.Equal(new StateWriteResult(false, stored.ETag), await states.Clear(Grain, "kline", etag, Cancellation));
        Assert.Equal([1], (await states.Read(Grain, "kline", Cancellation)).Payload);
    }

    [Fact]
    public async Task Write_that_expects_a_state_where_none_is_changes_nothing()
    {
        var states = _store.States;
        Assert.Equal(new StateWriteResult(false, null), await states.Write(Grain, "kline", new byte[] { 2 }, "1", Cancellation));
        Assert.Equal(default, await states.Read(Grain, "kline", Cancellation));
    }

    [Fact]
    public async Task Etag_of_before_a_clear_never_fits_again()
    {
        var states = _store.States;
        var old = await states.Write(Grain, "kline", new byte[] { 1 }, null, Cancellation);
        var cleared = await states.Clear(Grain, "kline", old.ETag, Cancellation);
        var read = await states.Read(Grain, "kline", Cancellation);
        Assert.Null(read.Payload);
        Assert.Equal(cleared.ETag, read.ETag);
        var again = await states.Write(Grain, "kline", new byte[] { 2 }, cleared.ETag, Cancellation);
        Assert.True(again.IsStored);
        Assert.False((await states.Write(Grain, "kline", new byte[] { 3 }, old.ETag, Cancellation)).IsStored);
        Assert.False((await states.Write(Grain, "kline", new byte[] { 3 }, null, Cancellation)).IsStored);
        Assert.Equal([2], (await states.Read(Grain, "kline", Cancellation)).Payload);
    }

    [Fact]
    public async Task Clear_where_nothing_is_stores_nothing()
    {
        var states = _store.States;
        Assert.Equal(new StateWriteResult(true, null), await states.Clear(Grain, "kline", null, Cancellation));
        Assert.Equal(default, await states.Read(Grain, "kline", Cancellation));
    }

    [Fact]
    public async Task States_of_one_grain_are_kept_apart_by_name()
    {
        var states = _store.States;
        await states.Write(Grain, "a", new byte[] { 1 }, null, Cancellation);
        await states.Write(Grain, "b", new byte[] { 2 }, null, Cancellation);
        Assert.Equal([1], (await states.Read(Grain, "a", Cancellation)).Payload);
        Assert.Equal([2], (await states.Read(Grain, "b", Cancellation)).Payload);
    }

    [Fact]
    public async Task Empty_state_is_a_state()
    {
        var states = _store.States;
        await states.Write(Grain, "a", ReadOnlyMemory<byte>.Empty, null, Cancellation);
        var read = await states.Read(Grain, "a", Cancellation);
        Assert.NotNull(read.Payload);
        Assert.Empty(read.Payload);
    }

    [Fact]
    public async Task Large_state_comes_back()
    {
        var states = _store.States;
        var payload = RandomNumberGenerator.GetBytes(20_000_000);
        var result = await states.Write(Grain, "a", payload, null, Cancellation);
        Assert.True(result.IsStored);
        var read = await states.Read(Grain, "a", Cancellation);
        Assert.Equal(payload, read.Payload);
    }

    [Fact]
    public async Task Of_concurrent_writers_with_one_etag_one_wins()
    {
        var states = _store.States;
        string? etag = null;
        for (var round = 0; round < 20; round++)
        {
            var results = await Task.WhenAll(Enumerable.Range(0, 10).Select(i => states.Write(Grain, "a", new byte[] { (byte)i }, etag, Cancellation)));
            var winner = Assert.Single(results, r => r.IsStored);
            Assert.All(results, r => Assert.Equal(winner.ETag, r.ETag));
            var read = await states.Read(Grain, "a", Cancellation);
            Assert.Equal(Array.IndexOf(results, winner), read.Payload![0]);
            etag = winner.ETag;
        }
    }

    [Fact]
    public async Task Writers_of_many_grains_share_commits()
    {
        var (store, states) = (_store.Store, _store.States);
        await store.Open(Cancellation);
        var results = await Task.WhenAll(Enumerable.Range(0, 500).Select(i => Task.Run(() => states.Write($"kline/{i}", "a", new byte[1_000], null, Cancellation), Cancellation)));
        Assert.All(results, r => Assert.True(r.IsStored));
        Assert.True(store.Current.Commits < 500, $"{store.Current.Commits} commits for 500 writes");
    }

    [Fact]
    public async Task Write_after_one_that_failed_is_taken()
    {
        var states = _store.States;
        var first = await states.Write(Grain, "a", new byte[] { 1 }, null, Cancellation);
        using (_store.Away())
            await Assert.ThrowsAsync<Contracts.ArchiveUnavailableException>(() => states.Write(Grain, "a", new byte[] { 2 }, first.ETag, Cancellation));
        Assert.True((await states.Write(Grain, "a", new byte[] { 3 }, first.ETag, Cancellation)).IsStored);
        Assert.Equal([3], (await states.Read(Grain, "a", Cancellation)).Payload);
    }
}

/// <inheritdoc/>
public sealed class SqliteStateStoreTests : StateStoreTests
{
    protected override Task<IStoreUnderTest> Create() => Task.FromResult<IStoreUnderTest>(new SqliteUnderTest());
}

/// <inheritdoc/>
public sealed class PostgresStateStoreTests : StateStoreTests
{
    protected override async Task<IStoreUnderTest> Create() => await PostgresUnderTest.Create();
}
