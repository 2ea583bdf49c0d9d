namespace KlineOrleans.Web;

/// <summary>The rooms of one mint on one lane. A room is the followers of one set of intervals in one wire format: they get the same bytes.</summary>
/// <remarks>
/// Touched only by work of its lane, which takes no lock and allocates nothing per delivery.
/// What comes for a room waits for its turn among the lane's and then goes to each session in one write (<see cref="Settle(long)"/>). Whatever changes who is in a room settles first,
/// so nobody gets what came before it joined.
/// </remarks>
internal sealed class FeedLane(Lane lane, TimeProvider time) : ILaneWork
{
    /// <summary>Writes between two looks at the clock.</summary>
    public const int Stretch = 64;

    /// <summary>Sessions whose memory is read together.</summary>
    private const int Ahead = 8;

    private readonly List<Room> _rooms = [];
    private bool _isUnsettled;
    private bool _isUrgent;

    // Where what is not settled goes on.
    private int _room;
    private int _follower;

    // Nobody reads it: it is there so that what is read for it is not left out.
    private int _read;

    public Lane Lane => lane;

    /// <summary>The lane's own: whether it is among those that can wait.</summary>
    public bool IsInLater { get; set; }

    public void Run(object argument)
    {
        switch (argument)
        {
            case FeedMessage update:
                Take(update);
                return;
            case LaneTick tick:
                Tick(tick);
                return;
        }

        Settle();
        switch (argument)
        {
            case Attachment attachment:
                Attach(attachment);
                break;
            case Narrowing narrowing:
                Detach(narrowing.From);
                narrowing.To.IsHeld = narrowing.From.IsHeld;
                narrowing.To.HeldSince = narrowing.From.HeldSince;
                Attach(new Attachment(narrowing.To, []));
                break;
            case Follower follower:
                Detach(follower);
                break;
            case StatusMessage status:
                foreach (var room in _rooms)
                {
                    if (room.Format.EncodeStatus(status) is { } payload)
                    {
                        for (var i = 0; i < room.Count; i++)
                        {
                            ((ILaneWork)room.Followers[i].Session).Run(payload);
                        }
                    }
                }

                break;
        }
    }

    /// <summary>Gives every session what came for its rooms.</summary>
    public void Settle() => Settle(long.MaxValue);

    /// <summary>Gives sessions what came for their rooms until a moment of the system's clock, and some in any case.</summary>
    /// <remarks>If it throws, the next call goes on behind the session whose fault it was.</remarks>
    /// <returns>False if not all of them have it: the next call goes on, and no other work for these rooms may come between.</returns>
    public bool Settle(long deadline)
    {
        if (!_isUnsettled)
        {
            return true;
        }

        for (; _room < _rooms.Count; _room++)
        {
            var room = _rooms[_room];
            if (room.Batch.Count == 0)
            {
                continue;
            }

            if (!Deliver(room, deadline))
            {
                return false;
            }

            room.Batch.Clear();
            _follower = 0;
        }

        _isUnsettled = false;
        _isUrgent = false;
        _room = 0;
        return true;
    }

    private bool Deliver(Room room, long deadline)
    {
        var batch = room.Batch;
        var counters = lane.Counters;
        while (_follower < room.Count)
        {
            if (_follower % Ahead == 0)
            {
                ReadAhead(room.Followers.AsSpan(_follower, Math.Min(Ahead, room.Count - _follower)));
            }

            var follower = room.Followers[_follower++];
            if (!follower.Session.TryWrite(follower, batch))
            {
                batch.OfferTo(follower);
            }

            if (_follower % Stretch == 0 && _follower < room.Count)
            {
                Measure(batch, counters);
                if (TimeProvider.System.GetTimestamp() >= deadline)
                {
                    return false;
                }
            }
        }

        Measure(batch, counters);
        return true;
    }

    /// <summary>Reads what the next writes need. Nothing of ten thousand sessions is in the processor's caches: one after another each would wait for its own, together they wait once.</summary>
    private void ReadAhead(ReadOnlySpan<Follower> followers)
    {
        var read = 0;
        foreach (var follower in followers)
        {
            read += follower.Session.ReadAhead();
        }

        _read = read;
    }

    private void Measure(RoomBatch batch, WebCounters? counters)
    {
        if (batch.Written > 0 && counters is not null)
        {
            batch.Measure(counters, time);
        }
    }

    private void Take(FeedMessage message)
    {
        var hasRoom = false;
        foreach (var room in _rooms)
        {
            var intervals = room.Intervals & message.Changed;
            if (intervals == 0)
            {
                continue;
            }

            if (room.Batch.Add(message, message.Encode(room.Format, intervals), lane.Conflates))
            {
                room.Skipped++;
                lane.Counters?.AddConflated(room.Count);
            }

            hasRoom = true;
        }

        if (hasRoom)
        {
            Wait(message.Taker != TakerSide.None);
        }
    }

    /// <summary>For a turn among the lane's rooms. What has no trade behind it is a second or more late by its nature, and comes for all mints at once: it lets trades pass.</summary>
    private void Wait(bool isUrgent)
    {
        if (isUrgent && !_isUrgent)
        {
            lane.Touch(this);
        }
        else if (!_isUnsettled)
        {
            lane.TouchLater(this);
        }

        _isUnsettled = true;
        _isUrgent |= isUrgent;
    }

    private void Attach(Attachment attachment)
    {
        var follower = attachment.Follower;
        var room = _rooms.Find(r => r.Format == follower.Format && r.Intervals == follower.Intervals);
        if (room is null)
        {
            room = new Room(follower.Format, follower.Intervals);
            _rooms.Add(room);
        }

        room.Add(follower);
        follower.Session.Followers++;
        follower.RoomSkipped = room.Skipped;
        foreach (var message in attachment.Missed)
        {
            var intervals = follower.Intervals & message.Changed;
            if (intervals != 0)
            {
                follower.Session.Offer(follower, message, intervals, message.Encode(follower.Format, intervals), counts: false);
            }
        }
    }

    private void Detach(Follower follower)
    {
        var index = _rooms.FindIndex(r => r.Format == follower.Format && r.Intervals == follower.Intervals);
        if (index < 0 || follower.Index < 0)
        {
            return;
        }

        CountSkipped(_rooms[index], follower);
        _rooms[index].Remove(follower);
        follower.Session.Followers--;
        if (_rooms[index].Count == 0)
        {
            _rooms.RemoveAt(index);
        }
    }

    private void Tick(LaneTick tick)
    {
        if (_isUnsettled)
        {
            // It has let others pass long enough.
            Wait(isUrgent: true);
        }

        foreach (var room in _rooms)
        {
            for (var i = 0; i < room.Count; i++)
            {
                var follower = room.Followers[i];
                CountSkipped(room, follower);
                if (follower.IsHeld && !follower.IsAlwaysAnswered && follower.HeldSince < tick.Now - tick.LongestHold)
                {
                    // A client that asked without wanting an answer gets none, so nothing can come before it.
                    ((ILaneWork)follower.Session).Run(follower);
                }

                if (follower.Skipped > 0)
                {
                    follower.Session.Tick();
                }
            }
        }
    }

    private static void CountSkipped(Room room, Follower follower)
    {
        if (room.Skipped > follower.RoomSkipped)
        {
            follower.Session.AddSkipped(follower, room.Skipped - follower.RoomSkipped);
            follower.RoomSkipped = room.Skipped;
        }
    }

    private sealed class Room(WireFormat format, int intervals)
    {
        public WireFormat Format => format;

        public int Intervals => intervals;

        /// <summary>What waits for the room's turn.</summary>
        public RoomBatch Batch { get; } = new(intervals);

        /// <summary>Updates that newer ones replaced before any session had them.</summary>
        public long Skipped { get; set; }

        public Follower[] Followers { get; private set; } = new Follower[4];

        public int Count { get; private set; }

        public void Add(Follower follower)
        {
            if (Count == Followers.Length)
            {
                var grown = new Follower[Count * 2];
                Followers.CopyTo(grown, 0);
                Followers = grown;
            }

            follower.Index = Count;
            Followers[Count++] = follower;
        }

        public void Remove(Follower follower)
        {
            var last = Followers[--Count];
            Followers[follower.Index] = last;
            last.Index = follower.Index;
            Followers[Count] = null!;
            follower.Index = -1;
        }
    }
}

/// <summary>A follower joins its room, after these messages that it missed.</summary>
internal sealed record Attachment(Follower Follower, IReadOnlyList<FeedMessage> Missed);

/// <summary>A follower takes the place of one with more intervals.</summary>
internal sealed record Narrowing(Follower From, Follower To);

/// <summary>A second has passed.</summary>
internal sealed record LaneTick(long Now, long LongestHold);
