using Microsoft.Extensions.Options;

namespace KlineOrleans.Storage;

/// <summary>Where klines and grain state are kept.</summary>
public sealed class StorageOptions
{
    public const string Section = "Kline:Storage";

    internal const string PathKey = Section + ":" + nameof(Path);

    /// <summary>The kind of store. Default: <c>Sqlite</c>, one file and no server.</summary>
    public string Provider { get; set; } = "Sqlite";

    /// <summary>The SQLite file, from the working folder. Made with its folder where it is absent. Default: <c>data/kline.db</c>.</summary>
    public string Path { get; set; } = "data/kline.db";
}

internal sealed class StorageOptionsValidator : IValidateOptions<StorageOptions>
{
    private const string ProviderKey = StorageOptions.Section + ":" + nameof(StorageOptions.Provider);

    public ValidateOptionsResult Validate(string? name, StorageOptions options)
    {
        var failures = new List<string>();
        if (string.Equals(options.Provider, "Postgres", StringComparison.OrdinalIgnoreCase))
            failures.Add($"{ProviderKey}: '{options.Provider}' is not available in this version. Allowed: Sqlite.");
        else if (!string.Equals(options.Provider, "Sqlite", StringComparison.OrdinalIgnoreCase))
            failures.Add($"{ProviderKey}: '{options.Provider}' is not a store. Allowed: Sqlite.");

        if (string.IsNullOrWhiteSpace(options.Path))
            failures.Add($"{StorageOptions.PathKey}: '{options.Path}' is empty. Allowed: the path of a file, as in data/kline.db.");
        else if (options.Path.Contains('\0') || options.Path.StartsWith(":memory:", StringComparison.Ordinal) || options.Path.StartsWith("file:", StringComparison.Ordinal))
            failures.Add($"{StorageOptions.PathKey}: '{options.Path}' is not a path. Allowed: the path of a file, as in data/kline.db.");
        else if (System.IO.Path.EndsInDirectorySeparator(options.Path) || Directory.Exists(options.Path))
            failures.Add($"{StorageOptions.PathKey}: '{options.Path}' is a folder. Allowed: the path of a file, as in data/kline.db.");
        return failures.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(failures);
    }
}
