using SQLitePCL;

namespace KlineOrleans.Storage.Sqlite;

/// <summary>One open connection and its prepared statements. For one thread at a time.</summary>
internal sealed class SqliteConnection : IDisposable
{
    private readonly sqlite3 _handle;
    private readonly Dictionary<string, SqliteStatement> _statements = [];

    static SqliteConnection() => Batteries_V2.Init();

    private SqliteConnection(sqlite3 handle) => _handle = handle;

    /// <summary>Opens a file to read and write, making it where it is absent.</summary>
    /// <exception cref="SqliteException">SQLite cannot open it.</exception>
    public static SqliteConnection OpenToWrite(string path) => Open(path, raw.SQLITE_OPEN_READWRITE | raw.SQLITE_OPEN_CREATE);

    /// <summary>Opens a file that must be there. To write, because reading a store whose server was killed first puts its log in order.</summary>
    /// <exception cref="SqliteException">SQLite cannot open it.</exception>
    public static SqliteConnection OpenExisting(string path) => Open(path, raw.SQLITE_OPEN_READWRITE);

    /// <summary>Opens a file only to read.</summary>
    /// <exception cref="SqliteException">SQLite cannot open it.</exception>
    public static SqliteConnection OpenToRead(string path) => Open(path, raw.SQLITE_OPEN_READONLY);

    /// <summary>Whether a transaction is open. SQLite ends one by itself on some errors.</summary>
    public bool InTransaction => raw.sqlite3_get_autocommit(_handle) == 0;

    /// <summary>Whether the file may only be read, whatever was asked for.</summary>
    public bool IsReadOnly => raw.sqlite3_db_readonly(_handle, "main") == 1;

    /// <summary>How long to wait for a lock before failing.</summary>
    public void BusyTimeout(TimeSpan timeout) => raw.sqlite3_busy_timeout(_handle, (int)timeout.TotalMilliseconds);

    /// <summary>The prepared statement of <paramref name="sql"/>, one for the connection's whole life. Pass constants only: nothing is ever evicted.</summary>
    public SqliteStatement Statement(string sql)
    {
        if (!_statements.TryGetValue(sql, out var statement))
        {
            var code = raw.sqlite3_prepare_v2(_handle, sql, out var handle);
            if (code != raw.SQLITE_OK)
            {
                throw Failed(code);
            }

            _statements[sql] = statement = new SqliteStatement(this, handle);
        }

        return statement;
    }

    /// <summary>Runs one or several statements without parameters.</summary>
    public void Execute(string sql)
    {
        var code = raw.sqlite3_exec(_handle, sql);
        if (code != raw.SQLITE_OK)
        {
            throw Failed(code);
        }
    }

    /// <summary>Runs a query once and answers the first number.</summary>
    public long Number(string sql)
    {
        var code = raw.sqlite3_prepare_v2(_handle, sql, out var handle);
        if (code != raw.SQLITE_OK)
        {
            throw Failed(code);
        }

        using var statement = new SqliteStatement(this, handle);
        return statement.Step() ? statement.Int64(0) : 0;
    }

    /// <summary>Runs a query once and answers the first text.</summary>
    public string? Text(string sql)
    {
        var code = raw.sqlite3_prepare_v2(_handle, sql, out var handle);
        if (code != raw.SQLITE_OK)
        {
            throw Failed(code);
        }

        using var statement = new SqliteStatement(this, handle);
        return statement.Step() ? statement.Text(0) : null;
    }

    /// <summary>How many rows the last statement changed.</summary>
    public long Changes => raw.sqlite3_changes(_handle);

    /// <summary>Ends an open transaction without its changes, if there is one.</summary>
    public void Rollback()
    {
        if (InTransaction)
        {
            Execute("ROLLBACK");
        }
    }

    public SqliteException Failed(int code) => new(code & 0xFF, raw.sqlite3_errmsg(_handle).utf8_to_string());

    public void Dispose()
    {
        foreach (var statement in _statements.Values)
        {
            statement.Dispose();
        }

        _statements.Clear();
        _handle.Dispose();
    }

    private static SqliteConnection Open(string path, int flags)
    {
        // NOMUTEX: a connection serves one thread at a time by construction, so SQLite need not lock it again.
        var code = raw.sqlite3_open_v2(path, out var handle, flags | raw.SQLITE_OPEN_NOMUTEX, null);
        var connection = new SqliteConnection(handle);
        if (code != raw.SQLITE_OK)
        {
            using (connection)
            {
                throw connection.Failed(code);
            }
        }

        return connection;
    }
}
