using System.Globalization;
using System.Text;

namespace KlineOrleans.Testing;

/// <summary>Made-up recordings of an exchange's trades, the same for the same seed: a replay of one at speed 1 gives so many updates a second.</summary>
public static class TradeRecording
{
    /// <summary>The first trade's time. Whole minutes, so that klines begin with it.</summary>
    public static readonly DateTimeOffset Start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    public static IReadOnlyList<string> Symbols(int count) => [.. Enumerable.Range(0, count).Select(i => string.Create(CultureInfo.InvariantCulture, $"SYM{i:000}USDT"))];

    /// <summary>Writes a recording of format BinanceFrames.</summary>
    /// <param name="lateShare">The share of trades that come up to 5 s after their time: some of them correct final klines.</param>
    public static void Write(string path, IReadOnlyList<string> symbols, int tradesPerSecond, TimeSpan length, int seed, double lateShare = 0.01)
    {
        var random = new Random(seed);
        var price = new decimal[symbols.Count];
        var ids = new long[symbols.Count];
        Array.Fill(price, 100m);
        using var file = new StreamWriter(path, append: false, new UTF8Encoding(false), 1 << 16);
        var trades = (long)(tradesPerSecond * length.TotalSeconds);
        var start = Start.ToUnixTimeMilliseconds();
        for (var i = 0L; i < trades; i++)
        {
            // In turns, so that no two trades of a symbol come together and become one update.
            var symbol = (int)(i % symbols.Count);
            var time = start + (i * 1_000 / tradesPerSecond);
            var traded = i > symbols.Count && random.NextDouble() < lateShare ? Math.Max(start, time - random.Next(2_500, 5_000)) : time;
            price[symbol] = Math.Max(1, price[symbol] + ((decimal)random.Next(-100, 101) / 100));
            var id = ++ids[symbol];
            file.Write(string.Create(CultureInfo.InvariantCulture, $"{{\"e\":\"aggTrade\",\"E\":{time},\"s\":\"{symbols[symbol]}\",\"a\":{id},\"p\":\"{price[symbol]}\",\"q\":\"{(decimal)random.Next(1, 10_000) / 1_000}\",\"f\":{id},\"l\":{id},\"T\":{traded},\"m\":{(random.Next(2) == 0 ? "true" : "false")}}}\n"));
        }
    }
}
