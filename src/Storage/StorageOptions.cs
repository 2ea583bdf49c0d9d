using Microsoft.Extensions.Options;
using Npgsql;

namespace KlineOrleans.Storage;

/// <summary>Where klines and grain state are kept.</summary>
public sealed class StorageOptions
{
    public const string Section = "Kline:Storage";

    internal const string PathKey = Section + ":" + nameof(Path);

    internal const string ConnectionStringKey = Section + ":" + nameof(ConnectionString);

    /// <summary>The kind of store: <c>Sqlite</c>, one file and no server, or <c>Postgres</c>. Default: <c>Sqlite</c>.</summary>
    public string Provider { get; set; } = "Sqlite";

    /// <summary>The SQLite file, from the working folder. Made with its folder where it is absent. Default: <c>data/kline.db</c>.</summary>
    public string Path { get; set; } = "data/kline.db";

    /// <summary>The PostgreSQL database, as Npgsql reads it: <c>Host=...;Database=...;Username=...;Password=...</c>. Never logged.</summary>
    public string ConnectionString { get; set; } = "";

    /// <summary>
    /// With <c>Postgres</c>: several processes of one cluster use the database. False, the default: the one server keeps a second one out. Set by the host, from how it runs.
    /// </summary>
    public bool Shared { get; set; }

    internal bool IsPostgres => string.Equals(Provider, "Postgres", StringComparison.OrdinalIgnoreCase);
}

internal sealed class StorageOptionsValidator : IValidateOptions<StorageOptions>
{
    private const string ProviderKey = StorageOptions.Section + ":" + nameof(StorageOptions.Provider);

    public ValidateOptionsResult Validate(string? name, StorageOptions options)
    {
        var failures = new List<string>();
        if (options.IsPostgres)
            CheckConnectionString(options.ConnectionString, failures);
        else if (string.Equals(options.Provider, "Sqlite", StringComparison.OrdinalIgnoreCase))
            CheckPath(options.Path, failures);
        else
            failures.Add($"{ProviderKey}: '{options.Provider}' is not a store. Allowed: Sqlite, Postgres.");
        return failures.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(failures);
    }

    // The value is not repeated: there is a password in it.
    private static void CheckConnectionString(string value, List<string> failures)
    {
        const string Allowed = "Allowed: a connection string of PostgreSQL, as in Host=127.0.0.1;Database=kline;Username=kline;Password=...";
        if (string.IsNullOrWhiteSpace(value))
        {
            failures.Add($"{StorageOptions.ConnectionStringKey}: is missing, and the store is PostgreSQL. {Allowed}");
            return;
        }

        try
        {
            if (string.IsNullOrEmpty(new NpgsqlConnectionStringBuilder(value).Host))
                failures.Add($"{StorageOptions.ConnectionStringKey}: names no Host. {Allowed}");
        }
        catch (Exception exception) when (exception is ArgumentException or FormatException or InvalidCastException or OverflowException)
        {
            failures.Add($"{StorageOptions.ConnectionStringKey}: cannot be read. {Allowed}");
        }
    }

    private static void CheckPath(string path, List<string> failures)
    {
        if (string.IsNullOrWhiteSpace(path))
            failures.Add($"{StorageOptions.PathKey}: '{path}' is empty. Allowed: the path of a file, as in data/kline.db.");
        else if (path.Contains('\0') || path.StartsWith(":memory:", StringComparison.Ordinal) || path.StartsWith("file:", StringComparison.Ordinal))
            failures.Add($"{StorageOptions.PathKey}: '{path}' is not a path. Allowed: the path of a file, as in data/kline.db.");
        else if (System.IO.Path.EndsInDirectorySeparator(path) || Directory.Exists(path))
            failures.Add($"{StorageOptions.PathKey}: '{path}' is a folder. Allowed: the path of a file, as in data/kline.db.");
    }
}
