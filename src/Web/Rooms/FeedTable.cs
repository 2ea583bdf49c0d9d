using System.Diagnostics.CodeAnalysis;

namespace KlineOrleans.Web;

/// <summary>What a node follows of one mint.</summary>
internal interface IFeed
{
    string Symbol { get; }

    /// <summary>Completes when it follows; fails where it cannot.</summary>
    Task Ready { get; }

    /// <summary>Begins to follow. Called once; tells of failure by <see cref="Ready"/>.</summary>
    Task Start();

    Task Stop();
}

/// <summary>The feeds of one kind on this node: one per followed mint, from its first user until a while after its last. Thread safe.</summary>
/// <param name="linger">How long a feed stays that nobody uses.</param>
internal sealed class FeedTable<TFeed>(Func<string, TFeed> create, TimeSpan linger, TimeProvider time)
    where TFeed : class, IFeed
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Place> _places = new(StringComparer.Ordinal);

    /// <summary>Mints that are followed.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _places.Count;
            }
        }
    }

    /// <summary>The followed mints with the most users, most first.</summary>
    public IReadOnlyList<(string Symbol, int Users)> Top(int most)
    {
        lock (_lock)
        {
            return [.. _places.Values.Where(p => p.Users > 0).OrderByDescending(p => p.Users).ThenBy(p => p.Feed.Symbol, StringComparer.Ordinal).Take(most).Select(p => (p.Feed.Symbol, p.Users))];
        }
    }

    /// <summary>The feed of a mint, ready. Each call is paired with <see cref="Leave(TFeed)"/>.</summary>
    /// <remarks>However many come at once, the first starts the feed and all wait for it. One that could not be started is made anew for whoever comes next.</remarks>
    public async ValueTask<TFeed> Enter(string symbol)
    {
        Place? place;
        var isNew = false;
        lock (_lock)
        {
            if (!_places.TryGetValue(symbol, out place) || place.Feed.Ready.IsFaulted)
            {
                _places[symbol] = place = new Place(create(symbol));
                isNew = true;
            }

            place.Users++;
        }

        if (isNew)
        {
            _ = place.Feed.Start();
        }

        try
        {
            await place.Feed.Ready;
            return place.Feed;
        }
        catch
        {
            Leave(place);
            throw;
        }
    }

    public void Leave(TFeed feed)
    {
        lock (_lock)
        {
            // Not there: the table was cleared.
            if (_places.TryGetValue(feed.Symbol, out var place) && place.Feed == feed)
            {
                Leave(place);
            }
        }
    }

    public bool TryGet(string symbol, [NotNullWhen(true)] out TFeed? feed)
    {
        lock (_lock)
        {
            feed = _places.GetValueOrDefault(symbol)?.Feed;
            return feed is not null;
        }
    }

    public List<TFeed> All()
    {
        lock (_lock)
        {
            return [.. _places.Values.Select(p => p.Feed)];
        }
    }

    /// <summary>Stops the feeds that nobody has used for a while, and gives the others.</summary>
    public List<TFeed> Sweep()
    {
        List<TFeed> idle = [];
        List<TFeed> used = [];
        lock (_lock)
        {
            foreach (var place in _places.Values)
            {
                (place.Users == 0 && time.GetElapsedTime(place.IdleSince) >= linger ? idle : used).Add(place.Feed);
            }

            idle.ForEach(feed => _places.Remove(feed.Symbol));
        }

        idle.ForEach(static feed => _ = feed.Stop());
        return used;
    }

    /// <summary>Stops all feeds.</summary>
    public Task Clear()
    {
        List<TFeed> feeds;
        lock (_lock)
        {
            feeds = [.. _places.Values.Select(p => p.Feed)];
            _places.Clear();
        }

        return Task.WhenAll(feeds.Select(static feed => feed.Stop()));
    }

    private void Leave(Place place)
    {
        lock (_lock)
        {
            place.Users--;
            place.IdleSince = time.GetTimestamp();
        }
    }

    private sealed class Place(TFeed feed)
    {
        public TFeed Feed => feed;

        public int Users { get; set; }

        public long IdleSince { get; set; }
    }
}
