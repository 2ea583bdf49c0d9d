using KlineOrleans.Storage.Sqlite;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Storage;

/// <summary>What an operator does with a store from the command line, beside a server or without one.</summary>
public static class StorageCommands
{
    /// <summary>Copies the configured store, as of one moment, into a new file. A server that uses it goes on meanwhile.</summary>
    /// <returns>A sentence that says what was done.</returns>
    /// <exception cref="OptionsValidationException">A setting of the store is wrong, or the store is PostgreSQL, which has tools of its own.</exception>
    /// <exception cref="StorageOpenException">There is no such store, the file exists, or one of them cannot be read or written.</exception>
    public static Task<string> Backup(IConfiguration configuration, string file) => Task.Run(() =>
    {
        var store = Path.GetFullPath(Options(configuration, "backup: pg_dump --format=custom --file=FILE").Path);
        Guard(() => SqliteBackup.Copy(store, Path.GetFullPath(file)));
        return $"'{file}' holds all of '{store}', {new FileInfo(file).Length:N0} bytes.";
    });

    /// <summary>Makes the configured store from a backup. No server may use it, and none may be there.</summary>
    /// <returns>A sentence that says what was done.</returns>
    /// <exception cref="OptionsValidationException">A setting of the store is wrong, or the store is PostgreSQL, which has tools of its own.</exception>
    /// <exception cref="StorageOpenException">The file is no backup of this or an older version, a store is there already, or one of them cannot be read or written.</exception>
    public static Task<string> Restore(IConfiguration configuration, string file) => Task.Run(() =>
    {
        var store = Path.GetFullPath(Options(configuration, "restore, into an empty database: pg_restore --dbname=DATABASE FILE").Path);
        Guard(() => SqliteBackup.Restore(Path.GetFullPath(file), store));
        return $"'{store}' holds all of '{file}'. A server that starts on it goes on from the moment of the backup.";
    });

    private static StorageOptions Options(IConfiguration configuration, string tool)
    {
        var options = configuration.GetSection(StorageOptions.Section).Get<StorageOptions>() ?? new StorageOptions();
        var result = new StorageOptionsValidator(configuration).Validate(null, options);
        if (result.Failed)
            throw new OptionsValidationException(StorageOptions.Section, typeof(StorageOptions), result.Failures);
        return options.IsPostgres
            ? throw new OptionsValidationException(StorageOptions.Section, typeof(StorageOptions), [$"{StorageOptions.Section}:Provider: 'Postgres' has tools of its own to {tool}"])
            : options;
    }

    private static void Guard(Action action)
    {
        try
        {
            action();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or SqliteException)
        {
            throw new StorageOpenException(exception.Message, exception);
        }
    }
}
