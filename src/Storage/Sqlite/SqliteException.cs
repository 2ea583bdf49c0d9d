using SQLitePCL;

namespace KlineOrleans.Storage.Sqlite;

/// <summary>What SQLite refused, with its result code.</summary>
/// <param name="code">The primary result code.</param>
internal sealed class SqliteException(int code, string message) : Exception($"SQLite error {code}: {message}")
{
    public int Code { get; } = code;

    /// <summary>The store as a whole cannot write now: whoever else waits would meet the same error.</summary>
    /// <remarks>A full disk is not among them: a smaller neighbour may still fit.</remarks>
    public bool IsAboutStore => Code is raw.SQLITE_BUSY or raw.SQLITE_LOCKED or raw.SQLITE_READONLY or raw.SQLITE_IOERR or raw.SQLITE_CANTOPEN
        or raw.SQLITE_PERM or raw.SQLITE_CORRUPT or raw.SQLITE_NOTADB or raw.SQLITE_NOMEM;

    /// <summary>The call may succeed later; anything else is a mistake of the caller or of this room.</summary>
    public bool IsTransient => IsAboutStore || Code is raw.SQLITE_FULL or raw.SQLITE_INTERRUPT or raw.SQLITE_PROTOCOL;
}
