using System.Collections.Immutable;
using KlineOrleans.Contracts;
using Npgsql;
using NpgsqlTypes;

namespace KlineOrleans.Storage.Postgres;

/// <summary>Writes one caller's chain events inside the writer's transaction: numbers them, changes what is known better, and takes the oldest away.</summary>
internal sealed class PostgresEventBatch(NpgsqlConnection connection, ChainEventOptions options)
{
    /// <summary>The row of <c>kline_event_mint</c> that counts the events of all mints: numbers of symbols begin at 1.</summary>
    public const long AllMints = 0;

    private readonly SortedDictionary<long, MintRow> _mints = [];

    public ImmutableArray<long> Write(IReadOnlyList<(long Symbol, ChainEvent Event)> events)
    {
        ReadMints([AllMints, .. events.Select(e => e.Symbol).Distinct()]);
        var known = Known(events);
        var added = new List<(long Number, Key Key, ChainEvent Event)>();
        var changed = new Dictionary<Key, ChainEvent>();
        var numbers = ImmutableArray.CreateBuilder<long>(events.Count);
        foreach (var (symbol, e) in events)
        {
            var key = new Key(symbol, e.Order.Id.Position, e.Order.Id.Signature ?? "", e.Order.Id.Index);
            if (known.TryGetValue(key, out var row))
            {
                if (row.Sequence != e.Order.Sequence || row.Ticks != e.EventTime.UtcTicks)
                {
                    known[key] = row with { Sequence = e.Order.Sequence, Ticks = e.EventTime.UtcTicks };
                    changed[key] = e;
                }

                numbers.Add(row.Number);
                continue;
            }

            var mint = _mints[symbol];
            if (mint.Left is { } left && e.Order <= left)
            {
                numbers.Add(0);
                continue;
            }

            var number = ++mint.LastNumber;
            mint.Kept++;
            _mints[AllMints].Kept++;
            known.Add(key, new Row(number, e.Order.Sequence, e.EventTime.UtcTicks));
            added.Add((number, key, e));
            numbers.Add(number);
        }

        Insert(added);
        Update(changed);
        foreach (var (symbol, mint) in _mints.ToList())
        {
            if (symbol != AllMints && mint.Kept > options.PerMint)
                Prune("WHERE symbol_id = $1 ORDER BY slot, sequence, signature, event_index", symbol, mint.Kept - options.PerMint);
        }

        if (_mints[AllMints].Kept > options.Total)
            Prune("WHERE $1 = $1 ORDER BY id", AllMints, _mints[AllMints].Kept - options.Total);
        SaveMints();
        return numbers.MoveToImmutable();
    }

    // The rows are locked, in one order, so that two processes that write events of one mint number them one after the other.
    private void ReadMints(long[] symbols)
    {
        long[] missing = [.. symbols.Where(s => !_mints.ContainsKey(s)).Order()];
        if (missing.Length == 0)
            return;
        using (var insert = new NpgsqlCommand("INSERT INTO kline_event_mint (symbol_id) SELECT u FROM unnest($1) AS u ORDER BY u ON CONFLICT DO NOTHING", connection))
        {
            Add(insert, missing);
            insert.ExecuteNonQuery();
        }

        using var select = new NpgsqlCommand(
            "SELECT symbol_id, last_number, kept, left_slot, left_sequence, left_signature, left_index FROM kline_event_mint WHERE symbol_id = ANY ($1) ORDER BY symbol_id FOR UPDATE", connection);
        Add(select, missing);
        using var rows = select.ExecuteReader();
        while (rows.Read())
        {
            _mints.Add(rows.GetInt64(0), new MintRow
            {
                LastNumber = rows.GetInt64(1),
                Kept = rows.GetInt64(2),
                Left = rows.GetInt64(3) < 0 ? null : new TradeOrder(new TradeId(rows.GetInt64(3), rows.GetString(5), rows.GetInt32(6)), rows.GetInt64(4)),
            });
        }
    }

    private Dictionary<Key, Row> Known(IReadOnlyList<(long Symbol, ChainEvent Event)> events)
    {
        using var select = new NpgsqlCommand(
            """
            SELECT e.symbol_id, e.slot, e.signature, e.event_index, e.number, e.sequence, e.event_time FROM kline_event e
            JOIN (SELECT DISTINCT * FROM unnest($1, $2, $3, $4) AS u (symbol_id, slot, signature, event_index)) u
            ON e.symbol_id = u.symbol_id AND e.slot = u.slot AND e.signature = u.signature AND e.event_index = u.event_index
            """,
            connection);
        Add(select, [.. events.Select(e => e.Symbol)]);
        Add(select, [.. events.Select(e => e.Event.Order.Id.Position)]);
        Add(select, [.. events.Select(e => e.Event.Order.Id.Signature ?? "")]);
        Add(select, [.. events.Select(e => e.Event.Order.Id.Index)]);
        using var rows = select.ExecuteReader();
        var known = new Dictionary<Key, Row>();
        while (rows.Read())
            known[new Key(rows.GetInt64(0), rows.GetInt64(1), rows.GetString(2), rows.GetInt32(3))] = new Row(rows.GetInt64(4), rows.GetInt64(5), rows.GetInt64(6));
        return known;
    }

    private void Insert(List<(long Number, Key Key, ChainEvent Event)> added)
    {
        if (added.Count == 0)
            return;
        using var insert = new NpgsqlCommand(
            """
            INSERT INTO kline_event (symbol_id, number, slot, sequence, signature, event_index, event_time, type, fields)
            SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)
            """,
            connection);
        Add(insert, [.. added.Select(a => a.Key.Symbol)]);
        Add(insert, [.. added.Select(a => a.Number)]);
        Add(insert, [.. added.Select(a => a.Key.Slot)]);
        Add(insert, [.. added.Select(a => a.Event.Order.Sequence)]);
        Add(insert, [.. added.Select(a => a.Key.Signature)]);
        Add(insert, [.. added.Select(a => a.Key.Index)]);
        Add(insert, [.. added.Select(a => a.Event.EventTime.UtcTicks)]);
        Add(insert, [.. added.Select(a => a.Event.Type)]);
        Add(insert, [.. added.Select(a => a.Event.Fields)]);
        insert.ExecuteNonQuery();
    }

    private void Update(Dictionary<Key, ChainEvent> changed)
    {
        if (changed.Count == 0)
            return;
        using var update = new NpgsqlCommand(
            """
            UPDATE kline_event e SET sequence = u.sequence, event_time = u.event_time FROM unnest($1, $2, $3, $4, $5, $6) AS u (symbol_id, slot, signature, event_index, sequence, event_time)
            WHERE e.symbol_id = u.symbol_id AND e.slot = u.slot AND e.signature = u.signature AND e.event_index = u.event_index
            """,
            connection);
        Add(update, [.. changed.Keys.Select(k => k.Symbol)]);
        Add(update, [.. changed.Keys.Select(k => k.Slot)]);
        Add(update, [.. changed.Keys.Select(k => k.Signature)]);
        Add(update, [.. changed.Keys.Select(k => k.Index)]);
        Add(update, [.. changed.Values.Select(e => e.Order.Sequence)]);
        Add(update, [.. changed.Values.Select(e => e.EventTime.UtcTicks)]);
        update.ExecuteNonQuery();
    }

    /// <summary>Takes the first so many events of an order away, and remembers for each mint the newest that left.</summary>
    private void Prune(string which, long symbol, long count)
    {
        var leaving = new List<(long Symbol, TradeOrder Order)>();
        using (var delete = new NpgsqlCommand(
            $"DELETE FROM kline_event WHERE id IN (SELECT id FROM kline_event {which} LIMIT $2) RETURNING symbol_id, slot, sequence, signature, event_index", connection))
        {
            delete.Parameters.Add(new NpgsqlParameter<long> { TypedValue = symbol });
            delete.Parameters.Add(new NpgsqlParameter<long> { TypedValue = count });
            using var rows = delete.ExecuteReader();
            while (rows.Read())
                leaving.Add((rows.GetInt64(0), new TradeOrder(new TradeId(rows.GetInt64(1), rows.GetString(3), rows.GetInt32(4)), rows.GetInt64(2))));
        }

        ReadMints([.. leaving.Select(l => l.Symbol).Distinct()]);
        foreach (var (of, order) in leaving)
        {
            var mint = _mints[of];
            mint.Kept--;
            mint.Left = mint.Left is { } left && left > order ? left : order;
        }

        _mints[AllMints].Kept -= leaving.Count;
    }

    private void SaveMints()
    {
        using var save = new NpgsqlCommand(
            """
            UPDATE kline_event_mint m SET last_number = u.last_number, kept = u.kept, left_slot = u.left_slot, left_sequence = u.left_sequence, left_signature = u.left_signature, left_index = u.left_index
            FROM unnest($1, $2, $3, $4, $5, $6, $7) AS u (symbol_id, last_number, kept, left_slot, left_sequence, left_signature, left_index) WHERE m.symbol_id = u.symbol_id
            """,
            connection);
        Add(save, [.. _mints.Keys]);
        Add(save, [.. _mints.Values.Select(m => m.LastNumber)]);
        Add(save, [.. _mints.Values.Select(m => m.Kept)]);
        Add(save, [.. _mints.Values.Select(m => m.Left?.Id.Position ?? -1)]);
        Add(save, [.. _mints.Values.Select(m => m.Left?.Sequence ?? 0)]);
        Add(save, [.. _mints.Values.Select(m => m.Left?.Id.Signature ?? "")]);
        Add(save, [.. _mints.Values.Select(m => m.Left?.Id.Index ?? 0)]);
        save.ExecuteNonQuery();
    }

    private static void Add(NpgsqlCommand command, string[] values) => command.Parameters.Add(new NpgsqlParameter<string[]> { TypedValue = values, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });

    private static void Add(NpgsqlCommand command, long[] values) => command.Parameters.Add(new NpgsqlParameter<long[]> { TypedValue = values, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint });

    private static void Add(NpgsqlCommand command, int[] values) => command.Parameters.Add(new NpgsqlParameter<int[]> { TypedValue = values, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Integer });

    private readonly record struct Key(long Symbol, long Slot, string Signature, int Index);

    private readonly record struct Row(long Number, long Sequence, long Ticks);

    private sealed class MintRow
    {
        public long LastNumber;
        public long Kept;
        public TradeOrder? Left;
    }
}
