namespace KlineOrleans.Web.Transports.RawWebSocket;

/// <summary>Text messages with a gap each, which a connection fills with its follower's own bytes. Shared by all connections of a room. Immutable.</summary>
internal sealed class GappedPayload(GappedText[] texts) : Payload(default, texts.Sum(t => t.Head.Length + t.Tail.Length))
{
    public ReadOnlySpan<GappedText> Texts => texts;
}

/// <summary>One text message: what stands before the gap, and after it.</summary>
internal readonly record struct GappedText(ReadOnlyMemory<byte> Head, ReadOnlyMemory<byte> Tail);
