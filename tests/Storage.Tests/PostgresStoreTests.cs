using System.Collections.Concurrent;
using KlineOrleans.Contracts;
using KlineOrleans.Storage.Postgres;
using Microsoft.Extensions.Logging;
using Npgsql;
using static KlineOrleans.Storage.Tests.SampleKlines;

namespace KlineOrleans.Storage.Tests;

/// <summary>What the PostgreSQL store survives, refuses and shares.</summary>
public sealed class PostgresStoreTests
{
    private static readonly KlineRange Everything = new(null, null, 100_000, false);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Reopened_database_holds_everything()
    {
        await using var test = await PostgresUnderTest.Create();
        await test.Archive.Write("a", Run(KlineInterval.S1, 100), Cancellation);
        await test.Archive.PutSymbol(new SymbolInfo("a", "name", "x", Start), Cancellation);
        await test.States.Write("g/1", "kline", new byte[] { 1, 2, 3 }, null, Cancellation);
        await test.Store.Close();

        var again = test.Open();
        Assert.Equal(Run(KlineInterval.S1, 100), await new PostgresKlineArchive(again).Read("a", KlineInterval.S1, Everything, Cancellation));
        Assert.NotNull(await new PostgresKlineArchive(again).GetSymbol("a", Cancellation));
        Assert.Equal([1, 2, 3], (await new PostgresStateStore(again).Read("g/1", "kline", Cancellation)).Payload);
    }

    [Fact]
    public async Task Second_server_is_kept_out_until_the_first_has_closed()
    {
        await using var test = await PostgresUnderTest.Create();
        await test.Store.Open(Cancellation);
        var second = test.Open(settings: new PostgresSettings { LockPatience = TimeSpan.Zero });
        var refused = await Assert.ThrowsAsync<StorageOpenException>(() => second.Open(Cancellation));
        Assert.Contains("in use", refused.Message, StringComparison.Ordinal);

        // It waits a while for the lock of a server that has just ended.
        var third = test.Open().Open(Cancellation);
        await test.Store.Close();
        await third;
    }

    [Fact]
    public async Task Servers_of_a_cluster_share_it_and_migrate_it_once()
    {
        await using var test = await PostgresUnderTest.Create();
        var stores = Enumerable.Range(0, 4).Select(_ => test.Open(shared: true)).ToArray();
        await Task.WhenAll(stores.Select(s => s.Open(Cancellation)));
        await Task.WhenAll(stores.Select((s, i) => Parallel.ForEachAsync(Enumerable.Range(0, 50), Cancellation, async (n, token) =>
        {
            await new PostgresKlineArchive(s).Write($"s{n}", Run(KlineInterval.S1, 10, i * 10), token);
            await new PostgresKlineArchive(s).PutSymbol(new SymbolInfo($"s{n}", "x", "x", Start), token);
        })));
        for (var n = 0; n < 50; n++)
            Assert.Equal(Run(KlineInterval.S1, 40), await new PostgresKlineArchive(stores[n % 4]).Read($"s{n}", KlineInterval.S1, Everything, Cancellation));
        Assert.Single(await test.Database.Rows("SELECT * FROM kline_schema"));
    }

    [Fact]
    public async Task Klines_that_another_server_wrote_meanwhile_are_merged_with()
    {
        await using var test = await PostgresUnderTest.Create();
        var first = new PostgresKlineArchive(test.Open(shared: true));
        var second = new PostgresKlineArchive(test.Open(shared: true));
        await first.Write("s", Run(KlineInterval.S1, 5), Cancellation);
        await second.Write("s", [.. Run(KlineInterval.S1, 5, from: 5), .. Run(KlineInterval.M1, 2)], Cancellation);

        // The first knows of five klines, and of none of the second's.
        var corrected = Run(KlineInterval.S1, 1, from: 6)[0] with { Revision = 1 };
        await Task.WhenAll(
            first.Write("s", [.. Run(KlineInterval.S1, 1, from: 5), corrected, .. Run(KlineInterval.S1, 3, from: 9)], Cancellation),
            first.Write("other", Run(KlineInterval.S1, 3), Cancellation));
        await first.Write("s", [Run(KlineInterval.S1, 1, from: 6)[0], .. Run(KlineInterval.S1, 1, from: 12)], Cancellation);

        var expected = Run(KlineInterval.S1, 13);
        expected[6] = corrected;
        Assert.Equal(expected, await second.Read("s", KlineInterval.S1, Everything, Cancellation));
        Assert.Equal(Run(KlineInterval.M1, 2), await first.Read("s", KlineInterval.M1, Everything, Cancellation));
        Assert.Equal(Run(KlineInterval.S1, 3), await second.Read("other", KlineInterval.S1, Everything, Cancellation));
    }

    [Fact]
    public async Task Database_of_a_newer_version_is_left_alone()
    {
        await using var test = await PostgresUnderTest.Create();
        await test.Store.Open(Cancellation);
        await test.Store.Close();
        await test.Database.Execute("UPDATE kline_schema SET version = 999");
        var refused = await Assert.ThrowsAsync<StorageOpenException>(() => test.Open().Open(Cancellation));
        Assert.Contains("newer", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Schema_that_is_not_there_is_named_as_the_reason()
    {
        await using var test = await PostgresUnderTest.Create();
        var nowhere = new NpgsqlConnectionStringBuilder(test.Database.ConnectionString) { SearchPath = "no_such_schema" }.ConnectionString;
        await using var store = new PostgresStore(nowhere, shared: false, TimeProvider.System, new Lines());
        var refused = await Assert.ThrowsAsync<StorageOpenException>(() => store.Open(Cancellation));
        Assert.Contains("search path", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Password_is_in_no_message_and_no_log_line()
    {
        await using var test = await PostgresUnderTest.Create();
        const string Secret = "correct-horse-battery";
        var log = new Lines();
        var wrong = new NpgsqlConnectionStringBuilder(test.Database.ConnectionString) { Password = Secret, Username = "nobody_of_that_name" }.ConnectionString;
        await using (var store = new PostgresStore(wrong, shared: false, TimeProvider.System, log))
        {
            var refused = await Assert.ThrowsAsync<StorageOpenException>(() => store.Open(Cancellation));
            Assert.DoesNotContain(Secret, refused.ToString(), StringComparison.Ordinal);
            Assert.DoesNotContain(Secret, store.Where + store.Current, StringComparison.Ordinal);
        }

        var right = new NpgsqlConnectionStringBuilder(test.Database.Through(test.Gate.Port));
        await using (var store = new PostgresStore(right.ConnectionString, shared: false, TimeProvider.System, log))
        {
            await store.Open(Cancellation);
            test.Gate.Close();
            await Assert.ThrowsAsync<ArchiveUnavailableException>(() => new PostgresKlineArchive(store).Write("a", Run(KlineInterval.S1, 1), Cancellation));
            test.Gate.Open();
        }

        Assert.True(log.Written.Count >= 2);
        Assert.All(log.Written, line => Assert.DoesNotContain(Secret, line, StringComparison.Ordinal));
        if (right.Password is { Length: > 0 } password)
            Assert.All(log.Written, line => Assert.DoesNotContain(password, line, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Store_comes_back_with_the_database_and_says_how_it_does()
    {
        await using var test = await PostgresUnderTest.Create();
        await test.Archive.Write("a", Run(KlineInterval.S1, 10), Cancellation);
        for (var round = 1; round <= 3; round++)
        {
            using (test.Away())
            {
                await Assert.ThrowsAsync<ArchiveUnavailableException>(() => test.Archive.Write("a", Run(KlineInterval.S1, 10, 10 * round), Cancellation));
                await Assert.ThrowsAsync<ArchiveUnavailableException>(() => test.Archive.Read("a", KlineInterval.S1, Everything, Cancellation));
                Assert.False(test.Store.Current.IsAvailable);
                Assert.NotNull(test.Store.Current.LastError);
            }

            await test.Archive.Write("a", Run(KlineInterval.S1, 10, 10 * round), Cancellation);
            Assert.True(test.Store.Current.IsAvailable);
            Assert.Equal(Run(KlineInterval.S1, 10 * round + 10), await test.Archive.Read("a", KlineInterval.S1, Everything, Cancellation));
        }
    }

    [Fact]
    public async Task Database_that_is_back_is_noticed_also_where_nobody_writes()
    {
        await using var test = await PostgresUnderTest.Create(new PostgresSettings { ProbeInterval = TimeSpan.FromMilliseconds(20) });
        await test.Store.Open(Cancellation);
        using (test.Away())
            await Assert.ThrowsAsync<ArchiveUnavailableException>(() => test.Archive.Write("a", Run(KlineInterval.S1, 1), Cancellation));
        await Eventually(() => Task.FromResult(test.Store.Current.IsAvailable));
    }

    [Fact]
    public async Task Database_that_hangs_fails_the_write_in_bounded_time_and_nothing_is_lost_after()
    {
        await using var test = await PostgresUnderTest.Create(new PostgresSettings { CommandTimeout = TimeSpan.FromSeconds(1), ConnectTimeout = TimeSpan.FromSeconds(1) });
        var stored = await test.States.Write("g", "s", new byte[] { 1 }, null, Cancellation);
        test.Gate.Pause();
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => test.States.Write("g", "s", new byte[] { 2 }, stored.ETag, Cancellation));
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => test.Archive.Write("a", Run(KlineInterval.S1, 3), Cancellation));
        Assert.False(test.Store.Current.IsAvailable);
        test.Gate.Open();
        Assert.True((await test.States.Write("g", "s", new byte[] { 3 }, stored.ETag, Cancellation)).IsStored);
        await test.Archive.Write("a", Run(KlineInterval.S1, 3), Cancellation);
        Assert.Equal([3], (await test.States.Read("g", "s", Cancellation)).Payload);
    }

    [Fact]
    public async Task Commit_whose_answer_was_lost_does_not_lock_the_writer_out()
    {
        await using var test = await PostgresUnderTest.Create();
        var first = await test.States.Write("g", "s", new byte[] { 1 }, null, Cancellation);
        // Runs at the commit and takes its time: long enough to cut the way back before the answer.
        await test.Database.Execute(
            """
            CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END';
            CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON kline_grain_state DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();
            """);
        var writing = test.States.Write("g", "s", new byte[] { 2 }, first.ETag, Cancellation);
        await Eventually(async () => (await test.Database.Rows("SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'PgSleep'")).Count > 0);
        test.Gate.Cut();
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => writing);
        await Eventually(async () => (await test.Database.Rows("SELECT payload FROM kline_grain_state")) is ["(\"\\\\x02\")"]);

        // Told that nothing was written, the caller goes on from what it knows.
        var again = await test.States.Write("g", "s", new byte[] { 3 }, first.ETag, Cancellation);
        Assert.True(again.IsStored);
        Assert.Equal([3], (await test.States.Read("g", "s", Cancellation)).Payload);
        Assert.False((await test.States.Write("g", "s", new byte[] { 4 }, first.ETag, Cancellation)).IsStored);
    }

    [Fact]
    public async Task Writer_that_another_process_overtook_is_refused_also_after_a_lost_answer()
    {
        await using var test = await PostgresUnderTest.Create();
        var first = await test.States.Write("g", "s", new byte[] { 1 }, null, Cancellation);
        using (test.Away())
            await Assert.ThrowsAsync<ArchiveUnavailableException>(() => test.States.Write("g", "s", new byte[] { 2 }, first.ETag, Cancellation));
        var other = new PostgresStateStore(test.Open(shared: true));
        Assert.True((await other.Write("g", "s", new byte[] { 7 }, first.ETag, Cancellation)).IsStored);
        Assert.False((await test.States.Write("g", "s", new byte[] { 3 }, first.ETag, Cancellation)).IsStored);
        Assert.Equal([7], (await other.Read("g", "s", Cancellation)).Payload);
    }

    [Fact]
    public async Task Write_that_the_database_refuses_fails_alone()
    {
        await using var test = await PostgresUnderTest.Create();
        await test.Store.Open(Cancellation);
        await test.Database.Execute("ALTER TABLE kline ADD CONSTRAINT odd CHECK (open <> 13)");
        var bad = One(KlineInterval.S1, Start, 13m);
        var writes = Enumerable.Range(0, 20).Select(i => test.Archive.Write($"s{i}", i == 7 ? [bad] : Run(KlineInterval.S1, 5), Cancellation)).ToArray();
        for (var i = 0; i < writes.Length; i++)
        {
            if (i == 7)
                await Assert.ThrowsAsync<PostgresException>(() => writes[7]);
            else
                await writes[i];
        }

        for (var i = 0; i < writes.Length; i++)
            Assert.Equal(i == 7 ? 0 : 5, (await test.Archive.Read($"s{i}", KlineInterval.S1, Everything, Cancellation)).Count);
        Assert.True(test.Store.Current.IsAvailable);
    }

    [Fact]
    public async Task Writers_of_many_symbols_share_commits()
    {
        await using var test = await PostgresUnderTest.Create();
        await test.Store.Open(Cancellation);
        await Task.WhenAll(Enumerable.Range(0, 500).Select(i => Task.Run(() => test.Archive.Write($"s{i}", Run(KlineInterval.S1, 5), Cancellation), Cancellation)));
        Assert.True(test.Store.Current.Commits < 250, $"{test.Store.Current.Commits} commits for 500 writes");
        Assert.Equal(2_500, test.Store.Current.RowsWritten);
    }

    [Fact]
    public async Task Reads_beyond_the_connections_wait_for_their_turn()
    {
        await using var test = await PostgresUnderTest.Create(new PostgresSettings { Readers = 2, ConnectTimeout = TimeSpan.FromSeconds(1) });
        await test.States.Write("g", "s", new byte[] { 1 }, null, Cancellation);
        // Half a second each, one after the other on either connection: longer than a connection may take.
        await test.Database.Execute("ALTER TABLE kline_grain_state RENAME TO slow; CREATE VIEW kline_grain_state AS SELECT s.* FROM slow s, LATERAL (SELECT pg_sleep(0.5) WHERE s.grain IS NOT NULL) w");
        var read = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => test.States.Read("g", "s", Cancellation)));
        Assert.All(read, state => Assert.Equal([1], state.Payload));
    }

    [Fact]
    public async Task Closed_store_has_written_what_waited_and_refuses_the_rest()
    {
        await using var test = await PostgresUnderTest.Create();
        await test.Store.Open(Cancellation);
        var waiting = Enumerable.Range(0, 50).Select(i => test.Archive.Write($"s{i}", Run(KlineInterval.S1, 5), Cancellation)).ToArray();
        await test.Store.Close();
        await Task.WhenAll(waiting);
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => test.Archive.Write("s", Run(KlineInterval.S1, 5), Cancellation));
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => test.Archive.GetSymbol("s", Cancellation));
    }

    private static async Task Eventually(Func<Task<bool>> condition)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (!await condition())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(started) < TimeSpan.FromSeconds(30), "It did not come to pass.");
            // Another process's doing: there is nothing else to wait for.
            await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System, Cancellation);
        }
    }

    private sealed class Lines : ILogger<PostgresStore>
    {
        public ConcurrentQueue<string> Written { get; } = new();

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Written.Enqueue(formatter(state, exception) + exception);
    }
}
