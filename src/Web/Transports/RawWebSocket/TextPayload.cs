namespace KlineOrleans.Web.Transports.RawWebSocket;

/// <summary>Text messages with a gap each, which a connection fills with its follower's own bytes. Shared by all connections of a room. Immutable.</summary>
internal sealed class GappedPayload(GappedText[] texts) : Payload(default, texts.Sum(t => t.Head.Length + t.Tail.Length))
{
    public ReadOnlySpan<GappedText> Texts => texts;

    public override int LongestFrames(int middle) => Length + (texts.Length * (WebSocketFrame.LongestHeader + middle));

    public override int WriteFrames(Span<byte> buffer, ReadOnlySpan<byte> middle)
    {
        var length = 0;
        foreach (var text in texts)
        {
            length += WebSocketFrame.WriteText(buffer[length..], text.Head.Span, middle, text.Tail.Span);
        }

        return length;
    }
}

/// <summary>One text message: what stands before the gap, and after it.</summary>
internal readonly record struct GappedText(ReadOnlyMemory<byte> Head, ReadOnlyMemory<byte> Tail);
