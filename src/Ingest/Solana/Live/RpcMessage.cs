using System.Buffers.Text;
using System.Text.Json;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>What a text frame of a node is.</summary>
internal enum RpcMessageKind
{
    Malformed,

    /// <summary>Something else, which is no error.</summary>
    Other,

    /// <summary>The answer to a request of ours.</summary>
    Response,

    LogsNotification,
    SlotNotification,
}

/// <summary>A message of a node other than a log: read whole, but only as far as it matters. Never throws for what it holds.</summary>
internal readonly struct RpcMessage
{
    public RpcMessageKind Kind { get; private init; }

    /// <summary>The request's id, which a node may send back as a number or as text; null if it has none.</summary>
    public ulong? Id { get; private init; }

    /// <summary>A subscription's id: of a response that confirms one, or of a notification. Ids use all 64 bits.</summary>
    public ulong? Subscription { get; private init; }

    /// <summary>Of a <see cref="RpcMessageKind.SlotNotification"/>.</summary>
    public long Slot { get; private init; }

    /// <inheritdoc cref="Slot"/>
    public long Root { get; private init; }

    public int ErrorCode { get; private init; }

    /// <summary>Null if the response is no error.</summary>
    public string? Error { get; private init; }

    public static RpcMessage Read(ReadOnlySpan<byte> frame)
    {
        try
        {
            return ReadRoot(frame);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return default;
        }
    }

    private static RpcMessage ReadRoot(ReadOnlySpan<byte> frame)
    {
        var json = new Utf8JsonReader(frame);
        if (!json.Read() || json.TokenType != JsonTokenType.StartObject)
        {
            return default;
        }

        ulong? id = null, result = null, subscription = null;
        string? error = null;
        var (code, slot, root) = (0, -1L, 0L);
        var (hasResult, hasParams, isLogs, isSlot) = (false, false, false, false);
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("id"u8))
            {
                json.Read();
                id = Number(ref json);
            }
            else if (json.ValueTextEquals("method"u8))
            {
                json.Read();
                if (json.TokenType == JsonTokenType.String)
                {
                    isLogs = json.ValueTextEquals("logsNotification"u8);
                    isSlot = json.ValueTextEquals("slotNotification"u8);
                }

                json.Skip();
            }
            else if (json.ValueTextEquals("result"u8))
            {
                json.Read();
                hasResult = true;
                result = Number(ref json);
            }
            else if (json.ValueTextEquals("error"u8))
            {
                json.Read();
                (code, error) = ReadError(ref json);
            }
            else if (json.ValueTextEquals("params"u8))
            {
                json.Read();
                hasParams = json.TokenType == JsonTokenType.StartObject;
                if (hasParams)
                {
                    ReadParams(ref json, ref subscription, ref slot, ref root);
                }

                json.Skip();
            }
            else
            {
                json.Read();
                json.Skip();
            }
        }

        json.Read();
        if (isLogs)
        {
            return new RpcMessage { Kind = RpcMessageKind.LogsNotification, Subscription = subscription };
        }

        if (isSlot)
        {
            return hasParams && slot >= 0 ? new RpcMessage { Kind = RpcMessageKind.SlotNotification, Subscription = subscription, Slot = slot, Root = root } : default;
        }

        return hasResult || error is not null
            ? new RpcMessage { Kind = RpcMessageKind.Response, Id = id, Subscription = result, ErrorCode = code, Error = error }
            : new RpcMessage { Kind = RpcMessageKind.Other };
    }

    private static void ReadParams(ref Utf8JsonReader json, ref ulong? subscription, ref long slot, ref long root)
    {
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("subscription"u8))
            {
                json.Read();
                subscription = Number(ref json);
                continue;
            }

            var isResult = json.ValueTextEquals("result"u8);
            json.Read();
            if (!isResult || json.TokenType != JsonTokenType.StartObject)
            {
                json.Skip();
                continue;
            }

            while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
            {
                var (isSlot, isRoot) = (json.ValueTextEquals("slot"u8), json.ValueTextEquals("root"u8));
                json.Read();
                if ((isSlot || isRoot) && json.TokenType == JsonTokenType.Number && json.TryGetInt64(out var value) && value is >= 0 and <= 100_000_000_000)
                {
                    (slot, root) = isSlot ? (value, root) : (slot, value);
                }

                json.Skip();
            }
        }
    }

    private static (int Code, string Message) ReadError(ref Utf8JsonReader json)
    {
        var (code, message) = (0, "an error without a message");
        if (json.TokenType == JsonTokenType.Null)
        {
            return (0, null!);
        }

        if (json.TokenType != JsonTokenType.StartObject)
        {
            json.Skip();
            return (code, message);
        }

        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            var (isCode, isMessage) = (json.ValueTextEquals("code"u8), json.ValueTextEquals("message"u8));
            json.Read();
            if (isCode && json.TokenType == JsonTokenType.Number)
            {
                json.TryGetInt32(out code);
            }
            else if (isMessage && json.TokenType == JsonTokenType.String)
            {
                var text = json.GetString()!;
                message = text.Length > 200 ? text[..200] : text;
            }

            json.Skip();
        }

        return (code, message);
    }

    private static ulong? Number(ref Utf8JsonReader json)
    {
        if (json.TokenType == JsonTokenType.Number && json.TryGetUInt64(out var number))
        {
            return number;
        }

        if (json.TokenType == JsonTokenType.String && Utf8Parser.TryParse(json.ValueSpan, out number, out var used) && used == json.ValueSpan.Length)
        {
            return number;
        }

        json.Skip();
        return null;
    }
}
