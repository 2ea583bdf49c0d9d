using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Binance;

namespace KlineOrleans.Ingest.Replay;

/// <summary>Raw aggTrade frames, one a line: bare, wrapped in <c>{"stream","data"}</c>, or as a text inside a recorder's JSON object.</summary>
/// <remarks>
/// The symbol is the frame's. Amounts are what the venue's own klines count: coins on the spot and USD-M markets, contracts on COIN-M. Other events are
/// counted by name.
/// </remarks>
internal sealed class BinanceFramesFormat(SkipCounts skipped) : IRecordingFormat
{
    private readonly Dictionary<string, string> _symbols = new(StringComparer.Ordinal);
    private byte[] _inner = new byte[4096];

    public string? Read(ReadOnlySpan<byte> line, long lineNumber, List<Trade> trades, List<SymbolInfo> symbols, List<ChainEvent> events)
    {
        var before = trades.Count;
        try
        {
            var json = new Utf8JsonReader(line);
            json.Read();
            var error = ReadValue(ref json, trades, mayHoldText: true);

            // A second value after the first is an error of its own.
            json.Read();
            return error;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // Half of a broken line is not trusted either.
            trades.RemoveRange(before, trades.Count - before);
            skipped.Add(SkipReason.MalformedFrame);
            return "not a JSON frame";
        }
    }

    public string SaveState() => "";

    public bool TryRestoreState(string state) => state.Length == 0;

    // The reader stands on the value's first token, and on its last when this returns.
    private string? ReadValue(ref Utf8JsonReader json, List<Trade> trades, bool mayHoldText)
    {
        if (json.TokenType == JsonTokenType.StartArray)
        {
            string? error = null;
            while (json.Read() && json.TokenType != JsonTokenType.EndArray)
            {
                error = ReadValue(ref json, trades, mayHoldText: false) ?? error;
            }

            return error;
        }

        if (json.TokenType != JsonTokenType.StartObject)
        {
            skipped.Add(SkipReason.NotALog);
            return null;
        }

        string? type = null, symbol = null, found = null;
        AggTradeFields fields = default;
        var isWrapper = false;
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            var name = json.ValueIsEscaped || json.ValueSpan.Length != 1 ? (byte)0 : json.ValueSpan[0];
            var isData = json.ValueTextEquals("data"u8) || json.ValueTextEquals("frame"u8) || json.ValueTextEquals("raw"u8) || json.ValueTextEquals("message"u8);
            json.Read();
            switch (name)
            {
                case (byte)'e' when json.TokenType == JsonTokenType.String:
                    type = json.ValueTextEquals("aggTrade"u8) ? "aggTrade" : json.GetString();
                    break;
                case (byte)'s' when json.TokenType == JsonTokenType.String:
                    symbol = Symbol(json.GetString()!);
                    break;
                case 0 when isData && json.TokenType is JsonTokenType.StartObject or JsonTokenType.StartArray && isData:
                    isWrapper = true;
                    found = ReadValue(ref json, trades, mayHoldText: false) ?? found;
                    break;
                case 0 when isData && mayHoldText && json.TokenType == JsonTokenType.String:
                    isWrapper = true;
                    found = ReadText(ref json, trades) ?? found;
                    break;
                default:
                    if (!fields.TryTake(name, json))
                    {
                        json.Skip();
                    }

                    break;
            }
        }

        if (isWrapper && type is null)
        {
            return found;
        }

        if (type != "aggTrade")
        {
            if (type is null)
            {
                skipped.Add(SkipReason.NotALog);
            }
            else
            {
                skipped.AddOther(type);
            }

            return null;
        }

        if (string.IsNullOrEmpty(symbol) || !fields.IsWhole)
        {
            skipped.Add(SkipReason.MalformedFrame);
            return "an aggTrade without one of s, p, q, a, f, l, T, m";
        }

        if (!fields.TryCreate(symbol, out var trade, out var reason))
        {
            skipped.Add(reason);
            return "a price, amount, id or time that no trade can have";
        }

        trades.Add(trade);
        return null;
    }

    private string? ReadText(ref Utf8JsonReader json, List<Trade> trades)
    {
        if (_inner.Length < json.ValueSpan.Length)
        {
            _inner = new byte[json.ValueSpan.Length * 2];
        }

        var length = json.CopyString(_inner);
        var inner = new Utf8JsonReader(_inner.AsSpan(0, length));
        inner.Read();
        var error = ReadValue(ref inner, trades, mayHoldText: false);
        inner.Read();
        return error;
    }

    // The same few names come again and again: one string each.
    private string Symbol(string text)
    {
        if (_symbols.TryGetValue(text, out var known))
        {
            return known;
        }

        if (_symbols.Count < 10_000)
        {
            _symbols.Add(text, text);
        }

        return text;
    }
}
