using System.Globalization;
using System.Text;

namespace KlineOrleans.Testing;

/// <summary>Made-up trades of many symbols, as a recording that the server replays. The same seed makes the same file.</summary>
public static class MadeUpTrades
{
    /// <summary>The time of the first trade.</summary>
    public static readonly DateTimeOffset Start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    /// <summary>Raw aggTrade frames, one a line, over an hour. One trade in fifty comes up to ten minutes late, one in a hundred twice.</summary>
    public static async Task WriteBinanceFrames(string path, int symbols, int trades, int seed)
    {
        var random = new Random(seed);
        var start = Start.ToUnixTimeMilliseconds();
        var prices = Enumerable.Range(0, symbols).Select(_ => random.Next(1_000, 100_000)).ToArray();
        var ids = new long[symbols];
        var late = new PriorityQueue<string, int>();
        await using var file = new StreamWriter(path, append: false, Encoding.ASCII, 1 << 20);
        for (var i = 0; i < trades; i++)
        {
            while (late.TryPeek(out var held, out var at) && at <= i)
            {
                await file.WriteLineAsync(held);
                late.Dequeue();
            }

            var symbol = random.Next(symbols);
            var time = start + (long)(i * 3_600_000.0 / trades);
            var id = ++ids[symbol];
            prices[symbol] = Math.Max(100, prices[symbol] + random.Next(-9, 10));
            var line = string.Create(
                CultureInfo.InvariantCulture,
                $"{{\"e\":\"aggTrade\",\"E\":{time},\"s\":\"SYM{symbol}USDT\",\"a\":{id},\"p\":\"{prices[symbol] / 1_000m}\",\"q\":\"{random.Next(1, 10_000) / 100m}\",\"f\":{id},\"l\":{id},\"T\":{time},\"m\":{(i % 2 == 0 ? "true" : "false")}}}");
            if (random.Next(50) == 0)
            {
                late.Enqueue(line, i + 1 + random.Next(trades / 6));
                continue;
            }

            await file.WriteLineAsync(line);
            if (random.Next(100) == 0)
                late.Enqueue(line, i + 1 + random.Next(trades / 6));
        }

        while (late.TryDequeue(out var rest, out _))
            await file.WriteLineAsync(rest);
    }

    /// <summary><see cref="WriteBinanceFrames"/>, and then a few seconds in which every symbol trades: no bucket is empty whose predecessor is not final yet.</summary>
    /// <remarks>Such a bucket history shows at once, and a follower hears of it only when that predecessor is final; where a recording ends there, never.</remarks>
    public static async Task WriteBinanceHour(string path, int symbols, int trades, int seed)
    {
        await WriteBinanceFrames(path, symbols, trades, seed);
        await using var file = new StreamWriter(path, append: true, Encoding.ASCII);
        for (var second = 0; second < 6; second++)
        {
            for (var symbol = 0; symbol < symbols; symbol++)
            {
                var (time, id) = (new DateTimeOffset(2026, 1, 5, 1, 0, second, TimeSpan.Zero).ToUnixTimeMilliseconds(), trades + second);
                await file.WriteLineAsync(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{{\"e\":\"aggTrade\",\"E\":{time},\"s\":\"SYM{symbol}USDT\",\"a\":{id},\"p\":\"25.{second}\",\"q\":\"1\",\"f\":{id},\"l\":{id},\"T\":{time},\"m\":true}}"));
            }
        }
    }
}
