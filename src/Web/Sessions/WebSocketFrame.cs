using System.Buffers;
using System.Buffers.Binary;

namespace KlineOrleans.Web;

/// <summary>Whole WebSocket messages of a server: one frame each, not masked, not compressed (RFC 6455, 5.2).</summary>
internal static class WebSocketFrame
{
    /// <summary>The longest header of a server's frame, in bytes.</summary>
    public const int LongestHeader = 10;

    private const byte Text = 0x81;
    private const byte Binary = 0x82;

    /// <summary>Writes a text message's header in front of it, and returns where that begins.</summary>
    /// <param name="buffer">At least <see cref="LongestHeader"/> bytes of room, and then the message.</param>
    public static int WriteTextHeader(Span<byte> buffer)
    {
        Span<byte> header = stackalloc byte[LongestHeader];
        var length = WriteHeader(header, Text, buffer.Length - LongestHeader);
        header[..length].CopyTo(buffer[(LongestHeader - length)..]);
        return LongestHeader - length;
    }

    /// <summary>Writes a text message and returns its length with the header.</summary>
    public static int WriteText(Span<byte> buffer, ReadOnlySpan<byte> head, ReadOnlySpan<byte> middle = default, ReadOnlySpan<byte> tail = default)
    {
        var length = WriteHeader(buffer, Text, head.Length + middle.Length + tail.Length);
        head.CopyTo(buffer[length..]);
        length += head.Length;
        middle.CopyTo(buffer[length..]);
        length += middle.Length;
        tail.CopyTo(buffer[length..]);
        return length + tail.Length;
    }

    /// <summary>Writes a binary message and returns its length with the header.</summary>
    public static int WriteBinary(Span<byte> buffer, ReadOnlySpan<byte> data)
    {
        var length = WriteHeader(buffer, Binary, data.Length);
        data.CopyTo(buffer[length..]);
        return length + data.Length;
    }

    /// <summary>The frames of a batch, one after another, in a rented array that the caller returns to the pool.</summary>
    /// <param name="count">Messages that are not left out.</param>
    public static byte[] Join(ReadOnlySpan<Outgoing> messages, out int length, out int count)
    {
        var longest = 0;
        foreach (ref readonly var message in messages)
        {
            longest += message.Payload.LongestFrames(message.Follower?.Middle.Length ?? 0);
        }

        var buffer = ArrayPool<byte>.Shared.Rent(longest);
        length = 0;
        count = 0;
        foreach (ref readonly var message in messages)
        {
            if (!message.IsOver)
            {
                length += message.Payload.WriteFrames(buffer.AsSpan(length), message.Follower is { } follower ? follower.Middle.Span : []);
                count++;
            }
        }

        return buffer;
    }

    private static int WriteHeader(Span<byte> buffer, byte opcode, int length)
    {
        buffer[0] = opcode;
        if (length < 126)
        {
            buffer[1] = (byte)length;
            return 2;
        }

        if (length <= ushort.MaxValue)
        {
            buffer[1] = 126;
            BinaryPrimitives.WriteUInt16BigEndian(buffer[2..], (ushort)length);
            return 4;
        }

        buffer[1] = 127;
        BinaryPrimitives.WriteUInt64BigEndian(buffer[2..], (ulong)length);
        return LongestHeader;
    }
}
