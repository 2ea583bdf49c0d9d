using System.Buffers;
using System.Text;

namespace KlineOrleans.Protocol.Tests;

/// <summary>Bytes cut into segments, because parsers break at seams.</summary>
internal static class Segments
{
    public static ReadOnlySequence<byte> Whole(string text) => new(Encoding.UTF8.GetBytes(text));

    /// <summary>Every way that a test looks at the same bytes: whole, one byte a segment, and cut once at each place.</summary>
    public static IEnumerable<ReadOnlySequence<byte>> Cuts(byte[] bytes)
    {
        yield return new ReadOnlySequence<byte>(bytes);
        yield return Of(bytes.Select(b => new[] { b }));
        for (var i = 0; i <= bytes.Length; i++)
            yield return Of([bytes[..i], bytes[i..]]);
    }

    public static ReadOnlySequence<byte> Of(IEnumerable<byte[]> parts)
    {
        Segment? first = null, last = null;
        foreach (var part in parts)
        {
            last = last is null ? first = new Segment(part) : last.Append(part);
        }

        return first is null ? default : new ReadOnlySequence<byte>(first, 0, last!, last!.Memory.Length);
    }

    public static string Text(this ReadOnlySequence<byte> bytes) => Encoding.UTF8.GetString(bytes);

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(byte[] bytes) => Memory = bytes;

        public Segment Append(byte[] bytes)
        {
            var next = new Segment(bytes) { RunningIndex = RunningIndex + Memory.Length };
            Next = next;
            return next;
        }
    }
}
