using KlineOrleans.Contracts;

namespace KlineOrleans.Storage;

/// <summary>What every store asks of its callers, and how it searches.</summary>
internal static class ArchiveChecks
{
    /// <summary>Stands between symbol and name in what is searched; no query can cross it.</summary>
    public const char SearchSeparator = '\u001F';

    /// <summary>A wrong kline costs more than a missing one: what could not come back as it was is refused.</summary>
    /// <exception cref="ArgumentException">It is forming, flat, off its grid or lacks a price.</exception>
    public static void Kline(in Kline kline)
    {
        Interval(kline.Interval);
        if (!kline.IsFinal || kline.IsFlat)
            throw new ArgumentException($"The archive takes final klines with trades; {kline.Interval.Name()} at {kline.OpenTime:O} is {(kline.IsFlat ? "flat" : "forming")}.", nameof(kline));
        if (kline.Interval.OpenTime(kline.OpenTime) != kline.OpenTime)
            throw new ArgumentException($"A kline {kline.Interval.Name()} cannot open at {kline.OpenTime:O}: that is off its grid.", nameof(kline));
        if (kline.Open == default || kline.High == default || kline.Low == default || kline.Close == default)
            throw new ArgumentException($"The kline {kline.Interval.Name()} at {kline.OpenTime:O} lacks a price.", nameof(kline));
    }

    public static void Interval(KlineInterval interval)
    {
        if (interval is < KlineInterval.S1 or > KlineInterval.W1)
            throw new ArgumentOutOfRangeException(nameof(interval), interval, "Not an interval.");
    }

    public static void Range(in KlineRange range)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(range.Limit, 1, nameof(range));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(range.Limit, 100_000, nameof(range));
    }

    public static void Limit(int limit)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(limit, 1_000);
    }

    public static void Symbol(SymbolInfo symbol)
    {
        ArgumentNullException.ThrowIfNull(symbol);
        ArgumentException.ThrowIfNullOrEmpty(symbol.Symbol, nameof(symbol));
        ArgumentNullException.ThrowIfNull(symbol.Name, nameof(symbol));
        ArgumentNullException.ThrowIfNull(symbol.Source, nameof(symbol));
    }

    public static string SearchText(SymbolInfo symbol) => symbol.Symbol.ToUpperInvariant() + SearchSeparator + symbol.Name.ToUpperInvariant();

    /// <summary>The first whole Unix second at or after <paramref name="time"/>.</summary>
    public static long CeilingSeconds(DateTimeOffset time)
    {
        var floor = KlineIntervals.FloorSeconds(time);
        return time.UtcTicks % TimeSpan.TicksPerSecond == 0 ? floor : floor + 1;
    }
}
