using System.Collections.Immutable;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web.Tests;

/// <summary>One mint's grain as the web room sees it: a model that applies changes, publishes updates and answers snapshots. Thread safe.</summary>
internal sealed class TestMint(string symbol, KlineRules rules, string source, long epoch = 1)
{
    private readonly Lock _lock = new();
    private readonly SortedDictionary<(KlineInterval, DateTimeOffset), Kline> _klines = [];
    private readonly DateTimeOffset[] _covered = [.. Enumerable.Repeat(DateTimeOffset.MinValue, KlineIntervals.Count)];
    private readonly Dictionary<(KlineInterval, DateTimeOffset), Kline> _archived = [];
    private long _epoch = epoch;
    private long _seq;

    public string Symbol => symbol;

    public KlineRules Rules { get; } = rules;

    public DateTimeOffset Clock { get; private set; } = DateTimeOffset.MinValue;

    public long Seq => _seq;

    public long Epoch => _epoch;

    /// <summary>Every kline there is, archived ones included.</summary>
    public List<Kline> All
    {
        get
        {
            lock (_lock)
            {
                return [.. _klines.Values];
            }
        }
    }

    /// <summary>Applies klines as they are now, and gives the update.</summary>
    public KlineUpdate Change(DateTimeOffset clock, params ReadOnlySpan<Kline> klines)
    {
        lock (_lock)
        {
            foreach (var kline in klines)
            {
                if (!kline.IsFlat)
                {
                    _klines[(kline.Interval, kline.OpenTime)] = kline;
                }
            }

            Clock = clock > Clock ? clock : Clock;
            return new KlineUpdate { Symbol = symbol, Epoch = _epoch, Seq = ++_seq, EventTime = clock, ReceivedTime = clock, Klines = [.. klines] };
        }
    }

    /// <summary>The grain is made anew, with the klines it had.</summary>
    /// <param name="from">Its state was from this moment: klines that open then or later are not in it.</param>
    public void BeginEpoch(DateTimeOffset? from = null)
    {
        lock (_lock)
        {
            _epoch++;
            _seq = 0;
            if (from is { } then)
            {
                Clock = then;
                foreach (var key in _klines.Keys.Where(k => k.Item2 >= then).ToList())
                {
                    _klines.Remove(key);
                }
            }
        }
    }

    /// <summary>Hands final klines of an interval before <paramref name="before"/> to the archive and forgets them.</summary>
    public async Task Archive(IKlineArchive archive, KlineInterval interval, DateTimeOffset before)
    {
        List<Kline> klines;
        lock (_lock)
        {
            klines = [.. _klines.Values.Where(k => k.Interval == interval && k.OpenTime < before && k.IsFinal)];
            klines.ForEach(k => _archived[(k.Interval, k.OpenTime)] = k);
            _covered[(int)interval] = before > _covered[(int)interval] ? before : _covered[(int)interval];
        }

        await archive.Write(symbol, klines);
    }

    public KlineSnapshot Snapshot()
    {
        lock (_lock)
        {
            return new KlineSnapshot
            {
                Symbol = symbol,
                Epoch = _epoch,
                Seq = _seq,
                Clock = Clock,
                Source = _klines.Count == 0 ? "" : source,
                Rules = Rules,
                Klines = [.. _klines.Values.Where(k => k.OpenTime >= _covered[(int)k.Interval] || !_archived.TryGetValue((k.Interval, k.OpenTime), out var stored) || !stored.Equals(k))],
                CoveredFrom = [.. _covered],
            };
        }
    }
}

/// <summary>The grains and the stream, in memory.</summary>
internal sealed class TestCluster : IKlineCluster
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, TestMint> _mints = [];
    private readonly Dictionary<string, List<Action<KlineUpdate>>> _subscribers = [];
    private int _snapshots;

    public KlineRules Rules { get; set; } = new();

    public string Source { get; set; } = "test";

    public Dictionary<string, SourceStatus> Statuses { get; } = [];

    public int Snapshots => _snapshots;

    public bool IsAway { get; set; }

    /// <summary>What an answer of a grain waits for.</summary>
    public Func<string, Task>? BeforeSnapshotAnswer { get; set; }

    public Func<string, Task>? BeforeSubscribeAnswer { get; set; }

    public TestMint Mint(string symbol)
    {
        lock (_lock)
        {
            return _mints.TryGetValue(symbol, out var mint) ? mint : _mints[symbol] = new TestMint(symbol, Rules, Source);
        }
    }

    public int Subscribers(string symbol)
    {
        lock (_lock)
        {
            return _subscribers.TryGetValue(symbol, out var list) ? list.Count : 0;
        }
    }

    /// <summary>Delivers to whoever is subscribed now.</summary>
    public void Deliver(KlineUpdate update)
    {
        List<Action<KlineUpdate>> targets;
        lock (_lock)
        {
            targets = _subscribers.TryGetValue(update.Symbol, out var list) ? [.. list] : [];
        }

        targets.ForEach(t => t(update));
    }

    public async Task<IAsyncDisposable> Subscribe(string symbol, Action<KlineUpdate> onUpdate)
    {
        lock (_lock)
        {
            if (!_subscribers.TryGetValue(symbol, out var list))
            {
                _subscribers[symbol] = list = [];
            }

            list.Add(onUpdate);
        }

        if (BeforeSubscribeAnswer is { } before)
        {
            await before(symbol);
        }

        return new Subscription(this, symbol, onUpdate);
    }

    public async Task<KlineSnapshot> GetSnapshot(string symbol)
    {
        Interlocked.Increment(ref _snapshots);
        if (IsAway)
        {
            throw new TimeoutException("the grain does not answer");
        }

        // Taken when the call arrives; the answer may be late.
        var snapshot = Mint(symbol).Snapshot();
        if (BeforeSnapshotAnswer is { } before)
        {
            await before(symbol);
        }

        return snapshot;
    }

    public Task<SourceStatus> GetStatus(string source)
    {
        lock (_lock)
        {
            return Statuses.TryGetValue(source, out var status) ? Task.FromResult(status) : Task.FromException<SourceStatus>(new TimeoutException("the source does not answer"));
        }
    }

    private sealed class Subscription(TestCluster owner, string symbol, Action<KlineUpdate> onUpdate) : IAsyncDisposable
    {
        public ValueTask DisposeAsync()
        {
            lock (owner._lock)
            {
                owner._subscribers[symbol].Remove(onUpdate);
            }

            return ValueTask.CompletedTask;
        }
    }
}

internal sealed class TestSources(params SourceDescription[] sources) : ITradeSourceFactory
{
    public ImmutableArray<SourceDescription> Sources { get; } = [.. sources];

    public ITradeSource Create(string name) => throw new ArgumentException("no readers here", nameof(name));
}

/// <summary>Klines made up for tests.</summary>
internal static class TestKlines
{
    public static readonly DateTimeOffset Start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    /// <summary>A kline after <paramref name="updates"/> trades.</summary>
    public static Kline Make(KlineInterval interval, DateTimeOffset open, decimal price, int updates = 1, bool isFinal = false, int revision = 0) => new()
    {
        Interval = interval,
        OpenTime = open,
        Open = new Price(price),
        High = new Price(price + 0.5m),
        Low = new Price(price),
        Close = new Price(price + 0.25m),
        BaseVolume = updates,
        QuoteVolume = updates * price,
        TradeCount = updates,
        UpdateCount = updates,
        First = new TradeOrder(new TradeId(open.ToUnixTimeSeconds())),
        Last = new TradeOrder(new TradeId(open.ToUnixTimeSeconds() + updates)),
        TradeHigh = new Price(price + 0.5m),
        TradeLow = new Price(price),
        FirstPrice = new Price(price),
        IsFinal = isFinal,
        Revision = revision,
    };
}
