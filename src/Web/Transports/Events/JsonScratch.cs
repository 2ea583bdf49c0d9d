using System.Buffers;
using System.Text.Json;

namespace KlineOrleans.Web.Transports.Events;

/// <summary>A buffer and a writer of JSON that a thread uses again and again: messages are copied out of it at their exact length.</summary>
internal sealed class JsonScratch
{
    private const int LargestKept = 1 << 16;

    [ThreadStatic]
    private static JsonScratch? t_own;

    private JsonScratch() => Json = new Utf8JsonWriter(Buffer, CandleJson.Options);

    public ArrayBufferWriter<byte> Buffer { get; } = new(1_024);

    public Utf8JsonWriter Json { get; }

    /// <summary>The thread's own, empty. Valid until the thread takes it again: not across an await, and not in a call that takes it too.</summary>
    public static JsonScratch Take()
    {
        var scratch = t_own;
        if (scratch is null || scratch.Buffer.Capacity > LargestKept)
        {
            return t_own = new JsonScratch();
        }

        scratch.Buffer.ResetWrittenCount();
        scratch.Json.Reset();
        return scratch;
    }
}
