using System.Globalization;
using System.Text.Json;

namespace KlineOrleans.Cli;

/// <summary>A kline as a server's HTTP interface writes it with <c>exact=true</c>.</summary>
internal sealed record ServerKline
{
    public required DateTimeOffset OpenTime { get; init; }

    public required DateTimeOffset EndTime { get; init; }

    public required decimal Open { get; init; }

    public required decimal High { get; init; }

    public required decimal Low { get; init; }

    public required decimal Close { get; init; }

    public required decimal BaseVolume { get; init; }

    public required decimal QuoteVolume { get; init; }

    public required long Trades { get; init; }

    public required decimal TakerBuyBase { get; init; }

    public required decimal TakerBuyQuote { get; init; }

    public required int Revision { get; init; }

    public required bool IsFinal { get; init; }

    /// <exception cref="JsonException">A field is missing or of another type.</exception>
    public static ServerKline Read(JsonElement json)
    {
        try
        {
            return new()
            {
                OpenTime = DateTimeOffset.FromUnixTimeMilliseconds(json.GetProperty("openTime").GetInt64()),
                EndTime = DateTimeOffset.FromUnixTimeMilliseconds(json.GetProperty("endTime").GetInt64()),
                Open = Number("open"),
                High = Number("high"),
                Low = Number("low"),
                Close = Number("close"),
                BaseVolume = Number("baseVolume"),
                QuoteVolume = Number("quoteVolume"),
                Trades = json.GetProperty("trades").GetInt64(),
                TakerBuyBase = Number("takerBuyBase"),
                TakerBuyQuote = Number("takerBuyQuote"),
                Revision = json.GetProperty("revision").GetInt32(),
                IsFinal = json.GetProperty("isFinal").GetBoolean(),
            };
        }
        catch (Exception error) when (error is KeyNotFoundException or InvalidOperationException or FormatException or OverflowException or ArgumentOutOfRangeException)
        {
            throw new JsonException($"The server sent a kline of another shape: {json.GetRawText()}", error);
        }

        // Exact values come as strings; a forming kline of a wire without them as numbers.
        decimal Number(string name)
        {
            var value = json.GetProperty(name);
            return value.ValueKind == JsonValueKind.String ? decimal.Parse(value.GetString()!, NumberStyles.Float, CultureInfo.InvariantCulture) : value.GetDecimal();
        }
    }
}
