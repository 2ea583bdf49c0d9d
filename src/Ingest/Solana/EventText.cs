using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace KlineOrleans.Ingest.Solana;

/// <summary>Writes events as the JSON of <see cref="KlineOrleans.Contracts.ChainEvent.Fields"/>. Keeps its buffer. One user at a time.</summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "The writer writes to a buffer of this object: it holds nothing to let go of.")]
internal sealed class EventText
{
    // Read as JSON, never as a page: names of tokens may stay as people write them.
    internal static readonly JsonWriterOptions Options = new() { SkipValidation = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly ArrayBufferWriter<byte> _buffer = new(1_024);
    private readonly Utf8JsonWriter _json;

    public EventText() => _json = new Utf8JsonWriter(_buffer, Options);

    /// <param name="payload">One that the layout fits.</param>
    public string Write(EventLayout layout, ReadOnlySpan<byte> payload)
    {
        _buffer.ResetWrittenCount();
        _json.Reset();
        layout.WriteJson(_json, payload);
        _json.Flush();
        return Encoding.UTF8.GetString(_buffer.WrittenSpan);
    }
}
