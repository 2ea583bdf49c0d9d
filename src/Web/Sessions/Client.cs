namespace KlineOrleans.Web;

/// <summary>One connected client of whatever transport: its session and what it follows. Thread safe.</summary>
/// <remarks>
/// What a client follows of a symbol it follows in places: wires that send all intervals of an update in one message have one place (0) for a symbol, wires that
/// send each pair of symbol and interval by itself have one for each pair. A second subscription to a place adds its intervals to the first and
/// begins anew: the client counts them once.
/// </remarks>
internal sealed class Client
{
    private readonly MintFeeds _feeds;
    private readonly WebCounters _counters;
    private readonly int _mostSubscriptions;
    private readonly Lock _lock = new();
    private readonly Dictionary<(string Symbol, int Place), FollowedPlace> _followed = [];
    private int _subscriptions;
    private bool _closed;

    /// <param name="wire">The wire it came over, as figures call it: signalr, socketio, websocket.</param>
    /// <param name="id">Names the client to operators; is no secret.</param>
    public Client(Session session, MintFeeds feeds, WebCounters counters, int mostSubscriptions, RateLimit rate, string wire = "other", string id = "")
    {
        Session = session;
        _feeds = feeds;
        _counters = counters;
        _mostSubscriptions = mostSubscriptions;
        Rate = rate;
        Wire = wire;
        Id = id;
        counters.Add(this);
    }

    public Session Session { get; }

    public RateLimit Rate { get; }

    public string Wire { get; }

    public string Id { get; }

    /// <summary>What tells the client, on its wire, that the server stops; null where nothing does.</summary>
    public Func<Payload>? Goodbye { get; init; }

    /// <summary>What it follows now, streaming calls left out: intervals as bits.</summary>
    public IReadOnlyList<(string Symbol, int Intervals)> Followed
    {
        get
        {
            lock (_lock)
            {
                return [.. _followed.GroupBy(f => f.Key.Symbol, StringComparer.Ordinal).Select(g => (g.Key, g.Aggregate(0, static (bits, f) => bits | f.Value.Follower.Intervals)))];
            }
        }
    }

    /// <summary>Pairs of symbol and interval that are followed.</summary>
    public int Subscriptions
    {
        get
        {
            lock (_lock)
            {
                return _subscriptions;
            }
        }
    }

    /// <summary>Follows a symbol: the follower is held until its answer is written.</summary>
    /// <param name="feed">Entered by the caller; on success this client leaves it later, else the caller does.</param>
    /// <param name="makeFollower">Makes the follower for all intervals that are followed from now on.</param>
    /// <param name="cost">What the place counts among the subscriptions; null: its intervals.</param>
    /// <returns>Null if the limit of subscriptions is reached or the client is gone.</returns>
    public (Follower Follower, Attached Attached)? Follow(MintFeed feed, int intervals, Func<int, Follower> makeFollower, (long Epoch, long Seq)? resume, int newest, int mostMissed, int place = 0, int? cost = null)
    {
        lock (_lock)
        {
            var old = _followed.TryGetValue((feed.Symbol, place), out var existing) ? existing.Follower.Intervals : 0;
            var newCost = cost ?? IntervalBits.Count(old | intervals);
            var added = newCost - existing.Cost;
            if (_closed || _subscriptions + added > _mostSubscriptions)
            {
                return null;
            }

            var follower = makeFollower(old | intervals);
            if (existing.Feed is not null && existing.Feed != feed)
            {
                existing.Feed.Detach(existing.Follower);
            }

            var attached = feed.Attach(follower, existing.Feed == feed ? existing.Follower : null, resume, newest, mostMissed);
            if (existing.Feed is not null)
            {
                _feeds.Leave(existing.Feed);
            }

            _followed[(feed.Symbol, place)] = new FollowedPlace(feed, follower, newCost);
            Count(added);
            return (follower, attached);
        }
    }

    /// <summary>Stops following intervals of a symbol; those that stay go on without a gap.</summary>
    /// <param name="intervals">0 for all.</param>
    public void Unfollow(string symbol, int intervals, Func<Follower, int, Follower> makeFollower)
    {
        lock (_lock)
        {
            if (!_followed.TryGetValue((symbol, 0), out var followed))
            {
                return;
            }

            var old = followed.Follower.Intervals;
            var left = intervals == 0 ? 0 : old & ~intervals;
            if (left == old)
            {
                return;
            }

            if (left == 0)
            {
                Leave((symbol, 0), followed);
                return;
            }

            Count(IntervalBits.Count(left) - IntervalBits.Count(old));

            // What waits for the old follower still goes out, before anything of the new one: narrowing loses nothing.
            var follower = makeFollower(followed.Follower, left);
            followed.Feed.Narrow(followed.Follower, follower);
            _followed[(symbol, 0)] = new FollowedPlace(followed.Feed, follower, IntervalBits.Count(left));
        }
    }

    /// <summary>Goes on following what is followed in a place of a symbol, in another format if it must, without a gap.</summary>
    /// <param name="makeFollower">Makes the follower of the new format.</param>
    /// <returns>False if nothing is followed there.</returns>
    public bool TryKeep(string symbol, int place, WireFormat format, Func<Follower, Follower> makeFollower)
    {
        lock (_lock)
        {
            if (!_followed.TryGetValue((symbol, place), out var followed))
            {
                return false;
            }

            if (followed.Follower.Format != format)
            {
                // What waits in the old format still goes out first.
                var follower = makeFollower(followed.Follower);
                followed.Feed.Narrow(followed.Follower, follower);
                _followed[(symbol, place)] = followed with { Follower = follower };
            }

            return true;
        }
    }

    /// <summary>Stops following all that is followed in one place of a symbol. Harmless to repeat.</summary>
    public void UnfollowPlace(string symbol, int place)
    {
        lock (_lock)
        {
            if (_followed.TryGetValue((symbol, place), out var followed))
            {
                Leave((symbol, place), followed);
            }
        }
    }

    /// <summary>Stops following every symbol but these.</summary>
    public void UnfollowOthers(IReadOnlySet<string> kept)
    {
        lock (_lock)
        {
            foreach (var (key, followed) in _followed)
            {
                if (!kept.Contains(key.Symbol))
                {
                    Leave(key, followed);
                }
            }
        }
    }

    /// <summary>Whether this is followed.</summary>
    public bool IsFollowing(string symbol, int place)
    {
        lock (_lock)
        {
            return _followed.ContainsKey((symbol, place));
        }
    }

    /// <summary>Takes one place among the subscriptions, for a streaming call. Given back with <see cref="GiveBack"/>.</summary>
    public bool TryTake()
    {
        lock (_lock)
        {
            if (_closed || _subscriptions >= _mostSubscriptions)
            {
                return false;
            }

            Count(1);
            return true;
        }
    }

    public void GiveBack()
    {
        lock (_lock)
        {
            if (!_closed)
            {
                Count(-1);
            }
        }
    }

    /// <summary>Ends the client once it took what waits for it, and was told why. Harmless to repeat.</summary>
    public void Finish(DisconnectReason reason) => Session.Finish(reason, Goodbye);

    /// <summary>The client is gone: nothing of it is left in any room.</summary>
    public void Close(DisconnectReason reason)
    {
        lock (_lock)
        {
            if (_closed)
            {
                return;
            }

            foreach (var (feed, follower, _) in _followed.Values)
            {
                feed.Detach(follower);
                _feeds.Leave(feed);
            }

            _followed.Clear();
            Count(-_subscriptions);
            _closed = true;
        }

        _counters.Remove(this);
        Session.End(reason);
    }

    private void Leave((string Symbol, int Place) key, FollowedPlace followed)
    {
        followed.Feed.Detach(followed.Follower);
        _feeds.Leave(followed.Feed);
        _followed.Remove(key);
        Count(-followed.Cost);
    }

    private readonly record struct FollowedPlace(MintFeed Feed, Follower Follower, int Cost);

    private void Count(int by)
    {
        _subscriptions += by;
        _counters.AddSubscriptions(by);
    }
}
