using System.Collections.Immutable;
using KlineOrleans.Contracts;

namespace KlineOrleans.Storage.Sqlite;

/// <summary>Chain events in a SQLite file, as many as <see cref="ChainEventOptions"/> allows.</summary>
public sealed class SqliteChainEvents(SqliteStore store, ChainEventOptions options) : IChainEventStore
{
    private const int MostAtOnce = 1_000;

    private const string Columns = "number, slot, sequence, signature, event_index, event_time, type, fields";

    /// <inheritdoc/>
    public bool KeepsEvents => options.PerMint > 0;

    /// <inheritdoc/>
    public Task<ImmutableArray<long>> Write(IReadOnlyList<ChainEvent> events, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(events);
        foreach (var e in events)
        {
            ArgumentException.ThrowIfNullOrEmpty(e.Symbol);
            ArgumentException.ThrowIfNullOrEmpty(e.Type);
            ArgumentException.ThrowIfNullOrEmpty(e.Fields);
        }

        return events.Count == 0 || !KeepsEvents
            ? Task.FromResult(events.Select(static _ => 0L).ToImmutableArray())
            : store.Write(session => new Writer(session, options).Write(events), events.Count, cancellationToken);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<StoredEvent>> Read(string symbol, ChainEventRange range, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        CheckLimit(range.Limit);
        var (sign, order) = range.NewestFirst ? ("<", " DESC") : (">", "");
        var after = range.After is null ? "" : $" AND (slot, sequence, signature, event_index) {sign} (?4, ?5, ?6, ?7)";
        // The plus keeps SQLite from the index of numbers: it would read all that a symbol has and sort it.
        return Read(
            symbol,
            range.Limit,
            $"SELECT {Columns} FROM chain_event WHERE symbol_id = ?1 AND +number <= ?3{after} ORDER BY slot{order}, sequence{order}, signature{order}, event_index{order} LIMIT ?2",
            query =>
            {
                query.Bind(3, range.UpTo);
                if (range.After is { } last)
                {
                    query.Bind(4, last.Id.Position);
                    query.Bind(5, last.Sequence);
                    query.BindText(6, last.Id.Signature ?? "");
                    query.Bind(7, last.Id.Index);
                }
            },
            cancellationToken);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<StoredEvent>> ReadAfter(string symbol, long number, int limit, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        CheckLimit(limit);
        return Read(symbol, limit, $"SELECT {Columns} FROM chain_event WHERE symbol_id = ?1 AND number > ?3 ORDER BY number LIMIT ?2", query => query.Bind(3, number), cancellationToken);
    }

    /// <inheritdoc/>
    public Task<ChainEventCount> Count(string symbol, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        return store.Read(
            (connection, _) =>
            {
                var query = connection.Statement("SELECT kept, last_number FROM chain_mint WHERE symbol_id = (SELECT id FROM symbol WHERE symbol = ?1)");
                query.BindText(1, symbol);
                try
                {
                    return query.Step() ? new ChainEventCount(query.Int64(0), query.Int64(1)) : default;
                }
                finally
                {
                    query.Reset();
                }
            },
            cancellationToken);
    }

    private Task<IReadOnlyList<StoredEvent>> Read(string symbol, int limit, string sql, Action<SqliteStatement> bind, CancellationToken cancellationToken) => store.Read<IReadOnlyList<StoredEvent>>(
        (connection, cancellation) =>
        {
            var find = connection.Statement("SELECT id FROM symbol WHERE symbol = ?1");
            find.BindText(1, symbol);
            long id;
            try
            {
                if (!find.Step())
                    return [];
                id = find.Int64(0);
            }
            finally
            {
                find.Reset();
            }

            var query = connection.Statement(sql);
            query.Bind(1, id);
            query.Bind(2, limit);
            bind(query);
            var events = new List<StoredEvent>(Math.Min(limit, 128));
            try
            {
                while (query.Step())
                {
                    cancellation.ThrowIfCancellationRequested();
                    events.Add(new StoredEvent(query.Int64(0), new ChainEvent
                    {
                        Symbol = symbol,
                        Order = new TradeOrder(new TradeId(query.Int64(1), query.Text(3), (int)query.Int64(4)), query.Int64(2)),
                        EventTime = new DateTimeOffset(query.Int64(5), TimeSpan.Zero),
                        Type = query.Text(6)!,
                        Fields = query.Text(7)!,
                    }));
                }
            }
            finally
            {
                query.Reset();
            }

            return events;
        },
        cancellationToken);

    private static void CheckLimit(int limit)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(limit, MostAtOnce);
    }

    /// <summary>One write inside the writer's transaction.</summary>
    private sealed class Writer(SqliteWriteSession session, ChainEventOptions options)
    {
        private readonly SqliteStatement _find = session.Connection.Statement("SELECT id, number, sequence, event_time FROM chain_event WHERE symbol_id = ?1 AND slot = ?2 AND signature = ?3 AND event_index = ?4");
        private readonly SqliteStatement _insert = session.Connection.Statement($"INSERT INTO chain_event (symbol_id, {Columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
        private readonly SqliteStatement _update = session.Connection.Statement("UPDATE chain_event SET sequence = ?2, event_time = ?3 WHERE id = ?1");
        private readonly Dictionary<long, MintRow> _mints = [];

        public ImmutableArray<long> Write(IReadOnlyList<ChainEvent> events)
        {
            var numbers = ImmutableArray.CreateBuilder<long>(events.Count);
            var all = Row(ChainEventSchema.AllMints);
            foreach (var e in events)
                numbers.Add(Write(e));
            all.Kept += _mints.Values.Sum(m => m.Added);
            foreach (var (id, mint) in _mints)
            {
                if (id != ChainEventSchema.AllMints && mint.Kept > options.PerMint)
                    Prune("WHERE symbol_id = ?1 ORDER BY slot, sequence, signature, event_index", id, mint.Kept - options.PerMint);
            }

            if (all.Kept > options.Total)
                Prune("WHERE ?1 = ?1 ORDER BY id", 0, all.Kept - options.Total);
            foreach (var (id, mint) in _mints)
                Save(id, mint);
            return numbers.DrainToImmutable();
        }

        private long Write(ChainEvent e)
        {
            var symbol = session.SymbolId(e.Symbol);
            var id = e.Order.Id;
            _find.Bind(1, symbol);
            _find.Bind(2, id.Position);
            _find.BindText(3, id.Signature ?? "");
            _find.Bind(4, id.Index);
            try
            {
                if (_find.Step())
                {
                    var number = _find.Int64(1);
                    if (_find.Int64(2) != e.Order.Sequence || _find.Int64(3) != e.EventTime.UtcTicks)
                    {
                        _update.Bind(1, _find.Int64(0));
                        _update.Bind(2, e.Order.Sequence);
                        _update.Bind(3, e.EventTime.UtcTicks);
                        _update.Run();
                    }

                    return number;
                }
            }
            finally
            {
                _find.Reset();
            }

            var mint = Row(symbol);
            if (mint.Left is { } left && e.Order <= left)
                return 0;
            _insert.Bind(1, symbol);
            _insert.Bind(2, ++mint.LastNumber);
            _insert.Bind(3, id.Position);
            _insert.Bind(4, e.Order.Sequence);
            _insert.BindText(5, id.Signature ?? "");
            _insert.Bind(6, id.Index);
            _insert.Bind(7, e.EventTime.UtcTicks);
            _insert.BindText(8, e.Type);
            _insert.BindText(9, e.Fields);
            _insert.Run();
            mint.Kept++;
            mint.Added++;
            return mint.LastNumber;
        }

        // Takes the first so many events of an order away, and remembers for each mint the newest that left.
        private void Prune(string which, long symbol, long count)
        {
            var list = session.Connection.Statement($"SELECT id, symbol_id, slot, sequence, signature, event_index FROM chain_event {which} LIMIT ?2");
            list.Bind(1, symbol);
            list.Bind(2, count);
            var leaving = new List<(long Id, long Symbol, TradeOrder Order)>();
            try
            {
                while (list.Step())
                    leaving.Add((list.Int64(0), list.Int64(1), new TradeOrder(new TradeId(list.Int64(2), list.Text(4), (int)list.Int64(5)), list.Int64(3))));
            }
            finally
            {
                list.Reset();
            }

            var delete = session.Connection.Statement("DELETE FROM chain_event WHERE id = ?1");
            foreach (var (id, of, order) in leaving)
            {
                delete.Bind(1, id);
                delete.Run();
                var mint = Row(of);
                mint.Kept--;
                mint.Left = mint.Left is { } left && left > order ? left : order;
            }

            Row(ChainEventSchema.AllMints).Kept -= leaving.Count;
        }

        private MintRow Row(long symbol)
        {
            if (_mints.TryGetValue(symbol, out var row))
                return row;
            var find = session.Connection.Statement("SELECT last_number, kept, left_slot, left_sequence, left_signature, left_index FROM chain_mint WHERE symbol_id = ?1");
            find.Bind(1, symbol);
            try
            {
                row = find.Step()
                    ? new MintRow
                    {
                        LastNumber = find.Int64(0),
                        Kept = find.Int64(1),
                        Left = find.Int64(2) < 0 ? null : new TradeOrder(new TradeId(find.Int64(2), find.Text(4), (int)find.Int64(5)), find.Int64(3)),
                    }
                    : new MintRow();
            }
            finally
            {
                find.Reset();
            }

            _mints.Add(symbol, row);
            return row;
        }

        private void Save(long symbol, MintRow row)
        {
            var save = session.Connection.Statement("INSERT OR REPLACE INTO chain_mint (symbol_id, last_number, kept, left_slot, left_sequence, left_signature, left_index) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
            save.Bind(1, symbol);
            save.Bind(2, row.LastNumber);
            save.Bind(3, row.Kept);
            save.Bind(4, row.Left?.Id.Position ?? -1);
            save.Bind(5, row.Left?.Sequence ?? 0);
            save.BindText(6, row.Left?.Id.Signature ?? "");
            save.Bind(7, row.Left?.Id.Index ?? 0);
            save.Run();
        }
    }

    private sealed class MintRow
    {
        public long LastNumber;
        public long Kept;
        public long Added;
        public TradeOrder? Left;
    }
}
