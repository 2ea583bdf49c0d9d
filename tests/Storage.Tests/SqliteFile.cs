using KlineOrleans.Storage.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;

namespace KlineOrleans.Storage.Tests;

/// <summary>A folder of its own for one test, and stores in it.</summary>
internal sealed class SqliteFile : IAsyncDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("kline-store-");
    private readonly List<SqliteStore> _stores = [];

    public string Path => PathOf("kline.db");

    public string PathOf(string name) => System.IO.Path.Combine(_folder.FullName, name);

    public SqliteStore Store(SqliteSettings? settings = null, string? path = null)
    {
        var store = new SqliteStore(path ?? Path, TimeProvider.System, NullLogger<SqliteStore>.Instance, settings ?? new SqliteSettings());
        _stores.Add(store);
        return store;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var store in _stores)
            await store.DisposeAsync();
        _folder.Delete(recursive: true);
    }
}
