using KlineOrleans.Contracts;

namespace KlineOrleans.Grains;

/// <summary>Sums of the trades of one bucket. Adding is commutative: any order of the same trades gives the same sums.</summary>
/// <remarks>A mutable struct, kept in arrays and changed in place by reference.</remarks>
internal struct Bucket
{
    /// <summary><see cref="Open"/> of no bucket.</summary>
    public const long None = long.MinValue;

    /// <summary>Open time in Unix seconds, or <see cref="None"/>.</summary>
    public long Open;

    public decimal FirstPrice;
    public decimal High;
    public decimal Low;
    public decimal LastPrice;
    public decimal BaseVolume;
    public decimal QuoteVolume;
    public decimal TakerBuyBaseVolume;
    public decimal TakerBuyQuoteVolume;
    public long TradeCount;

    /// <summary>Trades as delivered. 0: no trade yet, and the prices mean nothing.</summary>
    public int UpdateCount;

    public TradeOrder First;
    public TradeOrder Last;

    public readonly bool Exists => Open != None;

    public static Bucket Empty(long open) => new() { Open = open };

    public void Add(in Trade trade)
    {
        var price = trade.Price.Value;
        if (UpdateCount == 0)
        {
            FirstPrice = High = Low = LastPrice = price;
            First = Last = trade.Order;
        }
        else
        {
            if (price > High)
            {
                High = price;
            }
            else if (price < Low)
            {
                Low = price;
            }

            if (trade.Order > Last)
            {
                Last = trade.Order;
                LastPrice = price;
            }
            else if (trade.Order < First)
            {
                First = trade.Order;
                FirstPrice = price;
            }
        }

        BaseVolume += trade.BaseAmount;
        QuoteVolume += trade.QuoteAmount;
        if (trade.TakerSide == TakerSide.Buy)
        {
            TakerBuyBaseVolume += trade.BaseAmount;
            TakerBuyQuoteVolume += trade.QuoteAmount;
        }

        TradeCount += trade.Count;
        UpdateCount++;
    }

    /// <summary>Adds the sums of a part of this bucket, such as a shorter interval's bucket inside it.</summary>
    public void Add(in Bucket part)
    {
        if (part.UpdateCount == 0)
        {
            return;
        }

        if (UpdateCount == 0)
        {
            var open = Open;
            this = part;
            Open = open;
            return;
        }

        if (part.High > High)
        {
            High = part.High;
        }

        if (part.Low < Low)
        {
            Low = part.Low;
        }

        if (part.Last > Last)
        {
            Last = part.Last;
            LastPrice = part.LastPrice;
        }

        if (part.First < First)
        {
            First = part.First;
            FirstPrice = part.FirstPrice;
        }

        BaseVolume += part.BaseVolume;
        QuoteVolume += part.QuoteVolume;
        TakerBuyBaseVolume += part.TakerBuyBaseVolume;
        TakerBuyQuoteVolume += part.TakerBuyQuoteVolume;
        TradeCount += part.TradeCount;
        UpdateCount += part.UpdateCount;
    }

    /// <summary>Puts the trades of one slot into the order that the chain gave them. True if the first or last trade changed, or its place.</summary>
    /// <param name="slot">Every trade of the slot, in the chain's order; all are in these sums.</param>
    public bool SetOrder(ReadOnlySpan<Trade> slot)
    {
        var changed = false;
        var position = slot[0].Order.Id.Position;
        if (UpdateCount == 0)
        {
            return false;
        }

        // Only the bucket's first and last trade are remembered, and only their own slots can put others in their place.
        if (First.Id.Position == position)
        {
            changed = First != slot[0].Order || FirstPrice != slot[0].Price.Value;
            First = slot[0].Order;
            FirstPrice = slot[0].Price.Value;
        }

        if (Last.Id.Position == position)
        {
            changed |= Last != slot[^1].Order || LastPrice != slot[^1].Price.Value;
            Last = slot[^1].Order;
            LastPrice = slot[^1].Price.Value;
        }

        return changed;
    }

    /// <summary>The bucket as a kline.</summary>
    /// <param name="previousClose">The close that policy PreviousClose opens with; null: open with the first trade.</param>
    public readonly Kline ToKline(KlineInterval interval, decimal? previousClose, bool wicksIgnoreOpen, bool isFinal, int revision)
    {
        var open = previousClose ?? FirstPrice;
        var high = High;
        var low = Low;
        if (!wicksIgnoreOpen)
        {
            high = Math.Max(high, open);
            low = Math.Min(low, open);
        }

        return new Kline
        {
            Interval = interval,
            OpenTime = DateTimeOffset.FromUnixTimeSeconds(Open),
            Open = new Price(open),
            High = new Price(high),
            Low = new Price(low),
            Close = new Price(LastPrice),
            BaseVolume = BaseVolume,
            QuoteVolume = QuoteVolume,
            TakerBuyBaseVolume = TakerBuyBaseVolume,
            TakerBuyQuoteVolume = TakerBuyQuoteVolume,
            TradeCount = TradeCount,
            First = First,
            Last = Last,
            FirstPrice = new Price(FirstPrice),
            TradeHigh = new Price(High),
            TradeLow = new Price(Low),
            UpdateCount = UpdateCount,
            Revision = revision,
            IsFinal = isFinal,
        };
    }

    /// <summary>The sums that a kline was made from.</summary>
    public static Bucket FromKline(in Kline kline) => new()
    {
        Open = kline.OpenTime.ToUnixTimeSeconds(),
        FirstPrice = kline.FirstPrice.Value,
        High = kline.TradeHigh.Value,
        Low = kline.TradeLow.Value,
        LastPrice = kline.Close.Value,
        BaseVolume = kline.BaseVolume,
        QuoteVolume = kline.QuoteVolume,
        TakerBuyBaseVolume = kline.TakerBuyBaseVolume,
        TakerBuyQuoteVolume = kline.TakerBuyQuoteVolume,
        TradeCount = kline.TradeCount,
        UpdateCount = kline.UpdateCount,
        First = kline.First,
        Last = kline.Last,
    };
}
