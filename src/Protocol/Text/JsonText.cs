using System.Buffers;
using System.Text;

namespace KlineOrleans.Protocol.Text;

/// <summary>JSON strings, written without allocating.</summary>
internal static class JsonText
{
    private static readonly SearchValues<char> Escaped = SearchValues.Create(
        "\0\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f" +
        "\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f\"\\");

    /// <summary>Writes <paramref name="text"/> with quotes. Only what JSON demands is escaped; half a surrogate pair becomes U+FFFD.</summary>
    public static void WriteString(IBufferWriter<byte> writer, ReadOnlySpan<char> text)
    {
        writer.Write("\""u8);
        while (!text.IsEmpty)
        {
            var plain = text.IndexOfAny(Escaped);
            if (plain < 0)
                plain = text.Length;

            WritePlain(writer, text[..plain]);
            if (plain == text.Length)
                break;

            WriteEscape(writer, text[plain]);
            text = text[(plain + 1)..];
        }

        writer.Write("\""u8);
    }

    private static void WritePlain(IBufferWriter<byte> writer, ReadOnlySpan<char> text)
    {
        while (!text.IsEmpty)
        {
            var slice = text[..Math.Min(text.Length, 1024)];
            if (slice.Length < text.Length && char.IsHighSurrogate(slice[^1]))
                slice = slice[..^1];

            writer.Advance(Encoding.UTF8.GetBytes(slice, writer.GetSpan(Encoding.UTF8.GetMaxByteCount(slice.Length))));
            text = text[slice.Length..];
        }
    }

    private static void WriteEscape(IBufferWriter<byte> writer, char character)
    {
        var span = writer.GetSpan(6);
        if (character is '"' or '\\')
        {
            span[0] = (byte)'\\';
            span[1] = (byte)character;
            writer.Advance(2);
            return;
        }

        const string hex = "0123456789abcdef";
        "\\u00"u8.CopyTo(span);
        span[4] = (byte)hex[character >> 4];
        span[5] = (byte)hex[character & 15];
        writer.Advance(6);
    }
}
