using System.Globalization;
using KlineOrleans.Contracts;

namespace KlineOrleans.Cli;

/// <summary>Klines of one symbol and interval, computed here and said elsewhere, bucket by bucket.</summary>
internal sealed class Comparison(string symbol, KlineInterval interval)
{
    private readonly List<string> _differences = [];

    public string Symbol => symbol;

    public KlineInterval Interval => interval;

    public int Compared { get; private set; }

    public int Equal => Compared - _differences.Count;

    /// <summary>A line for each bucket that differs: which, and in what.</summary>
    public IReadOnlyList<string> Differences => _differences;

    /// <summary>Compares every bucket that <paramref name="said"/> has with what was computed.</summary>
    public static Comparison WithExchange(string symbol, KlineInterval interval, IReadOnlyList<Kline> computed, IEnumerable<ExchangeKlines.Row> said)
    {
        var comparison = new Comparison(symbol, interval);
        var known = computed.ToDictionary(k => k.OpenTime);
        foreach (var row in said)
        {
            comparison.Add(row.OpenTime, known.TryGetValue(row.OpenTime, out var kline)
                ? [("open", kline.Open.Value, row.Open), ("high", kline.High.Value, row.High), ("low", kline.Low.Value, row.Low), ("close", kline.Close.Value, row.Close), ("volume", kline.BaseVolume, row.Volume)]
                : null, "the exchange");
        }

        return comparison;
    }

    /// <summary>Compares every computed bucket with the server's, and names those that only one side has.</summary>
    public static Comparison WithServer(string symbol, KlineInterval interval, IReadOnlyList<Kline> computed, IReadOnlyList<ServerKline> said)
    {
        var comparison = new Comparison(symbol, interval);
        var known = said.ToDictionary(k => k.OpenTime);
        foreach (var kline in computed)
        {
            if (!known.Remove(kline.OpenTime, out var theirs))
            {
                comparison.Missing(kline.OpenTime, "the server has none");
                continue;
            }

            comparison.Add(kline.OpenTime,
            [
                ("open", kline.Open.Value, theirs.Open), ("high", kline.High.Value, theirs.High), ("low", kline.Low.Value, theirs.Low), ("close", kline.Close.Value, theirs.Close),
                ("base volume", kline.BaseVolume, theirs.BaseVolume), ("quote volume", kline.QuoteVolume, theirs.QuoteVolume), ("trades", kline.TradeCount, theirs.Trades),
                ("taker buy base", kline.TakerBuyBaseVolume, theirs.TakerBuyBase), ("taker buy quote", kline.TakerBuyQuoteVolume, theirs.TakerBuyQuote),
            ], "the server");
        }

        foreach (var openTime in known.Keys.Order())
        {
            comparison.Missing(openTime, "the recording has no trade in it, the server has");
        }

        return comparison;
    }

    private void Missing(DateTimeOffset openTime, string what)
    {
        Compared++;
        _differences.Add($"{Name(openTime)}: {what}");
    }

    private void Add(DateTimeOffset openTime, (string Field, decimal Computed, decimal Said)[]? fields, string who)
    {
        if (fields is null)
        {
            Missing(openTime, $"only {who} has it");
            return;
        }

        Compared++;
        var differing = fields.Where(f => f.Computed != f.Said)
            .Select(f => string.Create(CultureInfo.InvariantCulture, $"{f.Field} is {f.Computed} by the trades, {f.Said} by {who}")).ToList();
        if (differing.Count > 0)
        {
            _differences.Add($"{Name(openTime)}: {string.Join("; ", differing)}");
        }
    }

    private string Name(DateTimeOffset openTime) => $"{symbol} {interval.Name()} {Times.Format(openTime)}";
}
