using System.Buffers;
using KlineOrleans.Protocol.Text;

namespace KlineOrleans.Protocol.EngineIo;

/// <summary>Reads one text packet: a WebSocket text frame, or one piece of a polling payload.</summary>
public static class EnginePacketReader
{
    /// <summary>Reads <paramref name="text"/> as one packet. <paramref name="packet"/> borrows its memory.</summary>
    /// <returns>Never <see cref="EngineReadStatus.End"/>. <paramref name="packet"/> is meaningful only for <see cref="EngineReadStatus.Ok"/>.</returns>
    public static EngineReadStatus Read(in ReadOnlySequence<byte> text, out EnginePacket packet)
    {
        packet = default;
        if (text.IsEmpty)
            return EngineReadStatus.EmptyPacket;

        var first = First(text);
        var data = text.Slice(1);
        if (first == (byte)'b')
        {
            if (!Base64Data.IsValid(data))
                return EngineReadStatus.BadBase64;

            packet = new EnginePacket(EnginePacketType.Message, IsBase64: true, data);
            return EngineReadStatus.Ok;
        }

        var type = first - '0';
        if ((uint)type > (uint)EnginePacketType.Noop)
            return EngineReadStatus.UnknownType;

        if (!Utf8Text.IsValid(data))
            return EngineReadStatus.BadText;

        packet = new EnginePacket((EnginePacketType)type, IsBase64: false, data);
        return EngineReadStatus.Ok;
    }

    // The first segment of a sequence may be empty.
    private static byte First(in ReadOnlySequence<byte> text)
    {
        foreach (var segment in text)
        {
            if (!segment.IsEmpty)
                return segment.Span[0];
        }

        return 0;
    }
}
