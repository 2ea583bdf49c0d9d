namespace KlineOrleans.Web;

/// <summary>The rooms of one mint on one lane. A room is the followers of one set of intervals in one wire format: they get the same bytes.</summary>
/// <remarks>Touched only by work of its lane, which takes no lock and allocates nothing per delivery.</remarks>
internal sealed class FeedLane(Lane lane) : ILaneWork
{
    private readonly List<Room> _rooms = [];

    public Lane Lane => lane;

    public void Run(object argument)
    {
        switch (argument)
        {
            case FeedMessage message:
                Deliver(message);
                break;
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
            case LaneTick tick:
                Tick(tick);
                break;
        }
    }

    private void Deliver(FeedMessage message)
    {
        foreach (var room in _rooms)
        {
            var intervals = room.Intervals & message.Changed;
            if (intervals == 0 || room.Count == 0)
            {
                continue;
            }

            var payload = message.Encode(room.Format, intervals);
            var followers = room.Followers;
            for (var i = 0; i < room.Count; i++)
            {
                followers[i].Session.Offer(followers[i], message, intervals, payload, message.Since);
            }
        }
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

        _rooms[index].Remove(follower);
        if (_rooms[index].Count == 0)
        {
            _rooms.RemoveAt(index);
        }
    }

    private void Tick(LaneTick tick)
    {
        foreach (var room in _rooms)
        {
            for (var i = 0; i < room.Count; i++)
            {
                var follower = room.Followers[i];
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

    private sealed class Room(WireFormat format, int intervals)
    {
        public WireFormat Format => format;

        public int Intervals => intervals;

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
