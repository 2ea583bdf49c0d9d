using KlineOrleans.Contracts;

namespace KlineOrleans.Grains;

/// <summary>A symbol's past as a venue tells it, in the form in which the archive keeps klines of its source.</summary>
internal static class PastKlines
{
    /// <summary>The final klines of the intervals that the source builds. With <see cref="OpenPolicy.PreviousClose"/> each opens with the close before it, the first with the archive's.</summary>
    public static async Task<IReadOnlyList<Kline>> Of(SymbolKlines history, KlineRules rules, IKlineArchive archive)
    {
        var klines = history.Klines.Where(k => rules.Intervals.Contains(k.Interval)).ToList();
        if (rules.Open != OpenPolicy.PreviousClose)
        {
            return klines;
        }

        for (var i = 0; i < klines.Count; i++)
        {
            var kline = klines[i];
            if (i > 0 && klines[i - 1].Interval == kline.Interval)
            {
                klines[i] = Opening(kline, klines[i - 1].Close, rules);
            }
            else if (await archive.Read(history.Symbol, kline.Interval, new KlineRange(null, kline.OpenTime, 1, Newest: true)) is [var before])
            {
                klines[i] = Opening(kline, before.Close, rules);
            }
        }

        return klines;
    }

    private static Kline Opening(Kline kline, Price open, KlineRules rules) => kline with
    {
        Open = open,
        High = rules.WicksIgnoreOpen || open < kline.TradeHigh ? kline.TradeHigh : open,
        Low = rules.WicksIgnoreOpen || open > kline.TradeLow ? kline.TradeLow : open,
    };
}
