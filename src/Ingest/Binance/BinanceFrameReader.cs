using System.Text;
using System.Text.Json;
using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Binance;

/// <summary>What a frame of a stream connection is.</summary>
internal enum BinanceFrameKind
{
    /// <summary>Counted as skipped; nothing to do.</summary>
    Skipped,

    Trade,

    /// <summary>The symbols of the mini tickers are in <see cref="BinanceFrameReader.Symbols"/>.</summary>
    MiniTickers,

    /// <summary>The venue took a request; <see cref="BinanceFrame.ReplyId"/> says which.</summary>
    Reply,

    /// <summary>The venue refused a request.</summary>
    Refusal,

    /// <summary>The venue is about to end the connection.</summary>
    Shutdown,
}

/// <summary>A decoded frame. Immutable.</summary>
/// <param name="Trade">Of a trade; its received time is not set yet.</param>
/// <param name="LastId">The newest of the exchange's trades that an aggregate trade stands for.</param>
/// <param name="EventTime">The venue's clock when it sent the frame, Unix ms; 0 if it does not say.</param>
/// <param name="ReplyId">The number of the request; 0 if unknown.</param>
internal readonly record struct BinanceFrame(BinanceFrameKind Kind, Trade Trade, long LastId, long EventTime, long ReplyId);

/// <summary>Reads frames of a combined stream. Bad bytes are counted, never thrown. Not thread safe: one for each connection.</summary>
internal sealed class BinanceFrameReader(SkipCounts skipped)
{
    private const int MaxSymbols = 10_000;
    private const int MaxSymbolLength = 32;

    private readonly Dictionary<string, string> _names = new(StringComparer.Ordinal);

    /// <summary>The symbols of the last frame of mini tickers.</summary>
    public List<string> Symbols { get; } = [];

    public BinanceFrame Read(ReadOnlySpan<byte> utf8)
    {
        Symbols.Clear();
        try
        {
            var json = new Utf8JsonReader(utf8);
            json.Read();
            var frame = ReadValue(ref json, depth: 0);
            if (json.Read())
            {
                throw new JsonException();
            }

            return frame;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            skipped.Add(SkipReason.MalformedFrame);
            return default;
        }
    }

    // The reader stands on the value's first token, and on its last when this returns.
    private BinanceFrame ReadValue(ref Utf8JsonReader json, int depth)
    {
        if (json.TokenType == JsonTokenType.StartArray)
        {
            return ReadArray(ref json, depth);
        }

        if (json.TokenType != JsonTokenType.StartObject)
        {
            skipped.Add(SkipReason.MalformedFrame);
            return default;
        }

        var type = Event.None;
        string? otherType = null, symbol = null;
        AggTradeFields fields = default;
        long eventTime = 0, replyId = 0;
        bool isReply = false, isRefusal = false, isWrapper = false;
        BinanceFrame inner = default;
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            var name = json.ValueIsEscaped || json.ValueSpan.Length != 1 ? (byte)0 : json.ValueSpan[0];
            if (name == 0)
            {
                var isData = depth == 0 && json.ValueTextEquals("data"u8);
                var isResult = json.ValueTextEquals("result"u8);
                var isError = json.ValueTextEquals("error"u8) || json.ValueTextEquals("code"u8);
                var isId = json.ValueTextEquals("id"u8);
                json.Read();
                if (isData)
                {
                    isWrapper = true;
                    inner = ReadValue(ref json, depth + 1);
                    continue;
                }

                isReply |= isResult;
                isRefusal |= isError && json.TokenType != JsonTokenType.Null;
                if (isId && json.TokenType == JsonTokenType.Number && json.TryGetInt64(out var reply))
                {
                    replyId = reply;
                }

                json.Skip();
                continue;
            }

            json.Read();
            switch (name)
            {
                case (byte)'e' when json.TokenType == JsonTokenType.String:
                    type = json.ValueTextEquals("aggTrade"u8) ? Event.AggTrade
                        : json.ValueTextEquals("24hrMiniTicker"u8) ? Event.MiniTicker
                        : json.ValueTextEquals("serverShutdown"u8) ? Event.Shutdown
                        : Event.Other;
                    otherType = type == Event.Other ? json.GetString() : null;
                    break;
                case (byte)'E' when json.TokenType == JsonTokenType.Number:
                    eventTime = json.TryGetInt64(out var e) ? e : 0;
                    break;
                case (byte)'s' when json.TokenType == JsonTokenType.String:
                    symbol = Name(ref json);
                    break;
                default:
                    if (!fields.TryTake(name, json))
                    {
                        json.Skip();
                    }

                    break;
            }
        }

        if (isWrapper && type == Event.None)
        {
            return inner;
        }

        switch (type)
        {
            case Event.AggTrade when symbol is not null:
                if (fields.TryCreate(symbol, out var trade, out var reason))
                {
                    return new BinanceFrame(BinanceFrameKind.Trade, trade, fields.LastId, eventTime, 0);
                }

                skipped.Add(reason);
                return default;
            case Event.MiniTicker when symbol is not null:
                Symbols.Add(symbol);
                return new BinanceFrame(BinanceFrameKind.MiniTickers, default, 0, eventTime, 0);
            case Event.Shutdown:
                return new BinanceFrame(BinanceFrameKind.Shutdown, default, 0, eventTime, 0);
            case Event.Other:
                skipped.AddOther(otherType!);
                return default;
            case Event.None when isRefusal || isReply:
                return new BinanceFrame(isRefusal ? BinanceFrameKind.Refusal : BinanceFrameKind.Reply, default, 0, 0, replyId);
            default:
                skipped.Add(SkipReason.MalformedFrame);
                return default;
        }
    }

    private BinanceFrame ReadArray(ref Utf8JsonReader json, int depth)
    {
        if (depth > 1)
        {
            skipped.Add(SkipReason.MalformedFrame);
            json.Skip();
            return default;
        }

        BinanceFrame result = default;
        while (json.Read() && json.TokenType != JsonTokenType.EndArray)
        {
            var frame = ReadValue(ref json, depth: 2);
            if (frame.Kind == BinanceFrameKind.MiniTickers && frame.EventTime >= result.EventTime)
            {
                result = frame;
            }
        }

        return result;
    }

    // The same few names come again and again: one string each.
    private string? Name(ref Utf8JsonReader json)
    {
        if (json.ValueSpan.Length is 0 or > MaxSymbolLength)
        {
            return null;
        }

        Span<char> chars = stackalloc char[MaxSymbolLength];
        var text = json.ValueIsEscaped
            ? chars[..json.CopyString(chars)]
            : chars[..Encoding.UTF8.GetChars(json.ValueSpan, chars)];
        var names = _names.GetAlternateLookup<ReadOnlySpan<char>>();
        if (names.TryGetValue(text, out var known))
        {
            return known;
        }

        var name = text.ToString();
        if (_names.Count < MaxSymbols)
        {
            _names.Add(name, name);
        }

        return name;
    }

    private enum Event
    {
        None,
        AggTrade,
        MiniTicker,
        Shutdown,
        Other,
    }
}
