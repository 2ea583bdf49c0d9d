using KlineOrleans.Contracts;

namespace KlineOrleans.Grains.Tests;

/// <summary>Random trades of one mint, from a seed.</summary>
internal static class TradeMaker
{
    public const string Symbol = "MakerMint1111111111111111111111111111111111";

    // A Sunday evening, so that a week ends within reach.
    public static readonly DateTimeOffset Start = new(2026, 1, 4, 23, 58, 30, TimeSpan.Zero);

    public static Trade Trade(int number, DateTimeOffset eventTime, decimal price, DateTimeOffset? receivedTime = null, bool onChain = false, decimal amount = 1, TakerSide side = TakerSide.Buy) => new()
    {
        Symbol = Symbol,
        Order = onChain ? new TradeOrder(new TradeId(1_000 + (number / 3), $"signature{number / 2}", number % 2), number) : new TradeOrder(new TradeId(1_000 + number)),
        EventTime = eventTime,
        ReceivedTime = receivedTime ?? eventTime,
        Price = new Price(price),
        BaseAmount = amount,
        QuoteAmount = amount * price,
        TakerSide = side,
    };

    /// <summary>Trades in order, at most <paramref name="span"/> apart from first to last, in bursts and silences; received at once.</summary>
    public static List<Trade> InOrder(Random random, int count, TimeSpan span, bool onChain)
    {
        var times = new List<long>();
        while (times.Count < count)
        {
            var burst = random.NextInt64(span.Ticks);
            for (var n = random.Next(1, 8); n > 0 && times.Count < count; n--)
            {
                times.Add(Math.Min(span.Ticks - 1, burst + random.NextInt64(TimeSpan.TicksPerSecond * 3)));
            }
        }

        times.Sort();
        return [.. times.Select((ticks, number) => Trade(
            number,
            Start.AddTicks(ticks),
            random.Next(1, 500) / 100m,
            onChain: onChain,
            amount: random.Next(1, 100) / 10m,
            side: (TakerSide)random.Next(3)))];
    }

    /// <summary>The same trades in an order in which none comes later than <paramref name="within"/> after its time; each received when it comes.</summary>
    public static List<Trade> Delayed(Random random, IReadOnlyList<Trade> trades, TimeSpan within)
    {
        var arrivals = trades
            .Select(t => (Trade: t, Arrival: random.Next(3) == 0 ? t.EventTime.AddTicks(random.NextInt64(within.Ticks)) : t.EventTime))
            .OrderBy(a => a.Arrival)
            .ToList();
        return [.. arrivals.Select(a => a.Trade with { ReceivedTime = a.Arrival })];
    }
}
