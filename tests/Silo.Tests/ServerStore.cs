using System.Text;
using KlineOrleans.Testing;
using Npgsql;
using SQLitePCL;

namespace KlineOrleans.Silo.Tests;

/// <summary>A store that servers of one test run on, one after the other, and what is in it.</summary>
internal abstract class ServerStore : IAsyncDisposable
{
    private const string Order = "FROM kline k JOIN {0} s ON s.id = k.symbol_id ORDER BY s.symbol, k.interval, k.open_time";

    private const string Columns =
        """
        s.symbol, s.name, s.source, s.listed_ms, k.interval, k.open_time, k.open, k.high, k.low, k.close, k.base_volume, k.quote_volume, k.taker_base, k.taker_quote,
        k.trade_count, k.update_count, k.revision, k.first_position, k.first_sequence, k.first_signature, k.first_index,
        k.last_position, k.last_sequence, k.last_signature, k.last_index, k.trade_high, k.trade_low, k.first_price
        """;

    /// <summary>The stores that this machine has; the others' tests are skipped by name.</summary>
    public static async Task<ServerStore> Create(string kind, TemporaryFolder folder, string name)
    {
        if (kind == "Sqlite")
            return new Sqlite(folder[name + ".db"]);
        Assert.SkipUnless(PostgresDatabase.Exists, PostgresDatabase.SkipReason);
        return new Postgres(await PostgresDatabase.Create());
    }

    /// <summary>As on the command line.</summary>
    public abstract string[] Settings { get; }

    /// <summary>Every row of the archive, every column as it is stored, in one order. Read as it is enumerated.</summary>
    public abstract IEnumerable<string> Rows();

    /// <summary>Whether a source has written how far it is.</summary>
    public abstract bool HasCheckpoint();

    public abstract ValueTask DisposeAsync();

    /// <summary>Compares two archives byte for byte and answers how many rows they have.</summary>
    public static int AssertEqual(ServerStore expected, ServerStore actual)
    {
        using var left = expected.Rows().GetEnumerator();
        using var right = actual.Rows().GetEnumerator();
        var row = 0;
        while (true)
        {
            var (more, same) = (left.MoveNext(), right.MoveNext());
            Assert.True(more == same, more ? $"After {row} rows one is missing: {left.Current}" : $"After {row} rows there is one too many: {(same ? right.Current : "")}");
            if (!more)
                return row;
            Assert.Equal(left.Current, right.Current);
            row++;
        }
    }

    private sealed class Sqlite(string path) : ServerStore
    {
        public override string[] Settings => ["--Kline:Storage:Path", path];

        public override ValueTask DisposeAsync() => ValueTask.CompletedTask;

        public override bool HasCheckpoint() => Query("SELECT 1 FROM grain_state WHERE name = 'source'").Any();

        public override IEnumerable<string> Rows() =>
            Query($"SELECT {Columns} {Order.Replace("{0}", "symbol", StringComparison.Ordinal)}");

        private IEnumerable<string> Query(string sql)
        {
            Batteries_V2.Init();
            Assert.Equal(raw.SQLITE_OK, raw.sqlite3_open_v2(path, out var db, raw.SQLITE_OPEN_READONLY, null));
            using (db)
            {
                Assert.Equal(raw.SQLITE_OK, raw.sqlite3_prepare_v2(db, sql, out var statement));
                using (statement)
                {
                    var row = new StringBuilder();
                    while (raw.sqlite3_step(statement) == raw.SQLITE_ROW)
                    {
                        row.Clear();
                        for (var i = 0; i < raw.sqlite3_column_count(statement); i++)
                            row.Append(raw.sqlite3_column_type(statement, i)).Append(':').Append(raw.sqlite3_column_text(statement, i).utf8_to_string()).Append('|');
                        yield return row.ToString();
                    }
                }
            }
        }
    }

    internal sealed class Postgres(PostgresDatabase database) : ServerStore
    {
        public PostgresDatabase Database => database;

        public override string[] Settings => ["--Kline:Storage:Provider", "Postgres", "--Kline:Storage:ConnectionString", database.ConnectionString];

        /// <summary>The same database, reached through a gate.</summary>
        public string[] Through(TcpGate gate) => ["--Kline:Storage:Provider", "Postgres", "--Kline:Storage:ConnectionString", database.Through(gate.Port)];

        public override IEnumerable<string> Rows()
        {
            using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(database.ConnectionString) { Pooling = false, CommandTimeout = 600 }.ConnectionString);
            connection.Open();
            using var rows = connection.BeginTextExport($"COPY (SELECT {Columns} {Order.Replace("{0}", "kline_symbol", StringComparison.Ordinal)}) TO STDOUT");
            while (rows.ReadLine() is { } row)
                yield return row;
        }

        public override bool HasCheckpoint() => database.Rows("SELECT 1 FROM kline_grain_state WHERE name = 'source'").GetAwaiter().GetResult().Count > 0;

        public override ValueTask DisposeAsync() => database.DisposeAsync();
    }
}
