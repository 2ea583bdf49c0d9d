using System.Collections.Immutable;
using System.Diagnostics;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web;

/// <summary>Follows one mint for all its followers on this node: one stream subscription, one copy of its newest klines, a ring of recent updates. Thread safe.</summary>
/// <remarks>
/// Loses nothing, whatever the stream loses: updates are consecutive within an epoch, so a hole shows. Then the feed asks the grain for a snapshot, works out
/// which klines differ from what its followers have, and sends those as one update. Followers attach under the lock that updates pass through: each gets
/// a view at one position, and every update after it, once and in order.
/// The lock is taken once per update, not per delivery.
/// </remarks>
internal sealed class MintFeed : IFeed
{
    // The most derived flat klines of an interval that healing sends: what the longest history holds.
    private const int MostFlats = 1_000;

    private static uint s_lastId;

    // How long a grain that came back from an older state may take to come up to what its followers were told already.
    private static readonly TimeSpan AheadFor = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private readonly MintFeedServices _services;

    // Klines that are further here than in the grain, and how far its clock was when they were told.
    private readonly HashSet<(KlineInterval Interval, DateTimeOffset OpenTime)> _ahead = [];
    private DateTimeOffset _aheadClock;

    // The revisions that followers have of corrected klines that left the state for the archive. As old as the correction window at most.
    private readonly Dictionary<(KlineInterval Interval, DateTimeOffset OpenTime), int> _corrected = [];
    private long _aheadSince;
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly FeedLane?[] _lanes;
    private readonly int[] _followers;
    private readonly UpdateRing _ring;
    private readonly List<KlineUpdate> _waiting = [];
    private Phase _phase = Phase.Starting;
    private State _state = State.None;
    private KlineView? _view;
    private (int Intervals, int Newest) _viewOf;
    private IAsyncDisposable? _subscription;
    private KlineSnapshot? _expected;
    private long _expectedAt;
    private long _touchedAt;
    private bool _touching;
    private bool _stopped;

    public MintFeed(string symbol, MintFeedServices services)
    {
        Symbol = symbol;
        _services = services;
        _lanes = new FeedLane?[services.Lanes.Count];
        _followers = new int[services.Lanes.Count];
        _ring = new UpdateRing(symbol, services.Options.Ring);
        _touchedAt = services.Time.GetTimestamp();
    }

    private enum Phase
    {
        /// <summary>Waiting for the first snapshot.</summary>
        Starting,

        /// <summary>Every update so far was applied.</summary>
        Live,

        /// <summary>An update was lost, or the epoch changed: waiting for a snapshot.</summary>
        Healing,
    }

    public string Symbol { get; }

    /// <summary>Stands for the symbol on wires that are short of bytes, as long as it is followed. Not 0.</summary>
    public uint Id { get; } = Interlocked.Increment(ref s_lastId);

    /// <summary>Complete when followers can attach; fails if the mint cannot be followed.</summary>
    public Task Ready => _ready.Task;

    /// <summary>Snapshots taken because an update was missing.</summary>
    public long Heals { get; private set; }

    /// <summary>The name of the source that feeds the mint; empty where no trade was ever seen.</summary>
    public string Source
    {
        get
        {
            lock (_lock)
            {
                return _state.Source;
            }
        }
    }

    public KlineRules Rules
    {
        get
        {
            lock (_lock)
            {
                return _state.Rules;
            }
        }
    }

    /// <summary>Subscribes, then takes the first snapshot.</summary>
    public async Task Start()
    {
        try
        {
            // The subscription first: what is published between the two waits here and is applied on top.
            var subscription = await _services.Cluster.Subscribe(Symbol, OnUpdate);
            bool stopped;
            lock (_lock)
            {
                _subscription = subscription;
                stopped = _stopped;
            }

            if (stopped)
            {
                await subscription.DisposeAsync();
                throw new ObjectDisposedException(nameof(MintFeed));
            }

            var state = State.Of(await _services.Cluster.GetSnapshot(Symbol));
            var archived = await ReadArchived(state);
            lock (_lock)
            {
                _state = state;

                // Nobody follows yet: whoever comes reads these in the history.
                foreach (var kline in archived.Where(k => k is { Revision: > 0, IsFinal: true, IsFlat: false }))
                {
                    _corrected[(kline.Interval, kline.OpenTime)] = kline.Revision;
                }

                _phase = Phase.Live;
                ApplyWaiting();
            }

            _ready.TrySetResult();
        }
        catch (Exception e)
        {
            _ready.TrySetException(e);
            _ = _ready.Task.Exception;
            await Stop();
        }
    }

    /// <summary>Ends the subscription.</summary>
    public async Task Stop()
    {
        IAsyncDisposable? subscription;
        lock (_lock)
        {
            _stopped = true;
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
                _services.Log.LogWarning(1507, e, "The subscription of {Symbol} could not be ended", Symbol);
            }
        }
    }

    /// <summary>Attaches a follower: the view it starts from, then every update after it, held until its session releases it.</summary>
    /// <param name="replaces">The session's follower of this mint until now: nothing more is sent for it.</param>
    /// <param name="resume">The last position the client saw; null to begin anew.</param>
    /// <param name="newest">How many of the newest klines of each interval the view must hold.</param>
    /// <param name="mostMissed">How many missed updates may be sent at most; where more were missed, the client begins anew.</param>
    /// <returns>The position the follower's updates follow on; whether it resumes; the view at that position, only if it does not resume.</returns>
    public Attached Attach(Follower follower, Follower? replaces, (long Epoch, long Seq)? resume, int newest, int mostMissed)
    {
        lock (_lock)
        {
            if (replaces is not null)
            {
                Detach(replaces);
            }

            var missed = resume is { } position ? Missed(position, mostMissed) : null;
            follower.IsHeld = true;
            var number = follower.Session.Lane.Number;
            var lane = _lanes[number] ??= new FeedLane(follower.Session.Lane, _services.Time);
            _followers[number]++;
            lane.Lane.Post(lane, new Attachment(follower, missed ?? []));
            return missed is null
                ? new Attached(_state.Epoch, _state.Seq, Recovered: false, View(follower.Intervals, newest))
                : new Attached(resume!.Value.Epoch, resume.Value.Seq, Recovered: true, null);
        }
    }

    /// <summary>Nothing more is sent to the follower, what waits for it included. Harmless to repeat.</summary>
    public void Detach(Follower follower)
    {
        lock (_lock)
        {
            var number = follower.Session.Lane.Number;
            if (follower.IsOver || _lanes[number] is not { } lane)
            {
                return;
            }

            follower.IsOver = true;
            _followers[number]--;
            lane.Lane.Post(lane, follower);
        }
    }

    /// <summary>Puts a follower of fewer intervals in another's place, without a gap.</summary>
    public void Narrow(Follower from, Follower to)
    {
        lock (_lock)
        {
            var lane = _lanes[from.Session.Lane.Number]!;
            lane.Lane.Post(lane, new Narrowing(from, to));
        }
    }

    /// <summary>The newest klines now. False until the feed is ready, and while it heals: then the grain knows better.</summary>
    public bool TryGetView(int intervals, out KlineView? view)
    {
        lock (_lock)
        {
            view = _phase == Phase.Live ? View(intervals, int.MaxValue) : null;
            return view is not null;
        }
    }

    /// <summary>Tells the followers the state of the mint's source.</summary>
    public void Tell(StatusMessage status) => PostToLanes(status);

    /// <summary>Once a second: looks at the grain from time to time, so that it stays active, and whether updates were lost without a later one to show it.</summary>
    public void Tick(LaneTick tick)
    {
        PostToLanes(tick);
        lock (_lock)
        {
            _ring.ForgetRead();
            if (_stopped || _phase != Phase.Live)
            {
                return;
            }

            if (_ahead.Count > 0 && _services.Time.GetElapsedTime(_aheadSince) >= AheadFor)
            {
                // The trades did not come again: what the grain has is what there is.
                _ahead.Clear();
                StartHealing();
                return;
            }

            if (_expected is { } expected)
            {
                if (_state.IsAtOrAfter(expected.Epoch, expected.Seq))
                {
                    _expected = null;
                }
                else if (_services.Time.GetElapsedTime(_expectedAt) >= TimeSpan.FromSeconds(2))
                {
                    _expected = null;
                    StartHealing();
                }

                return;
            }

            if (_touching || _services.Time.GetElapsedTime(_touchedAt) < _services.Options.Touch)
            {
                return;
            }

            _touching = true;
        }

        _ = Touch();
    }

    private void PostToLanes(object argument)
    {
        lock (_lock)
        {
            for (var i = 0; i < _lanes.Length; i++)
            {
                if (_followers[i] > 0)
                {
                    _lanes[i]!.Lane.Post(_lanes[i]!, argument);
                }
            }
        }
    }

    private async Task Touch()
    {
        KlineSnapshot? snapshot = null;
        try
        {
            snapshot = await _services.Cluster.GetSnapshot(Symbol);
        }
        catch (Exception e)
        {
            _services.Log.LogWarning(1508, e, "The grain of {Symbol} does not answer; its feed goes on", Symbol);
        }

        lock (_lock)
        {
            _touching = false;
            _touchedAt = _services.Time.GetTimestamp();
            if (snapshot is null || _stopped || _phase != Phase.Live)
            {
                return;
            }

            if (snapshot.Epoch > _state.Epoch)
            {
                StartHealing();
            }
            else if (snapshot.Epoch == _state.Epoch && snapshot.Seq > _state.Seq)
            {
                // Updates may be on their way still; if they do not come, they are lost.
                _expected = snapshot;
                _expectedAt = _services.Time.GetTimestamp();
            }
            else if (snapshot.Epoch == _state.Epoch)
            {
                Rebase(snapshot);
            }
        }
    }

    /// <summary>Starts again from a newer cut of the same history: drops klines that the archive holds by now.</summary>
    private void Rebase(KlineSnapshot snapshot)
    {
        // What the snapshot lacks must still be in the ring.
        if (Missed((snapshot.Epoch, snapshot.Seq), int.MaxValue) is not { } since)
        {
            return;
        }

        var state = State.Of(snapshot);
        foreach (var message in since)
        {
            state.Apply(message.Update);
        }

        KeepAhead(_state, state, []);
        RememberCorrected(_state, state);
        _state = state;
        _view = null;
    }

    /// <summary>Keeps the revisions of corrected klines that <paramref name="next"/> has no more: the archive has them then, and healing must not tell them again.</summary>
    private void RememberCorrected(State told, State next)
    {
        var since = next.Clock - next.Rules.CorrectionWindow - next.Rules.Grace;
        foreach (var gone in _corrected.Keys.Where(k => k.OpenTime.AddSeconds(k.Interval.Seconds()) < since).ToArray())
        {
            _corrected.Remove(gone);
        }

        foreach (var interval in told.Rules.Intervals)
        {
            foreach (ref readonly var kline in told.Series(interval).Span)
            {
                if (kline.Revision > 0 && kline.IsFinal && !kline.IsFlat && !next.Series(interval).TryGet(kline.OpenTime, out _))
                {
                    _corrected[(interval, kline.OpenTime)] = kline.Revision;
                }
            }
        }
    }

    private void OnUpdate(KlineUpdate update)
    {
        lock (_lock)
        {
            if (_stopped)
            {
                return;
            }

            if (_phase == Phase.Live && Take(update))
            {
                return;
            }

            // More than the ring would be lost to those who come back anyway: the snapshot that is on its way has all but the newest.
            if (_waiting.Count >= _services.Options.Ring)
            {
                _waiting.RemoveAt(0);
            }

            _waiting.Add(update);
            if (_phase == Phase.Live)
            {
                StartHealing();
            }
        }
    }

    /// <summary>Applies an update that follows, forgets one that is known. False for one that something is missing before.</summary>
    private bool Take(KlineUpdate update)
    {
        if (update.Epoch < _state.Epoch || (update.Epoch == _state.Epoch && update.Seq <= _state.Seq))
        {
            return true;
        }

        if (update.Epoch != _state.Epoch || update.Seq != _state.Seq + 1)
        {
            return false;
        }

        _services.Counters?.AddUpdate();
        Publish(_ahead.Count == 0 ? update : Trim(update));
        return true;
    }

    /// <summary>Without the klines that followers were told before, in this form or a later one, by a grain whose state was lost since.</summary>
    private KlineUpdate Trim(KlineUpdate update)
    {
        var grace = _state.Rules.Grace;
        var klines = update.Klines.RemoveAll(kline =>
        {
            if (!_ahead.Contains((kline.Interval, kline.OpenTime)) || !_state.Series(kline.Interval).TryGet(kline.OpenTime, out var told))
            {
                // A bucket without trades, then as now, that was over before: told, or derived by whoever reads.
                return kline.IsFlat && kline.EndTime + grace <= _aheadClock;
            }

            if (IsAhead(told, kline))
            {
                // Also a bucket that only begins again, for a grain that has none of its trades yet.
                return true;
            }

            _ahead.Remove((kline.Interval, kline.OpenTime));
            return told.Equals(kline);
        });
        return klines.Length == update.Klines.Length ? update : update with { Klines = klines };
    }

    /// <summary>Puts what followers were told beyond <paramref name="next"/> into it, so that nobody is told less than before while the grain takes the same trades again.</summary>
    /// <param name="archived">What the archive holds of late. The grain may have stored klines there already as it made them again, with fewer trades than were told.</param>
    private void KeepAhead(State told, State next, IReadOnlyList<Kline> archived)
    {
        if (next.Epoch != told.Epoch && told.Epoch != 0)
        {
            _ahead.Clear();
            foreach (var kline in archived)
            {
                if (kline.OpenTime < KlineView.Covered(next.CoveredFrom, kline.Interval) && told.Series(kline.Interval).TryGet(kline.OpenTime, out var known) && IsAhead(known, kline))
                {
                    _ahead.Add((kline.Interval, kline.OpenTime));
                }
            }

            foreach (var interval in next.Rules.Intervals)
            {
                var covered = KlineView.Covered(next.CoveredFrom, interval);
                foreach (var kline in told.Series(interval).Span)
                {
                    if (kline.OpenTime >= covered && (!next.Series(interval).TryGet(kline.OpenTime, out var now) || IsAhead(kline, now)))
                    {
                        _ahead.Add((interval, kline.OpenTime));
                    }
                }
            }

            _aheadSince = _services.Time.GetTimestamp();
            _aheadClock = told.Clock;
        }

        if (_ahead.Count == 0)
        {
            return;
        }

        foreach (var (interval, openTime) in _ahead)
        {
            if (told.Series(interval).TryGet(openTime, out var kline) && (!next.Series(interval).TryGet(openTime, out var now) || IsAhead(kline, now)))
            {
                next.Put(kline);
            }
        }

        next.Advance(_aheadClock);
    }

    /// <summary>Whether a kline holds more than another of the same bucket: a later revision, more trades, or its end.</summary>
    private static bool IsAhead(in Kline kline, in Kline other) =>
        kline.Revision != other.Revision ? kline.Revision > other.Revision
        : kline.TradeCount != other.TradeCount ? kline.TradeCount > other.TradeCount
        : kline.IsFinal && !other.IsFinal;

    private void Publish(KlineUpdate update)
    {
        var message = new FeedMessage(update, _state.Epoch, _state.Seq) { SymbolId = Id, Taker = Taker(update), Since = _services.Time.GetTimestamp() };
        _state.Apply(update);
        _view = null;
        PostToLanes(message);
        _ring.Add(message);
    }

    /// <summary>What an update that is not applied yet adds to the volume of its newest kline, which every trade in time is part of.</summary>
    private TakerSide Taker(KlineUpdate update)
    {
        var newest = default(Kline);
        foreach (ref readonly var kline in update.Klines.AsSpan())
        {
            if (kline.Interval > newest.Interval || (kline.Interval == newest.Interval && kline.OpenTime > newest.OpenTime))
            {
                newest = kline;
            }
        }

        if (newest.Interval == KlineInterval.None || newest.Revision > 0)
        {
            return TakerSide.None;
        }

        _state.Series(newest.Interval).TryGet(newest.OpenTime, out var before);
        var bought = newest.TakerBuyBaseVolume - before.TakerBuyBaseVolume;
        var sold = newest.BaseVolume - before.BaseVolume - bought;
        return (bought > 0, sold > 0) switch
        {
            (true, false) => TakerSide.Buyers,
            (false, true) => TakerSide.Sellers,
            (true, true) => TakerSide.Both,
            _ => TakerSide.None,
        };
    }

    private void ApplyWaiting()
    {
        _waiting.Sort(static (a, b) => a.Epoch != b.Epoch ? a.Epoch.CompareTo(b.Epoch) : a.Seq.CompareTo(b.Seq));
        var taken = 0;
        while (taken < _waiting.Count && Take(_waiting[taken]))
        {
            taken++;
        }

        _waiting.RemoveRange(0, taken);
        if (_waiting.Count > 0)
        {
            StartHealing();
        }
    }

    private void StartHealing()
    {
        _phase = Phase.Healing;
        Heals++;
        _ = Heal();
    }

    private async Task Heal()
    {
        for (var attempt = 0; ; attempt++)
        {
            if (attempt > 0)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(2_000, 25 << Math.Min(attempt, 7))), _services.Time);
            }

            try
            {
                var snapshot = await _services.Cluster.GetSnapshot(Symbol);
                State state;
                long knownEpoch;
                lock (_lock)
                {
                    if (_stopped)
                    {
                        return;
                    }

                    state = _state;
                    knownEpoch = _waiting.Count == 0 ? 0 : _waiting.Max(u => u.Epoch);
                }

                if (snapshot.Epoch < knownEpoch || !new State(snapshot).IsAtOrAfter(state.Epoch, state.Seq))
                {
                    // An answer from before what was seen already: a newer one comes.
                    continue;
                }

                var archived = await ReadArchived(state);
                lock (_lock)
                {
                    Debug.Assert(ReferenceEquals(state, _state), "only healing changes the state while it goes on");
                    var next = State.Of(snapshot);
                    KeepAhead(_state, next, archived);
                    var changed = Difference(_state, next, archived, _corrected);
                    RememberCorrected(_state, next);
                    foreach (var kline in changed.Where(k => k is { Revision: > 0, IsFinal: true, IsFlat: false }))
                    {
                        _corrected[(kline.Interval, kline.OpenTime)] = kline.Revision;
                    }

                    var update = new KlineUpdate { Symbol = Symbol, Epoch = snapshot.Epoch, Seq = snapshot.Seq, EventTime = snapshot.Clock, ReceivedTime = snapshot.Clock, Klines = changed };
                    var message = new FeedMessage(update, _state.Epoch, _state.Seq) { SymbolId = Id };
                    _state = next;
                    _view = null;
                    _phase = Phase.Live;
                    if (message.BeforeEpoch != update.Epoch || message.BeforeSeq != update.Seq || changed.Length > 0)
                    {
                        PostToLanes(message);
                        _ring.Add(message);
                    }

                    ApplyWaiting();
                }

                return;
            }
            catch (Exception e)
            {
                _services.Log.LogWarning(1509, e, "The feed of {Symbol} waits for a snapshot of its grain", Symbol);
            }
        }
    }

    /// <summary>Klines that may have changed and gone to the archive since <paramref name="state"/>.</summary>
    private async Task<IReadOnlyList<Kline>> ReadArchived(State state)
    {
        if (state.Clock == DateTimeOffset.MinValue)
        {
            return [];
        }

        try
        {
            // Trades older than the correction window change nothing.
            return await _services.Archive.ReadEndingAfter(Symbol, state.Clock - state.Rules.CorrectionWindow - state.Rules.Grace);
        }
        catch (Exception e)
        {
            // Whatever it is: what could not be archived is in the snapshot, and the klines go on live without the rest.
            _services.Log.LogWarning(1510, e, "The feed of {Symbol} goes on without the archive; followers may miss corrections until they ask again", Symbol);
            return [];
        }
    }

    /// <summary>The klines that followers of <paramref name="before"/> must get to have <paramref name="after"/>, oldest first within an interval.</summary>
    /// <remarks>
    /// A kline that stood in the archive before the state began is known by its revision at most: one with another above 0 than was <paramref name="corrected"/> is sent again.
    /// </remarks>
    private static ImmutableArray<Kline> Difference(State before, State after, IReadOnlyList<Kline> archived, Dictionary<(KlineInterval Interval, DateTimeOffset OpenTime), int> corrected)
    {
        var changed = ImmutableArray.CreateBuilder<Kline>();
        foreach (var interval in after.Rules.Intervals)
        {
            var old = before.Series(interval);
            var oldCovered = KlineView.Covered(before.CoveredFrom, interval);
            var newCovered = KlineView.Covered(after.CoveredFrom, interval);
            var all = new KlineSeries();
            foreach (var kline in archived)
            {
                // The archive was read after the snapshot was taken: what it has beyond the snapshot comes as updates.
                if (kline.Interval == interval && kline.OpenTime < newCovered)
                {
                    all.Put(kline);
                }
            }

            foreach (var kline in after.Series(interval).Span)
            {
                all.Put(kline);
            }

            List<Kline> found = [];
            foreach (var kline in all.Span)
            {
                if (old.TryGet(kline.OpenTime, out var known) ? !known.Equals(kline) : kline.OpenTime >= oldCovered || (kline.Revision > 0 && corrected.GetValueOrDefault((interval, kline.OpenTime)) < kline.Revision) || !kline.IsFinal)
                {
                    found.Add(kline);
                }
            }

            if (after.Rules.Empty == EmptyPolicy.Flat && all.Count > 0)
            {
                AddFlats(found, interval, before, old, after, all);
            }

            changed.AddRange(found);
        }

        return changed.ToImmutable();
    }

    private static void AddFlats(List<Kline> found, KlineInterval interval, State before, KlineSeries old, State after, KlineSeries all)
    {
        var length = interval.Seconds();
        var last = interval.OpenSeconds(KlineIntervals.FloorSeconds(after.Clock));
        var first = all.Span[0].OpenTime.ToUnixTimeSeconds();
        if (before.Clock > DateTimeOffset.MinValue)
        {
            // Before the last final bucket of then nothing changed, unless an older kline did.
            var from = interval.OpenSeconds(KlineIntervals.FloorSeconds(before.Clock - before.Rules.Grace));
            if (found.Count > 0)
            {
                from = Math.Min(from, found[0].OpenTime.ToUnixTimeSeconds());
            }

            first = Math.Max(first, from);
        }

        first = Math.Max(first, last - ((MostFlats - 1) * length));
        List<Kline> flats = [];
        for (var open = first; open <= last; open += length)
        {
            if (Flat(all, after, interval, open) is { } flat && !(Flat(old, before, interval, open) is { } known && known.Equals(flat)))
            {
                flats.Add(flat);
            }
        }

        if (flats.Count > 0)
        {
            found.AddRange(flats);
            found.Sort(static (a, b) => a.OpenTime.CompareTo(b.OpenTime));
        }
    }

    private static Kline? Flat(KlineSeries series, State state, KlineInterval interval, long open)
    {
        var time = DateTimeOffset.FromUnixTimeSeconds(open);
        if (time > state.Clock)
        {
            return null;
        }

        var index = series.IndexOf(time);
        return index == 0 || (index < series.Count && series.Span[index].OpenTime == time)
            ? null
            : KlineHistory.Flat(state.Rules, state.Clock, interval, open, series.Span[index - 1].Close);
    }

    /// <summary>The updates after a position; null where the ring does not reach back to it, or there are more than wanted.</summary>
    private List<FeedMessage>? Missed((long Epoch, long Seq) position, int most) => position == (_state.Epoch, _state.Seq) ? [] : _ring.After(position, most);

    /// <summary>The state as an immutable view, made once for all who come between two updates.</summary>
    private KlineView View(int intervals, int newest)
    {
        if (_view is not null && _viewOf == (intervals, newest))
        {
            return _view;
        }

        var klines = ImmutableArray.CreateBuilder<ImmutableArray<Kline>>(KlineIntervals.Count);
        for (var i = 0; i < KlineIntervals.Count; i++)
        {
            var span = (intervals & (1 << i)) == 0 ? [] : _state.Series((KlineInterval)i).Span;
            klines.Add([.. newest < span.Length ? span[^newest..] : span]);
        }

        _viewOf = (intervals, newest);
        return _view = new KlineView(Symbol, _state.Epoch, _state.Seq, _state.Clock, _state.Source, _state.Rules, klines.MoveToImmutable(), _state.CoveredFrom);
    }

    /// <summary>A mint's newest klines at one position, changed in place by the updates after it.</summary>
    private sealed class State
    {
        private readonly KlineSeries[] _series = new KlineSeries[KlineIntervals.Count];

        public State(KlineSnapshot snapshot)
        {
            Epoch = snapshot.Epoch;
            Seq = snapshot.Seq;
            Clock = snapshot.Clock;
            Source = snapshot.Source;
            Rules = snapshot.Rules;
            CoveredFrom = snapshot.CoveredFrom;
        }

        public static State None { get; } = new(new KlineSnapshot { Symbol = "", Epoch = 0, Seq = 0, Clock = DateTimeOffset.MinValue, Source = "", Rules = new KlineRules(), Klines = [], CoveredFrom = [] });

        public long Epoch { get; }

        public long Seq { get; private set; }

        public DateTimeOffset Clock { get; private set; }

        public string Source { get; }

        public KlineRules Rules { get; }

        public ImmutableArray<DateTimeOffset> CoveredFrom { get; }

        public static State Of(KlineSnapshot snapshot)
        {
            var state = new State(snapshot);
            foreach (ref readonly var kline in snapshot.Klines.AsSpan())
            {
                state.Put(kline);
            }

            return state;
        }

        public KlineSeries Series(KlineInterval interval) => _series[(int)interval] ??= new KlineSeries();

        public bool IsAtOrAfter(long epoch, long seq) => Epoch > epoch || (Epoch == epoch && Seq >= seq);

        public void Apply(KlineUpdate update)
        {
            Seq = update.Seq;
            foreach (ref readonly var kline in update.Klines.AsSpan())
            {
                Put(kline);
            }

            // A recording's clock is the newest event time, which an update carries; a live source's is ours, which it was received by.
            Advance(update.ReceivedTime > update.EventTime ? update.ReceivedTime : update.EventTime);
        }

        public void Advance(DateTimeOffset clock) => Clock = clock > Clock ? clock : Clock;

        public void Put(in Kline kline)
        {
            // Flat klines are derived wherever klines are read.
            if (!kline.IsFlat)
            {
                Series(kline.Interval).Put(kline);
            }
        }
    }
}

/// <summary>Where a follower begins.</summary>
/// <param name="View">Null if it resumes.</param>
internal readonly record struct Attached(long Epoch, long Seq, bool Recovered, KlineView? View);

/// <summary>What every feed of the node needs.</summary>
internal sealed record MintFeedServices(IKlineCluster Cluster, IKlineArchive Archive, IReadOnlyList<Lane> Lanes, WebOptions.FeedOptions Options, TimeProvider Time, ILogger Log)
{
    /// <summary>Where updates are counted; null where nobody counts.</summary>
    public WebCounters? Counters { get; init; }
}
