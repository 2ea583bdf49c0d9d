using KlineOrleans.Contracts;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using static KlineOrleans.Storage.Tests.SampleKlines;

namespace KlineOrleans.Storage.Tests;

/// <summary>Klines that are no longer kept go, and nothing else does. Each store runs all of it.</summary>
public abstract class PruneTests : IAsyncLifetime
{
    private static readonly KlineRange Everything = new(null, null, 100_000, false);

    private IStoreUnderTest _store = null!;

    protected static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    protected IStoreUnderTest Store => _store;

    protected abstract Task<IStoreUnderTest> Create();

    public async ValueTask InitializeAsync() => _store = await Create();

    public async ValueTask DisposeAsync()
    {
        if (_store is not null)
            await _store.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Klines_that_ended_by_then_go_in_their_interval_only()
    {
        foreach (var symbol in new[] { "a", "b", "c" })
        {
            await _store.Archive.Write(symbol, Run(KlineInterval.S5, 3_000), Cancellation);
            await _store.Archive.Write(symbol, Run(KlineInterval.S1, 10), Cancellation);
        }

        await _store.Archive.Write("late", Run(KlineInterval.S5, 10, 10_000), Cancellation);

        // The kline that ends at that moment goes, the one that is in it stays.
        var before = Start + 2_500 * KlineInterval.S5.Length();
        Assert.Equal(7_500, await _store.Store.Prune(KlineInterval.S5, before, Cancellation));
        Assert.Equal(0, await _store.Store.Prune(KlineInterval.S5, before + TimeSpan.FromSeconds(4.9), Cancellation));

        foreach (var symbol in new[] { "a", "b", "c" })
        {
            Assert.Equal(Run(KlineInterval.S5, 500, 2_500), await _store.Archive.Read(symbol, KlineInterval.S5, Everything, Cancellation));
            Assert.Equal(Run(KlineInterval.S1, 10), await _store.Archive.Read(symbol, KlineInterval.S1, Everything, Cancellation));
        }

        Assert.Equal(10, (await _store.Archive.Read("late", KlineInterval.S5, Everything, Cancellation)).Count);
    }

    [Fact]
    public async Task Writes_go_on_while_old_klines_go()
    {
        for (var i = 0; i < 10; i++)
            await _store.Archive.Write($"s{i}", Run(KlineInterval.S1, 3_000), Cancellation);
        var pruning = _store.Store.Prune(KlineInterval.S1, Start.AddYears(1), Cancellation);
        var written = 0;
        while (!pruning.IsCompleted)
            await _store.Archive.Write("live", Run(KlineInterval.M1, 1, written++), Cancellation);
        Assert.Equal(30_000, await pruning);
        Assert.True(written >= 5, $"{written} writes while 30,000 klines went");
        Assert.Equal(written, (await _store.Archive.Read("live", KlineInterval.M1, Everything, Cancellation)).Count);
    }

    [Fact]
    public async Task Newest_end_is_that_of_what_was_written()
    {
        Assert.Null(_store.Store.NewestEnd);
        await _store.Archive.Write("a", Run(KlineInterval.S1, 10), Cancellation);
        await _store.Archive.Write("a", Run(KlineInterval.S1, 5), Cancellation);
        Assert.Equal(Start.AddSeconds(10), _store.Store.NewestEnd);
    }
}

/// <inheritdoc/>
public sealed class SqlitePruneTests : PruneTests
{
    protected override Task<IStoreUnderTest> Create() => Task.FromResult<IStoreUnderTest>(new SqliteUnderTest());

    [Fact]
    public async Task File_gets_smaller_while_it_is_open()
    {
        for (var i = 0; i < 10; i++)
            await Store.Archive.Write($"s{i}", Run(KlineInterval.S1, 3_000), Cancellation);
        var full = await Pages();
        await Store.Store.Prune(KlineInterval.S1, Start.AddYears(1), Cancellation);
        var left = await Pages();
        Assert.True(left < full / 2, $"{left} pages of {full} are left");
        await Store.Archive.Write("live", Run(KlineInterval.M1, 10), Cancellation);
        Assert.Equal(10, (await Store.Archive.Read("live", KlineInterval.M1, new KlineRange(null, null, 100, false), Cancellation)).Count);
    }

    private Task<long> Pages() => ((Sqlite.SqliteStore)Store.Store).Read((connection, _) => connection.Number("PRAGMA page_count"), Cancellation);
}

/// <inheritdoc/>
public sealed class PostgresPruneTests : PruneTests
{
    protected override async Task<IStoreUnderTest> Create() => await PostgresUnderTest.Create();
}

/// <summary>Retention as it is set.</summary>
public sealed class RetentionTests : IAsyncDisposable
{
    private readonly SqliteFile _file = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => _file.DisposeAsync();

    [Theory]
    [InlineData("Retention:s2", "1.00:00:00", "Kline:Storage:Retention:s2: 's2' is not an interval. Allowed: s1, s5, s15, s30, m1, m5, m15, m30, h1, h4, d1, w1.")]
    [InlineData("Retention:s1", "00:59:59", "Kline:Storage:Retention:s1: '00:59:59' is not allowed. Allowed: 01:00:00 to 36500.00:00:00, as d.hh:mm:ss; to keep everything, leave it out.")]
    [InlineData("Retention:s1", "-1.00:00:00", "Kline:Storage:Retention:s1: '-1.00:00:00' is not allowed. Allowed: 01:00:00 to 36500.00:00:00, as d.hh:mm:ss; to keep everything, leave it out.")]
    [InlineData("PruneEvery", "00:00:00", "Kline:Storage:PruneEvery: '00:00:00' is not allowed. Allowed: 00:00:01 to 1.00:00:00.")]
    public async Task Wrong_value_stops_the_start(string key, string value, string message)
    {
        using var host = Host(TimeProvider.System, (key, value));
        var refused = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync(Cancellation));
        Assert.Equal([message], refused.Failures);
    }

    [Fact]
    public async Task Klines_are_kept_for_as_long_as_is_said_by_the_newest_that_was_stored()
    {
        var time = new Testing.ManualTimeProvider(Start.AddYears(3));
        using var host = Host(time, ("Retention:s1", "01:00:00"), ("Retention:m1", "1.00:00:00"), ("PruneEvery", "00:01:00"));
        await host.StartAsync(Cancellation);
        var archive = host.Services.GetRequiredService<IKlineArchive>();
        await archive.Write("a", Run(KlineInterval.S1, 7_200), Cancellation);
        await archive.Write("a", Run(KlineInterval.M1, 120), Cancellation);
        await archive.Write("a", Run(KlineInterval.H1, 2), Cancellation);

        var started = TimeProvider.System.GetTimestamp();
        IReadOnlyList<Kline> left;
        while ((left = await archive.Read("a", KlineInterval.S1, new KlineRange(null, null, 100_000, false), Cancellation)).Count > 3_600)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(started) < TimeSpan.FromSeconds(30), $"{left.Count} are left");
            time.Advance(TimeSpan.FromMinutes(1));
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System, Cancellation);
        }

        Assert.Equal(Run(KlineInterval.S1, 3_600, 3_600), left);
        Assert.Equal(120, (await archive.Read("a", KlineInterval.M1, new KlineRange(null, null, 1_000, false), Cancellation)).Count);
        await host.StopAsync(Cancellation);
    }

    private IHost Host(TimeProvider time, params (string Key, string Value)[] options)
    {
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Configuration.AddInMemoryCollection(options.Select(o => KeyValuePair.Create($"{StorageOptions.Section}:{o.Key}", (string?)o.Value)));
        builder.Configuration[StorageOptions.PathKey] = _file.Path;
        builder.Services.AddSingleton(time);
        builder.Services.AddKlineStorage(builder.Configuration);
        return builder.Build();
    }
}
