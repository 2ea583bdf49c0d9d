using System.Globalization;

namespace KlineOrleans.Testing.Binance;

/// <summary>Klines of trades, by the plainest code there is: the oracle that other code is compared with.</summary>
public static class VenueKlines
{
    private const long Day = 86_400_000;

    private static readonly Dictionary<string, long> Lengths = new(StringComparer.Ordinal)
    {
        ["1s"] = 1_000,
        ["5s"] = 5_000,
        ["15s"] = 15_000,
        ["30s"] = 30_000,
        ["1m"] = 60_000,
        ["5m"] = 300_000,
        ["15m"] = 900_000,
        ["30m"] = 1_800_000,
        ["1h"] = 3_600_000,
        ["4h"] = 14_400_000,
        ["1d"] = Day,
        ["1w"] = 7 * Day,
    };

    /// <summary>The bucket's length in ms.</summary>
    public static long Length(string interval) => Lengths[interval];

    /// <summary>The open time, in Unix ms, of the bucket of a moment. Weeks begin on Monday.</summary>
    public static long OpenTime(string interval, long time)
    {
        var length = Lengths[interval];
        var shift = interval == "1w" ? 4 * Day : 0;
        return ((time - shift) / length * length) + shift;
    }

    /// <summary>The klines of trades, oldest first; none for a bucket without a trade.</summary>
    public static IEnumerable<VenueKline> Of(string interval, IEnumerable<VenueTrade> trades) =>
        trades.GroupBy(t => OpenTime(interval, t.Time)).OrderBy(g => g.Key).Select(g =>
        {
            var inOrder = g.OrderBy(t => t.Id).ToList();
            return new VenueKline(
                g.Key,
                inOrder[0].Price,
                inOrder.Max(t => t.Price),
                inOrder.Min(t => t.Price),
                inOrder[^1].Price,
                inOrder.Sum(t => t.Quantity),
                inOrder.Sum(t => t.Price * t.Quantity),
                inOrder.Sum(t => t.LastId - t.FirstId + 1),
                inOrder.Where(t => !t.IsBuyerMaker).Sum(t => t.Quantity),
                inOrder.Where(t => !t.IsBuyerMaker).Sum(t => t.Price * t.Quantity));
        });
}

/// <summary>A kline of the venue. Immutable.</summary>
public sealed record VenueKline(long OpenTime, decimal Open, decimal High, decimal Low, decimal Close, decimal Volume, decimal QuoteVolume, long Count, decimal TakerVolume, decimal TakerQuoteVolume)
{
    public string ToJson(string interval) => string.Create(
        CultureInfo.InvariantCulture,
        $"[{OpenTime},\"{Open}\",\"{High}\",\"{Low}\",\"{Close}\",\"{Volume}\",{OpenTime + VenueKlines.Length(interval) - 1},\"{QuoteVolume}\",{Count},\"{TakerVolume}\",\"{TakerQuoteVolume}\",\"0\"]");
}
