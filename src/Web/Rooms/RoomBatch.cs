using System.Buffers;

namespace KlineOrleans.Web;

/// <summary>What came for a room since its sessions last got something: given to all of them when it is the room's turn on its lane. Touched only by work of the lane.</summary>
internal sealed class RoomBatch(int roomIntervals)
{
    private readonly List<Waiting> _items = [];
    private byte[]? _shared;
    private byte[]? _own;
    private int _sharedLength;

    /// <summary>Messages in it.</summary>
    public int Count => _items.Count;

    /// <summary>What a wire made of the messages for all sessions of the room. Forgotten with them.</summary>
    public object? Shared { get; set; }

    public Payload this[int index] => _items[index].Payload;

    /// <summary>The messages as WebSocket frames, with the follower's own bytes in their gaps. Valid until the next call.</summary>
    public ReadOnlySpan<byte> FramesFor(Follower follower) => follower.HasOwnMiddle ? FramesFor(follower.Middle.Span) : SharedFrames;

    /// <summary>What the messages count in an outbox, in bytes.</summary>
    public int Bytes { get; private set; }

    /// <summary>When the oldest came, by the clock's ticks; 0 where that is not measured.</summary>
    public long Since { get; private set; }

    /// <summary>Sessions that took it since somebody last asked.</summary>
    public int Written { get; set; }

    private ReadOnlySpan<byte> SharedFrames
    {
        get
        {
            if (_items.Count == 1)
            {
                return _items[0].Payload.SharedFrames.Span;
            }

            if (_shared is null)
            {
                var length = 0;
                foreach (var item in _items)
                {
                    length += item.Payload.SharedFrames.Length;
                }

                _shared = ArrayPool<byte>.Shared.Rent(length);
                _sharedLength = 0;
                foreach (var item in _items)
                {
                    item.Payload.SharedFrames.Span.CopyTo(_shared.AsSpan(_sharedLength));
                    _sharedLength += item.Payload.SharedFrames.Length;
                }
            }

            return _shared.AsSpan(0, _sharedLength);
        }
    }

    private ReadOnlySpan<byte> FramesFor(ReadOnlySpan<byte> middle)
    {
        var longest = 0;
        foreach (var item in _items)
        {
            longest += item.Payload.LongestFrames(middle.Length);
        }

        if (_own is null || _own.Length < longest)
        {
            GiveBack(ref _own);
            _own = ArrayPool<byte>.Shared.Rent(longest);
        }

        var length = 0;
        foreach (var item in _items)
        {
            length += item.Payload.WriteFrames(_own.AsSpan(length), middle);
        }

        return _own.AsSpan(0, length);
    }

    /// <summary>Adds a message at the end.</summary>
    /// <param name="conflates">A message of forming klines that needs nothing of an older one takes its place.</param>
    /// <returns>Whether an older one was replaced.</returns>
    public bool Add(FeedMessage message, Payload payload, bool conflates)
    {
        var intervals = roomIntervals & message.Changed;
        var isSolid = message.IsSolid(intervals);
        var replaces = false;
        if (conflates && !isSolid)
        {
            // The newest of those that may be replaced: it covers what came before it, or that would not be here.
            for (var i = _items.Count - 1; i >= 0; i--)
            {
                var older = _items[i];
                if (older.IsSolid)
                {
                    continue;
                }

                replaces = message.Covers(older.Message, older.Intervals, intervals);
                if (replaces)
                {
                    _items.RemoveAt(i);
                    Bytes -= older.Payload.Length;
                }

                break;
            }
        }

        _items.Add(new Waiting(message, payload, intervals, isSolid));
        Bytes += payload.Length;
        Since = _items[0].Message.Since;
        return replaces;
    }

    /// <summary>Offers the messages one by one.</summary>
    public void OfferTo(Follower follower)
    {
        foreach (var item in _items)
        {
            follower.Session.Offer(follower, item.Message, item.Intervals, item.Payload, item.Message.Since);
            follower.Session.FlushIfFilling();
        }
    }

    /// <summary>Counts how long the messages took to the sessions of <see cref="Written"/>, and begins to count those anew.</summary>
    public void Measure(WebCounters counters, TimeProvider time)
    {
        var now = time.GetTimestamp();
        var written = Written;
        Written = 0;
        foreach (var item in _items)
        {
            if (item.Message.Since != 0)
            {
                counters.Latency.Record(time.GetElapsedTime(item.Message.Since, now), written);
            }
        }

        if (Since != 0)
        {
            counters.WriteTook?.Invoke(time.GetElapsedTime(Since, now).TotalSeconds);
        }
    }

    /// <summary>Forgets the messages and gives memory back.</summary>
    public void Clear()
    {
        _items.Clear();
        Shared = null;
        Bytes = 0;
        Since = 0;
        Written = 0;
        GiveBack(ref _shared);
        GiveBack(ref _own);
    }

    private static void GiveBack(ref byte[]? rented)
    {
        if (rented is not null)
        {
            ArrayPool<byte>.Shared.Return(rented);
            rented = null;
        }
    }

    private readonly record struct Waiting(FeedMessage Message, Payload Payload, int Intervals, bool IsSolid);
}
