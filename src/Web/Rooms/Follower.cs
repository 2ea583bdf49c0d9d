namespace KlineOrleans.Web;

/// <summary>One session's subscription to one mint. Its mutable state belongs to the session's lane, except <see cref="IsOver"/> and <see cref="HeldSince"/>.</summary>
/// <param name="intervals">Which intervals (bit: the enum's number).</param>
/// <param name="minTicks">The least time between two updates of forming klines, in ticks of the clock; 0: none.</param>
internal sealed class Follower(Session session, string symbol, WireFormat format, int intervals, long minTicks = 0)
{
    /// <summary>See <see cref="HeldSince"/>.</summary>
    public const long NotAnswered = long.MaxValue;

    private volatile bool _isOver;
    private long _heldSince = NotAnswered;
    private readonly ReadOnlyMemory<byte> _middle;

    /// <summary>What stands in the gap for a client that has no bytes of its own.</summary>
    public static ReadOnlySpan<byte> NoMiddle => "null"u8;

    public Session Session => session;

    public string Symbol => symbol;

    public WireFormat Format => format;

    public int Intervals => intervals;

    public long MinTicks => minTicks;

    /// <summary>The client's own bytes for the gap of its room's messages, where the wire's messages have one. Never changed.</summary>
    public ReadOnlyMemory<byte> Middle
    {
        get => _middle;
        init
        {
            _middle = value;
            HasOwnMiddle = !value.IsEmpty && !value.Span.SequenceEqual(NoMiddle);
        }
    }

    /// <summary>Whether <see cref="Middle"/> makes its messages differ from those of the rest of the room.</summary>
    public bool HasOwnMiddle { get; private init; }

    /// <summary>It is always released by the one who answers its subscription, however long that takes.</summary>
    public bool IsAlwaysAnswered { get; init; }

    /// <summary>Unsubscribed or replaced: nothing that waits for it may still be sent. Thread safe.</summary>
    public bool IsOver
    {
        get => _isOver;
        set => _isOver = value;
    }

    /// <summary>The answer to the subscription is not written yet, and must come first.</summary>
    public bool IsHeld { get; set; }

    /// <summary>Since when its answer could have been written, by the clock's ticks; <see cref="NotAnswered"/> while it is still made.</summary>
    public long HeldSince
    {
        get => Volatile.Read(ref _heldSince);
        set => Volatile.Write(ref _heldSince, value);
    }

    /// <summary>When the next update of forming klines may be sent, by the clock's ticks.</summary>
    public long NotBefore { get; set; }

    /// <summary>The newest replaceable update in the outbox.</summary>
    public OutboxNode? LastForming { get; set; }

    /// <summary>Final klines and corrections in the outbox. What came before them is due with them, whatever the rate: order comes first.</summary>
    public int SolidWaiting { get; set; }

    /// <summary>Updates replaced since the client was told.</summary>
    public long Skipped { get; set; }

    /// <summary>How many updates its room had replaced, for all of its followers, when that was last added to <see cref="Skipped"/>.</summary>
    public long RoomSkipped { get; set; }

    /// <summary>Its place in its room on the lane.</summary>
    public int Index { get; set; } = -1;
}
