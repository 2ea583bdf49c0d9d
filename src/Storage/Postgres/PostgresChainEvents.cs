using System.Collections.Immutable;
using KlineOrleans.Contracts;
using Npgsql;

namespace KlineOrleans.Storage.Postgres;

/// <summary>Chain events in a PostgreSQL database, as many as <see cref="ChainEventOptions"/> allows. Thread safe.</summary>
public sealed class PostgresChainEvents(PostgresStore store, ChainEventOptions options) : IChainEventStore
{
    private const int MostAtOnce = 1_000;

    private const string Columns = "e.number, e.slot, e.sequence, e.signature, e.event_index, e.event_time, e.type, e.fields";

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
            PostgresText.Check(e.Symbol, nameof(events));
            PostgresText.Check(e.Type, nameof(events));
            PostgresText.Check(e.Fields, nameof(events));
        }

        return events.Count == 0 || !KeepsEvents
            ? Task.FromResult(events.Select(static _ => 0L).ToImmutableArray())
            : store.Write(new EventsWrite([.. events], options, cancellationToken), cancellationToken);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<StoredEvent>> Read(string symbol, ChainEventRange range, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        CheckLimit(range.Limit);
        var (sign, order) = range.NewestFirst ? ("<", " DESC") : (">", "");
        var after = range.After is null ? "" : $" AND (e.slot, e.sequence, e.signature, e.event_index) {sign} ($4, $5, $6, $7)";
        return Read(
            symbol,
            $"AND e.number <= $3{after} ORDER BY e.slot{order}, e.sequence{order}, e.signature{order}, e.event_index{order} LIMIT $2",
            command =>
            {
                Add(command, (long)range.Limit);
                Add(command, range.UpTo);
                if (range.After is { } last)
                {
                    Add(command, last.Id.Position);
                    Add(command, last.Sequence);
                    command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = last.Id.Signature ?? "" });
                    command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = last.Id.Index });
                }
            },
            cancellationToken);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<StoredEvent>> ReadAfter(string symbol, long number, int limit, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        CheckLimit(limit);
        return Read(
            symbol,
            "AND e.number > $3 ORDER BY e.number LIMIT $2",
            command =>
            {
                Add(command, (long)limit);
                Add(command, number);
            },
            cancellationToken);
    }

    /// <inheritdoc/>
    public Task<ChainEventCount> Count(string symbol, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        return PostgresText.IsStorable(symbol)
            ? store.Read(
                async (connection, cancellation) =>
                {
                    await using var command = new NpgsqlCommand("SELECT m.kept, m.last_number FROM kline_event_mint m JOIN kline_symbol s ON s.id = m.symbol_id WHERE s.symbol = $1", connection);
                    command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = symbol });
                    await using var row = await command.ExecuteReaderAsync(cancellation);
                    return await row.ReadAsync(cancellation) ? new ChainEventCount(row.GetInt64(0), row.GetInt64(1)) : default;
                },
                cancellationToken)
            : Task.FromResult(default(ChainEventCount));
    }

    private Task<IReadOnlyList<StoredEvent>> Read(string symbol, string which, Action<NpgsqlCommand> add, CancellationToken cancellationToken)
    {
        if (!PostgresText.IsStorable(symbol))
            return Task.FromResult<IReadOnlyList<StoredEvent>>([]);
        return store.Read<IReadOnlyList<StoredEvent>>(
            async (connection, cancellation) =>
            {
                await using var command = new NpgsqlCommand($"SELECT {Columns} FROM kline_event e WHERE e.symbol_id = (SELECT id FROM kline_symbol WHERE symbol = $1) {which}", connection);
                command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = symbol });
                add(command);
                await using var row = await command.ExecuteReaderAsync(cancellation);
                var events = new List<StoredEvent>();
                while (await row.ReadAsync(cancellation))
                {
                    events.Add(new StoredEvent(row.GetInt64(0), new ChainEvent
                    {
                        Symbol = symbol,
                        Order = new TradeOrder(new TradeId(row.GetInt64(1), row.GetString(3), row.GetInt32(4)), row.GetInt64(2)),
                        EventTime = new DateTimeOffset(row.GetInt64(5), TimeSpan.Zero),
                        Type = row.GetString(6),
                        Fields = row.GetString(7),
                    }));
                }

                return events;
            },
            cancellationToken);
    }

    private static void Add(NpgsqlCommand command, long value) => command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = value });

    private static void CheckLimit(int limit)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(limit, MostAtOnce);
    }
}
