using System.Globalization;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Configuration;
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

    /// <summary>
    /// How long klines of an interval are kept, from the end of the newest kline that was stored: <c>s1</c> to <c>7.00:00:00</c>. At least an hour and longer than the
    /// correction window. Default: none, everything is kept.
    /// </summary>
    public Dictionary<string, string> Retention { get; } = [];

    // As text, because the binder passes over an element of a dictionary that it cannot convert.
    internal IEnumerable<(KlineInterval Interval, TimeSpan Kept)> Kept =>
        Retention.Select(entry => (KlineIntervals.TryParse(entry.Key, out var interval) ? interval : KlineInterval.None, TimeSpan.Parse(entry.Value, CultureInfo.InvariantCulture)));

    /// <summary>How often klines that are no longer kept are looked for. 1 second to 1 day; default: 10 minutes.</summary>
    public TimeSpan PruneEvery { get; set; } = TimeSpan.FromMinutes(10);

    internal bool IsPostgres => string.Equals(Provider, "Postgres", StringComparison.OrdinalIgnoreCase);
}

internal sealed class StorageOptionsValidator(IConfiguration configuration) : IValidateOptions<StorageOptions>
{
    private const string CorrectionWindowKey = "Kline:CorrectionWindow";

    private const string RetentionKey = StorageOptions.Section + ":" + nameof(StorageOptions.Retention);

    private static readonly TimeSpan ShortestRetention = TimeSpan.FromHours(1);

    private static readonly TimeSpan LongestRetention = TimeSpan.FromDays(36_500);

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
        CheckRetention(options, failures);
        return failures.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(failures);
    }

    private void CheckRetention(StorageOptions options, List<string> failures)
    {
        // A late trade must find the kline that it corrects.
        var shortest = TimeSpan.TryParse(configuration[CorrectionWindowKey], CultureInfo.InvariantCulture, out var window) && window >= ShortestRetention ? window + ShortestRetention : ShortestRetention;
        foreach (var (name, value) in options.Retention)
        {
            if (!KlineIntervals.TryParse(name, out _))
                failures.Add($"{RetentionKey}:{name}: '{name}' is not an interval. Allowed: {string.Join(", ", KlineIntervals.All.Select(i => i.Name()))}.");
            else if (!TimeSpan.TryParse(value, CultureInfo.InvariantCulture, out var kept) || kept < shortest || kept > LongestRetention)
                failures.Add($"{RetentionKey}:{name}: '{value}' is not allowed. Allowed: {shortest} to {LongestRetention}, as d.hh:mm:ss; to keep everything, leave it out.");
        }

        if (options.PruneEvery < TimeSpan.FromSeconds(1) || options.PruneEvery > TimeSpan.FromDays(1))
            failures.Add($"{StorageOptions.Section}:{nameof(StorageOptions.PruneEvery)}: '{options.PruneEvery}' is not allowed. Allowed: 00:00:01 to 1.00:00:00.");
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
