using System.Collections.Concurrent;
using System.Collections.Frozen;
using KlineOrleans.Contracts;
using Microsoft.AspNetCore.Http;

namespace KlineOrleans.Web;

/// <summary>Decides which symbols may be asked for, and knows their sources. Thread safe.</summary>
/// <remarks>A listed symbol is always good. One that is not yet listed is good if a chain is among the sources and it has a mint's length (32 to 44 characters; the length alone, because test mints need not be base58).</remarks>
internal sealed class SymbolDirectory(IKlineArchive archive, ITradeSourceFactory sources)
{
    // Symbols come from outside: what is remembered is only what the index lists, and no more than this.
    private const int MostRemembered = 100_000;
    private const int LongestSymbol = 64;

    private readonly FrozenDictionary<string, SourceDescription> _sources = sources.Sources.ToFrozenDictionary(s => s.Name);
    private readonly ConcurrentDictionary<string, SymbolInfo> _known = new(StringComparer.Ordinal);
    private readonly bool _hasChain = sources.Sources.Any(s => s.IsChain);
    private readonly bool _hasExchange = sources.Sources.Any(s => !s.IsChain);

    private string Allowed => (_hasChain, _hasExchange) switch
    {
        (true, true) => "a mint of 32 to 44 characters or a symbol of /api/v1/symbols",
        (true, false) => "a mint of 32 to 44 characters",
        _ => "a symbol of /api/v1/symbols",
    };

    /// <summary>Null if the symbol may be asked for.</summary>
    /// <exception cref="ArchiveUnavailableException">The index cannot be read now.</exception>
    public async ValueTask<ApiError?> Check(string? symbol, CancellationToken cancellationToken)
    {
        if (string.IsNullOrEmpty(symbol))
        {
            return ApiError.Bad("symbol", null, Allowed);
        }

        if (symbol.Length > LongestSymbol)
        {
            return ApiError.Bad("symbol", symbol, Allowed);
        }

        if (_known.ContainsKey(symbol) || (_hasChain && symbol.Length is >= 32 and <= 44))
        {
            return null;
        }

        if (await Find(symbol, cancellationToken) is not null)
        {
            return null;
        }

        // On an exchange any short name could exist: it is only not listed here.
        return ApiError.Bad("symbol", symbol, Allowed, _hasExchange ? StatusCodes.Status404NotFound : StatusCodes.Status400BadRequest);
    }

    /// <summary>What the index knows of the symbol.</summary>
    /// <exception cref="ArchiveUnavailableException">The index cannot be read now.</exception>
    public async ValueTask<SymbolInfo?> Find(string symbol, CancellationToken cancellationToken)
    {
        if (_known.TryGetValue(symbol, out var known))
        {
            return known;
        }

        var found = await archive.GetSymbol(symbol, cancellationToken);
        if (found is not null && _known.Count < MostRemembered)
        {
            _known[symbol] = found;
        }

        return found;
    }

    /// <summary>A page of the index, of what the grant may see: as <see cref="IKlineArchive.ListSymbols"/>, or the other way round.</summary>
    /// <param name="newestFirst">Only with an empty query.</param>
    /// <exception cref="ArchiveUnavailableException">The index cannot be read now.</exception>
    public async Task<IReadOnlyList<SymbolInfo>> List(AccessGrant grant, string query, SymbolInfo? after, int limit, CancellationToken cancellationToken, bool newestFirst = false)
    {
        if (grant.Symbols is null)
        {
            return newestFirst ? await archive.ListNewestSymbols(after, limit, cancellationToken) : await archive.ListSymbols(query, after, limit, cancellationToken);
        }

        // A grant names few symbols: looking each up beats reading an index of a million for them.
        List<SymbolInfo> found = [];
        foreach (var symbol in grant.Symbols)
        {
            if (await Find(symbol, cancellationToken) is { } info
                && (info.Symbol.Contains(query, StringComparison.OrdinalIgnoreCase) || info.Name.Contains(query, StringComparison.OrdinalIgnoreCase))
                && (after is null || (newestFirst ? Compare(after, info) : Compare(info, after)) > 0))
            {
                found.Add(info);
            }
        }

        found.Sort(newestFirst ? (a, b) => Compare(b, a) : Compare);
        return found.Count <= limit ? found : found.GetRange(0, limit);

        static int Compare(SymbolInfo a, SymbolInfo b)
        {
            var byTime = a.ListedTime.CompareTo(b.ListedTime);
            return byTime != 0 ? byTime : string.CompareOrdinal(a.Symbol, b.Symbol);
        }
    }

    /// <summary>The source of this name; null if none is configured (any more).</summary>
    public SourceDescription? Source(string name) => _sources.GetValueOrDefault(name);

    /// <summary>The source that feeds a mint, as far as it can be known: the only one there is, where the mint has had no trade.</summary>
    public SourceDescription? SourceOf(string name) =>
        name.Length > 0 ? Source(name) : sources.Sources.Length == 1 ? sources.Sources[0] : null;
}
