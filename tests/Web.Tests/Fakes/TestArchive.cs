using System.Collections.Concurrent;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web.Tests;

/// <summary>An archive in memory that counts what is read from it, and can be away.</summary>
internal sealed class TestArchive : IKlineArchive
{
    private readonly Lock _lock = new();
    private readonly Dictionary<(string, KlineInterval), SortedDictionary<DateTimeOffset, Kline>> _klines = [];
    private readonly ConcurrentDictionary<string, SymbolInfo> _symbols = [];

    public bool IsAway { get; set; }

    public long KlinesRead { get; set; }

    /// <summary>Runs before each read: a test lets something else happen there.</summary>
    public Func<Task>? BeforeRead { get; set; }

    public Task Write(string symbol, IReadOnlyList<Kline> klines, CancellationToken cancellationToken = default)
    {
        Check();
        lock (_lock)
        {
            foreach (var kline in klines)
            {
                if (kline.IsFlat || !kline.IsFinal)
                {
                    throw new ArgumentException("forming or flat", nameof(klines));
                }

                if (!_klines.TryGetValue((symbol, kline.Interval), out var series))
                {
                    _klines[(symbol, kline.Interval)] = series = [];
                }

                series[kline.OpenTime] = kline;
            }
        }

        return Task.CompletedTask;
    }

    public async Task<IReadOnlyList<Kline>> Read(string symbol, KlineInterval interval, KlineRange range, CancellationToken cancellationToken = default)
    {
        Check();
        if (BeforeRead is { } before)
        {
            await before();
        }

        lock (_lock)
        {
            if (!_klines.TryGetValue((symbol, interval), out var series))
            {
                return [];
            }

            var all = series.Values.Where(k => (range.From is null || k.OpenTime >= range.From) && (range.To is null || k.OpenTime < range.To)).ToList();
            List<Kline> found = range.Newest ? all[Math.Max(0, all.Count - range.Limit)..] : all[..Math.Min(range.Limit, all.Count)];
            KlinesRead += found.Count;
            return found;
        }
    }

    public Task<IReadOnlyList<Kline>> ReadEndingAfter(string symbol, DateTimeOffset endAfter, CancellationToken cancellationToken = default)
    {
        Check();
        lock (_lock)
        {
            return Task.FromResult<IReadOnlyList<Kline>>([.. _klines.Where(s => s.Key.Item1 == symbol).OrderBy(s => s.Key.Item2).SelectMany(s => s.Value.Values).Where(k => k.EndTime > endAfter)]);
        }
    }

    public Task PutSymbol(SymbolInfo symbol, CancellationToken cancellationToken = default)
    {
        _symbols[symbol.Symbol] = symbol;
        return Task.CompletedTask;
    }

    public Task<SymbolInfo?> GetSymbol(string symbol, CancellationToken cancellationToken = default)
    {
        Check();
        return Task.FromResult(_symbols.GetValueOrDefault(symbol));
    }

    public Task<IReadOnlyList<SymbolInfo>> ListSymbols(string query, SymbolInfo? after, int limit, CancellationToken cancellationToken = default)
    {
        Check();
        return Task.FromResult<IReadOnlyList<SymbolInfo>>([.. _symbols.Values
            .Where(s => s.Symbol.Contains(query, StringComparison.OrdinalIgnoreCase) || s.Name.Contains(query, StringComparison.OrdinalIgnoreCase))
            .OrderBy(s => s.ListedTime).ThenBy(s => s.Symbol, StringComparer.Ordinal)
            .Where(s => after is null || s.ListedTime > after.ListedTime || (s.ListedTime == after.ListedTime && string.CompareOrdinal(s.Symbol, after.Symbol) > 0))
            .Take(limit)]);
    }

    public async Task<IReadOnlyList<SymbolInfo>> ListNewestSymbols(SymbolInfo? before, int limit, CancellationToken cancellationToken = default)
    {
        var all = (await ListSymbols("", null, int.MaxValue, cancellationToken)).Reverse();
        return [.. (before is null ? all : all.SkipWhile(s => s.Symbol != before.Symbol).Skip(1)).Take(limit)];
    }

    private void Check()
    {
        if (IsAway)
        {
            throw new ArchiveUnavailableException("the archive is away");
        }
    }
}
