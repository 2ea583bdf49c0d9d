using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web;

/// <summary>The chain events of one followed mint on this node: each goes to every follower once, in the order of its number. Thread safe.</summary>
/// <remarks>
/// The stream is a hint, the store is the truth: events are stored before they are told. What is told again is known by its number and dropped; where a number is
/// missing, or nobody can know whether one is, the feed reads the store from the newest number that it gave.
/// </remarks>
internal sealed class ChainEventFeed(string symbol, ChainEventFeeds feeds) : IFeed
{
    private const int PageSize = 500;

    private readonly Lock _lock = new();
    private readonly List<ChainEventFollower> _followers = [];
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private IAsyncDisposable? _subscription;
    private long _last;
    private bool _isReading = true;
    private bool _mustRead;
    private bool _isStopped;
    private long _looked;

    public string Symbol => symbol;

    /// <summary>Completes when it follows; fails where the store or the stream cannot be asked.</summary>
    public Task Ready => _ready.Task;

    public async Task Start()
    {
        try
        {
            // In this order: what is stored before the count is in it, and what comes after is told.
            var subscription = await feeds.Stream.Subscribe(symbol, OnUpdate);
            bool isStopped;
            lock (_lock)
            {
                _subscription = subscription;
                isStopped = _isStopped;
            }

            if (isStopped)
            {
                await subscription.DisposeAsync();
            }

            var count = await feeds.Store.Count(symbol);
            bool mustRead;
            lock (_lock)
            {
                _last = count.LastNumber;
                _looked = feeds.Time.GetTimestamp();
                mustRead = _mustRead;
                _isReading = mustRead;
            }

            _ready.TrySetResult();
            if (mustRead)
            {
                await Read();
            }
        }
        catch (Exception e)
        {
            _ready.TrySetException(e);
            await Stop();
        }
    }

    public async Task Stop()
    {
        IAsyncDisposable? subscription;
        lock (_lock)
        {
            _isStopped = true;
            subscription = _subscription;
            _subscription = null;
        }

        if (subscription is not null)
        {
            try
            {
                await subscription.DisposeAsync();
            }
            catch (Exception e)
            {
                feeds.Log.LogWarning(1505, e, "The events of {Symbol} could not be unsubscribed", symbol);
            }
        }
    }

    /// <summary>From now on the follower gets every event; those up to the returned number it has to read itself.</summary>
    public long Attach(ChainEventFollower follower)
    {
        lock (_lock)
        {
            _followers.Add(follower);
            return _last;
        }
    }

    /// <summary>The newest number given to followers.</summary>
    public long Last
    {
        get
        {
            lock (_lock)
            {
                return _last;
            }
        }
    }

    public void Detach(ChainEventFollower follower)
    {
        lock (_lock)
        {
            _followers.Remove(follower);
        }
    }

    /// <summary>Once a second: looks into the store from time to time, so that the last event before a silence is not lost with what told of it.</summary>
    public void Tick()
    {
        lock (_lock)
        {
            if (_isReading || !_ready.Task.IsCompletedSuccessfully || feeds.Time.GetElapsedTime(_looked) < ChainEventFeeds.LookInterval)
            {
                return;
            }

            _isReading = true;
        }

        _ = Read();
    }

    private void OnUpdate(ChainEventUpdate update)
    {
        lock (_lock)
        {
            if (_isReading)
            {
                _mustRead = true;
                return;
            }

            foreach (var e in update.Events)
            {
                if (e.Number == _last + 1)
                {
                    Give(e);
                }
                else if (e.Number > _last)
                {
                    _isReading = true;
                    break;
                }
            }

            if (!_isReading)
            {
                return;
            }
        }

        _ = Read();
    }

    // One at a time, while _isReading. Ends when the store has nothing that was not given.
    private async Task Read()
    {
        try
        {
            while (true)
            {
                long from;
                lock (_lock)
                {
                    from = _last;
                    _mustRead = false;
                    if (_isStopped)
                    {
                        return;
                    }
                }

                var page = await feeds.Store.ReadAfter(symbol, from, PageSize);
                lock (_lock)
                {
                    foreach (var e in page)
                    {
                        Give(e);
                    }

                    _looked = feeds.Time.GetTimestamp();
                    if (page.Count < PageSize && !_mustRead)
                    {
                        _isReading = false;
                        return;
                    }
                }
            }
        }
        catch (Exception e)
        {
            // The store is away: the next look tries again, a second later at the earliest.
            feeds.Log.LogWarning(1506, e, "The events of {Symbol} cannot be read now", symbol);
            lock (_lock)
            {
                _looked = feeds.Time.GetTimestamp() - (long)((ChainEventFeeds.LookInterval - TimeSpan.FromSeconds(1)).TotalSeconds * feeds.Time.TimestampFrequency);
                _isReading = false;
            }
        }
    }

    // Under the lock.
    private void Give(in StoredEvent e)
    {
        _last = e.Number;
        if (_followers.Count == 0)
        {
            return;
        }

        var payload = feeds.Encode(e);
        foreach (var follower in _followers)
        {
            follower.Take(payload);
        }
    }
}

/// <summary>One client's place among those who get a mint's events. What comes while it is held waits. Thread safe.</summary>
internal sealed class ChainEventFollower(ChainEventFeed feed, Session session)
{
    // More than can come while a page is read; a client that is not answered for that long is not served.
    private const int MostHeld = 10_000;

    private readonly Lock _lock = new();
    private List<Payload>? _held = [];
    private bool _isOver;

    public ChainEventFeed Feed => feed;

    public void Take(Payload payload)
    {
        lock (_lock)
        {
            if (_isOver)
            {
                return;
            }

            if (_held is null)
            {
                session.Send(payload);
            }
            else if (_held.Count < MostHeld)
            {
                _held.Add(payload);
            }
            else
            {
                session.End(DisconnectReason.SlowConsumer);
            }
        }
    }

    /// <summary>What was held goes out, and what comes goes out at once. Harmless to repeat.</summary>
    public void Release()
    {
        lock (_lock)
        {
            _held?.ForEach(session.Send);
            _held = null;
        }
    }

    public void End()
    {
        lock (_lock)
        {
            _isOver = true;
            _held = null;
        }
    }
}
