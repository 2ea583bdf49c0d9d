namespace KlineOrleans.Storage.Sqlite;

/// <summary>The tables and how an older file becomes a current one.</summary>
/// <remarks>
/// <c>PRAGMA user_version</c> holds the version and <c>PRAGMA application_id</c> says that the file is ours; both are part of the file's first page and so of the
/// transaction that migrates. A migration is added at the end of <see cref="Migrations"/>, never changed.
/// </remarks>
internal static class SqliteSchema
{
    /// <summary>"KLIN" in ASCII.</summary>
    public const int ApplicationId = 0x4B4C494E;

    private static readonly string[] Migrations =
    [
        // kline: a NULL stands for what its column's comment says, so that a kline of one trade stores one price, one volume pair and one trade id.
        // Numbers are exact decimal text (ExactDecimal); times are Unix seconds; no column has an affinity that could turn text into a float.
        // WITHOUT ROWID: the key is the table, so a page of history is one range of neighbouring rows.
        """
        CREATE TABLE symbol (
            id INTEGER PRIMARY KEY,
            symbol TEXT NOT NULL UNIQUE,
            name TEXT,              -- NULL: klines came before the symbol was put into the index
            source TEXT,
            listed_ms INTEGER,
            search TEXT             -- upper-case symbol and name, U+001F between
        );
        CREATE INDEX symbol_listed ON symbol (listed_ms, symbol) WHERE listed_ms IS NOT NULL;

        CREATE TABLE kline (
            symbol_id INTEGER NOT NULL,
            interval INTEGER NOT NULL,
            open_time INTEGER NOT NULL,
            open TEXT NOT NULL,
            high TEXT,              -- NULL: the higher of open and close
            low TEXT,               -- NULL: the lower of open and close
            close TEXT,             -- NULL: open
            base_volume TEXT NOT NULL,
            quote_volume TEXT NOT NULL,
            taker_base TEXT,        -- NULL: base_volume
            taker_quote TEXT,       -- NULL: quote_volume
            trade_count INTEGER NOT NULL,
            update_count INTEGER,   -- NULL: trade_count
            revision INTEGER NOT NULL,
            first_position INTEGER NOT NULL,
            first_sequence INTEGER NOT NULL,
            first_signature TEXT,
            first_index INTEGER NOT NULL,
            last_position INTEGER,  -- NULL: last is first, and so in the three that follow
            last_sequence INTEGER,
            last_signature TEXT,
            last_index INTEGER,
            trade_high TEXT,        -- NULL: high; '0': none
            trade_low TEXT,         -- NULL: low; '0': none
            first_price TEXT,       -- NULL: open; '0': none
            PRIMARY KEY (symbol_id, interval, open_time)
        ) WITHOUT ROWID;

        -- payload NULL: cleared. The row stays, so that an etag never comes back for other content.
        CREATE TABLE grain_state (
            grain TEXT NOT NULL,
            name TEXT NOT NULL,
            etag INTEGER NOT NULL,
            payload BLOB,
            PRIMARY KEY (grain, name)
        );
        """,
        ChainEventSchema.Migration,
    ];

    /// <summary>The version of the files that this program writes.</summary>
    public static int Version => Migrations.Length;

    /// <summary>The version of a file that is ours, or 0 of an empty one.</summary>
    /// <exception cref="StorageOpenException">The file is of a newer version, or is some other program's.</exception>
    public static long Check(SqliteConnection connection, string path)
    {
        var version = connection.Number("PRAGMA user_version");
        var owner = connection.Number("PRAGMA application_id");
        var tables = connection.Number("SELECT count(*) FROM sqlite_master");
        if (owner != ApplicationId && (owner != 0 || version != 0 || tables != 0))
            throw new StorageOpenException($"'{path}' is a SQLite file of another program, not a kline store. Set {StorageOptions.PathKey} to another path.");
        if (version > Version)
        {
            throw new StorageOpenException(
                $"'{path}' was written by a newer version of this program (store version {version}; this program knows {Version}). Use that version, or set {StorageOptions.PathKey} to another path.");
        }

        return version;
    }

    /// <summary>Makes or updates the tables, all or nothing.</summary>
    /// <exception cref="StorageOpenException">The file is of a newer version, or is some other program's.</exception>
    public static void Migrate(SqliteConnection connection, string path)
    {
        var version = Check(connection, path);
        if (version == Version)
            return;

        connection.Execute("BEGIN IMMEDIATE");
        try
        {
            for (var next = (int)version; next < Version; next++)
                connection.Execute(Migrations[next]);
            connection.Execute($"PRAGMA application_id = {ApplicationId}; PRAGMA user_version = {Version}; COMMIT");
        }
        catch
        {
            connection.Rollback();
            throw;
        }
    }
}
