using KlineOrleans.Contracts;

namespace KlineOrleans.Storage.Sqlite;

/// <summary>Final klines and the index of symbols in a SQLite file.</summary>
/// <remarks>
/// A write whose revision is lower than the stored one changes nothing, so that late repeats are harmless. Ordinal order of symbols is that of their UTF-8 bytes.
/// Listing times are kept in whole milliseconds, rounded down.
/// </remarks>
public sealed class SqliteKlineArchive(SqliteStore store) : IKlineArchive
{
    private const string SymbolColumns = "symbol, name, source, listed_ms";

    /// <inheritdoc/>
    public async Task Write(string symbol, IReadOnlyList<Kline> klines, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        ArgumentNullException.ThrowIfNull(klines);
        foreach (var kline in klines)
            ArchiveChecks.Kline(kline);
        if (klines.Count == 0)
            return;
        await store.Write(
            session =>
            {
                var id = session.SymbolId(symbol);
                var upsert = session.Connection.Statement(KlineRow.Upsert);
                upsert.Bind(1, id);
                foreach (var kline in klines)
                {
                    KlineRow.Bind(upsert, kline);
                    upsert.Run();
                }

                return true;
            },
            klines.Count,
            cancellationToken);
        store.Newest.See(klines);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<Kline>> Read(string symbol, KlineInterval interval, KlineRange range, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        ArchiveChecks.Interval(interval);
        ArchiveChecks.Range(range);
        return store.Read<IReadOnlyList<Kline>>(
            (connection, cancellation) =>
            {
                if (SymbolId(connection, symbol) is not { } id)
                    return [];
                var query = connection.Statement(range.Newest
                    ? $"SELECT {KlineRow.Columns} FROM kline WHERE symbol_id = ?1 AND interval = ?2 AND open_time >= ?3 AND open_time < ?4 ORDER BY open_time DESC LIMIT ?5"
                    : $"SELECT {KlineRow.Columns} FROM kline WHERE symbol_id = ?1 AND interval = ?2 AND open_time >= ?3 AND open_time < ?4 ORDER BY open_time LIMIT ?5");
                query.Bind(1, id);
                query.Bind(2, (long)interval);
                query.Bind(3, range.From is { } from ? ArchiveChecks.CeilingSeconds(from) : long.MinValue);
                query.Bind(4, range.To is { } to ? ArchiveChecks.CeilingSeconds(to) : long.MaxValue);
                query.Bind(5, range.Limit);
                var klines = new List<Kline>(Math.Min(range.Limit, 1_024));
                ReadAll(query, klines, cancellation);
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
        return store.Read<IReadOnlyList<Kline>>(
            (connection, cancellation) =>
            {
                var klines = new List<Kline>();
                // One moment for all intervals, although each is a range of its own.
                connection.Execute("BEGIN");
                try
                {
                    if (SymbolId(connection, symbol) is not { } id)
                        return [];
                    var query = connection.Statement($"SELECT {KlineRow.Columns} FROM kline WHERE symbol_id = ?1 AND interval = ?2 AND open_time >= ?3 ORDER BY open_time");
                    foreach (var interval in KlineIntervals.All)
                    {
                        query.Bind(1, id);
                        query.Bind(2, (long)interval);
                        // open + length > endAfter, in whole seconds.
                        query.Bind(3, KlineIntervals.FloorSeconds(endAfter) - interval.Seconds() + 1);
                        ReadAll(query, klines, cancellation);
                    }

                    return klines;
                }
                finally
                {
                    connection.Rollback();
                }
            },
            cancellationToken);
    }

    /// <inheritdoc/>
    public Task PutSymbol(SymbolInfo symbol, CancellationToken cancellationToken = default)
    {
        ArchiveChecks.Symbol(symbol);
        return store.Write(
            session =>
            {
                var put = session.Connection.Statement(
                    """
                    INSERT INTO symbol (symbol, name, source, listed_ms, search) VALUES (?1, ?2, ?3, ?4, ?5)
                    ON CONFLICT (symbol) DO UPDATE SET
                        name = excluded.name, source = excluded.source, search = excluded.search, listed_ms = min(coalesce(symbol.listed_ms, excluded.listed_ms), excluded.listed_ms)
                    """);
                put.BindText(1, symbol.Symbol);
                put.BindText(2, symbol.Name);
                put.BindText(3, symbol.Source);
                put.Bind(4, symbol.ListedTime.ToUnixTimeMilliseconds());
                put.BindText(5, ArchiveChecks.SearchText(symbol));
                put.Run();
                return true;
            },
            1,
            cancellationToken);
    }

    /// <inheritdoc/>
    public Task<SymbolInfo?> GetSymbol(string symbol, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        return store.Read(
            (connection, _) =>
            {
                var query = connection.Statement($"SELECT {SymbolColumns} FROM symbol WHERE symbol = ?1 AND listed_ms IS NOT NULL");
                query.BindText(1, symbol);
                try
                {
                    return query.Step() ? ReadSymbol(query) : null;
                }
                finally
                {
                    query.Reset();
                }
            },
            cancellationToken);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<SymbolInfo>> ListSymbols(string query, SymbolInfo? after, int limit, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        ArchiveChecks.Limit(limit);
        if (query.Contains(ArchiveChecks.SearchSeparator))
            return Task.FromResult<IReadOnlyList<SymbolInfo>>([]);
        return store.Read<IReadOnlyList<SymbolInfo>>(
            (connection, cancellation) =>
            {
                // Both run along the index from the key on; the row value comparison is a range of it.
                var list = connection.Statement(query.Length == 0
                    ? $"SELECT {SymbolColumns} FROM symbol WHERE listed_ms IS NOT NULL AND (listed_ms, symbol) > (?1, ?2) ORDER BY listed_ms, symbol LIMIT ?3"
                    : $"SELECT {SymbolColumns} FROM symbol WHERE listed_ms IS NOT NULL AND (listed_ms, symbol) > (?1, ?2) AND instr(search, ?4) > 0 ORDER BY listed_ms, symbol LIMIT ?3");
                list.Bind(1, after?.ListedTime.ToUnixTimeMilliseconds() ?? long.MinValue);
                list.BindText(2, after?.Symbol ?? "");
                list.Bind(3, limit);
                if (query.Length != 0)
                    list.BindText(4, query.ToUpperInvariant());
                var symbols = new List<SymbolInfo>();
                try
                {
                    while (list.Step())
                    {
                        cancellation.ThrowIfCancellationRequested();
                        symbols.Add(ReadSymbol(list));
                    }
                }
                finally
                {
                    list.Reset();
                }

                return symbols;
            },
            cancellationToken);
    }

    public Task<IReadOnlyList<SymbolInfo>> ListNewestSymbols(SymbolInfo? before, int limit, CancellationToken cancellationToken = default)
    {
        ArchiveChecks.Limit(limit);
        return store.Read<IReadOnlyList<SymbolInfo>>(
            (connection, cancellation) =>
            {
                var list = connection.Statement(before is null
                    ? $"SELECT {SymbolColumns} FROM symbol WHERE listed_ms IS NOT NULL ORDER BY listed_ms DESC, symbol DESC LIMIT ?1"
                    : $"SELECT {SymbolColumns} FROM symbol WHERE listed_ms IS NOT NULL AND (listed_ms, symbol) < (?2, ?3) ORDER BY listed_ms DESC, symbol DESC LIMIT ?1");
                list.Bind(1, limit);
                if (before is not null)
                {
                    list.Bind(2, before.ListedTime.ToUnixTimeMilliseconds());
                    list.BindText(3, before.Symbol);
                }

                var symbols = new List<SymbolInfo>();
                try
                {
                    while (list.Step())
                    {
                        cancellation.ThrowIfCancellationRequested();
                        symbols.Add(ReadSymbol(list));
                    }
                }
                finally
                {
                    list.Reset();
                }

                return symbols;
            },
            cancellationToken);
    }

    private static SymbolInfo ReadSymbol(SqliteStatement row) =>
        new(row.Text(0)!, row.Text(1)!, row.Text(2)!, DateTimeOffset.FromUnixTimeMilliseconds(row.Int64(3)));

    private static long? SymbolId(SqliteConnection connection, string symbol)
    {
        var query = connection.Statement("SELECT id FROM symbol WHERE symbol = ?1");
        query.BindText(1, symbol);
        try
        {
            return query.Step() ? query.Int64(0) : null;
        }
        finally
        {
            query.Reset();
        }
    }

    private static void ReadAll(SqliteStatement query, List<Kline> klines, CancellationToken cancellation)
    {
        try
        {
            while (query.Step())
            {
                if ((klines.Count & 0x3FF) == 0)
                    cancellation.ThrowIfCancellationRequested();
                klines.Add(KlineRow.Read(query));
            }
        }
        finally
        {
            query.Reset();
        }
    }
}
