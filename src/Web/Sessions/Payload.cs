namespace KlineOrleans.Web;

/// <summary>A message encoded for one wire format, shared by every session that gets it. Immutable.</summary>
/// <param name="bytes">What goes out, or the heart of it; empty where a wire's own kind of payload holds it in pieces.</param>
/// <param name="length">What it counts in an outbox, in bytes.</param>
internal class Payload(ReadOnlyMemory<byte> bytes, int length)
{
    public Payload(ReadOnlyMemory<byte> bytes)
        : this(bytes, bytes.Length)
    {
    }

    public ReadOnlyMemory<byte> Bytes => bytes;

    /// <summary>What it counts in an outbox, in bytes.</summary>
    public int Length => length;

    /// <summary>At most so many bytes of WebSocket frames, with the client's own bytes in each gap.</summary>
    /// <param name="middle">The length of the client's own bytes.</param>
    public virtual int LongestFrames(int middle) => WebSocketFrame.LongestHeader + length;

    /// <summary>Writes it as whole WebSocket frames. For wires of WebSockets.</summary>
    /// <param name="middle">The client's own bytes for each gap, where there are gaps.</param>
    /// <returns>Bytes written.</returns>
    public virtual int WriteFrames(Span<byte> buffer, ReadOnlySpan<byte> middle) => WebSocketFrame.WriteText(buffer, bytes.Span);

    /// <summary>The frames for all who have nothing of their own in the gaps; made by the first who asks.</summary>
    public virtual ReadOnlyMemory<byte> SharedFrames
    {
        get
        {
            // Two that come at once make the same.
            if (Volatile.Read(ref _shared) is not { } shared)
            {
                shared = new Frames(this);
                Volatile.Write(ref _shared, shared);
            }

            return shared.Bytes;
        }
    }

    private Frames? _shared;

    private sealed class Frames
    {
        public Frames(Payload payload)
        {
            var frames = new byte[payload.LongestFrames(Follower.NoMiddle.Length)];
            Bytes = frames.AsMemory(0, payload.WriteFrames(frames, Follower.NoMiddle));
        }

        public ReadOnlyMemory<byte> Bytes { get; }
    }
}

/// <summary>How messages of rooms look on one wire. One instance for the process: messages are encoded once per instance and room. Thread safe.</summary>
internal abstract class WireFormat
{
    /// <summary>An update, only the klines of the intervals in <paramref name="intervals"/> (bit: the enum's number).</summary>
    public abstract Payload EncodeKlines(FeedMessage message, int intervals);

    /// <summary>The state of the symbol's source; null where the wire has no such message.</summary>
    public abstract Payload? EncodeStatus(StatusMessage message);

    /// <summary>How many updates of a symbol were left out for one client; null where the wire has no such message.</summary>
    public abstract Payload? EncodeSkipped(string symbol, long count);
}

/// <summary>What was encoded already, by format and intervals. Thread safe; reading takes no lock.</summary>
internal sealed class PayloadCache
{
    private Entry? _first;

    public Payload? Find(WireFormat format, int intervals)
    {
        for (var entry = Volatile.Read(ref _first); entry is not null; entry = entry.Next)
        {
            if (entry.Format == format && entry.Intervals == intervals)
            {
                return entry.Payload;
            }
        }

        return null;
    }

    /// <summary>Keeps a payload. Call with the owner's lock held.</summary>
    public void Add(WireFormat format, int intervals, Payload payload) =>
        Volatile.Write(ref _first, new Entry(format, intervals, payload, _first));

    private sealed record Entry(WireFormat Format, int Intervals, Payload Payload, Entry? Next);
}
