namespace KlineOrleans.Contracts;

/// <summary>The store of final klines, and the index of symbols. Thread safe.</summary>
/// <remarks>
/// Holds no flat klines and no forming ones. A write is an upsert by (symbol, interval, open time): writing the same again changes nothing.
/// In Contracts rather than in Storage, because grains write it and the web reads it, and both may know Contracts only (docs/adr).
/// </remarks>
public interface IKlineArchive
{
    /// <summary>Stores klines of one symbol. Durable when it returns; writes of many callers share a commit.</summary>
    /// <exception cref="ArgumentException">A kline is forming or flat.</exception>
    /// <exception cref="ArchiveUnavailableException">Nothing was stored; the same call may succeed later.</exception>
    Task Write(string symbol, IReadOnlyList<Kline> klines, CancellationToken cancellationToken = default);

    /// <summary>Klines of one symbol and interval, oldest first whatever the direction of the query.</summary>
    /// <exception cref="ArchiveUnavailableException">The store cannot be read now.</exception>
    Task<IReadOnlyList<Kline>> Read(string symbol, KlineInterval interval, KlineRange range, CancellationToken cancellationToken = default);

    /// <summary>Klines of all intervals of one symbol that end after <paramref name="endAfter"/>, shortest interval first, oldest first within one.</summary>
    /// <exception cref="ArchiveUnavailableException">The store cannot be read now.</exception>
    Task<IReadOnlyList<Kline>> ReadEndingAfter(string symbol, DateTimeOffset endAfter, CancellationToken cancellationToken = default);

    /// <summary>Adds a symbol to the index or updates what is known of it. Durable when it returns.</summary>
    /// <exception cref="ArchiveUnavailableException">Nothing was stored; the same call may succeed later.</exception>
    Task PutSymbol(SymbolInfo symbol, CancellationToken cancellationToken = default);

    /// <summary>What is known of a symbol; null if it was never put. Case counts.</summary>
    Task<SymbolInfo?> GetSymbol(string symbol, CancellationToken cancellationToken = default);

    /// <summary>Symbols whose name or symbol contains <paramref name="query"/> (case-insensitive; empty: all), by listing time, then symbol by ordinal.</summary>
    /// <param name="after">The last symbol of the page before; null for the first page.</param>
    /// <param name="limit">1 to 1,000.</param>
    Task<IReadOnlyList<SymbolInfo>> ListSymbols(string query, SymbolInfo? after, int limit, CancellationToken cancellationToken = default);

    /// <summary>All symbols in the opposite order of <see cref="ListSymbols"/>: the newest listed first.</summary>
    /// <param name="before">The last symbol of the page before; null for the first page.</param>
    /// <param name="limit">1 to 1,000.</param>
    Task<IReadOnlyList<SymbolInfo>> ListNewestSymbols(SymbolInfo? before, int limit, CancellationToken cancellationToken = default);
}

/// <summary>Which klines to read: those with an open time in [<paramref name="From"/>, <paramref name="To"/>), at most <paramref name="Limit"/>.</summary>
/// <param name="From">Null: no lower bound.</param>
/// <param name="To">Null: no upper bound.</param>
/// <param name="Limit">1 to 100,000.</param>
/// <param name="Newest">Where more than <paramref name="Limit"/> match: true keeps the newest, false the oldest.</param>
public readonly record struct KlineRange(DateTimeOffset? From, DateTimeOffset? To, int Limit, bool Newest);

/// <summary>A symbol that klines exist for. Immutable.</summary>
/// <param name="Symbol">The mint address, or the exchange's symbol.</param>
/// <param name="Name">What people call it, or the symbol again.</param>
/// <param name="Source">The source that feeds it.</param>
/// <param name="ListedTime">When it was first seen, by event time, UTC, in whole milliseconds: with the symbol, its stable place in the index.</param>
public sealed record SymbolInfo(string Symbol, string Name, string Source, DateTimeOffset ListedTime);

/// <summary>The store cannot be reached or cannot write now. Nothing was half done.</summary>
public sealed class ArchiveUnavailableException : Exception
{
    public ArchiveUnavailableException(string message)
        : base(message)
    {
    }

    public ArchiveUnavailableException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
