using System.Collections.Immutable;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Grains.Tests;

/// <summary>The past of a symbol as an exchange tells it: klines of sums, without trade ids.</summary>
internal static class VenueHistory
{
    /// <summary>Klines of the trades before <paramref name="from"/>, with <paramref name="unknown"/> left out of the forming ones.</summary>
    public static SymbolKlines Of(string symbol, IEnumerable<Trade> trades, DateTimeOffset from, params ImmutableArray<KlineInterval> unknown)
    {
        var past = trades.Where(t => t.EventTime < from).ToList();
        var rules = new KlineRules();
        var klines = rules.Intervals.SelectMany(i => KlineOracle.Build(rules, i, past, from + rules.Grace)).Select(AsSums).ToList();
        return new SymbolKlines(symbol, [.. klines.Where(k => k.EndTime <= from).Select(k => k with { IsFinal = true })])
        {
            From = from,
            Forming = [.. klines.Where(k => k.EndTime > from && !unknown.Contains(k.Interval)).Select(k => k with { IsFinal = false })],
            Unknown = unknown,
        };
    }

    private static Kline AsSums(Kline kline) => kline with { First = default, Last = default, UpdateCount = (int)kline.TradeCount };
}
