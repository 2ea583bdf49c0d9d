using System.Text.Encodings.Web;
using System.Text.Json;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web.Transports.Events;

/// <summary>Klines as the older wires show them: <c>candle</c> (docs/wire/socketio.md) and the items of /ws/kline/live. Numbers in the shortest form of the nearest double.</summary>
internal static class CandleJson
{
    /// <summary>For writing by hand what is known to be valid.</summary>
    public static readonly JsonWriterOptions Options = new() { SkipValidation = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly JsonEncodedText Open = JsonEncodedText.Encode("open");
    private static readonly JsonEncodedText High = JsonEncodedText.Encode("high");
    private static readonly JsonEncodedText Low = JsonEncodedText.Encode("low");
    private static readonly JsonEncodedText Close = JsonEncodedText.Encode("close");
    private static readonly JsonEncodedText Volume = JsonEncodedText.Encode("volume");
    private static readonly JsonEncodedText IsFinal = JsonEncodedText.Encode("is_final");
    private static readonly JsonEncodedText Period = JsonEncodedText.Encode("period");
    private static readonly JsonEncodedText OpenTime = JsonEncodedText.Encode("open_time");
    private static readonly JsonEncodedText Symbol = JsonEncodedText.Encode("symbol");

    /// <summary>Writes a <c>candle</c>: time in Unix seconds.</summary>
    /// <param name="hasVolume">False: <c>volume</c> is 0, as older clients were promised.</param>
    public static void Write(Utf8JsonWriter json, in Kline kline, bool hasVolume) => CompatRules.WriteCandle(json, kline, hasVolume, withType: true);

    /// <summary>Writes an item of /ws/kline/live: open time in Unix milliseconds.</summary>
    /// <param name="symbol">Null where the connection follows one symbol.</param>
    public static void WriteLive(Utf8JsonWriter json, string? symbol, in Kline kline, bool hasVolume)
    {
        json.WriteStartObject();
        if (symbol is not null)
        {
            json.WriteString(Symbol, symbol);
        }

        json.WriteString(Period, KlineJson.Name(kline.Interval));
        json.WriteNumber(OpenTime, kline.OpenTime.ToUnixTimeMilliseconds());
        WritePrices(json, kline, hasVolume);
        json.WriteBoolean(IsFinal, kline.IsFinal);
        json.WriteEndObject();
    }

    private static void WritePrices(Utf8JsonWriter json, in Kline kline, bool hasVolume)
    {
        json.WriteNumber(Open, KlineJson.ToDouble(kline.Open.Value));
        json.WriteNumber(High, KlineJson.ToDouble(kline.High.Value));
        json.WriteNumber(Low, KlineJson.ToDouble(kline.Low.Value));
        json.WriteNumber(Close, KlineJson.ToDouble(kline.Close.Value));
        json.WriteNumber(Volume, hasVolume ? KlineJson.ToDouble(kline.BaseVolume) : 0);
    }
}
