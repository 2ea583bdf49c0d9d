using KlineOrleans.Contracts;

namespace KlineOrleans.Testing;

/// <summary>Klines straight from the rules of the design, by sorting and grouping all trades: slow, and nothing of the builder's ways in it.</summary>
public static class KlineOracle
{
    /// <summary>The klines of one interval, flat ones included where the rules want them, up to the clock. Revisions are 0.</summary>
    public static List<Kline> Build(KlineRules rules, KlineInterval interval, IEnumerable<Trade> trades, DateTimeOffset clock)
    {
        ArgumentNullException.ThrowIfNull(rules);
        var length = interval.Seconds();
        var buckets = trades
            .DistinctBy(t => t.Order.Id)
            .GroupBy(t => Open(interval, t.EventTime))
            .OrderBy(g => g.Key);
        var result = new List<Kline>();
        decimal? close = null;
        var next = 0L;
        foreach (var bucket in buckets)
        {
            for (; rules.Empty == EmptyPolicy.Flat && close is not null && next < bucket.Key; next += length)
            {
                result.Add(Flat(next, close.Value));
            }

            var sorted = bucket.OrderBy(t => t.Order).ToList();
            var prices = sorted.Select(t => t.Price.Value).ToList();
            var open = rules.Open == OpenPolicy.PreviousClose && close is not null ? close.Value : prices[0];
            var wicks = rules.WicksIgnoreOpen ? prices : [.. prices, open];
            close = prices[^1];
            next = bucket.Key + length;
            var takers = sorted.Where(t => t.TakerSide == TakerSide.Buy).ToList();
            result.Add(new Kline
            {
                Interval = interval,
                OpenTime = DateTimeOffset.FromUnixTimeSeconds(bucket.Key),
                Open = new Price(open),
                High = new Price(wicks.Max()),
                Low = new Price(wicks.Min()),
                Close = new Price(close.Value),
                BaseVolume = sorted.Sum(t => t.BaseAmount),
                QuoteVolume = sorted.Sum(t => t.QuoteAmount),
                TakerBuyBaseVolume = takers.Sum(t => t.BaseAmount),
                TakerBuyQuoteVolume = takers.Sum(t => t.QuoteAmount),
                TradeCount = sorted.Sum(t => (long)t.Count),
                First = sorted[0].Order,
                Last = sorted[^1].Order,
                FirstPrice = sorted[0].Price,
                TradeHigh = new Price(prices.Max()),
                TradeLow = new Price(prices.Min()),
                UpdateCount = sorted.Count,
                IsFinal = IsFinal(bucket.Key),
            });
        }

        for (; rules.Empty == EmptyPolicy.Flat && close is not null && next * TimeSpan.TicksPerSecond <= clock.UtcTicks - DateTimeOffset.UnixEpoch.Ticks; next += length)
        {
            result.Add(Flat(next, close.Value));
        }

        return result;

        bool IsFinal(long open) => DateTimeOffset.FromUnixTimeSeconds(open + length) + rules.Grace <= clock;

        Kline Flat(long open, decimal price) => Kline.Flat(interval, DateTimeOffset.FromUnixTimeSeconds(open), new Price(price), IsFinal(open));
    }

    private static long Open(KlineInterval interval, DateTimeOffset time)
    {
        // Counted day by day and week by week, not by the arithmetic under test.
        if (interval == KlineInterval.W1)
        {
            var monday = time.UtcDateTime.Date;
            while (monday.DayOfWeek != DayOfWeek.Monday)
            {
                monday = monday.AddDays(-1);
            }

            return new DateTimeOffset(monday, TimeSpan.Zero).ToUnixTimeSeconds();
        }

        var midnight = new DateTimeOffset(time.UtcDateTime.Date, TimeSpan.Zero);
        var into = (long)(time - midnight).TotalSeconds;
        return midnight.ToUnixTimeSeconds() + (into / interval.Seconds() * interval.Seconds());
    }
}
