using System.Text.Json;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Configuration;

namespace KlineOrleans.Web;

/// <summary>What <c>volume</c> holds on the older wires for klines of a chain.</summary>
internal enum CompatVolume
{
    /// <summary>0, as the older clients were promised. The volume itself is in <c>base_volume</c>.</summary>
    Zero = 0,

    /// <summary>The base volume.</summary>
    Real = 1,
}

/// <summary>How the older wires (Socket.IO, raw WebSocket, /api/kline) differ from ours (<c>Kline:Compat</c>, or <c>Compat</c>). Immutable.</summary>
internal sealed class CompatRules(CompatVolume volume, SymbolDirectory symbols)
{
    private static readonly JsonEncodedText Time = JsonEncodedText.Encode("time");
    private static readonly JsonEncodedText Open = JsonEncodedText.Encode("open");
    private static readonly JsonEncodedText High = JsonEncodedText.Encode("high");
    private static readonly JsonEncodedText Low = JsonEncodedText.Encode("low");
    private static readonly JsonEncodedText Close = JsonEncodedText.Encode("close");
    private static readonly JsonEncodedText Volume = JsonEncodedText.Encode("volume");
    private static readonly JsonEncodedText IsFinal = JsonEncodedText.Encode("is_final");
    private static readonly JsonEncodedText UpdateType = JsonEncodedText.Encode("update_type");
    private static readonly JsonEncodedText UpdateCount = JsonEncodedText.Encode("update_count");
    private static readonly JsonEncodedText BaseVolume = JsonEncodedText.Encode("base_volume");
    private static readonly JsonEncodedText QuoteVolume = JsonEncodedText.Encode("quote_volume");
    private static readonly JsonEncodedText TradeCount = JsonEncodedText.Encode("trade_count");
    private static readonly JsonEncodedText Revision = JsonEncodedText.Encode("revision");

    /// <summary>Reads the key, which <c>Kline:Compat</c> wins over <c>Compat</c>; null and an error where it is neither value.</summary>
    public static CompatVolume? Read(IConfiguration configuration, out string? error)
    {
        error = null;
        foreach (var key in (string[])["Kline:Compat:Volume", "Compat:Volume"])
        {
            if (configuration[key] is not { Length: > 0 } text)
            {
                continue;
            }

            if (char.IsAsciiLetter(text[0]) && Enum.TryParse<CompatVolume>(text, ignoreCase: true, out var value) && Enum.IsDefined(value))
            {
                return value;
            }

            error = $"{key}: '{text}' is not allowed. Allowed: {string.Join(", ", Enum.GetNames<CompatVolume>())}.";
            return null;
        }

        return CompatVolume.Zero;
    }

    /// <summary>Whether <c>volume</c> of klines of this source is their own. Ask once for a feed or an answer.</summary>
    /// <param name="source">The source's name; empty where it is not known.</param>
    public bool ShowsVolume(string source) => volume == CompatVolume.Real || symbols.SourceOf(source) is { IsChain: false };

    /// <summary>Writes a candle, as the older wires have it.</summary>
    /// <param name="showsVolume">See <see cref="ShowsVolume"/>.</param>
    /// <param name="withType">With <c>update_type</c>: on sockets, not over HTTP.</param>
    public static void WriteCandle(Utf8JsonWriter json, in Kline kline, bool showsVolume, bool withType)
    {
        var baseVolume = KlineJson.ToDouble(kline.BaseVolume);
        json.WriteStartObject();
        json.WriteNumber(Time, kline.OpenTime.ToUnixTimeSeconds());
        json.WriteNumber(Open, KlineJson.ToDouble(kline.Open.Value));
        json.WriteNumber(High, KlineJson.ToDouble(kline.High.Value));
        json.WriteNumber(Low, KlineJson.ToDouble(kline.Low.Value));
        json.WriteNumber(Close, KlineJson.ToDouble(kline.Close.Value));
        json.WriteNumber(Volume, showsVolume ? baseVolume : 0);
        json.WriteBoolean(IsFinal, kline.IsFinal);
        if (withType)
        {
            json.WriteString(UpdateType, kline.Revision > 0 ? "correction" : kline.IsFinal ? "final" : "realtime");
        }

        json.WriteNumber(UpdateCount, kline.UpdateCount);
        json.WriteNumber(BaseVolume, baseVolume);
        json.WriteNumber(QuoteVolume, KlineJson.ToDouble(kline.QuoteVolume));
        json.WriteNumber(TradeCount, kline.TradeCount);
        json.WriteNumber(Revision, kline.Revision);
        json.WriteEndObject();
    }
}
