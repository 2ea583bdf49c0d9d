using FsCheck;
using FsCheck.Fluent;
using KlineOrleans.Contracts;

namespace KlineOrleans.Storage.Tests;

/// <summary>Klines to store.</summary>
internal static class SampleKlines
{
    public static readonly DateTimeOffset Start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    private const string Signature = "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW";

    /// <summary>A kline of one trade, the commonest of all.</summary>
    public static Kline One(KlineInterval interval, DateTimeOffset openTime, decimal price = 0.0000281m, int revision = 0, bool buy = true)
    {
        var order = new TradeOrder(new TradeId(398_000_000 + openTime.ToUnixTimeSeconds() % 1_000_000, Signature, 0), 17);
        return new Kline
        {
            Interval = interval,
            OpenTime = openTime,
            Open = new Price(price),
            High = new Price(price),
            Low = new Price(price),
            Close = new Price(price),
            BaseVolume = 34_612.907731m,
            QuoteVolume = 0.972622707m,
            TakerBuyBaseVolume = buy ? 34_612.907731m : 0,
            TakerBuyQuoteVolume = buy ? 0.972622707m : 0,
            TradeCount = 1,
            UpdateCount = 1,
            First = order,
            Last = order,
            TradeHigh = new Price(price),
            TradeLow = new Price(price),
            FirstPrice = new Price(price),
            Revision = revision,
            IsFinal = true,
        };
    }

    /// <summary>A run of neighbours.</summary>
    public static Kline[] Run(KlineInterval interval, int count, int from = 0) =>
        [.. Enumerable.Range(from, count).Select(i => One(interval, Start + i * interval.Length(), 0.0000281m + i * 0.0000001m))];

    /// <summary>A kline in which every field has a value of its own.</summary>
    public static Kline Full(KlineInterval interval, DateTimeOffset openTime, int revision = 0) => new()
    {
        Interval = interval,
        OpenTime = openTime,
        Open = new Price(1.0000000000000000000000000002m),
        High = new Price(79_228_162_514_264_337_593_543_950_335m),
        Low = new Price(0.0000000000000000000000000001m),
        Close = new Price(2.50m),
        BaseVolume = 123_456_789.123456789m,
        QuoteVolume = 9_876.54321m,
        TakerBuyBaseVolume = 23_456_789.12m,
        TakerBuyQuoteVolume = 876.5m,
        TradeCount = 4_000_000_000,
        UpdateCount = 77,
        First = new TradeOrder(new TradeId(398_000_001, Signature, 2), 5),
        Last = new TradeOrder(new TradeId(398_000_007, Signature[..^1] + "X", 3), 6),
        TradeHigh = new Price(3m),
        TradeLow = new Price(0.5m),
        FirstPrice = new Price(0.7m),
        Revision = revision,
        IsFinal = true,
    };

    /// <summary>Klines whose parts are equal or not in every mixture.</summary>
    public static Gen<Kline> Any { get; } =
        from interval in Gen.Elements(KlineIntervals.All.ToArray())
        from seconds in Gen.Choose(-1_000_000_000, 2_000_000_000)
        from p in Prices().ArrayOf(7)
        from same in Gen.Elements(true, false).ArrayOf(12)
        from v in Amounts().ArrayOf(4)
        from first in Orders()
        from last in Orders()
        from count in Gen.Choose(1, int.MaxValue)
        from updates in Gen.Choose(1, int.MaxValue)
        from revision in Gen.Choose(0, 5)
        select new Kline
        {
            Interval = interval,
            OpenTime = interval.OpenTime(DateTimeOffset.FromUnixTimeSeconds(seconds)),
            Open = p[0],
            Close = same[0] ? p[0] : p[1],
            High = same[1] ? p[0] : p[2],
            Low = same[2] ? p[0] : p[3],
            TradeHigh = same[3] ? p[0] : same[4] ? default : p[4],
            TradeLow = same[5] ? p[0] : same[6] ? default : p[5],
            FirstPrice = same[7] ? p[0] : same[8] ? default : p[6],
            BaseVolume = v[0],
            QuoteVolume = v[1],
            TakerBuyBaseVolume = same[9] ? v[0] : v[2],
            TakerBuyQuoteVolume = same[10] ? v[1] : v[3],
            TradeCount = count,
            UpdateCount = same[9] ? count : updates,
            First = first,
            Last = same[11] ? first : last,
            Revision = revision,
            IsFinal = true,
        };

    private static Gen<decimal> Amounts() =>
        from low in Gen.Choose(int.MinValue, int.MaxValue)
        from mid in Gen.Choose(int.MinValue, int.MaxValue)
        from high in Gen.Elements(0, 0, 1, -1)
        from scale in Gen.Choose(0, 28)
        from small in Gen.Elements(0, 1, 2)
        select small switch
        {
            0 => 0m,
            1 => new decimal(low, 0, 0, false, (byte)scale),
            _ => new decimal(low, mid, high, false, (byte)scale),
        };

    private static Gen<Price> Prices() => Amounts().Select(a => a == 0 ? new Price(1.5m) : new Price(a));

    private static Gen<TradeOrder> Orders() =>
        from position in Gen.Elements(0L, 1L, 398_000_000L, long.MaxValue)
        from signature in Gen.Elements(null, "", Signature, "nicht-ascii-é-币")
        from index in Gen.Elements(0, 1, int.MaxValue)
        from sequence in Gen.Elements(0L, -1L, 12L, long.MinValue)
        select new TradeOrder(new TradeId(position, signature, index), sequence);
}
