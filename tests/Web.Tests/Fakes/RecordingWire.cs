using System.Buffers.Binary;
using System.Text;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web.Tests;

/// <summary>A message that keeps what it says.</summary>
internal sealed class TestPayload(KlineUpdate update, Kline[] klines, int length) : Payload(new byte[length])
{
    private static readonly List<TestPayload> All = [];

    /// <summary>As frames: a number to find it by, the length of the client's own bytes, and these.</summary>
    public override int LongestFrames(int middle) => 5 + middle;

    public override int WriteFrames(Span<byte> buffer, ReadOnlySpan<byte> middle)
    {
        lock (All)
        {
            BinaryPrimitives.WriteInt32LittleEndian(buffer, All.Count);
            All.Add(this);
        }

        buffer[4] = (byte)middle.Length;
        middle.CopyTo(buffer[5..]);
        return 5 + middle.Length;
    }

    public static TestPayload Read(ref ReadOnlySpan<byte> frames, out string middle)
    {
        lock (All)
        {
            var payload = All[BinaryPrimitives.ReadInt32LittleEndian(frames)];
            middle = Encoding.UTF8.GetString(frames.Slice(5, frames[4]));
            frames = frames[(5 + frames[4])..];
            return payload;
        }
    }

    public KlineUpdate Update => update;

    public Kline[] Klines => klines;
}

/// <summary>A wire format that encodes nothing.</summary>
internal sealed class TestFormat(int length = 100) : WireFormat
{
    public int Encoded { get; private set; }

    public override Payload EncodeKlines(FeedMessage message, int intervals)
    {
        Encoded++;
        return new TestPayload(message.Update, [.. message.Update.Klines.Where(k => (intervals & (1 << (int)k.Interval)) != 0)], length);
    }

    public override Payload? EncodeStatus(StatusMessage message) => null;

    public override Payload? EncodeSkipped(string symbol, long count) => new SkippedPayload(count);
}

internal sealed class SkippedPayload(long count) : Payload(new byte[10])
{
    public long Count => count;
}

/// <summary>A wire that records, and takes messages when the test lets it.</summary>
internal sealed class RecordingWire : ISessionWire, IBatchWire
{
    private TaskCompletionSource? _pending;

    public List<Outgoing> Received { get; } = [];

    public DisconnectReason Closed { get; private set; }

    /// <summary>Messages are taken only by <see cref="Take"/>.</summary>
    public bool IsSlow { get; set; }

    public bool IsWriting => _pending is not null;

    /// <summary>It is a wire of WebSockets.</summary>
    public bool TakesFrames { get; set; }

    /// <summary>It throws instead of writing frames.</summary>
    public bool IsBroken { get; set; }

    /// <summary>Writes of frames.</summary>
    public int FrameWrites { get; private set; }

    /// <summary>The client's own bytes in each message that came as a frame.</summary>
    public List<string> Middles { get; } = [];

    public bool TryWrite(RoomBatch batch, Follower follower, out ValueTask written)
    {
        written = default;
        if (!TakesFrames)
        {
            return false;
        }

        if (IsBroken)
        {
            throw new IOException("gone");
        }

        Assert.Null(_pending);
        FrameWrites++;
        var before = Received.Count;
        var frames = batch.FramesFor(follower);
        while (!frames.IsEmpty)
        {
            Received.Add(new Outgoing(TestPayload.Read(ref frames, out var middle), null));
            Middles.Add(middle);
        }

        Assert.Equal(batch.Count, Received.Count - before);
        if (IsSlow)
        {
            _pending = new TaskCompletionSource();
            written = new ValueTask(_pending.Task);
        }

        return true;
    }

    public int ReadAhead() => 0;

    public ValueTask Write(ReadOnlyMemory<Outgoing> messages)
    {
        Assert.Null(_pending);
        Received.AddRange(messages.ToArray().Where(m => !m.IsOver));
        if (!IsSlow)
        {
            return ValueTask.CompletedTask;
        }

        _pending = new TaskCompletionSource();
        return new ValueTask(_pending.Task);
    }

    public void Take()
    {
        var pending = _pending;
        _pending = null;
        pending?.SetResult();
    }

    public void Close(DisconnectReason reason, Task written) => Closed = reason;
}
