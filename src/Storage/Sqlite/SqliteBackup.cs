using SQLitePCL;

namespace KlineOrleans.Storage.Sqlite;

/// <summary>Whole copies of a SQLite store, there and back.</summary>
internal static class SqliteBackup
{
    /// <summary>Copies a store, as of one moment, into a new file that is a store itself. Whoever writes into it goes on meanwhile.</summary>
    /// <exception cref="IOException">There is no store at <paramref name="path"/>, or <paramref name="target"/> exists or cannot be written. Nothing is left there.</exception>
    /// <exception cref="SqliteException">The store cannot be read now.</exception>
    public static void Copy(string path, string target)
    {
        if (!File.Exists(path))
            throw new IOException($"There is no store at '{path}'.");
        RefuseExisting(target, "A backup does not overwrite.");
        var partial = target + ".partial";
        Directory.CreateDirectory(Path.GetDirectoryName(target)!);
        File.Delete(partial);
        try
        {
            // A connection of its own: the statement runs long. Its read transaction keeps the log from shrinking meanwhile.
            using (var connection = SqliteConnection.OpenExisting(path))
            {
                connection.BusyTimeout(TimeSpan.FromSeconds(30));
                SqliteSchema.Check(connection, path);
                var copy = connection.Statement("VACUUM INTO ?1");
                copy.BindText(1, partial);
                copy.Run();
            }

            // SQLite does not flush what VACUUM INTO writes.
            using (var file = new FileStream(partial, FileMode.Open, FileAccess.ReadWrite))
                file.Flush(flushToDisk: true);
            File.Move(partial, target);
        }
        catch (Exception exception)
        {
            File.Delete(partial);
            if (exception is SqliteException { Code: raw.SQLITE_CANTOPEN or raw.SQLITE_FULL or raw.SQLITE_READONLY or raw.SQLITE_PERM })
                throw new IOException($"'{partial}' cannot be written: {exception.Message}", exception);
            throw;
        }
    }

    /// <summary>Makes a store from a backup.</summary>
    /// <exception cref="StorageOpenException">The backup is of a newer version or another program's file, or a server holds the lock of the store.</exception>
    /// <exception cref="IOException">There is no backup, it is damaged, or there is a store already. Nothing was changed.</exception>
    public static void Restore(string backup, string path)
    {
        if (!File.Exists(backup))
            throw new IOException($"There is no backup at '{backup}'.");
        RefuseExisting(path, "Move it away first, with what lies beside it: a restore does not overwrite.");
        RefuseExisting(path + "-wal", "It is the log of a store that is gone, and would be taken for part of the new one. Move it away first.");
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        using var held = SqliteStore.LockFile(path);
        var partial = path + ".partial";
        try
        {
            File.Copy(backup, partial, overwrite: true);
            using (var connection = SqliteConnection.OpenExisting(partial))
            {
                SqliteSchema.Check(connection, backup);
                if (connection.Text("PRAGMA quick_check(1)") is var found && found != "ok")
                    throw new IOException($"'{backup}' is damaged: {found}");
            }

            using (var file = new FileStream(partial, FileMode.Open, FileAccess.ReadWrite))
                file.Flush(flushToDisk: true);
            File.Move(partial, path);
        }
        catch (Exception exception)
        {
            File.Delete(partial);
            if (exception is SqliteException { Code: raw.SQLITE_NOTADB or raw.SQLITE_CORRUPT } sqlite)
                throw new IOException($"'{backup}' is damaged or no backup: {sqlite.Message}", exception);
            throw;
        }
    }

    private static void RefuseExisting(string path, string why)
    {
        if (File.Exists(path))
            throw new IOException($"'{path}' exists. {why}");
    }
}
