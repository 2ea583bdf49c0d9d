using System.Buffers;

namespace KlineOrleans.Protocol.EngineIo;

/// <summary>Reads the packets of a polling body, which are joined by the record separator U+001E.</summary>
/// <remarks>After a status other than <see cref="EngineReadStatus.Ok"/> there is nothing more to read: the rest of a bad payload means nothing.</remarks>
public ref struct PayloadReader(ReadOnlySequence<byte> body)
{
    /// <summary>What stands between two packets. It cannot occur inside one: JSON escapes it and base64 has no such digit.</summary>
    public const byte Separator = 0x1e;

    private ReadOnlySequence<byte> _rest = body;
    private bool _ended;

    /// <summary>Reads the next packet. <paramref name="packet"/> borrows the caller's buffer.</summary>
    public EngineReadStatus Read(out EnginePacket packet)
    {
        if (_ended)
        {
            packet = default;
            return EngineReadStatus.End;
        }

        ReadOnlySequence<byte> text;
        if (_rest.PositionOf(Separator) is { } separator)
        {
            text = _rest.Slice(0, separator);
            _rest = _rest.Slice(_rest.GetPosition(1, separator));
        }
        else
        {
            text = _rest;
            _ended = true;
        }

        var status = EnginePacketReader.Read(text, out packet);
        _ended |= status != EngineReadStatus.Ok;
        return status;
    }
}
