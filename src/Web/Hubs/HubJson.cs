using System.Buffers;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace KlineOrleans.Web;

/// <summary>Ready JSON as a hub's answer or item: written as it is. Immutable.</summary>
/// <param name="json">One JSON value in UTF-8.</param>
/// <param name="onWritten">Called when it is put into the connection's output, while nothing else can be: what this sets off comes after it on the wire.</param>
internal sealed class HubJson(ReadOnlyMemory<byte> json, Action? onWritten = null)
{
    /// <summary>How our own JSON is written.</summary>
    public static readonly JsonWriterOptions Options = new() { SkipValidation = true };

    public ReadOnlyMemory<byte> Json => json;

    public void Written() => onWritten?.Invoke();

    /// <summary>Writes JSON into memory of its own.</summary>
    public static ReadOnlyMemory<byte> Make<T>(T argument, Action<Utf8JsonWriter, T> write)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var json = new Utf8JsonWriter(buffer, Options))
        {
            write(json, argument);
        }

        return buffer.WrittenMemory;
    }
}

internal sealed class HubJsonConverter : JsonConverter<HubJson>
{
    public override HubJson Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        throw new NotSupportedException("Clients send no ready JSON.");

    public override void Write(Utf8JsonWriter writer, HubJson value, JsonSerializerOptions options)
    {
        writer.WriteRawValue(value.Json.Span, skipInputValidation: true);
        value.Written();
    }
}
