using System.Text.Json;
using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Binance;

/// <summary>The numbers of an aggregate trade, taken from the fields of its JSON object in whatever order they come (facts/binance.md).</summary>
internal struct AggTradeFields
{
    private decimal? _price;
    private decimal? _quantity;
    private long? _id;
    private long? _first;
    private long? _last;
    private long? _time;
    private bool? _isBuyerMaker;

    /// <summary>The newest of the exchange's trades that it stands for; 0 while unknown.</summary>
    public readonly long LastId => _last ?? 0;

    /// <summary>Whether every field was there, with a value of its kind.</summary>
    public readonly bool IsWhole => _price is not null && _quantity is not null && _id is not null && _first is not null && _last is not null && _time is not null && _isBuyerMaker is not null;

    /// <summary>Takes a field. The reader stands on its value, and stays there.</summary>
    /// <param name="name">The one letter that is its name.</param>
    /// <returns>False where it is none of these, or its value is of another kind.</returns>
    public bool TryTake(byte name, in Utf8JsonReader json)
    {
        switch (name)
        {
            case (byte)'p' when json.TokenType == JsonTokenType.String:
                _price = ExactDecimal.TryParse(json.ValueSpan, out var price) ? price : null;
                return true;
            case (byte)'q' when json.TokenType == JsonTokenType.String:
                _quantity = ExactDecimal.TryParse(json.ValueSpan, out var quantity) ? quantity : null;
                return true;
            case (byte)'a' when json.TokenType == JsonTokenType.Number:
                _id = Whole(json);
                return true;
            case (byte)'f' when json.TokenType == JsonTokenType.Number:
                _first = Whole(json);
                return true;
            case (byte)'l' when json.TokenType == JsonTokenType.Number:
                _last = Whole(json);
                return true;
            case (byte)'T' when json.TokenType == JsonTokenType.Number:
                _time = Whole(json);
                return true;
            case (byte)'m' when json.TokenType is JsonTokenType.True or JsonTokenType.False:
                _isBuyerMaker = json.TokenType == JsonTokenType.True;
                return true;
            default:
                return false;
        }
    }

    /// <summary>The trade, if <see cref="IsWhole"/> and its numbers are those of one.</summary>
    public readonly bool TryCreate(string symbol, out Trade trade, out SkipReason reason)
    {
        if (IsWhole)
        {
            return AggTrades.TryCreate(symbol, _id!.Value, _price!.Value, _quantity!.Value, _first!.Value, _last!.Value, _time!.Value, _isBuyerMaker!.Value, out trade, out reason);
        }

        trade = default;
        reason = SkipReason.MalformedFrame;
        return false;
    }

    private static long? Whole(in Utf8JsonReader json) => json.TryGetInt64(out var value) ? value : null;
}
