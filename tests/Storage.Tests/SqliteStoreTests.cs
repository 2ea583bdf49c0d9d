using System.Collections.Concurrent;
using KlineOrleans.Contracts;
using KlineOrleans.Storage.Sqlite;
using static KlineOrleans.Storage.Tests.SampleKlines;

namespace KlineOrleans.Storage.Tests;

/// <summary>What the SQLite file survives, refuses and shares.</summary>
public sealed class SqliteStoreTests : IAsyncDisposable
{
    private readonly SqliteFile _file = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => _file.DisposeAsync();

    [Fact]
    public async Task Reopened_file_holds_everything()
    {
        await using (var store = _file.Store())
        {
            await new SqliteKlineArchive(store).Write("a", Run(KlineInterval.S1, 100), Cancellation);
            await new SqliteKlineArchive(store).PutSymbol(new SymbolInfo("a", "name", "x", Start), Cancellation);
            await new SqliteStateStore(store).Write("g/1", "kline", new byte[] { 1, 2, 3 }, null, Cancellation);
        }

        var again = _file.Store();
        Assert.Equal(Run(KlineInterval.S1, 100), await Read(again, "a"));
        Assert.NotNull(await new SqliteKlineArchive(again).GetSymbol("a", Cancellation));
        Assert.Equal([1, 2, 3], (await new SqliteStateStore(again).Read("g/1", "kline", Cancellation)).Payload);
    }

    [Fact]
    public async Task Closed_file_is_whole_without_its_log()
    {
        await using (var store = _file.Store())
            await new SqliteKlineArchive(store).Write("a", Run(KlineInterval.S1, 100), Cancellation);
        Assert.False(File.Exists(_file.Path + "-wal"));
        File.Copy(_file.Path, _file.PathOf("copy.db"));
        Assert.Equal(100, (await Read(_file.Store(path: _file.PathOf("copy.db")), "a")).Count);
    }

    [Fact]
    public async Task Killed_process_leaves_every_confirmed_write()
    {
        var store = _file.Store();
        var archive = new SqliteKlineArchive(store);
        for (var i = 0; i < 20; i++)
        {
            await archive.Write("a", Run(KlineInterval.S1, 10, i * 10), Cancellation);
            // What lies on the disk at this moment is what a process killed now leaves.
            CopyFileSet($"killed{i}.db");
        }

        for (var i = 0; i < 20; i++)
            Assert.Equal(Run(KlineInterval.S1, (i + 1) * 10), await Read(_file.Store(path: _file.PathOf($"killed{i}.db")), "a"));
    }

    [Fact]
    public async Task Log_cut_anywhere_leaves_a_prefix_of_whole_writes()
    {
        var store = _file.Store();
        var archive = new SqliteKlineArchive(store);
        await store.Open(Cancellation);
        for (var i = 0; i < 10; i++)
            await archive.Write("a", Run(KlineInterval.S1, 7, i * 7), Cancellation);
        CopyFileSet("whole.db");
        var log = await File.ReadAllBytesAsync(_file.PathOf("whole.db-wal"), Cancellation);
        var seen = new HashSet<int>();
        for (var cut = 0; cut < log.Length; cut += Math.Max(1, log.Length / 37))
        {
            var path = _file.PathOf($"cut{cut}.db");
            File.Copy(_file.PathOf("whole.db"), path);
            await File.WriteAllBytesAsync(path + "-wal", log[..cut], Cancellation);
            await using var cutStore = _file.Store(path: path);
            var klines = await Read(cutStore, "a");
            Assert.Equal(0, klines.Count % 7);
            Assert.Equal(Run(KlineInterval.S1, klines.Count), klines);
            seen.Add(klines.Count);
        }

        Assert.True(seen.Count > 3, "the cuts should have met several commits");
    }

    [Fact]
    public async Task Second_store_on_one_file_is_refused_by_name_until_the_first_is_closed()
    {
        var first = _file.Store();
        await first.Open(Cancellation);
        var second = _file.Store();
        var refused = await Assert.ThrowsAsync<StorageOpenException>(() => second.Open(Cancellation));
        Assert.Contains(_file.Path, refused.Message, StringComparison.Ordinal);
        Assert.Contains("in use", refused.Message, StringComparison.Ordinal);
        await new SqliteKlineArchive(first).Write("a", Run(KlineInterval.S1, 1), Cancellation);
        await first.Close();
        await second.Open(Cancellation);
        Assert.Single(await Read(second, "a"));
    }

    [Fact]
    public async Task Lock_file_left_behind_does_not_lock()
    {
        await File.WriteAllTextAsync(_file.Path + ".lock", "", Cancellation);
        await _file.Store().Open(Cancellation);
        Assert.True(File.Exists(_file.Path));
    }

    [Fact]
    public async Task Folder_is_made()
    {
        var path = Path.Combine(_file.PathOf("deep"), "er", "kline.db");
        await _file.Store(path: path).Open(Cancellation);
        Assert.True(File.Exists(path));
    }

    [Fact]
    public async Task File_of_a_newer_version_is_refused_and_left_alone()
    {
        await using (var store = _file.Store())
            await store.Write(s => Execute(s, $"PRAGMA user_version = {SqliteSchema.Version + 1}"), 1, Cancellation);
        var before = await File.ReadAllBytesAsync(_file.Path, Cancellation);
        var refused = await Assert.ThrowsAsync<StorageOpenException>(() => _file.Store().Open(Cancellation));
        Assert.Contains("newer version", refused.Message, StringComparison.Ordinal);
        Assert.Contains(_file.Path, refused.Message, StringComparison.Ordinal);
        Assert.Equal(before, await File.ReadAllBytesAsync(_file.Path, Cancellation));
    }

    [Fact]
    public async Task Foreign_database_is_refused_and_left_alone()
    {
        using (var foreign = SqliteConnection.OpenToWrite(_file.Path))
            foreign.Execute("CREATE TABLE recipes (name TEXT)");
        var refused = await Assert.ThrowsAsync<StorageOpenException>(() => _file.Store().Open(Cancellation));
        Assert.Contains("another program", refused.Message, StringComparison.Ordinal);
        using var again = SqliteConnection.OpenToRead(_file.Path);
        Assert.Equal(1, again.Number("SELECT count(*) FROM sqlite_master"));
    }

    [Fact]
    public async Task File_that_is_no_database_is_refused_by_name()
    {
        await File.WriteAllTextAsync(_file.Path, string.Concat(Enumerable.Repeat("this is not a database, it is a diary\n", 200)), Cancellation);
        var refused = await Assert.ThrowsAsync<StorageOpenException>(() => _file.Store().Open(Cancellation));
        Assert.Contains("not a SQLite file", refused.Message, StringComparison.Ordinal);
        Assert.Contains(_file.Path, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Damaged_file_is_refused_by_name()
    {
        await using (var store = _file.Store())
            await new SqliteKlineArchive(store).Write("a", Run(KlineInterval.S1, 1_000), Cancellation);
        using (var file = File.Open(_file.Path, FileMode.Open))
        {
            // All after the first page's header.
            file.Position = 100;
            file.Write(new byte[file.Length - 100]);
        }

        var refused = await Assert.ThrowsAsync<StorageOpenException>(() => _file.Store().Open(Cancellation));
        Assert.Contains("damaged", refused.Message, StringComparison.Ordinal);
        Assert.Contains(_file.Path, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task File_cut_off_is_refused_by_name()
    {
        await using (var store = _file.Store())
            await new SqliteKlineArchive(store).Write("a", Run(KlineInterval.S1, 1_000), Cancellation);
        using (var file = File.Open(_file.Path, FileMode.Open))
            file.SetLength(8_192);
        var refused = await Assert.ThrowsAsync<StorageOpenException>(() => _file.Store().Open(Cancellation));
        Assert.Contains(_file.Path, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Path_that_is_a_folder_is_refused_by_name()
    {
        Directory.CreateDirectory(_file.Path);
        var refused = await Assert.ThrowsAsync<StorageOpenException>(() => _file.Store().Open(Cancellation));
        Assert.Contains(_file.Path, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Waiting_writers_share_commits()
    {
        var store = _file.Store();
        var archive = new SqliteKlineArchive(store);
        await store.Open(Cancellation);
        var before = store.Current;
        using var hold = new Hold(store);
        await hold.Reached;
        var writes = Enumerable.Range(0, 1_000).Select(i => archive.Write($"s{i}", Run(KlineInterval.S1, 3), Cancellation)).ToArray();
        hold.Release();
        await Task.WhenAll(writes);
        var after = store.Current;
        Assert.InRange(after.Commits - before.Commits, 2, 4);
        Assert.Equal(3_001, after.RowsWritten - before.RowsWritten);
        Assert.Equal(0, after.QueueLength);
        Assert.True(after.FileBytes > 0);
    }

    [Fact]
    public async Task Writer_that_fails_does_not_fail_its_neighbours()
    {
        var store = _file.Store();
        var archive = new SqliteKlineArchive(store);
        using var hold = new Hold(store);
        await hold.Reached;
        var before = archive.Write("before", Run(KlineInterval.S1, 3), Cancellation);
        var failing = store.Write<bool>(s => { s.SymbolId("taken back"); throw new InvalidOperationException("as the test wants"); }, 1, Cancellation);
        var refused = store.Write(s => Execute(s, "INSERT INTO symbol (id, symbol) VALUES (1, NULL)"), 1, Cancellation);
        var after = archive.Write("after", Run(KlineInterval.S1, 3), Cancellation);
        hold.Release();
        await Task.WhenAll(before, after);
        await Assert.ThrowsAsync<InvalidOperationException>(() => failing);
        await Assert.ThrowsAsync<SqliteException>(() => refused);
        Assert.Equal(3, (await Read(store, "before")).Count);
        Assert.Equal(3, (await Read(store, "after")).Count);
        Assert.True(store.Current.IsAvailable);

        // The number that the failing writer gave to its symbol was taken back with it, and a later symbol may have it.
        await archive.Write("other", Run(KlineInterval.S1, 2), Cancellation);
        await archive.Write("taken back", Run(KlineInterval.S1, 5), Cancellation);
        Assert.Equal(5, (await Read(store, "taken back")).Count);
        Assert.Equal(2, (await Read(store, "other")).Count);
    }

    [Fact]
    public async Task Full_disk_refuses_the_write_and_later_writes_succeed()
    {
        var store = _file.Store();
        var archive = new SqliteKlineArchive(store);
        await archive.Write("a", Run(KlineInterval.S1, 10), Cancellation);
        await store.Write(s => Execute(s, "PRAGMA max_page_count = 20"), 1, Cancellation);

        using var hold = new Hold(store);
        await hold.Reached;
        var large = archive.Write("a", Run(KlineInterval.S1, 5_000, 10), Cancellation);
        var small = archive.Write("a", Run(KlineInterval.M1, 1), Cancellation);
        hold.Release();
        var refused = await Assert.ThrowsAsync<ArchiveUnavailableException>(() => large);
        Assert.Contains(_file.Path, refused.Message, StringComparison.Ordinal);
        await small;
        Assert.Equal(10, (await Read(store, "a")).Count);
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => archive.Write("a", Run(KlineInterval.S1, 5_000, 10), Cancellation));
        Assert.False(store.Current.IsAvailable);
        Assert.NotNull(store.Current.LastError);
        Assert.Equal(2, store.Current.WritesFailed);

        await store.Write(s => Execute(s, "PRAGMA max_page_count = 100000"), 1, Cancellation);
        await archive.Write("a", Run(KlineInterval.S1, 5_000, 10), Cancellation);
        Assert.Equal(5_010, (await Read(store, "a")).Count);
        Assert.True(store.Current.IsAvailable);
    }

    [Fact]
    public async Task Locked_file_refuses_writes_until_it_is_free_and_is_still_read()
    {
        var store = _file.Store(new SqliteSettings { BusyTimeout = TimeSpan.Zero });
        var archive = new SqliteKlineArchive(store);
        await archive.Write("a", Run(KlineInterval.S1, 10), Cancellation);
        using (var tool = SqliteConnection.OpenToWrite(_file.Path))
        {
            tool.Execute("BEGIN IMMEDIATE");
            var writes = Enumerable.Range(0, 5).Select(i => archive.Write("a", Run(KlineInterval.M1, 1, i), Cancellation)).ToArray();
            foreach (var write in writes)
                await Assert.ThrowsAsync<ArchiveUnavailableException>(() => write);
            Assert.Equal(10, (await Read(store, "a")).Count);
            tool.Execute("ROLLBACK");
        }

        await archive.Write("a", Run(KlineInterval.S1, 10, 10), Cancellation);
        Assert.Equal(20, (await Read(store, "a")).Count);
    }

    [Fact]
    public async Task Readers_see_the_last_commit_while_a_write_is_under_way()
    {
        var store = _file.Store();
        var archive = new SqliteKlineArchive(store);
        await archive.Write("a", Run(KlineInterval.S1, 10), Cancellation);
        using var hold = new Hold(store, s => Execute(s, "DELETE FROM kline"));
        await hold.Reached;
        var reads = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => Read(store, "a")));
        Assert.All(reads, r => Assert.Equal(10, r.Count));
        hold.Release();
        await hold.Done;
        Assert.Empty(await Read(store, "a"));
    }

    [Fact]
    public async Task Write_cancelled_while_it_waits_is_not_written()
    {
        var store = _file.Store();
        var archive = new SqliteKlineArchive(store);
        using var cancel = new CancellationTokenSource();
        using var hold = new Hold(store);
        await hold.Reached;
        var write = archive.Write("a", Run(KlineInterval.S1, 1), cancel.Token);
        await cancel.CancelAsync();
        hold.Release();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => write);
        Assert.Empty(await Read(store, "a"));
    }

    [Fact]
    public async Task Full_queue_makes_callers_wait_and_loses_none()
    {
        var store = _file.Store(new SqliteSettings { QueueCapacity = 4, BatchRows = 3 });
        var archive = new SqliteKlineArchive(store);
        using var hold = new Hold(store);
        await hold.Reached;
        var writes = Enumerable.Range(0, 100).Select(i => archive.Write("a", Run(KlineInterval.S1, 1, i), Cancellation)).ToArray();
        Assert.Equal(4, store.Current.QueueLength);
        hold.Release();
        await Task.WhenAll(writes);
        Assert.Equal(Run(KlineInterval.S1, 100), await Read(store, "a"));
    }

    [Fact]
    public async Task Close_writes_what_waits_and_refuses_what_comes_after()
    {
        var store = _file.Store();
        var archive = new SqliteKlineArchive(store);
        using var hold = new Hold(store);
        await hold.Reached;
        var write = archive.Write("a", Run(KlineInterval.S1, 10), Cancellation);
        var close = store.Close();
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => archive.Write("b", Run(KlineInterval.S1, 10), Cancellation));
        hold.Release();
        await write;
        await close;
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => Read(store, "a"));
        Assert.False(store.Current.IsAvailable);
        Assert.Equal(10, (await Read(_file.Store(), "a")).Count);
    }

    [Fact]
    public async Task Backup_while_writing_is_a_whole_store()
    {
        var store = _file.Store();
        var archive = new SqliteKlineArchive(store);
        await archive.Write("a", Run(KlineInterval.S1, 1_000), Cancellation);
        using var stop = new CancellationTokenSource();
        var confirmed = new ConcurrentBag<int>();
        var writing = Task.Run(
            async () =>
            {
                for (var i = 100; !stop.IsCancellationRequested; i++)
                {
                    await archive.Write("a", Run(KlineInterval.S1, 10, i * 10), CancellationToken.None);
                    confirmed.Add(i);
                }
            },
            Cancellation);
        await store.Backup(_file.PathOf("backup.db"), Cancellation);
        await stop.CancelAsync();
        await writing;

        var copy = await Read(_file.Store(path: _file.PathOf("backup.db")), "a");
        Assert.True(copy.Count >= 1_000);
        Assert.Equal(0, copy.Count % 10);
        Assert.Equal(Run(KlineInterval.S1, copy.Count), copy);
        await Assert.ThrowsAsync<IOException>(() => store.Backup(_file.PathOf("backup.db"), Cancellation));
        Assert.False(File.Exists(_file.PathOf("backup.db.partial")));
    }

    [Fact]
    public async Task Backup_that_cannot_be_written_says_so_and_leaves_nothing()
    {
        var store = _file.Store();
        await new SqliteKlineArchive(store).Write("a", Run(KlineInterval.S1, 10), Cancellation);
        Directory.CreateDirectory(_file.PathOf("target.partial"));
        var refused = await Record.ExceptionAsync(() => store.Backup(_file.PathOf("target"), Cancellation));
        Assert.True(refused is IOException or UnauthorizedAccessException, $"{refused}");
        Assert.False(File.Exists(_file.PathOf("target")));
        Assert.Equal(10, (await Read(store, "a")).Count);
    }

    [Fact]
    public async Task Stored_kline_of_one_trade_takes_little_room()
    {
        await using (var store = _file.Store())
            await new SqliteKlineArchive(store).Write("a", Run(KlineInterval.S1, 10_000), Cancellation);
        var bytes = new FileInfo(_file.Path).Length / 10_000;
        Assert.InRange(bytes, 1, 220);
    }

    [Theory]
    [InlineData("SELECT 1 FROM kline WHERE symbol_id = ?1 AND interval = ?2 AND open_time >= ?3 AND open_time < ?4 ORDER BY open_time DESC LIMIT ?5", "USING PRIMARY KEY (symbol_id=? AND interval=? AND open_time>? AND open_time<?)")]
    [InlineData("SELECT 1 FROM kline WHERE symbol_id = ?1 AND interval = ?2 AND open_time >= ?3 ORDER BY open_time", "USING PRIMARY KEY (symbol_id=? AND interval=? AND open_time>?)")]
    [InlineData("SELECT 1 FROM symbol WHERE listed_ms IS NOT NULL AND (listed_ms, symbol) > (?1, ?2) ORDER BY listed_ms, symbol LIMIT ?3", "symbol_listed (")]
    public async Task Queries_are_ranges_of_a_key_and_sort_nothing(string query, string expected)
    {
        var store = _file.Store();
        var plan = await store.Read(
            (connection, _) =>
            {
                var lines = new List<string>();
                var explain = connection.Statement("EXPLAIN QUERY PLAN " + query);
                while (explain.Step())
                    lines.Add(explain.Text(3)!);
                explain.Reset();
                return string.Join("\n", lines);
            },
            Cancellation);
        Assert.Contains(expected, plan, StringComparison.Ordinal);
        Assert.DoesNotContain("TEMP B-TREE", plan, StringComparison.Ordinal);
        Assert.DoesNotContain("SCAN", plan, StringComparison.Ordinal);
    }

    private static Task<IReadOnlyList<Kline>> Read(SqliteStore store, string symbol) =>
        new SqliteKlineArchive(store).Read(symbol, KlineInterval.S1, new KlineRange(null, null, 100_000, false), Cancellation);

    private static bool Execute(SqliteWriteSession session, string sql)
    {
        session.Connection.Execute(sql);
        return true;
    }

    private void CopyFileSet(string name)
    {
        File.Copy(_file.Path, _file.PathOf(name));
        File.Copy(_file.Path + "-wal", _file.PathOf(name) + "-wal");
    }

    /// <summary>Keeps the writer inside a write until it is released.</summary>
    private sealed class Hold : IDisposable
    {
        private readonly ManualResetEventSlim _release = new();
        private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Hold(SqliteStore store, Func<SqliteWriteSession, bool>? first = null) =>
            Done = store.Write(
                session =>
                {
                    first?.Invoke(session);
                    _reached.TrySetResult();
                    return _release.Wait(TimeSpan.FromMinutes(1), CancellationToken.None);
                },
                1,
                Cancellation);

        public Task<bool> Done { get; }

        public Task Reached => _reached.Task.WaitAsync(Cancellation);

        public void Release() => _release.Set();

        public void Dispose() => _release.Set();
    }
}
