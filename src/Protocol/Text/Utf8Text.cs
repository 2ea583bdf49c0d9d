using System.Buffers;
using System.Text;
using System.Text.Unicode;

namespace KlineOrleans.Protocol.Text;

/// <summary>UTF-8 that may lie in several segments.</summary>
internal static class Utf8Text
{
    /// <summary>Whether <paramref name="text"/> is well-formed UTF-8. A character may lie across a seam.</summary>
    public static bool IsValid(in ReadOnlySequence<byte> text)
    {
        if (text.IsSingleSegment)
            return Utf8.IsValid(text.FirstSpan);

        // Bytes of a character whose end lies in a later segment: at most three.
        Span<byte> carried = stackalloc byte[4];
        var count = 0;
        foreach (var segment in text)
        {
            var span = segment.Span;
            while (count > 0 && !span.IsEmpty)
            {
                carried[count++] = span[0];
                span = span[1..];
                switch (Rune.DecodeFromUtf8(carried[..count], out _, out _))
                {
                    case OperationStatus.Done:
                        count = 0;
                        break;
                    case OperationStatus.NeedMoreData:
                        break;
                    default:
                        return false;
                }
            }

            if (span.IsEmpty)
                continue;

            var tail = IncompleteTail(span);
            if (!Utf8.IsValid(span[..^tail]))
                return false;

            span[^tail..].CopyTo(carried);
            count = tail;
        }

        return count == 0;
    }

    // How many of the last bytes begin a character that these bytes do not finish.
    private static int IncompleteTail(ReadOnlySpan<byte> span)
    {
        for (var length = 1; length <= Math.Min(3, span.Length); length++)
        {
            var lead = span[^length];
            if ((lead & 0xc0) == 0x80)
                continue;

            return Rune.DecodeFromUtf8(span[^length..], out _, out _) == OperationStatus.NeedMoreData ? length : 0;
        }

        return 0;
    }
}
