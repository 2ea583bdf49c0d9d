using System.Collections.Immutable;
using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Binance;

/// <summary>The past of a symbol as klines of the venue, up to a moment that its trades go on from.</summary>
/// <remarks>
/// <para>
/// The moment is the start of a minute. Every interval up to a minute therefore begins with a whole bucket of trades. A longer interval's bucket that
/// opened before goes on from its sums so far, which are put together from the final klines that lie between its open and the moment, longest first:
/// a week from its days, hours and minutes. No kline is half history and half trades in any other way.
/// </para>
/// <para>
/// What is exact: on the spot market everything, because klines and trades there count the same and carry exact decimals. On the futures venues klines also count
/// trades with the insurance fund and auto-deleveraging, which the venue leaves out of its aggregate trades; such a kline is what the venue says up to the moment,
/// and what its aggregate trades say after it. Klines of 5, 15 and 30 s are summed from those of 1 s, as far as these reach (1,000 of them, spot only).
/// </para>
/// </remarks>
internal static class BinanceHistory
{
    /// <summary>Klines fetched of each interval but the day, whose klines are fetched all.</summary>
    public const int Length = BinanceRest.PageSize;

    public static async Task<(SymbolKlines History, DateTimeOffset? FirstDay)> Fetch(BinanceRest rest, VenueProfile venue, BinanceSymbol symbol, DateTimeOffset from, CancellationToken cancellationToken)
    {
        var byInterval = new Dictionary<KlineInterval, List<Kline>>();
        DateTimeOffset? firstDay = null;
        foreach (var interval in venue.Served)
        {
            var all = interval == KlineInterval.D1;
            var end = interval.OpenTime(from);
            var start = all ? Listed(symbol) : end - (Length * interval.Length());
            var listed = interval.OpenTime(Listed(symbol));
            start = start < listed ? listed : start;
            var klines = new List<Kline>();
            while (start < end)
            {
                var to = venue.KlinesWindow < end - start ? start + venue.KlinesWindow : end;
                var (page, answered, lastOpen) = await rest.Klines(symbol.Name, interval, start, to, symbol.ContractSize, cancellationToken);
                if (all && answered > 0)
                {
                    firstDay ??= page.Count > 0 ? page[0].OpenTime : lastOpen;
                }

                // Only what was asked for, in order: a venue that answers more must not make a kline final too early.
                klines.AddRange(page.Where(k => k.OpenTime >= start && k.EndTime <= from));
                start = answered < BinanceRest.PageSize ? to : lastOpen + interval.Length();
            }

            klines.Sort(static (a, b) => a.OpenTime.CompareTo(b.OpenTime));
            byInterval[interval] = klines;
        }

        if (byInterval.TryGetValue(KlineInterval.S1, out var seconds))
        {
            // Before this, seconds are missing: what lies whole after it can be summed.
            var reach = from - TimeSpan.FromSeconds(Length);
            foreach (var interval in (ReadOnlySpan<KlineInterval>)[KlineInterval.S5, KlineInterval.S15, KlineInterval.S30])
            {
                byInterval[interval] = [.. seconds.GroupBy(k => interval.OpenTime(k.OpenTime)).Where(g => g.Key >= reach && g.Key + interval.Length() <= from).Select(g => Sum(interval, g.Key, g))];
            }
        }

        return (Compose(symbol.Name, byInterval, from), firstDay);
    }

    /// <summary>Final klines and sums so far from what was fetched.</summary>
    public static SymbolKlines Compose(string symbol, IReadOnlyDictionary<KlineInterval, List<Kline>> klines, DateTimeOffset from)
    {
        var forming = ImmutableArray.CreateBuilder<Kline>();
        var unknown = ImmutableArray.CreateBuilder<KlineInterval>();
        foreach (var interval in KlineIntervals.All)
        {
            var open = interval.OpenTime(from);
            if (open == from)
            {
                continue;
            }

            if (!TryTile(interval, open, from, klines, out var parts))
            {
                unknown.Add(interval);
            }
            else if (parts.Count > 0)
            {
                forming.Add(Sum(interval, open, parts) with { IsFinal = false });
            }
        }

        return new SymbolKlines(symbol, [.. KlineIntervals.All.SelectMany(i => klines.GetValueOrDefault(i) ?? [])])
        {
            From = from,
            Forming = forming.ToImmutable(),
            Unknown = unknown.ToImmutable(),
        };
    }

    /// <summary>Covers [open, end) with final klines of shorter intervals, the longest that fit first.</summary>
    private static bool TryTile(KlineInterval interval, DateTimeOffset open, DateTimeOffset end, IReadOnlyDictionary<KlineInterval, List<Kline>> klines, out List<Kline> parts)
    {
        parts = [];
        var at = open;
        foreach (var shorter in KlineIntervals.All.Reverse().Where(i => i < interval && i >= KlineInterval.M1))
        {
            var until = shorter.OpenTime(end);
            if (until <= at)
            {
                continue;
            }

            if (!klines.TryGetValue(shorter, out var fetched))
            {
                continue;
            }

            // A bucket that is not there had no trade; it was asked for, because it is among the newest 1,000.
            parts.AddRange(fetched.Where(k => k.OpenTime >= at && k.EndTime <= until));
            at = until;
        }

        parts.Sort(static (a, b) => a.OpenTime.CompareTo(b.OpenTime));
        return at == end;
    }

    private static Kline Sum(KlineInterval interval, DateTimeOffset open, IEnumerable<Kline> parts)
    {
        var first = true;
        var sum = Final(interval, open);
        foreach (var part in parts)
        {
            if (first)
            {
                sum = part with { Interval = interval, OpenTime = open };
                first = false;
                continue;
            }

            var high = part.High > sum.High ? part.High : sum.High;
            var low = part.Low < sum.Low ? part.Low : sum.Low;
            sum = sum with
            {
                High = high,
                Low = low,
                Close = part.Close,
                BaseVolume = sum.BaseVolume + part.BaseVolume,
                QuoteVolume = sum.QuoteVolume + part.QuoteVolume,
                TakerBuyBaseVolume = sum.TakerBuyBaseVolume + part.TakerBuyBaseVolume,
                TakerBuyQuoteVolume = sum.TakerBuyQuoteVolume + part.TakerBuyQuoteVolume,
                TradeCount = sum.TradeCount + part.TradeCount,
                UpdateCount = (int)Math.Min((long)sum.UpdateCount + part.UpdateCount, int.MaxValue),
                TradeHigh = high,
                TradeLow = low,
            };
        }

        return sum;
    }

    /// <summary>An empty final kline, to be filled.</summary>
    public static Kline Final(KlineInterval interval, DateTimeOffset open) => new()
    {
        Interval = interval,
        OpenTime = open,
        Open = default,
        High = default,
        Low = default,
        Close = default,
        IsFinal = true,
    };

    private static DateTimeOffset Listed(BinanceSymbol symbol) => DateTimeOffset.FromUnixTimeMilliseconds(symbol.ListedTime ?? 0);
}
