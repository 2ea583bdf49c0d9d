using KlineOrleans.Contracts;
using Npgsql;
using NpgsqlTypes;

namespace KlineOrleans.Storage.Postgres;

/// <summary>A kline as a row of the table <c>kline</c> and back, exactly. What NULL stands for is said in <see cref="PostgresSchema"/>.</summary>
internal static class PostgresKlineRow
{
    private const string Values =
        """
        open, high, low, close, base_volume, quote_volume, taker_base, taker_quote, trade_count, update_count, revision,
        first_position, first_sequence, first_signature, first_index, last_position, last_sequence, last_signature, last_index, trade_high, trade_low, first_price
        """;

    /// <summary>The columns that <see cref="Read"/> reads.</summary>
    public const string Columns = "interval, open_time, " + Values;

    /// <summary>The columns that <see cref="Write"/> writes.</summary>
    public const string AllColumns = "symbol_id, " + Columns;

    /// <summary>Moves the rows of the staging table into the table.</summary>
    public const string Merge =
        $"""
        INSERT INTO kline ({AllColumns}) SELECT {AllColumns} FROM kline_staging
        ON CONFLICT (symbol_id, interval, open_time) DO UPDATE SET
            open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
            base_volume = excluded.base_volume, quote_volume = excluded.quote_volume, taker_base = excluded.taker_base, taker_quote = excluded.taker_quote,
            trade_count = excluded.trade_count, update_count = excluded.update_count, revision = excluded.revision,
            first_position = excluded.first_position, first_sequence = excluded.first_sequence, first_signature = excluded.first_signature, first_index = excluded.first_index,
            last_position = excluded.last_position, last_sequence = excluded.last_sequence, last_signature = excluded.last_signature, last_index = excluded.last_index,
            trade_high = excluded.trade_high, trade_low = excluded.trade_low, first_price = excluded.first_price
        WHERE excluded.revision >= kline.revision
        """;

    public static void Write(NpgsqlBinaryImporter row, long symbolId, in Kline kline)
    {
        var (open, high, low, close) = (kline.Open.Value, kline.High.Value, kline.Low.Value, kline.Close.Value);
        row.StartRow();
        row.Write(symbolId, NpgsqlDbType.Bigint);
        row.Write((short)kline.Interval, NpgsqlDbType.Smallint);
        row.Write(kline.OpenTime.ToUnixTimeSeconds(), NpgsqlDbType.Bigint);
        WriteNumber(row, open);
        WriteUnless(row, high, Math.Max(open, close));
        WriteUnless(row, low, Math.Min(open, close));
        WriteUnless(row, close, open);
        WriteNumber(row, kline.BaseVolume);
        WriteNumber(row, kline.QuoteVolume);
        WriteUnless(row, kline.TakerBuyBaseVolume, kline.BaseVolume);
        WriteUnless(row, kline.TakerBuyQuoteVolume, kline.QuoteVolume);
        row.Write(kline.TradeCount, NpgsqlDbType.Bigint);
        if (kline.UpdateCount == kline.TradeCount)
            row.WriteNull();
        else
            row.Write(kline.UpdateCount, NpgsqlDbType.Integer);
        row.Write(kline.Revision, NpgsqlDbType.Integer);
        WriteOrder(row, kline.First);
        if (kline.Last == kline.First)
        {
            for (var i = 0; i < 4; i++)
                row.WriteNull();
        }
        else
        {
            WriteOrder(row, kline.Last);
        }

        WriteUnless(row, kline.TradeHigh.Value, high);
        WriteUnless(row, kline.TradeLow.Value, low);
        WriteUnless(row, kline.FirstPrice.Value, open);
    }

    public static Kline Read(NpgsqlDataReader row)
    {
        var open = row.GetDecimal(2);
        var close = NumberOr(row, 5, open);
        var high = NumberOr(row, 3, Math.Max(open, close));
        var low = NumberOr(row, 4, Math.Min(open, close));
        var baseVolume = row.GetDecimal(6);
        var quoteVolume = row.GetDecimal(7);
        var tradeCount = row.GetInt64(10);
        var first = Order(row, 13);
        return new Kline
        {
            Interval = (KlineInterval)row.GetInt16(0),
            OpenTime = DateTimeOffset.FromUnixTimeSeconds(row.GetInt64(1)),
            Open = ToPrice(open),
            High = ToPrice(high),
            Low = ToPrice(low),
            Close = ToPrice(close),
            BaseVolume = baseVolume,
            QuoteVolume = quoteVolume,
            TakerBuyBaseVolume = NumberOr(row, 8, baseVolume),
            TakerBuyQuoteVolume = NumberOr(row, 9, quoteVolume),
            TradeCount = tradeCount,
            UpdateCount = row.IsDBNull(11) ? (int)tradeCount : row.GetInt32(11),
            Revision = row.GetInt32(12),
            IsFinal = true,
            First = first,
            Last = row.IsDBNull(17) ? first : Order(row, 17),
            TradeHigh = ToPrice(NumberOr(row, 21, high)),
            TradeLow = ToPrice(NumberOr(row, 22, low)),
            FirstPrice = ToPrice(NumberOr(row, 23, open)),
        };
    }

    private static Price ToPrice(decimal value) => value == 0 ? default : new Price(value);

    private static void WriteNumber(NpgsqlBinaryImporter row, decimal value) => row.Write(ExactDecimals.WithoutTrailingZeros(value), NpgsqlDbType.Numeric);

    private static void WriteUnless(NpgsqlBinaryImporter row, decimal value, decimal known)
    {
        if (value == known)
            row.WriteNull();
        else
            WriteNumber(row, value);
    }

    private static void WriteOrder(NpgsqlBinaryImporter row, in TradeOrder order)
    {
        row.Write(order.Id.Position, NpgsqlDbType.Bigint);
        row.Write(order.Sequence, NpgsqlDbType.Bigint);
        if (order.Id.Signature is { } signature)
            row.Write(signature, NpgsqlDbType.Text);
        else
            row.WriteNull();
        row.Write(order.Id.Index, NpgsqlDbType.Integer);
    }

    private static TradeOrder Order(NpgsqlDataReader row, int column) =>
        new(new TradeId(row.GetInt64(column), row.IsDBNull(column + 2) ? null : row.GetString(column + 2), row.GetInt32(column + 3)), row.GetInt64(column + 1));

    private static decimal NumberOr(NpgsqlDataReader row, int column, decimal known) => row.IsDBNull(column) ? known : row.GetDecimal(column);
}

/// <summary>The one form of a number that is stored, so that equal numbers are equal rows.</summary>
internal static class ExactDecimals
{
    public static decimal WithoutTrailingZeros(decimal value)
    {
        Span<int> parts = stackalloc int[4];
        decimal.GetBits(value, parts);
        // Scale 0 has none; an odd last digit is no zero.
        return (parts[3] & 0x00FF0000) == 0 || (parts[0] & 1) != 0 ? value : value / 1.0000000000000000000000000000m;
    }
}
