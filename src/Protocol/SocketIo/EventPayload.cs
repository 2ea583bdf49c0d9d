using System.Text;
using System.Text.Json;

namespace KlineOrleans.Protocol.SocketIo;

/// <summary>Takes the payload of an event or acknowledgement apart into slices of its JSON text.</summary>
public static class EventPayload
{
    /// <summary>Finds the name and the arguments of an event's payload.</summary>
    /// <param name="payload">A payload that <see cref="SocketPacketReader"/> has accepted for an event.</param>
    /// <param name="name">The decoded name; a number's digits where the name is a number.</param>
    /// <param name="arguments">The text from the first argument to the last, commas included, brackets not. Empty for none.</param>
    /// <returns>False where the name is not a string of whole characters: refuse the packet.</returns>
    public static bool TryRead(ReadOnlySpan<byte> payload, out string name, out Range arguments)
    {
        name = "";
        arguments = default;
        try
        {
            var reader = new Utf8JsonReader(payload);
            reader.Read();
            reader.Read();
            name = reader.TokenType == JsonTokenType.Number ? Encoding.ASCII.GetString(reader.ValueSpan) : reader.GetString()!;
            var first = (int)reader.BytesConsumed;
            reader.Read();
            if (reader.TokenType != JsonTokenType.EndArray || reader.CurrentDepth != 0)
                arguments = (int)reader.TokenStartIndex..payload.LastIndexOf((byte)']');
            else
                arguments = first..first;
            return true;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return false;
        }
    }

    /// <summary>Where the items of a JSON array lie, in order.</summary>
    /// <param name="array">A valid JSON array.</param>
    /// <param name="items">Receives the place of each item.</param>
    public static void ReadItems(ReadOnlySpan<byte> array, ICollection<Range> items)
    {
        ArgumentNullException.ThrowIfNull(items);
        var reader = new Utf8JsonReader(array);
        reader.Read();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            var start = (int)reader.TokenStartIndex;
            reader.Skip();
            items.Add(start..(int)reader.BytesConsumed);
        }
    }

    /// <summary>The attachment that <paramref name="value"/>, one JSON value, stands for.</summary>
    /// <returns>False where it is not a placeholder.</returns>
    public static bool TryReadPlaceholder(ReadOnlySpan<byte> value, out int number)
    {
        number = 0;
        try
        {
            return TryReadMembers(value, ref number);
        }
        catch (InvalidOperationException)
        {
            // A name with half a surrogate pair, which no string can hold.
            return false;
        }
    }

    private static bool TryReadMembers(ReadOnlySpan<byte> value, ref int number)
    {
        var reader = new Utf8JsonReader(value);
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            return false;

        bool marked = false, numbered = false;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isMark = reader.ValueTextEquals("_placeholder"u8);
            var isNumber = reader.ValueTextEquals("num"u8);
            reader.Read();
            if (isMark)
                marked = reader.TokenType == JsonTokenType.True;
            else if (isNumber)
                numbered = reader.TokenType == JsonTokenType.Number && reader.TryGetInt32(out number);
            reader.Skip();
        }

        return marked && numbered;
    }
}
