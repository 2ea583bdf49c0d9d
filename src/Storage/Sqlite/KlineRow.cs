using KlineOrleans.Contracts;

namespace KlineOrleans.Storage.Sqlite;

/// <summary>A kline as a row of the table <c>kline</c> and back, exactly. What NULL stands for is said in <see cref="SqliteSchema"/>.</summary>
internal static class KlineRow
{
    /// <summary>Parameter 1 is the symbol's number, the rest <see cref="Bind"/> sets.</summary>
    public const string Upsert =
        """
        INSERT INTO kline (
            symbol_id, interval, open_time, open, high, low, close, base_volume, quote_volume, taker_base, taker_quote, trade_count, update_count, revision,
            first_position, first_sequence, first_signature, first_index, last_position, last_sequence, last_signature, last_index, trade_high, trade_low, first_price)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)
        ON CONFLICT (symbol_id, interval, open_time) DO UPDATE SET
            open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
            base_volume = excluded.base_volume, quote_volume = excluded.quote_volume, taker_base = excluded.taker_base, taker_quote = excluded.taker_quote,
            trade_count = excluded.trade_count, update_count = excluded.update_count, revision = excluded.revision,
            first_position = excluded.first_position, first_sequence = excluded.first_sequence, first_signature = excluded.first_signature, first_index = excluded.first_index,
            last_position = excluded.last_position, last_sequence = excluded.last_sequence, last_signature = excluded.last_signature, last_index = excluded.last_index,
            trade_high = excluded.trade_high, trade_low = excluded.trade_low, first_price = excluded.first_price
        WHERE excluded.revision >= kline.revision
        """;

    /// <summary>The columns that <see cref="Read"/> reads.</summary>
    public const string Columns =
        """
        interval, open_time, open, high, low, close, base_volume, quote_volume, taker_base, taker_quote, trade_count, update_count, revision,
        first_position, first_sequence, first_signature, first_index, last_position, last_sequence, last_signature, last_index, trade_high, trade_low, first_price
        """;

    public static void Bind(SqliteStatement row, in Kline kline)
    {
        var (open, high, low, close) = (kline.Open.Value, kline.High.Value, kline.Low.Value, kline.Close.Value);
        row.Bind(2, (long)kline.Interval);
        row.Bind(3, kline.OpenTime.ToUnixTimeSeconds());
        BindNumber(row, 4, open);
        BindUnless(row, 5, high, Math.Max(open, close));
        BindUnless(row, 6, low, Math.Min(open, close));
        BindUnless(row, 7, close, open);
        BindNumber(row, 8, kline.BaseVolume);
        BindNumber(row, 9, kline.QuoteVolume);
        BindUnless(row, 10, kline.TakerBuyBaseVolume, kline.BaseVolume);
        BindUnless(row, 11, kline.TakerBuyQuoteVolume, kline.QuoteVolume);
        row.Bind(12, kline.TradeCount);
        if (kline.UpdateCount == kline.TradeCount)
            row.BindNull(13);
        else
            row.Bind(13, kline.UpdateCount);
        row.Bind(14, kline.Revision);
        BindOrder(row, 15, kline.First);
        if (kline.Last == kline.First)
        {
            for (var i = 19; i <= 22; i++)
                row.BindNull(i);
        }
        else
        {
            BindOrder(row, 19, kline.Last);
        }

        BindUnless(row, 23, kline.TradeHigh.Value, high);
        BindUnless(row, 24, kline.TradeLow.Value, low);
        BindUnless(row, 25, kline.FirstPrice.Value, open);
    }

    public static Kline Read(SqliteStatement row)
    {
        var open = Number(row, 2);
        var close = NumberOr(row, 5, open);
        var high = NumberOr(row, 3, Math.Max(open, close));
        var low = NumberOr(row, 4, Math.Min(open, close));
        var baseVolume = Number(row, 6);
        var quoteVolume = Number(row, 7);
        var tradeCount = row.Int64(10);
        var first = Order(row, 13);
        return new Kline
        {
            Interval = (KlineInterval)row.Int64(0),
            OpenTime = DateTimeOffset.FromUnixTimeSeconds(row.Int64(1)),
            Open = ToPrice(open),
            High = ToPrice(high),
            Low = ToPrice(low),
            Close = ToPrice(close),
            BaseVolume = baseVolume,
            QuoteVolume = quoteVolume,
            TakerBuyBaseVolume = NumberOr(row, 8, baseVolume),
            TakerBuyQuoteVolume = NumberOr(row, 9, quoteVolume),
            TradeCount = tradeCount,
            UpdateCount = (int)(row.IsNull(11) ? tradeCount : row.Int64(11)),
            Revision = (int)row.Int64(12),
            IsFinal = true,
            First = first,
            Last = row.IsNull(17) ? first : Order(row, 17),
            TradeHigh = ToPrice(NumberOr(row, 21, high)),
            TradeLow = ToPrice(NumberOr(row, 22, low)),
            FirstPrice = ToPrice(NumberOr(row, 23, open)),
        };
    }

    private static Price ToPrice(decimal value) => value == 0 ? default : new Price(value);

    private static void BindNumber(SqliteStatement row, int index, decimal value)
    {
        Span<byte> text = stackalloc byte[ExactDecimal.MaxLength];
        ExactDecimal.TryFormat(value, text, out var length);
        row.BindText(index, text[..length]);
    }

    private static void BindUnless(SqliteStatement row, int index, decimal value, decimal known)
    {
        if (value == known)
            row.BindNull(index);
        else
            BindNumber(row, index, value);
    }

    private static void BindOrder(SqliteStatement row, int index, TradeOrder order)
    {
        row.Bind(index, order.Id.Position);
        row.Bind(index + 1, order.Sequence);
        row.BindText(index + 2, order.Id.Signature);
        row.Bind(index + 3, order.Id.Index);
    }

    private static TradeOrder Order(SqliteStatement row, int column) =>
        new(new TradeId(row.Int64(column), row.Text(column + 2), (int)row.Int64(column + 3)), row.Int64(column + 1));

    private static decimal NumberOr(SqliteStatement row, int column, decimal known) => row.IsNull(column) ? known : Number(row, column);

    private static decimal Number(SqliteStatement row, int column)
    {
        var text = row.Bytes(column);
        return ExactDecimal.TryParse(text, out var value)
            ? value
            : throw new InvalidDataException($"Column {column} of a stored kline is not a number: '{row.Text(column)}'.");
    }
}
