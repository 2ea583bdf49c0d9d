using System.Globalization;
using KlineOrleans.Contracts;
using Npgsql;

namespace KlineOrleans.Storage.Postgres;

/// <summary>The tables and how an older database becomes a current one.</summary>
/// <remarks>
/// In the first schema of the connection's search path. <c>kline_schema</c> holds the version. A migration is added at the end of <see cref="Migrations"/>, never
/// changed; it runs in one transaction, under a lock, so that servers that start together do not meet. Where the version is current nothing is written: a user
/// that may not create tables is enough then.
/// </remarks>
internal static class PostgresSchema
{
    /// <summary>"KLIN" in ASCII, the first half of the advisory locks' keys; the schema's hash is the second.</summary>
    public const int LockClass = 0x4B4C494E;

    private static readonly string[] Migrations =
    [
        // kline: a NULL stands for what its column's comment says, as in the SQLite store; the view klines fills it in for people. open_time is in Unix seconds.
        // One partition for each interval: their rows differ a thousandfold in number and in how long they are kept. Within one, rows lie in about the order in which
        // they became final, so a BRIN index of a few pages finds the old ones for retention (docs/adr/0010).
        """
        CREATE TABLE kline_symbol (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            symbol text COLLATE "C" NOT NULL UNIQUE,
            name text,              -- NULL: klines came before the symbol was put into the index
            source text,
            listed_ms bigint,
            search text             -- upper-case symbol and name, U+001F between
        );
        CREATE INDEX kline_symbol_listed ON kline_symbol (listed_ms, symbol) WHERE listed_ms IS NOT NULL;

        CREATE TABLE kline (
            symbol_id bigint NOT NULL,
            open_time bigint NOT NULL,
            first_position bigint NOT NULL,
            first_sequence bigint NOT NULL,
            trade_count bigint NOT NULL,
            update_count integer,   -- NULL: trade_count
            revision integer NOT NULL,
            first_index integer NOT NULL,
            interval smallint NOT NULL,
            open numeric NOT NULL,
            high numeric,           -- NULL: the higher of open and close
            low numeric,            -- NULL: the lower of open and close
            close numeric,          -- NULL: open
            base_volume numeric NOT NULL,
            quote_volume numeric NOT NULL,
            taker_base numeric,     -- NULL: base_volume
            taker_quote numeric,    -- NULL: quote_volume
            first_signature text,
            last_position bigint,   -- NULL: last is first, and so in the three that follow
            last_sequence bigint,
            last_signature text,
            last_index integer,
            trade_high numeric,     -- NULL: high; 0: none
            trade_low numeric,      -- NULL: low; 0: none
            first_price numeric,    -- NULL: open; 0: none
            PRIMARY KEY (symbol_id, interval, open_time)
        ) PARTITION BY LIST (interval);
        """ + Partitions() + """

        CREATE INDEX kline_age ON kline USING brin (open_time) WITH (pages_per_range = 64, autosummarize = on);

        CREATE VIEW klines AS
        SELECT s.symbol, (ARRAY['s1','s5','s15','s30','m1','m5','m15','m30','h1','h4','d1','w1'])[k.interval] AS interval, to_timestamp(k.open_time) AS open_time,
            k.open, coalesce(k.high, greatest(k.open, k.close)) AS high, coalesce(k.low, least(k.open, k.close)) AS low, coalesce(k.close, k.open) AS close,
            k.base_volume, k.quote_volume, coalesce(k.taker_base, k.base_volume) AS taker_base, coalesce(k.taker_quote, k.quote_volume) AS taker_quote, k.trade_count, k.revision
        FROM kline k JOIN kline_symbol s ON s.id = k.symbol_id;

        -- payload NULL: cleared. The row stays, so that an activation from before cannot write over what comes after.
        CREATE TABLE kline_grain_state (
            grain text COLLATE "C" NOT NULL,
            name text COLLATE "C" NOT NULL,
            etag bigint NOT NULL,
            payload bytea,
            PRIMARY KEY (grain, name)
        ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
        """,
        // Chain events, as in the SQLite store. The row of symbol 0 counts the events of all mints; a mint's row stays when all its events have left, so that no number
        // comes twice. left_*: the newest event that has left, in the chain's order; what is not newer does not come back. left_slot -1: none has.
        """
        CREATE TABLE kline_event (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            symbol_id bigint NOT NULL,
            number bigint NOT NULL,
            slot bigint NOT NULL,
            sequence bigint NOT NULL,
            signature text COLLATE "C" NOT NULL,
            event_index integer NOT NULL,
            event_time bigint NOT NULL, -- ticks of 100 ns since year 1, UTC
            type text NOT NULL,
            fields text NOT NULL,
            UNIQUE (symbol_id, slot, signature, event_index),
            UNIQUE (symbol_id, number)
        );
        CREATE INDEX kline_event_order ON kline_event (symbol_id, slot, sequence, signature, event_index);

        CREATE TABLE kline_event_mint (
            symbol_id bigint PRIMARY KEY,
            last_number bigint NOT NULL DEFAULT 0,
            kept bigint NOT NULL DEFAULT 0,
            left_slot bigint NOT NULL DEFAULT -1,
            left_sequence bigint NOT NULL DEFAULT 0,
            left_signature text COLLATE "C" NOT NULL DEFAULT '',
            left_index integer NOT NULL DEFAULT 0
        ) WITH (fillfactor = 70);
        """,
    ];

    /// <summary>The version of the databases that this program writes.</summary>
    public static int Version => Migrations.Length;

    /// <summary>Makes or updates the tables, all or nothing.</summary>
    /// <exception cref="StorageOpenException">The database is of a newer version, or there is no schema to make tables in.</exception>
    public static void Migrate(NpgsqlConnection connection, string where)
    {
        if (Number(connection, "SELECT 1 WHERE current_schema() IS NOT NULL") is null)
            throw new StorageOpenException($"{where} has no schema that its search path names. Create it, or change Search Path in {StorageOptions.ConnectionStringKey}.");
        if (CurrentVersion(connection, where) == Version)
            return;
        using var transaction = connection.BeginTransaction();
        Execute(connection, $"SELECT pg_advisory_xact_lock({LockClass}, hashtext(current_schema() || '.migrate'))");
        // Another process may have done it while this one waited.
        for (var next = CurrentVersion(connection, where); next < Version; next++)
            Execute(connection, Migrations[next]);
        Execute(connection, string.Create(CultureInfo.InvariantCulture, $"CREATE TABLE IF NOT EXISTS kline_schema (version integer NOT NULL); DELETE FROM kline_schema; INSERT INTO kline_schema VALUES ({Version})"));
        transaction.Commit();
    }

    private static int CurrentVersion(NpgsqlConnection connection, string where)
    {
        // From the catalogue itself: to_regclass remembers, within a transaction, what was not there before the lock was waited for.
        var version = Number(connection, "SELECT 1 FROM pg_class WHERE relname = 'kline_schema' AND relnamespace = to_regnamespace(current_schema())") is null ? 0 : (int)Number(connection, "SELECT version::bigint FROM kline_schema")!.Value;
        return version <= Version
            ? version
            : throw new StorageOpenException($"{where} was written by a newer version of this program (store version {version}; this program knows {Version}). Use that version, or another database.");
    }

    private static string Partitions() => string.Concat(KlineIntervals.All.Select(interval => string.Create(
        CultureInfo.InvariantCulture,
        $"\nCREATE TABLE kline_{interval.Name()} PARTITION OF kline FOR VALUES IN ({(int)interval}) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05);")));

    private static long? Number(NpgsqlConnection connection, string sql)
    {
        using var command = new NpgsqlCommand(sql, connection);
        return command.ExecuteScalar() is { } value and not DBNull ? Convert.ToInt64(value, CultureInfo.InvariantCulture) : null;
    }

    private static void Execute(NpgsqlConnection connection, string sql)
    {
        using var command = new NpgsqlCommand(sql, connection);
        command.ExecuteNonQuery();
    }
}
