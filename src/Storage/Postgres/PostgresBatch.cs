using System.Globalization;
using System.Runtime.InteropServices;
using KlineOrleans.Contracts;
using Npgsql;
using NpgsqlTypes;

namespace KlineOrleans.Storage.Postgres;

/// <summary>Runs writes of many callers as few statements, inside one transaction. Belongs to the writer's thread and to one connection.</summary>
internal sealed class PostgresBatch(NpgsqlConnection connection, UncertainEtags uncertain)
{
    // Symbols of a chain are without end; those in use are few. Emptied when it is this large and filled again from the table.
    private const int MostSymbols = 200_000;

    private const string Savepoint = "direct";

    private readonly Dictionary<string, SymbolRows> _symbols = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SymbolRows> _newSymbols = new(StringComparer.Ordinal);

    public NpgsqlConnection Connection => connection;

    /// <summary>Runs the statements of all writes, in the callers' order where that matters. The caller commits.</summary>
    public void Run(ReadOnlySpan<PostgresWrite> writes)
    {
        _newSymbols.Clear();
        List<SymbolWrite>? symbols = null;
        List<StateWrite>? states = null;
        List<KlinesWrite>? klines = null;
        List<EventsWrite>? events = null;
        foreach (var write in writes)
        {
            switch (write)
            {
                case KlinesWrite k:
                    (klines ??= []).Add(k);
                    break;
                case StateWrite s:
                    (states ??= []).Add(s);
                    break;
                case SymbolWrite s:
                    (symbols ??= []).Add(s);
                    break;
                case EventsWrite e:
                    (events ??= []).Add(e);
                    break;
            }
        }

        if (symbols is not null)
            PutSymbols(symbols);
        if (states is not null)
            PutStates(states);
        if (klines is not null)
            PutKlines(klines);
        if (events is not null)
            PutEvents(events);
    }

    /// <summary>Keeps what holds now that the transaction is committed.</summary>
    public void Committed()
    {
        if (_symbols.Count >= MostSymbols)
            _symbols.Clear();
        foreach (var (symbol, rows) in _newSymbols)
            _symbols[symbol] = rows;
    }

    private void PutSymbols(List<SymbolWrite> writes)
    {
        // In order of symbol, so that two processes lock rows in one order; one row each, because a statement changes a row once.
        var folded = new SortedDictionary<string, SymbolInfo>(StringComparer.Ordinal);
        foreach (var write in writes)
        {
            var now = write.Symbol;
            folded[now.Symbol] = folded.TryGetValue(now.Symbol, out var before) && before.ListedTime < now.ListedTime ? now with { ListedTime = before.ListedTime } : now;
            write.Result = true;
        }

        using var command = new NpgsqlCommand(
            """
            INSERT INTO kline_symbol (symbol, name, source, listed_ms, search) SELECT * FROM unnest($1, $2, $3, $4, $5)
            ON CONFLICT (symbol) DO UPDATE SET
                name = excluded.name, source = excluded.source, search = excluded.search, listed_ms = least(kline_symbol.listed_ms, excluded.listed_ms)
            """,
            connection);
        Add(command, folded.Values.Select(s => s.Symbol).ToArray());
        Add(command, folded.Values.Select(s => s.Name).ToArray());
        Add(command, folded.Values.Select(s => s.Source).ToArray());
        Add(command, folded.Values.Select(s => s.ListedTime.ToUnixTimeMilliseconds()).ToArray());
        Add(command, folded.Values.Select(ArchiveChecks.SearchText).ToArray());
        command.ExecuteNonQuery();
    }

    private void PutStates(List<StateWrite> writes)
    {
        // Several writes of one state run one after the other: of those that expect the same etag one wins.
        var left = writes;
        while (left.Count > 0)
        {
            var round = new Dictionary<(string Grain, string Name), StateWrite>();
            List<StateWrite> later = [];
            foreach (var write in left)
            {
                if (!round.TryAdd(write.Key, write))
                    later.Add(write);
            }

            PutStates(round);
            left = later;
        }
    }

    private void PutStates(Dictionary<(string Grain, string Name), StateWrite> round)
    {
        var updates = round.Values.Where(w => w.Expected is not null).ToList();
        var stored = new HashSet<(string, string)>();
        Update(updates, static w => w.Expected!.Value, stored);
        Insert(round.Values.Where(w => w.Expected is null && w.Payload is not null).ToList(), stored);

        var refused = round.Values.Where(w => !stored.Contains(w.Key)).ToList();
        if (refused.Count > 0)
        {
            var found = Etags(refused);
            // A commit whose answer never came may have been done: then what is stored is this process's own, and the caller does not know.
            Update([.. refused.Where(w => found.TryGetValue(w.Key, out var etag) && uncertain.Contains(w.Key, etag))], w => found[w.Key], stored);
            foreach (var write in refused.Where(w => !stored.Contains(w.Key)))
            {
                var now = found.TryGetValue(write.Key, out var etag) ? etag : (long?)null;
                write.Result = new StateWriteResult(write.Payload is null && write.Expected is null && now is null, ETag(now));
            }
        }

        foreach (var write in round.Values.Where(w => stored.Contains(w.Key)))
            write.Result = new StateWriteResult(true, ETag(write.Next));
    }

    private void Update(List<StateWrite> writes, Func<StateWrite, long> expected, HashSet<(string, string)> stored)
    {
        if (writes.Count == 0)
            return;
        using var command = new NpgsqlCommand(
            """
            UPDATE kline_grain_state s SET etag = u.next, payload = u.payload FROM unnest($1, $2, $3, $4, $5) AS u (grain, name, payload, next, expected)
            WHERE s.grain = u.grain AND s.name = u.name AND s.etag = u.expected RETURNING s.grain, s.name
            """,
            connection);
        AddStates(command, writes);
        Add(command, writes.Select(expected).ToArray());
        ReadKeys(command, stored);
    }

    private void Insert(List<StateWrite> writes, HashSet<(string, string)> stored)
    {
        if (writes.Count == 0)
            return;
        using var command = new NpgsqlCommand(
            "INSERT INTO kline_grain_state (grain, name, payload, etag) SELECT * FROM unnest($1, $2, $3, $4) ON CONFLICT (grain, name) DO NOTHING RETURNING grain, name",
            connection);
        AddStates(command, writes);
        ReadKeys(command, stored);
    }

    private Dictionary<(string, string), long> Etags(List<StateWrite> writes)
    {
        using var command = new NpgsqlCommand(
            "SELECT s.grain, s.name, s.etag FROM unnest($1, $2) AS u (grain, name) JOIN kline_grain_state s ON s.grain = u.grain AND s.name = u.name FOR UPDATE OF s",
            connection);
        Add(command, writes.Select(w => w.Key.Grain).ToArray());
        Add(command, writes.Select(w => w.Key.Name).ToArray());
        using var rows = command.ExecuteReader();
        var found = new Dictionary<(string, string), long>();
        while (rows.Read())
            found[(rows.GetString(0), rows.GetString(1))] = rows.GetInt64(2);
        return found;
    }

    private void PutKlines(List<KlinesWrite> writes)
    {
        AddSymbols(writes.Select(w => w.Symbol));
        LearnNewest(writes);

        // What is newer than all that is stored of its series goes straight into the table: about twice as fast as the merge.
        // By interval, which is by partition: the table takes rows of one partition many at once.
        var direct = new List<(long Id, Kline Kline)>?[KlineIntervals.Count];
        // A statement changes a row once: of several versions of a kline the last with the highest revision counts, as if they came one after the other.
        var merged = new Dictionary<(long, KlineInterval, long), Kline>();
        foreach (var write in writes)
        {
            write.Result = true;
            var symbol = Rows(write.Symbol);
            foreach (var kline in write.Klines)
            {
                ref var newest = ref symbol.Newest![(int)kline.Interval];
                var open = kline.OpenTime.ToUnixTimeSeconds();
                if (open > newest)
                {
                    newest = open;
                    (direct[(int)kline.Interval] ??= []).Add((symbol.Id, kline));
                    continue;
                }

                ref var row = ref CollectionsMarshal.GetValueRefOrAddDefault(merged, (symbol.Id, kline.Interval, open), out var exists);
                if (!exists || kline.Revision >= row.Revision)
                    row = kline;
            }
        }

        if (direct.Any(d => d is not null) && !TryCopy(direct))
        {
            // Another process has written some of them meanwhile. What came later in this batch stands.
            foreach (var (id, kline) in direct.SelectMany(d => d ?? []))
            {
                ref var row = ref CollectionsMarshal.GetValueRefOrAddDefault(merged, (id, kline.Interval, kline.OpenTime.ToUnixTimeSeconds()), out var exists);
                if (!exists || kline.Revision > row.Revision)
                    row = kline;
            }

            foreach (var write in writes)
                Rows(write.Symbol).Newest = null;
        }

        if (merged.Count == 0)
            return;
        using (var import = connection.BeginBinaryImport($"COPY kline_staging ({PostgresKlineRow.AllColumns}) FROM STDIN (FORMAT binary)"))
        {
            foreach (var (key, kline) in merged)
                PostgresKlineRow.Write(import, key.Item1, kline);
            import.Complete();
        }

        using var merge = new NpgsqlCommand(PostgresKlineRow.Merge, connection);
        merge.ExecuteNonQuery();
    }

    /// <summary>Copies rows into the table. False: one of them is there already, and nothing was copied.</summary>
    private bool TryCopy(List<(long Id, Kline Kline)>?[] rows)
    {
        Execute("SAVEPOINT " + Savepoint);
        try
        {
            using var import = connection.BeginBinaryImport($"COPY kline ({PostgresKlineRow.AllColumns}) FROM STDIN (FORMAT binary)");
            foreach (var some in rows)
            {
                foreach (ref readonly var row in CollectionsMarshal.AsSpan(some))
                    PostgresKlineRow.Write(import, row.Id, row.Kline);
            }

            import.Complete();
        }
        catch (PostgresException error) when (error.SqlState == PostgresErrorCodes.UniqueViolation)
        {
            Execute("ROLLBACK TO SAVEPOINT " + Savepoint);
            return false;
        }

        Execute("RELEASE SAVEPOINT " + Savepoint);
        return true;
    }

    /// <summary>Asks for the newest kline of each series of symbols that were not written before. Rows of a batch that failed count as stored: then they are merged.</summary>
    private void LearnNewest(List<KlinesWrite> writes)
    {
        var unknown = new Dictionary<long, SymbolRows>();
        foreach (var write in writes)
        {
            if (Rows(write.Symbol) is { Newest: null } symbol)
                unknown.TryAdd(symbol.Id, symbol);
        }

        if (unknown.Count == 0)
            return;
        foreach (var symbol in unknown.Values)
        {
            symbol.Newest = new long[KlineIntervals.Count];
            Array.Fill(symbol.Newest, long.MinValue);
        }

        using var command = new NpgsqlCommand(
            """
            SELECT s.id, i.interval, k.open_time FROM unnest($1) AS s (id) CROSS JOIN (SELECT n::smallint AS interval FROM generate_series(1, $2) AS n) AS i
            CROSS JOIN LATERAL (SELECT open_time FROM kline WHERE symbol_id = s.id AND interval = i.interval ORDER BY open_time DESC LIMIT 1) AS k
            """,
            connection);
        Add(command, [.. unknown.Keys]);
        command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = KlineIntervals.Count - 1 });
        using var rows = command.ExecuteReader();
        while (rows.Read())
            unknown[rows.GetInt64(0)].Newest![rows.GetInt16(1)] = rows.GetInt64(2);
    }

    private void Execute(string sql)
    {
        using var command = new NpgsqlCommand(sql, connection);
        command.ExecuteNonQuery();
    }

    private void PutEvents(List<EventsWrite> writes)
    {
        AddSymbols(writes.SelectMany(w => w.Events).Select(e => e.Symbol));
        foreach (var write in writes)
            write.Result = new PostgresEventBatch(connection, write.Options).Write([.. write.Events.Select(e => (Rows(e.Symbol).Id, e))]);
    }

    private SymbolRows Rows(string symbol) => _symbols.TryGetValue(symbol, out var rows) ? rows : _newSymbols[symbol];

    private void AddSymbols(IEnumerable<string> symbols)
    {
        string[] unknown = [.. symbols.Where(s => !_symbols.ContainsKey(s)).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];
        if (unknown.Length == 0)
            return;
        using var insert = new NpgsqlCommand("INSERT INTO kline_symbol (symbol) SELECT u FROM unnest($1) AS u WHERE NOT EXISTS (SELECT FROM kline_symbol s WHERE s.symbol = u) ON CONFLICT (symbol) DO NOTHING", connection);
        Add(insert, unknown);
        insert.ExecuteNonQuery();
        using var select = new NpgsqlCommand("SELECT symbol, id FROM kline_symbol WHERE symbol = ANY ($1)", connection);
        Add(select, unknown);
        using var rows = select.ExecuteReader();
        while (rows.Read())
            _newSymbols[rows.GetString(0)] = new SymbolRows(rows.GetInt64(1));
    }

    private static void AddStates(NpgsqlCommand command, List<StateWrite> writes)
    {
        Add(command, writes.Select(w => w.Key.Grain).ToArray());
        Add(command, writes.Select(w => w.Key.Name).ToArray());
        command.Parameters.Add(new NpgsqlParameter<byte[]?[]> { TypedValue = [.. writes.Select(w => w.Payload is { } payload ? Bytes(payload) : null)], NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea });
        Add(command, writes.Select(w => w.Next).ToArray());
    }

    // Npgsql writes arrays of arrays of bytes; a whole array is passed on as it is.
    private static byte[] Bytes(ReadOnlyMemory<byte> payload) =>
        MemoryMarshal.TryGetArray(payload, out var segment) && segment.Offset == 0 && segment.Count == segment.Array!.Length ? segment.Array : payload.ToArray();

    private static void ReadKeys(NpgsqlCommand command, HashSet<(string, string)> keys)
    {
        using var rows = command.ExecuteReader();
        while (rows.Read())
            keys.Add((rows.GetString(0), rows.GetString(1)));
    }

    private static void Add(NpgsqlCommand command, string[] values) => command.Parameters.Add(new NpgsqlParameter<string[]> { TypedValue = values, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });

    private static void Add(NpgsqlCommand command, long[] values) => command.Parameters.Add(new NpgsqlParameter<long[]> { TypedValue = values, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint });

    /// <summary>What is known of a symbol's rows.</summary>
    private sealed class SymbolRows(long id)
    {
        public long Id => id;

        /// <summary>No kline of the interval (the index) that is stored opens later, in Unix seconds, unless another process wrote it. Null: not known.</summary>
        public long[]? Newest { get; set; }
    }

    internal static string? ETag(long? number) => number?.ToString(CultureInfo.InvariantCulture);
}
