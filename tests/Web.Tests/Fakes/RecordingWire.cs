using KlineOrleans.Contracts;

namespace KlineOrleans.Web.Tests;

/// <summary>A message that keeps what it says.</summary>
internal sealed class TestPayload(KlineUpdate update, Kline[] klines, int length) : Payload(new byte[length])
{
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
internal sealed class RecordingWire : ISessionWire
{
    private TaskCompletionSource? _pending;

    public List<Outgoing> Received { get; } = [];

    public DisconnectReason Closed { get; private set; }

    /// <summary>Messages are taken only by <see cref="Take"/>.</summary>
    public bool IsSlow { get; set; }

    public bool IsWriting => _pending is not null;

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
