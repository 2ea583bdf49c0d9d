using System.Buffers;
using System.Text.Json;

namespace KlineOrleans.Protocol.SocketIo;

/// <summary>What the JSON of each packet type must look like.</summary>
internal static class PayloadShape
{
    private static ReadOnlySpan<byte> PlaceholderKey => "_placeholder"u8;

    /// <summary>Checks the whole of <paramref name="payload"/>: that it is JSON, of the right kind, and that its placeholders name attachments.</summary>
    public static SocketReadStatus Check(SocketPacketType type, in ReadOnlySequence<byte> payload, int attachments, int maxDepth)
    {
        if (payload.IsEmpty)
        {
            return type is SocketPacketType.Connect or SocketPacketType.Disconnect
                ? SocketReadStatus.Ok
                : SocketReadStatus.BadShape;
        }

        if (type is SocketPacketType.Disconnect)
            return SocketReadStatus.BadShape;

        if (payload.IsSingleSegment)
            return Check(type, payload.FirstSpan, attachments, maxDepth);

        // Utf8JsonReader reads segments too, but throws IndexOutOfRangeException for a literal that is cut off at a seam (.NET 10.0), so it gets one.
        var rented = ArrayPool<byte>.Shared.Rent((int)payload.Length);
        try
        {
            payload.CopyTo(rented);
            return Check(type, rented.AsSpan(0, (int)payload.Length), attachments, maxDepth);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private static SocketReadStatus Check(SocketPacketType type, ReadOnlySpan<byte> payload, int attachments, int maxDepth)
    {
        try
        {
            var reader = new Utf8JsonReader(payload, new JsonReaderOptions { MaxDepth = maxDepth });
            return Check(type, ref reader, attachments);
        }
        catch (JsonException)
        {
            return SocketReadStatus.BadJson;
        }
        catch (InvalidOperationException)
        {
            // A name with half a surrogate pair, which no string can hold.
            return SocketReadStatus.BadJson;
        }
    }

    private static SocketReadStatus Check(SocketPacketType type, ref Utf8JsonReader reader, int attachments)
    {
        reader.Read();
        switch (type)
        {
            case SocketPacketType.Connect or SocketPacketType.ConnectError:
                if (reader.TokenType != JsonTokenType.StartObject)
                    return SocketReadStatus.BadShape;
                break;

            case SocketPacketType.Ack or SocketPacketType.BinaryAck:
                if (reader.TokenType != JsonTokenType.StartArray)
                    return SocketReadStatus.BadShape;
                break;

            default:
                if (reader.TokenType != JsonTokenType.StartArray)
                    return SocketReadStatus.BadShape;

                reader.Read();
                if (reader.TokenType is not (JsonTokenType.String or JsonTokenType.Number))
                    return SocketReadStatus.BadShape;

                if (reader.TokenType == JsonTokenType.String && IsReserved(ref reader))
                    return SocketReadStatus.ReservedEvent;
                break;
        }

        if (attachments == 0)
        {
            while (reader.Read())
            {
            }

            return SocketReadStatus.Ok;
        }

        return CheckPlaceholders(ref reader, attachments);
    }

    // An object with "_placeholder": true must have "num", an integer below the number of attachments (CVE-2022-2421). What other members it has does not matter.
    private static SocketReadStatus CheckPlaceholders(ref Utf8JsonReader reader, int attachments)
    {
        // One bit for each level of nesting: is this object a placeholder, and has it a good number? 64 levels are more than any depth bound allows.
        ulong marked = 0, numbered = 0;
        while (reader.Read())
        {
            var bit = 1UL << (reader.CurrentDepth & 63);
            switch (reader.TokenType)
            {
                case JsonTokenType.StartObject:
                    // Its members lie one level deeper.
                    marked &= ~(bit << 1);
                    numbered &= ~(bit << 1);
                    break;

                case JsonTokenType.EndObject when (marked & (bit << 1)) != 0 && (numbered & (bit << 1)) == 0:
                    return SocketReadStatus.BadPlaceholder;

                case JsonTokenType.PropertyName when reader.ValueTextEquals(PlaceholderKey):
                    reader.Read();
                    if (reader.TokenType == JsonTokenType.True)
                        marked |= bit;
                    else if (reader.TokenType is JsonTokenType.StartObject)
                        goto case JsonTokenType.StartObject;
                    break;

                case JsonTokenType.PropertyName when reader.ValueTextEquals("num"u8):
                    reader.Read();
                    if (reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out var number) && (uint)number < (uint)attachments)
                        numbered |= bit;
                    else if (reader.TokenType is JsonTokenType.StartObject)
                        goto case JsonTokenType.StartObject;
                    else
                        numbered &= ~bit;
                    break;
            }
        }

        return SocketReadStatus.Ok;
    }

    private static bool IsReserved(ref Utf8JsonReader reader) =>
        reader.ValueTextEquals("connect"u8) || reader.ValueTextEquals("connect_error"u8) ||
        reader.ValueTextEquals("disconnect"u8) || reader.ValueTextEquals("disconnecting"u8) ||
        reader.ValueTextEquals("newListener"u8) || reader.ValueTextEquals("removeListener"u8);
}
