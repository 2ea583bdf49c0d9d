using KlineOrleans.Contracts;
using Npgsql;
using NpgsqlTypes;

namespace KlineOrleans.Storage.Postgres;

/// <summary>Final klines and the index of symbols in PostgreSQL.</summary>
/// <remarks>
/// A write whose revision is lower than the stored one changes nothing, so that late repeats are harmless. Ordinal order of symbols is that of their UTF-8 bytes.
/// Listing times are kept in whole milliseconds, rounded down. Text with U+0000 is refused.
/// </remarks>
public sealed class PostgresKlineArchive(PostgresStore store) : IKlineArchive
{
    private const string SymbolColumns = "symbol, name, source, listed_ms";

    private const string ReadRange = $"SELECT {PostgresKlineRow.Columns} FROM kline WHERE symbol_id = (SELECT id FROM kline_symbol WHERE symbol = $1) AND interval = $2 AND open_time >= $3 AND open_time < $4 ORDER BY open_time";

    private static readonly string ReadEnding = string.Join(
        " UNION ALL ",
        KlineIntervals.All.Select((_, i) => $"(SELECT {PostgresKlineRow.Columns} FROM kline WHERE symbol_id = (SELECT id FROM kline_symbol WHERE symbol = $1) AND interval = {i + 1} AND open_time >= ${i + 2} ORDER BY open_time)"));

    /// <inheritdoc/>
    public async Task Write(string symbol, IReadOnlyList<Kline> klines, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        ArgumentNullException.ThrowIfNull(klines);
        PostgresText.Check(symbol, nameof(symbol));
        foreach (var kline in klines)
        {
            ArchiveChecks.Kline(kline);
            PostgresText.Check(kline.First.Id.Signature, nameof(klines));
            PostgresText.Check(kline.Last.Id.Signature, nameof(klines));
        }

        if (klines.Count == 0)
            return;
        await store.Write(new KlinesWrite(symbol, klines, cancellationToken), cancellationToken);
        store.Newest.See(klines);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<Kline>> Read(string symbol, KlineInterval interval, KlineRange range, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        ArchiveChecks.Interval(interval);
        ArchiveChecks.Range(range);
        if (!PostgresText.IsStorable(symbol))
            return Task.FromResult<IReadOnlyList<Kline>>([]);
        return store.Read<IReadOnlyList<Kline>>(
            async (connection, cancellation) =>
            {
                await using var query = new NpgsqlCommand($"{ReadRange}{(range.Newest ? " DESC" : "")} LIMIT $5", connection);
                Add(query, symbol);
                query.Parameters.Add(new NpgsqlParameter<short> { TypedValue = (short)interval });
                Add(query, range.From is { } from ? ArchiveChecks.CeilingSeconds(from) : long.MinValue);
                Add(query, range.To is { } to ? ArchiveChecks.CeilingSeconds(to) : long.MaxValue);
                Add(query, range.Limit);
                var klines = await ReadAll(query, Math.Min(range.Limit, 1_024), cancellation);
                if (range.Newest)
                    klines.Reverse();
                return klines;
            },
            cancellationToken);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<Kline>> ReadEndingAfter(string symbol, DateTimeOffset endAfter, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        if (!PostgresText.IsStorable(symbol))
            return Task.FromResult<IReadOnlyList<Kline>>([]);
        return store.Read<IReadOnlyList<Kline>>(
            async (connection, cancellation) =>
            {
                // One statement, and so one moment for all intervals.
                await using var query = new NpgsqlCommand(ReadEnding, connection);
                Add(query, symbol);
                foreach (var interval in KlineIntervals.All)
                {
                    // open + length > endAfter, in whole seconds.
                    Add(query, KlineIntervals.FloorSeconds(endAfter) - interval.Seconds() + 1);
                }

                var klines = await ReadAll(query, 64, cancellation);
                // UNION ALL keeps the order of its parts in practice, and promises nothing. Stable, so that each part stays in its own.
                return klines.OrderBy(k => k.Interval).ThenBy(k => k.OpenTime).ToList();
            },
            cancellationToken);
    }

    /// <inheritdoc/>
    public Task PutSymbol(SymbolInfo symbol, CancellationToken cancellationToken = default)
    {
        ArchiveChecks.Symbol(symbol);
        PostgresText.Check(symbol.Symbol, nameof(symbol));
        PostgresText.Check(symbol.Name, nameof(symbol));
        PostgresText.Check(symbol.Source, nameof(symbol));
        return store.Write(new SymbolWrite(symbol, cancellationToken), cancellationToken);
    }

    /// <inheritdoc/>
    public async Task<SymbolInfo?> GetSymbol(string symbol, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        if (!PostgresText.IsStorable(symbol))
            return null;
        var found = await ReadSymbols($"SELECT {SymbolColumns} FROM kline_symbol WHERE symbol = $1 AND listed_ms IS NOT NULL", query => Add(query, symbol), cancellationToken);
        return found.Count == 0 ? null : found[0];
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<SymbolInfo>> ListSymbols(string query, SymbolInfo? after, int limit, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        ArchiveChecks.Limit(limit);
        if (query.Contains(ArchiveChecks.SearchSeparator) || !PostgresText.IsStorable(query))
            return Task.FromResult<IReadOnlyList<SymbolInfo>>([]);

        // Both run along the index from the key on; the row value comparison is a range of it.
        return ReadSymbols(
            $"SELECT {SymbolColumns} FROM kline_symbol WHERE listed_ms IS NOT NULL AND (listed_ms, symbol) > ($1, $2){(query.Length == 0 ? "" : " AND strpos(search, $4) > 0")} ORDER BY listed_ms, symbol LIMIT $3",
            list =>
            {
                Add(list, after?.ListedTime.ToUnixTimeMilliseconds() ?? long.MinValue);
                Add(list, after?.Symbol ?? "");
                Add(list, limit);
                if (query.Length != 0)
                    Add(list, query.ToUpperInvariant());
            },
            cancellationToken);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<SymbolInfo>> ListNewestSymbols(SymbolInfo? before, int limit, CancellationToken cancellationToken = default)
    {
        ArchiveChecks.Limit(limit);
        return ReadSymbols(
            $"SELECT {SymbolColumns} FROM kline_symbol WHERE listed_ms IS NOT NULL{(before is null ? "" : " AND (listed_ms, symbol) < ($2, $3)")} ORDER BY listed_ms DESC, symbol DESC LIMIT $1",
            list =>
            {
                Add(list, limit);
                if (before is not null)
                {
                    Add(list, before.ListedTime.ToUnixTimeMilliseconds());
                    Add(list, before.Symbol);
                }
            },
            cancellationToken);
    }

    private static async Task<List<Kline>> ReadAll(NpgsqlCommand query, int capacity, CancellationToken cancellation)
    {
        var klines = new List<Kline>(capacity);
        await using var row = await query.ExecuteReaderAsync(cancellation);
        while (await row.ReadAsync(cancellation))
            klines.Add(PostgresKlineRow.Read(row));
        return klines;
    }

    private static void Add(NpgsqlCommand query, string value) => query.Parameters.Add(new NpgsqlParameter<string> { TypedValue = value, NpgsqlDbType = NpgsqlDbType.Text });

    private static void Add(NpgsqlCommand query, long value) => query.Parameters.Add(new NpgsqlParameter<long> { TypedValue = value });

    private Task<IReadOnlyList<SymbolInfo>> ReadSymbols(string sql, Action<NpgsqlCommand> bind, CancellationToken cancellationToken) =>
        store.Read<IReadOnlyList<SymbolInfo>>(
            async (connection, cancellation) =>
            {
                await using var query = new NpgsqlCommand(sql, connection);
                bind(query);
                var symbols = new List<SymbolInfo>();
                await using var row = await query.ExecuteReaderAsync(cancellation);
                while (await row.ReadAsync(cancellation))
                    symbols.Add(new SymbolInfo(row.GetString(0), row.GetString(1), row.GetString(2), DateTimeOffset.FromUnixTimeMilliseconds(row.GetInt64(3))));
                return symbols;
            },
            cancellationToken);
}
