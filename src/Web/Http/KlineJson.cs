using System.Buffers.Text;
using System.Globalization;
using System.Text.Json;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web;

/// <summary>Klines as JSON for the hub and HTTP v1 (docs/wire): times in Unix milliseconds, numbers in the shortest form of the nearest double, or exact as strings.</summary>
internal static class KlineJson
{
    private static readonly JsonEncodedText Interval = JsonEncodedText.Encode("interval");
    private static readonly JsonEncodedText OpenTime = JsonEncodedText.Encode("openTime");
    private static readonly JsonEncodedText EndTime = JsonEncodedText.Encode("endTime");
    private static readonly JsonEncodedText Open = JsonEncodedText.Encode("open");
    private static readonly JsonEncodedText High = JsonEncodedText.Encode("high");
    private static readonly JsonEncodedText Low = JsonEncodedText.Encode("low");
    private static readonly JsonEncodedText Close = JsonEncodedText.Encode("close");
    private static readonly JsonEncodedText BaseVolume = JsonEncodedText.Encode("baseVolume");
    private static readonly JsonEncodedText QuoteVolume = JsonEncodedText.Encode("quoteVolume");
    private static readonly JsonEncodedText Trades = JsonEncodedText.Encode("trades");
    private static readonly JsonEncodedText TakerBuyBase = JsonEncodedText.Encode("takerBuyBase");
    private static readonly JsonEncodedText TakerBuyQuote = JsonEncodedText.Encode("takerBuyQuote");
    private static readonly JsonEncodedText FirstTradeId = JsonEncodedText.Encode("firstTradeId");
    private static readonly JsonEncodedText LastTradeId = JsonEncodedText.Encode("lastTradeId");
    private static readonly JsonEncodedText Updates = JsonEncodedText.Encode("updates");
    private static readonly JsonEncodedText Revision = JsonEncodedText.Encode("revision");
    private static readonly JsonEncodedText IsFinal = JsonEncodedText.Encode("isFinal");
    private static readonly JsonEncodedText[] IntervalNames = [JsonEncodedText.Encode(""), .. KlineIntervals.All.Select(i => JsonEncodedText.Encode(i.Name()))];

    /// <summary>The interval's name, encoded.</summary>
    public static JsonEncodedText Name(KlineInterval interval) => IntervalNames[(int)interval];

    public static void Write(Utf8JsonWriter json, in Kline kline, bool exact)
    {
        json.WriteStartObject();
        json.WriteString(Interval, IntervalNames[(int)kline.Interval]);
        json.WriteNumber(OpenTime, kline.OpenTime.ToUnixTimeMilliseconds());
        json.WriteNumber(EndTime, kline.EndTime.ToUnixTimeMilliseconds());
        WriteDecimal(json, Open, kline.Open.Value, exact);
        WriteDecimal(json, High, kline.High.Value, exact);
        WriteDecimal(json, Low, kline.Low.Value, exact);
        WriteDecimal(json, Close, kline.Close.Value, exact);
        WriteDecimal(json, BaseVolume, kline.BaseVolume, exact);
        WriteDecimal(json, QuoteVolume, kline.QuoteVolume, exact);
        json.WriteNumber(Trades, kline.TradeCount);
        WriteDecimal(json, TakerBuyBase, kline.TakerBuyBaseVolume, exact);
        WriteDecimal(json, TakerBuyQuote, kline.TakerBuyQuoteVolume, exact);
        WriteTradeId(json, FirstTradeId, kline, kline.First);
        WriteTradeId(json, LastTradeId, kline, kline.Last);
        json.WriteNumber(Updates, kline.UpdateCount);
        json.WriteNumber(Revision, kline.Revision);
        json.WriteBoolean(IsFinal, kline.IsFinal);
        json.WriteEndObject();
    }

    public static void WriteArray(Utf8JsonWriter json, IReadOnlyList<Kline> klines, bool exact)
    {
        json.WriteStartArray();
        for (var i = 0; i < klines.Count; i++)
        {
            Write(json, klines[i], exact);
        }

        json.WriteEndArray();
    }

    /// <summary>The double nearest to <paramref name="value"/>.</summary>
    public static double ToDouble(decimal value)
    {
        Span<int> bits = stackalloc int[4];
        decimal.GetBits(value, bits);
        var scale = (bits[3] >> 16) & 0xFF;

        // A whole number below 2^53 over an exact power of ten: one division, correctly rounded. The framework's cast does the same there, and is off
        // by one in the last place for longer numbers, where the text is read back instead.
        if (bits[2] == 0 && (uint)bits[1] < 1u << 21 && scale <= 22)
        {
            return (double)value;
        }

        Span<byte> text = stackalloc byte[ExactDecimal.MaxLength];
        ExactDecimal.TryFormat(value, text, out var written);
        return Utf8Parser.TryParse(text[..written], out double number, out _) ? number : (double)value;
    }

    private static void WriteDecimal(Utf8JsonWriter json, JsonEncodedText name, decimal value, bool exact)
    {
        if (!exact)
        {
            json.WriteNumber(name, ToDouble(value));
            return;
        }

        Span<byte> text = stackalloc byte[ExactDecimal.MaxLength];
        ExactDecimal.TryFormat(value, text, out var written);
        json.WriteString(name, text[..written]);
    }

    private static void WriteTradeId(Utf8JsonWriter json, JsonEncodedText name, in Kline kline, TradeOrder order)
    {
        if (kline.IsFlat)
        {
            json.WriteNull(name);
        }
        else if (order.Id.Signature is null)
        {
            Span<char> text = stackalloc char[20];
            order.Id.Position.TryFormat(text, out var written, default, CultureInfo.InvariantCulture);
            json.WriteString(name, text[..written]);
        }
        else
        {
            json.WriteString(name, order.Id.ToString());
        }
    }
}
