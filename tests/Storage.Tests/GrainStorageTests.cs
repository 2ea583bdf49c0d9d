using KlineOrleans.Contracts;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;

namespace KlineOrleans.Storage.Tests;

/// <summary>What the grain engine expects of a grain storage. Each store runs all of it.</summary>
public abstract class GrainStorageTests : IAsyncLifetime
{
    private static readonly GrainId Grain = GrainId.Create("kline", "6zRWT4aBUDVYQhYTdWvXnFVZxfMqA8TyqFsbLFqcpump");

    private IStoreUnderTest _store = null!;

    protected abstract Task<IStoreUnderTest> Create();

    public async ValueTask InitializeAsync() => _store = await Create();

    public async ValueTask DisposeAsync()
    {
        if (_store is not null)
            await _store.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Unknown_grain_gets_a_new_state()
    {
        var state = new GrainState<Counter> { State = new Counter { Value = 5 }, RecordExists = true };
        await Storage().ReadStateAsync("counter", Grain, state);
        Assert.Equal(0, state.State!.Value);
        Assert.False(state.RecordExists);
        Assert.Null(state.ETag);
    }

    [Fact]
    public async Task Written_state_is_read_by_the_next_activation()
    {
        var storage = Storage();
        var first = new GrainState<Counter>(new Counter { Value = 5 });
        await storage.WriteStateAsync("counter", Grain, first);
        Assert.True(first.RecordExists);
        var second = new GrainState<Counter>();
        await storage.ReadStateAsync("counter", Grain, second);
        Assert.Equal(5, second.State!.Value);
        Assert.Equal(first.ETag, second.ETag);
        Assert.True(second.RecordExists);
    }

    [Fact]
    public async Task Activation_that_was_overtaken_can_neither_write_nor_clear()
    {
        var storage = Storage();
        var old = new GrainState<Counter>(new Counter { Value = 1 });
        await storage.WriteStateAsync("counter", Grain, old);
        var overtaking = new GrainState<Counter>();
        await storage.ReadStateAsync("counter", Grain, overtaking);
        overtaking.State!.Value = 2;
        await storage.WriteStateAsync("counter", Grain, overtaking);

        var etag = old.ETag;
        var refused = await Assert.ThrowsAsync<InconsistentStateException>(() => storage.WriteStateAsync("counter", Grain, old));
        Assert.Equal(overtaking.ETag, refused.StoredEtag);
        Assert.Equal(etag, refused.CurrentEtag);
        Assert.Equal(etag, old.ETag);
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.ClearStateAsync("counter", Grain, old));
        await storage.ReadStateAsync("counter", Grain, old);
        Assert.Equal(2, old.State!.Value);
    }

    [Fact]
    public async Task Cleared_state_is_new_again_and_can_be_written()
    {
        var storage = Storage();
        var state = new GrainState<Counter>(new Counter { Value = 1 });
        await storage.WriteStateAsync("counter", Grain, state);
        await storage.ClearStateAsync("counter", Grain, state);
        Assert.False(state.RecordExists);
        Assert.Equal(0, state.State!.Value);
        state.State.Value = 3;
        await storage.WriteStateAsync("counter", Grain, state);
        var next = new GrainState<Counter>();
        await storage.ReadStateAsync("counter", Grain, next);
        Assert.Equal(3, next.State!.Value);
    }

    [Fact]
    public async Task Store_that_is_away_changes_neither_state_nor_etag()
    {
        var storage = Storage();
        var state = new GrainState<Counter>(new Counter { Value = 1 });
        await storage.WriteStateAsync("counter", Grain, state);
        var etag = state.ETag;
        using (_store.Away())
        {
            state.State!.Value = 2;
            await Assert.ThrowsAsync<ArchiveUnavailableException>(() => storage.WriteStateAsync("counter", Grain, state));
            Assert.Equal(etag, state.ETag);
        }

        await storage.WriteStateAsync("counter", Grain, state);
        Assert.NotEqual(etag, state.ETag);
    }

    private GrainStorage Storage() => new(_store.States, new StateSerializer());

    private sealed class Counter
    {
        public int Value { get; set; }
    }
}

/// <inheritdoc/>
public sealed class SqliteGrainStorageTests : GrainStorageTests
{
    protected override Task<IStoreUnderTest> Create() => Task.FromResult<IStoreUnderTest>(new SqliteUnderTest());
}

/// <inheritdoc/>
public sealed class PostgresGrainStorageTests : GrainStorageTests
{
    protected override async Task<IStoreUnderTest> Create() => await PostgresUnderTest.Create();
}
