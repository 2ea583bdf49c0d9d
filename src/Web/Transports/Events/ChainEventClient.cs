using KlineOrleans.Contracts;

namespace KlineOrleans.Web.Transports.Events;

/// <summary>What one client follows of chain events: each mint once, however many intervals it follows. Thread safe; requests must not overlap.</summary>
internal sealed class ChainEventClient(Client client, EventFormats formats, ChainEventFeeds feeds) : IDisposable
{
    /// <summary>The most events of <c>history_event_data</c>, and the most that a client which comes back is sent one by one.</summary>
    public const int PageSize = 300;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, ChainEventFollower> _followed = new(StringComparer.Ordinal);
    private bool _isOver;

    /// <summary>Follows a mint's events, held until <see cref="ChainEventFollower.Release"/>, and gives what comes before them: a page, or what a client missed that comes back.</summary>
    /// <param name="resume">The number of the newest event that the client has; null if it does not say.</param>
    /// <param name="wantsPage">False: the client goes on where it was. Then it gets a page only if nothing tells what it missed.</param>
    /// <returns>The page to send first, or null; then the missed events; and the follower to release after that, or null where there is nothing to follow.</returns>
    /// <exception cref="ArchiveUnavailableException">The store cannot be read now.</exception>
    public async Task<(Payload? Page, IReadOnlyList<Payload> Missed, ChainEventFollower? Follower)> Follow(string symbol, long? resume, bool wantsPage)
    {
        if (!feeds.Store.KeepsEvents)
        {
            return (wantsPage ? Page(symbol, [], default, 0) : null, [], null);
        }

        var (follower, last, isNew) = await Attach(symbol);
        if (follower is null || (!isNew && !wantsPage && resume is null))
        {
            return (null, [], follower);
        }

        if (resume is { } from && from <= last && last - from <= PageSize)
        {
            var missed = last == from ? [] : (await feeds.Store.ReadAfter(symbol, from, PageSize)).Where(e => e.Number <= last).ToList();
            if (missed.Count == last - from)
            {
                return (null, [.. missed.Select(feeds.Encode)], follower);
            }
        }

        var count = await feeds.Store.Count(symbol);
        var page = await feeds.Store.Read(symbol, new ChainEventRange(null, NewestFirst: true, PageSize) { UpTo = last });
        return (Page(symbol, page, count, last), [], follower);
    }

    /// <summary>The client follows no interval of the mint any more.</summary>
    public void Unfollow(string symbol)
    {
        ChainEventFollower? follower;
        lock (_lock)
        {
            _followed.Remove(symbol, out follower);
        }

        Leave(follower);
    }

    public void Dispose()
    {
        List<ChainEventFollower> followers;
        lock (_lock)
        {
            _isOver = true;
            followers = [.. _followed.Values];
            _followed.Clear();
        }

        followers.ForEach(Leave);
    }

    private async Task<(ChainEventFollower? Follower, long Last, bool IsNew)> Attach(string symbol)
    {
        lock (_lock)
        {
            if (_followed.TryGetValue(symbol, out var known))
            {
                return (known, known.Feed.Last, false);
            }
        }

        var feed = await feeds.Enter(symbol);
        var follower = new ChainEventFollower(feed, client.Session);
        lock (_lock)
        {
            if (!_isOver)
            {
                _followed.Add(symbol, follower);
                return (follower, feed.Attach(follower), true);
            }
        }

        feeds.Leave(feed);
        return (null, 0, false);
    }

    private void Leave(ChainEventFollower? follower)
    {
        if (follower is not null)
        {
            follower.End();
            follower.Feed.Detach(follower);
            feeds.Leave(follower.Feed);
        }
    }

    private Payload Page(string symbol, IReadOnlyList<StoredEvent> events, ChainEventCount count, long last) =>
        formats.Any.Event("history_event_data", (symbol, events, count, last), static (json, a) =>
        {
            json.WriteStartObject();
            json.WriteString("symbol", a.symbol);
            json.WriteStartArray("data");
            foreach (var e in a.events)
            {
                ChainEventJson.WriteItem(json, e);
            }

            json.WriteEndArray();
            json.WriteBoolean("has_more", a.count.Kept > a.events.Count);
            json.WriteNumber("total_count", a.count.Kept);
            json.WriteNumber("event_seq", a.last);
            json.WriteEndObject();
        });
}
