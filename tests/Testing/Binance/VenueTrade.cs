using System.Globalization;
using System.Text.Json;

namespace KlineOrleans.Testing.Binance;

/// <summary>An aggregate trade as a venue knows it. Immutable.</summary>
/// <param name="Id">Aggregate id: without holes for each symbol.</param>
/// <param name="FirstId">The first of the exchange's own trades that it stands for.</param>
/// <param name="Time">Unix ms.</param>
public sealed record VenueTrade(string Symbol, long Id, decimal Price, decimal Quantity, long FirstId, long LastId, long Time, bool IsBuyerMaker)
{
    /// <summary>Reads a recorded aggTrade event.</summary>
    public static VenueTrade Parse(JsonElement data) => new(
        data.GetProperty("s").GetString()!,
        data.GetProperty("a").GetInt64(),
        decimal.Parse(data.GetProperty("p").GetString()!, CultureInfo.InvariantCulture),
        decimal.Parse(data.GetProperty("q").GetString()!, CultureInfo.InvariantCulture),
        data.GetProperty("f").GetInt64(),
        data.GetProperty("l").GetInt64(),
        data.GetProperty("T").GetInt64(),
        data.GetProperty("m").GetBoolean());

    /// <summary>The frame of the stream, unwrapped.</summary>
    public string ToFrame(long eventTime) => string.Create(
        CultureInfo.InvariantCulture,
        $"{{\"e\":\"aggTrade\",\"E\":{eventTime},\"s\":\"{Symbol}\",\"a\":{Id},\"p\":\"{Price}\",\"q\":\"{Quantity}\",\"f\":{FirstId},\"l\":{LastId},\"T\":{Time},\"m\":{(IsBuyerMaker ? "true" : "false")},\"M\":true}}");

    /// <summary>As REST answers it.</summary>
    public string ToJson() => string.Create(
        CultureInfo.InvariantCulture,
        $"{{\"a\":{Id},\"p\":\"{Price}\",\"q\":\"{Quantity}\",\"f\":{FirstId},\"l\":{LastId},\"T\":{Time},\"m\":{(IsBuyerMaker ? "true" : "false")},\"M\":true}}");
}

/// <summary>A made-up market: the same seed makes the same trades. Not thread safe.</summary>
public sealed class VenueMarket(int seed, IReadOnlyList<string> symbols)
{
    private readonly Random _random = new(seed);
    private readonly Dictionary<string, (long Id, long TradeId, decimal Price)> _state = symbols.ToDictionary(s => s, _ => (0L, 0L, 100m), StringComparer.Ordinal);

    /// <summary>The next trade of a symbol drawn at random; the first few symbols trade most, the last ones seldom.</summary>
    public VenueTrade Next(long time)
    {
        var at = (int)(symbols.Count * _random.NextDouble() * _random.NextDouble());
        return Next(symbols[at], time);
    }

    public VenueTrade Next(string symbol, long time)
    {
        var (id, tradeId, price) = _state.GetValueOrDefault(symbol, (0, 0, 100m));
        var count = _random.Next(1, 4);
        price = Math.Max(1m, price + (_random.Next(-50, 51) / 100m));
        _state[symbol] = (id + 1, tradeId + count, price);
        return new VenueTrade(symbol, id, price, _random.Next(1, 100_000) / 1000m, tradeId, tradeId + count - 1, time, _random.Next(2) == 0);
    }
}
