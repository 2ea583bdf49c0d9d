using KlineOrleans.Contracts;
using KlineOrleans.Storage.Postgres;
using KlineOrleans.Storage.Sqlite;
using KlineOrleans.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace KlineOrleans.Storage.Tests;

/// <summary>A durable store of one test: its archive, its grain states, and a way to take it away.</summary>
public interface IStoreUnderTest : IAsyncDisposable
{
    IKlineStore Store { get; }

    IKlineArchive Archive { get; }

    IStateStore States { get; }

    /// <summary>Makes every write fail until the result is disposed.</summary>
    IDisposable Away();
}

/// <summary>SQLite, in a file of its own.</summary>
internal sealed class SqliteUnderTest : IStoreUnderTest
{
    private readonly SqliteFile _file = new();
    private readonly SqliteStore _store;

    public SqliteUnderTest()
    {
        _store = _file.Store(new SqliteSettings { BusyTimeout = TimeSpan.Zero });
        Archive = new SqliteKlineArchive(_store);
        States = new SqliteStateStore(_store);
    }

    public IKlineStore Store => _store;

    public IKlineArchive Archive { get; }

    public IStateStore States { get; }

    public IDisposable Away()
    {
        var tool = SqliteConnection.OpenToWrite(_file.Path);
        tool.Execute("BEGIN IMMEDIATE");
        return tool;
    }

    public ValueTask DisposeAsync() => _file.DisposeAsync();
}

/// <summary>PostgreSQL, in a schema of its own and behind a gate.</summary>
internal sealed class PostgresUnderTest : IStoreUnderTest
{
    private readonly List<PostgresStore> _stores = [];

    private PostgresUnderTest(PostgresDatabase database, PostgresSettings settings)
    {
        Database = database;
        Gate = new TcpGate(PostgresDatabase.Address.Host, PostgresDatabase.Address.Port);
        Postgres = Open(settings: settings);
        Archive = new PostgresKlineArchive(Postgres);
        States = new PostgresStateStore(Postgres);
    }

    public PostgresDatabase Database { get; }

    public TcpGate Gate { get; }

    public PostgresStore Postgres { get; }

    public IKlineStore Store => Postgres;

    public IKlineArchive Archive { get; }

    public IStateStore States { get; }

    /// <summary>Skips the test where there is no PostgreSQL.</summary>
    public static async Task<PostgresUnderTest> Create(PostgresSettings? settings = null)
    {
        Assert.SkipUnless(PostgresDatabase.Exists, PostgresDatabase.SkipReason);
        return new PostgresUnderTest(await PostgresDatabase.Create(), settings ?? new PostgresSettings());
    }

    /// <summary>Another store on the same tables.</summary>
    public PostgresStore Open(bool shared = false, PostgresSettings? settings = null)
    {
        var store = new PostgresStore(Database.Through(Gate.Port), shared, TimeProvider.System, NullLogger<PostgresStore>.Instance, settings ?? new PostgresSettings());
        _stores.Add(store);
        return store;
    }

    public IDisposable Away()
    {
        Gate.Close();
        return new Back(Gate);
    }

    public async ValueTask DisposeAsync()
    {
        Gate.Open();
        foreach (var store in _stores)
            await store.DisposeAsync();
        await Gate.DisposeAsync();
        await Database.DisposeAsync();
    }

    private sealed class Back(TcpGate gate) : IDisposable
    {
        public void Dispose() => gate.Open();
    }
}
