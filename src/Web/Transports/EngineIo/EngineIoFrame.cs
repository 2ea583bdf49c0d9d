using KlineOrleans.Protocol.EngineIo;

namespace KlineOrleans.Web.Transports.EngineIo;

/// <summary>One outgoing message, encoded once and shared by any number of sessions, whatever their transport.</summary>
/// <remarks>
/// Immutable, so thread safe. A frame may have a gap between its head and its tail, which each session fills with bytes of its own
/// (a subscription id, for example) when the frame is sent: see <see cref="EngineIoSession.Send(EngineIoFrame, ReadOnlyMemory{byte}, object?)"/>.
/// </remarks>
public sealed class EngineIoFrame
{
    private EngineIoFrame(ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> tail, bool isBinary)
    {
        Head = head;
        Tail = tail;
        IsBinary = isBinary;
    }

    /// <summary>The bytes before the gap, with the packet type in front if this is text.</summary>
    public ReadOnlyMemory<byte> Head { get; }

    /// <summary>The bytes after the gap; empty where there is none.</summary>
    public ReadOnlyMemory<byte> Tail { get; }

    /// <summary>Whether it goes out as a binary frame, or as base64 over polling.</summary>
    public bool IsBinary { get; }

    /// <summary>Bytes of head and tail.</summary>
    public int Length => Head.Length + Tail.Length;

    /// <summary>A text message; copies <paramref name="message"/>, which must be UTF-8.</summary>
    public static EngineIoFrame Text(ReadOnlySpan<byte> message)
    {
        var bytes = new byte[message.Length + 1];
        bytes[0] = EnginePacketWriter.MessagePrefix;
        message.CopyTo(bytes.AsSpan(1));
        return new EngineIoFrame(bytes, default, isBinary: false);
    }

    /// <summary>A text message that is encoded already: <paramref name="head"/> begins with <c>4</c>. The frame keeps both parts; do not change them.</summary>
    public static EngineIoFrame EncodedText(ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> tail = default) => new(head, tail, isBinary: false);

    /// <summary>A binary message. The frame keeps <paramref name="data"/>; do not change it.</summary>
    public static EngineIoFrame Binary(ReadOnlyMemory<byte> data) => new(data, default, isBinary: true);
}
