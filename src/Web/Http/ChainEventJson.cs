using System.Text.Json;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web;

/// <summary>Chain events as the public server shows them (docs/wire/socketio.md).</summary>
internal static class ChainEventJson
{
    /// <summary>Writes the whole event: its own members, then <c>timestamp</c> (RFC 3339, UTC), <c>signature</c>, <c>slot</c>.</summary>
    public static void Write(Utf8JsonWriter json, ChainEvent e)
    {
        // The members stand in one object that ends with a brace: the rest goes before it.
        var own = e.Fields.AsSpan(0, e.Fields.Length - 1);
        var id = e.Order.Id;
        json.WriteRawValue(
            string.Create(
                System.Globalization.CultureInfo.InvariantCulture,
                $"{own}{(own.Length > 1 ? "," : "")}\"timestamp\":\"{e.EventTime.UtcDateTime:yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'}\",\"signature\":\"{id.Signature}\",\"slot\":{id.Position}}}"),
            skipInputValidation: true);
    }

    /// <summary>Writes an item of <c>history_event_data</c>, which is the data of <c>event_data</c>.</summary>
    public static void WriteItem(Utf8JsonWriter json, in StoredEvent e)
    {
        json.WriteStartObject();
        json.WriteString("symbol", e.Event.Symbol);
        json.WriteString("event_type", e.Event.Type);
        json.WritePropertyName("event_data");
        Write(json, e.Event);
        json.WriteNumber("timestamp", e.Event.EventTime.ToUnixTimeMilliseconds());
        json.WriteNumber("event_seq", e.Number);
        json.WriteEndObject();
    }
}
