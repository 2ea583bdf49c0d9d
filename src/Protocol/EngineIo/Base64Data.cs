using System.Buffers;
using System.Buffers.Text;

namespace KlineOrleans.Protocol.EngineIo;

/// <summary>Binary data inside a text payload: standard base64 with padding and without white space.</summary>
public static class Base64Data
{
    private static readonly SearchValues<byte> Digits =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"u8);

    /// <summary>Whether <paramref name="text"/> is padded standard base64. No bytes at all are valid, and stand for no data.</summary>
    public static bool IsValid(in ReadOnlySequence<byte> text)
    {
        if (text.Length % 4 != 0)
            return false;

        var padding = 0;
        foreach (var segment in text)
        {
            var span = segment.Span;
            if (padding == 0)
            {
                var digits = span.IndexOfAnyExcept(Digits);
                if (digits < 0)
                    continue;

                span = span[digits..];
            }

            if (span.ContainsAnyExcept((byte)'='))
                return false;

            padding += span.Length;
        }

        if (padding is 0 or > 2)
            return padding == 0;

        // The decoder decides whether the bits that the last digit has too many may be set: it refuses them.
        Span<byte> last = stackalloc byte[4];
        Span<byte> decoded = stackalloc byte[3];
        text.Slice(text.Length - 4).CopyTo(last);
        return Base64.DecodeFromUtf8(last, decoded, out _, out _) == OperationStatus.Done;
    }

    /// <summary>How many bytes <paramref name="text"/>, which is valid base64, stands for.</summary>
    public static int DecodedLength(in ReadOnlySequence<byte> text)
    {
        if (text.IsEmpty)
            return 0;

        Span<byte> last = stackalloc byte[2];
        text.Slice(text.Length - 2).CopyTo(last);
        return checked((int)(text.Length / 4 * 3)) - (last[0] == '=' ? 1 : 0) - (last[1] == '=' ? 1 : 0);
    }

    /// <summary>Decodes <paramref name="text"/> to the start of <paramref name="destination"/>.</summary>
    /// <param name="destination">At least <see cref="DecodedLength"/> bytes.</param>
    /// <returns>The number of bytes written, or -1 where <paramref name="text"/> is not base64.</returns>
    public static int Decode(in ReadOnlySequence<byte> text, Span<byte> destination)
    {
        if (text.IsEmpty)
            return 0;

        if (text.IsSingleSegment)
            return Base64.DecodeFromUtf8(text.FirstSpan, destination, out _, out var written) == OperationStatus.Done ? written : -1;

        // Groups of four may lie across a seam; a copy is simpler than stitching, and only a body of several reads comes here.
        var rented = ArrayPool<byte>.Shared.Rent(checked((int)text.Length));
        try
        {
            var whole = rented.AsSpan(0, (int)text.Length);
            text.CopyTo(whole);
            return Base64.DecodeFromUtf8(whole, destination, out _, out var written) == OperationStatus.Done ? written : -1;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    /// <summary>How many bytes <see cref="Write"/> writes for <paramref name="length"/> bytes.</summary>
    public static int EncodedLength(int length) => Base64.GetMaxEncodedToUtf8Length(length);

    /// <summary>Writes <paramref name="data"/> as base64.</summary>
    public static void Write(IBufferWriter<byte> writer, ReadOnlySpan<byte> data)
    {
        ArgumentNullException.ThrowIfNull(writer);

        // In slices, so that a writer of small blocks need not find one large block. 3,072 bytes become 4,096.
        const int slice = 3072;
        while (data.Length > slice)
        {
            WriteSlice(writer, data[..slice]);
            data = data[slice..];
        }

        WriteSlice(writer, data);
    }

    private static void WriteSlice(IBufferWriter<byte> writer, ReadOnlySpan<byte> data)
    {
        if (data.IsEmpty)
            return;

        Base64.EncodeToUtf8(data, writer.GetSpan(EncodedLength(data.Length)), out _, out var written);
        writer.Advance(written);
    }
}
