using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Binance;

/// <summary>An aggregate trade of Binance, in any of its forms, as a <see cref="Trade"/>.</summary>
internal static class AggTrades
{
    // Archives from 2025 on count microseconds. As milliseconds these numbers lie beyond the year 5000, as microseconds the smaller ones before 1973.
    private const long FirstMicroseconds = 100_000_000_000_000;
    private const long MaxMilliseconds = 7_258_118_400_000;

    /// <returns>False if a number lies outside what a trade can have: a price or amount below or at zero, ids in the wrong order, an impossible time.</returns>
    public static bool TryCreate(string symbol, long id, decimal price, decimal quantity, long firstId, long lastId, long time, bool isBuyerMaker, out Trade trade, out SkipReason reason)
    {
        trade = default;
        reason = SkipReason.MalformedLine;
        var microseconds = time >= FirstMicroseconds;
        if (id < 0 || lastId < firstId || lastId - firstId >= int.MaxValue || time < 0 || (microseconds ? time / 1000 : time) > MaxMilliseconds)
        {
            return false;
        }

        reason = SkipReason.PriceOutOfRange;
        if (price <= 0 || quantity < 0)
        {
            return false;
        }

        decimal quote;
        try
        {
            quote = price * quantity;
        }
        catch (OverflowException)
        {
            return false;
        }

        var eventTime = DateTimeOffset.UnixEpoch.AddTicks(time * (microseconds ? TimeSpan.TicksPerMicrosecond : TimeSpan.TicksPerMillisecond));
        trade = new Trade
        {
            Symbol = symbol,
            Order = new TradeOrder(new TradeId(id)),
            EventTime = eventTime,
            ReceivedTime = eventTime,
            Price = new Price(price),
            BaseAmount = quantity,
            QuoteAmount = quote,
            TakerSide = isBuyerMaker ? TakerSide.Sell : TakerSide.Buy,
            Count = (int)(lastId - firstId + 1),
        };
        return true;
    }
}
