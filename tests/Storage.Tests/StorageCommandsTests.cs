using KlineOrleans.Contracts;
using KlineOrleans.Storage.Sqlite;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;
using static KlineOrleans.Storage.Tests.SampleKlines;

namespace KlineOrleans.Storage.Tests;

/// <summary>Backup and restore as an operator runs them.</summary>
public sealed class StorageCommandsTests : IAsyncDisposable
{
    private readonly SqliteFile _file = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => _file.DisposeAsync();

    [Fact]
    public async Task Store_in_use_is_copied_and_its_copy_becomes_a_store()
    {
        var store = _file.Store();
        await new SqliteKlineArchive(store).Write("a", Run(KlineInterval.S1, 100), Cancellation);
        await new SqliteStateStore(store).Write("g", "s", new byte[] { 1, 2 }, null, Cancellation);

        var said = await StorageCommands.Backup(Settings(_file.Path), _file.PathOf("copies/monday"));
        await new SqliteKlineArchive(store).Write("a", Run(KlineInterval.S1, 100, 100), Cancellation);
        Assert.Contains("monday", said, StringComparison.Ordinal);
        await StorageCommands.Restore(Settings(_file.PathOf("other/kline.db")), _file.PathOf("copies/monday"));

        var restored = _file.Store(path: _file.PathOf("other/kline.db"));
        Assert.Equal(Run(KlineInterval.S1, 100), await new SqliteKlineArchive(restored).Read("a", KlineInterval.S1, new KlineRange(null, null, 1_000, false), Cancellation));
        Assert.Equal([1, 2], (await new SqliteStateStore(restored).Read("g", "s", Cancellation)).Payload);
    }

    [Fact]
    public async Task Backup_overwrites_nothing_and_needs_a_store()
    {
        await using (var store = _file.Store())
            await store.Open(Cancellation);
        await File.WriteAllTextAsync(_file.PathOf("precious"), "x", Cancellation);
        Assert.Contains("exists", (await Assert.ThrowsAsync<StorageOpenException>(() => StorageCommands.Backup(Settings(_file.Path), _file.PathOf("precious")))).Message, StringComparison.Ordinal);
        Assert.Equal("x", await File.ReadAllTextAsync(_file.PathOf("precious"), Cancellation));
        Assert.Contains("no store", (await Assert.ThrowsAsync<StorageOpenException>(() => StorageCommands.Backup(Settings(_file.PathOf("absent.db")), _file.PathOf("b")))).Message, StringComparison.Ordinal);
        Assert.False(File.Exists(_file.PathOf("absent.db")));
    }

    [Fact]
    public async Task Restore_overwrites_no_store_and_no_log_and_takes_no_lock_of_a_server()
    {
        await using (var store = _file.Store())
            await store.Open(Cancellation);
        await StorageCommands.Backup(Settings(_file.Path), _file.PathOf("backup"));
        Assert.Contains("exists", (await Assert.ThrowsAsync<StorageOpenException>(() => StorageCommands.Restore(Settings(_file.Path), _file.PathOf("backup")))).Message, StringComparison.Ordinal);

        await File.WriteAllTextAsync(_file.PathOf("new.db-wal"), "old", Cancellation);
        Assert.Contains("log", (await Assert.ThrowsAsync<StorageOpenException>(() => StorageCommands.Restore(Settings(_file.PathOf("new.db")), _file.PathOf("backup")))).Message, StringComparison.Ordinal);
        Assert.False(File.Exists(_file.PathOf("new.db")));
        File.Delete(_file.PathOf("new.db-wal"));

        using (SqliteStore.LockFile(_file.PathOf("new.db")))
            Assert.Contains("in use", (await Assert.ThrowsAsync<StorageOpenException>(() => StorageCommands.Restore(Settings(_file.PathOf("new.db")), _file.PathOf("backup")))).Message, StringComparison.Ordinal);
        await StorageCommands.Restore(Settings(_file.PathOf("new.db")), _file.PathOf("backup"));
        await _file.Store(path: _file.PathOf("new.db")).Open(Cancellation);
    }

    [Fact]
    public async Task Restore_takes_no_other_file_and_leaves_nothing()
    {
        await using (var store = _file.Store())
            await new SqliteKlineArchive(store).Write("a", Run(KlineInterval.S1, 5_000), Cancellation);
        await StorageCommands.Backup(Settings(_file.Path), _file.PathOf("damaged"));
        await using (var damaged = File.OpenWrite(_file.PathOf("damaged")))
        {
            damaged.Position = damaged.Length / 2;
            damaged.Write(new byte[8_192]);
        }

        await File.WriteAllTextAsync(_file.PathOf("letter"), new string('x', 10_000), Cancellation);
        foreach (var wrong in new[] { "damaged", "letter", "absent" })
            await Assert.ThrowsAsync<StorageOpenException>(() => StorageCommands.Restore(Settings(_file.PathOf("new.db")), _file.PathOf(wrong)));
        Assert.False(File.Exists(_file.PathOf("new.db")));
        Assert.False(File.Exists(_file.PathOf("new.db.partial")));
    }

    [Fact]
    public async Task Postgres_is_told_its_own_tools()
    {
        var settings = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>(StringComparer.Ordinal)
        {
            ["Kline:Storage:Provider"] = "Postgres",
            ["Kline:Storage:ConnectionString"] = "Host=127.0.0.1",
        }).Build();
        Assert.Contains("pg_dump", Assert.Single((await Assert.ThrowsAsync<OptionsValidationException>(() => StorageCommands.Backup(settings, "b"))).Failures), StringComparison.Ordinal);
        Assert.Contains("pg_restore", Assert.Single((await Assert.ThrowsAsync<OptionsValidationException>(() => StorageCommands.Restore(settings, "b"))).Failures), StringComparison.Ordinal);
    }

    private static IConfiguration Settings(string path) =>
        new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>(StringComparer.Ordinal) { [StorageOptions.PathKey] = path }).Build();
}
