using System.Globalization;
using System.Text.Json;
using KlineOrleans.Contracts;

namespace KlineOrleans.Silo.Tests;

/// <summary>An oracle for pump.fun klines: from the decoded trades in chain order, by plain folding in file order.</summary>
internal sealed record PumpTrade(string Mint, long Time, decimal Price, decimal Base, decimal Quote, bool IsBuy)
{
    public static readonly string[] Fields = ["open", "high", "low", "close", "baseVolume", "quoteVolume", "takerBuyBase", "takerBuyQuote"];

    public static PumpTrade Read(string line)
    {
        using var trade = JsonDocument.Parse(line);
        var root = trade.RootElement;
        return new PumpTrade(
            root.GetProperty("mint").GetString()!,
            root.GetProperty("block_time").GetInt64(),
            Number("virtual_sol_reserves") / 1_000_000_000m / (Number("virtual_token_reserves") / 1_000_000m),
            Number("token_amount") / 1_000_000m,
            Number("sol_amount") / 1_000_000_000m,
            root.GetProperty("is_buy").GetBoolean());

        decimal Number(string name) => decimal.Parse(root.GetProperty(name).GetString()!, CultureInfo.InvariantCulture);
    }

    /// <summary>Open time in Unix seconds, the values of <see cref="Fields"/>, and the number of trades, of each bucket that has any.</summary>
    public static List<(long Time, decimal[] Values, int Trades)> Klines(List<PumpTrade> trades, KlineInterval interval)
    {
        var result = new List<(long Time, decimal[] Values, int Trades)>();
        foreach (var trade in trades)
        {
            var length = interval.Seconds();
            // Unix time begins on a Thursday, weeks on a Monday.
            var shift = interval == KlineInterval.W1 ? 3 * 86_400 : 0;
            var time = ((trade.Time + shift) / length * length) - shift;
            if (result.Count == 0 || result[^1].Time != time)
            {
                // Opens with the close before it; the very first with its own first price.
                var open = result.Count == 0 ? trade.Price : result[^1].Values[3];
                result.Add((time, [open, Math.Max(open, trade.Price), Math.Min(open, trade.Price), trade.Price, 0, 0, 0, 0], 0));
            }

            var (_, values, count) = result[^1];
            values[1] = Math.Max(values[1], trade.Price);
            values[2] = Math.Min(values[2], trade.Price);
            values[3] = trade.Price;
            values[4] += trade.Base;
            values[5] += trade.Quote;
            values[6] += trade.IsBuy ? trade.Base : 0;
            values[7] += trade.IsBuy ? trade.Quote : 0;
            result[^1] = (time, values, count + 1);
        }

        return result;
    }
}
