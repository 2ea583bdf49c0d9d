using System.Collections.Immutable;
using System.Diagnostics;
using System.Runtime.InteropServices;
using KlineOrleans.Contracts;

namespace KlineOrleans.Grains;

/// <summary>What <see cref="KlineBuilder.Apply"/> did with a trade.</summary>
public enum ApplyResult
{
    Applied,

    /// <summary>Seen before; nothing changed.</summary>
    Duplicate,

    /// <summary>Older than the correction window, and its shortest bucket is final; nothing changed.</summary>
    Late,
}

/// <summary>Builds the klines of one mint, in all intervals, from its trades and a clock. Plain arithmetic; not thread safe.</summary>
/// <remarks>
/// <para>
/// The intervals nest, so an in-order trade is added to the shortest interval alone. A bucket's sums flow into the next interval when the bucket ends,
/// and a longer interval's newest kline is its own sums and those of the newer, shorter buckets inside it. A trade that arrives late is added to each
/// older bucket it falls in, up to the first interval whose newest bucket holds it.
/// </para>
/// <para>
/// A bucket stays here until it is final and <see cref="ArchiveTaken"/>; with <see cref="AddHistory"/> it stays through the correction window. Buckets
/// before <see cref="CoveredFrom"/> are in the archive only: <see cref="NeedsHistory"/> tells when a trade needs them back.
/// </para>
/// <para>
/// <see cref="BeginFrom"/> starts from klines that somebody else built. Their sums stand beside those of the trades since (<see cref="Level.Seed"/>) and join
/// them when the bucket ends, so that they flow into no longer interval: each longer one has its own.
/// </para>
/// <para>
/// A trade whose event time is an estimate is in no sum: its buckets exist and are shown with it, so that it can move without a trace when it is delivered again
/// with the right time. A bucket that holds one does not become final for <see cref="EstimateHold"/>. After that it does, and moving the trade is a correction
/// of both klines; but a stored kline cannot be taken back: its only trade stays where it was.
/// </para>
/// <para>Sums are exact to 28 significant digits: adding more rounds, and order may then show in the last digit.</para>
/// </remarks>
public sealed class KlineBuilder
{
    /// <summary>Flat klines announced at once, per interval, after a long silence. Older ones are derived by whoever reads history.</summary>
    public const int MostFlatKlines = 1_000;

    /// <summary>How long, by the clock, a bucket waits for the right time of a trade that was estimated to be in it before it becomes final.</summary>
    public static readonly TimeSpan EstimateHold = TimeSpan.FromMinutes(5);

    /// <summary>How much longer than the window an estimate is remembered: as far as it may be off.</summary>
    private const long EstimateSlack = 2 * TimeSpan.TicksPerMinute;

    private const byte StateVersion = 3;

    /// <summary>Room for flat klines that an interval keeps once they are announced.</summary>
    private const int MostFlatsKept = 16;

    private static readonly Comparer<Kline> ByOpenTime = Comparer<Kline>.Create(static (a, b) => a.OpenTime.CompareTo(b.OpenTime));

    private readonly Level[] _levels;
    private readonly RecentTrades _recent = new();

    /// <summary>Trades whose event time is an estimate, in the order of arrival; few. They are in <see cref="_recent"/> too.</summary>
    private readonly List<Trade> _estimated = [];
    private readonly long _grace;
    private readonly long _window;

    /// <summary>How long after its event time a trade may come and count.</summary>
    private readonly long _memory;

    /// <summary>Intervals that are not built any more, with final klines that the archive may lack.</summary>
    private readonly List<Level> _gone = [];

    /// <summary>The clock, in ticks since 1970; <see cref="long.MinValue"/> before the first trade.</summary>
    private long _clock = long.MinValue;

    /// <summary>Trades before this moment, in ticks since 1970, are in the klines that <see cref="BeginFrom"/> was given.</summary>
    private long _begun = long.MinValue;

    /// <summary>The next moment at which a bucket becomes final or, with flat klines, begins: the earliest of <see cref="_due"/>.</summary>
    private long _nextDue = long.MaxValue;

    /// <summary>The same by interval, side by side, so that a look at the clock touches no interval that has nothing to do.</summary>
    private readonly long[] _due;

    private bool _changed;
    private bool _currentsChanged;
    /// <summary>The clock when a trade last changed a final bucket while history was held; <see cref="long.MinValue"/>: none is held.</summary>
    private long _historyUsed = long.MinValue;

    public KlineBuilder(KlineRules rules)
    {
        ArgumentNullException.ThrowIfNull(rules);
        if (rules.Intervals.IsDefaultOrEmpty || !rules.Intervals.SequenceEqual(rules.Intervals.Distinct().Order()) || rules.Intervals[0] == KlineInterval.None)
        {
            throw new ArgumentException($"Intervals must be distinct, shortest first: [{string.Join(", ", rules.Intervals.IsDefault ? [] : rules.Intervals)}].", nameof(rules));
        }

        Rules = rules;
        _grace = rules.Grace.Ticks;
        _window = Math.Max(_grace, rules.CorrectionWindow.Ticks);
        _levels = [.. rules.Intervals.Select((interval, index) => new Level(interval, index))];
        _memory = Math.Max(_window, (_levels[0].Length * TimeSpan.TicksPerSecond) + _grace);
        _due = new long[_levels.Length];
        _due.AsSpan().Fill(long.MaxValue);
    }

    public KlineRules Rules { get; }

    /// <summary>The clock that makes klines final; <see cref="DateTimeOffset.MinValue"/> before the first trade.</summary>
    public DateTimeOffset Clock => _clock == long.MinValue ? DateTimeOffset.MinValue : FromTicks(_clock);

    /// <summary>When the clock next makes a difference; null if it never will without another trade.</summary>
    public DateTimeOffset? NextDue => _nextDue == long.MaxValue ? null : FromTicks(_nextDue);

    /// <summary>The clock at which a bucket with trades next becomes final; null if none is open.</summary>
    public DateTimeOffset? NextFinal
    {
        get
        {
            var next = long.MaxValue;
            foreach (var level in _levels)
            {
                if (level.Finals < level.Closed.Count)
                {
                    var open = level.Closed[level.Finals].Sums.Open;
                    next = Math.Min(next, Math.Max(DueOf(level, open), HeldUntil(level, open)));
                }

                // A bucket that only a part is known of is never stored.
                if (level.Current.Exists && level.Current.Open != level.Partial)
                {
                    next = Math.Min(next, DueOf(level, level.Current.Open));
                }
            }

            return next == long.MaxValue ? null : FromTicks(next);
        }
    }

    /// <summary>Whether <see cref="TakeChanges"/> has anything to give.</summary>
    public bool HasChanges => _changed;

    /// <summary>From <see cref="BeginFrom"/> until <see cref="CaughtUp"/>: trades up to the present are still to come, so that only their own times may move the clock.</summary>
    public bool IsCatchingUp { get; private set; }

    /// <summary>Final klines that <see cref="TakeUnarchived"/> would give.</summary>
    public int Unarchived { get; private set; }

    /// <summary>Archived klines let go so far. If it grew while history was read, what was read may lack them: read again.</summary>
    public long Forgotten { get; private set; }

    /// <summary>
    /// Whether applying the trade needs klines that are in the archive only. Then read them (<see cref="HistoryFrom"/>) and give them to
    /// <see cref="AddHistory"/> first. Moves the clock to the trade's received time.
    /// </summary>
    public bool NeedsHistory(in Trade trade)
    {
        Advance(Ticks(trade.ReceivedTime));
        var seconds = Seconds(trade.EventTime);
        if (Ticks(trade.EventTime) < _begun)
        {
            return false;
        }

        var first = _levels[0];
        if (seconds >= first.Current.Open && first.Current.Exists)
        {
            return false;
        }

        return (!_recent.Contains(trade.Order.Id) || (!trade.IsEventTimeEstimated && FindEstimated(trade.Order.Id) >= 0)) && LacksHistory(trade);
    }

    /// <summary>Whether a kline that the trade is in or would be in stands in the archive only, and the trade is not too late to matter.</summary>
    public bool LacksHistory(in Trade trade)
    {
        if (IsLate(trade))
        {
            return false;
        }

        var seconds = Seconds(trade.EventTime);
        foreach (var level in _levels)
        {
            var open = level.Interval.OpenSeconds(seconds);
            if (open < level.CoveredFrom && open != level.Partial)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// Forgets everything and begins from klines that another has built up to <paramref name="from"/>: trades before it are in them and count as seen, those from
    /// it on are still to come. Final klines not archived are forgotten too. The clock is set to that moment, backwards if need be, and <see cref="IsCatchingUp"/>.
    /// </summary>
    /// <param name="from">Where trades go on, UTC.</param>
    /// <param name="forming">The sums so far of the buckets that hold <paramref name="from"/> and began before it. Other klines and intervals not built are passed over.</param>
    /// <param name="unknown">
    /// Intervals whose sums so far nobody knows. Their bucket at <paramref name="from"/> is never shown, nor given to the archive; nor is that of an interval
    /// whose sums are missing while those of a shorter one are there.
    /// </param>
    /// <param name="before">For each interval (index: its place in <see cref="KlineRules.Intervals"/>) the newest kline before the bucket at <paramref name="from"/>; null where there is none.</param>
    public void BeginFrom(DateTimeOffset from, ReadOnlySpan<Kline> forming, ReadOnlySpan<KlineInterval> unknown, ReadOnlySpan<Kline?> before)
    {
        _begun = _clock = Ticks(from);
        IsCatchingUp = true;
        _recent.Clear();
        _estimated.Clear();
        _historyUsed = long.MinValue;
        Unarchived = 0;
        Forgotten++;
        _changed = _currentsChanged = true;
        decimal? newestClose = null;
        var isEmpty = false;
        for (var i = _levels.Length - 1; i >= 0; i--)
        {
            var level = _levels[i] = new Level(_levels[i].Interval, i);
            level.CoveredFrom = level.Interval.OpenSeconds(Seconds(from));
            foreach (ref readonly var kline in forming)
            {
                if (kline.Interval == level.Interval && kline.OpenTime == kline.Interval.OpenTime(from) && kline.OpenTime < from)
                {
                    level.Seed = new Seed(Bucket.FromKline(kline));
                    newestClose = kline.Close.Value;
                }
            }

            if (level.Seed is null && level.CoveredFrom * TimeSpan.TicksPerSecond < Ticks(from))
            {
                // Nothing traded in the longer bucket: then nothing did in a shorter one inside it.
                isEmpty |= !unknown.Contains(level.Interval);
                level.Partial = isEmpty ? Bucket.None : level.CoveredFrom;
            }
        }

        var shorterHasPast = false;
        foreach (var level in _levels)
        {
            var open = level.CoveredFrom;
            if (shorterHasPast && level.Seed is null)
            {
                level.Partial = open;
            }

            var hasPast = level.Seed is not null || level.Partial != Bucket.None;
            shorterHasPast |= hasPast;

            // Without a trade in this bucket, the newest trade of all stands before it. Where only a part is known, what follows it goes on from that trade, or from nothing.
            level.BaseClose = level.Partial != Bucket.None ? newestClose : level.Seed is not null || newestClose is null ? CloseBefore(open, before) : newestClose;
            level.BaseRevision = before[level.Index]?.Revision ?? 0;
            _due[level.Index] = long.MaxValue;
            if (level.BaseClose is not null)
            {
                level.FlatFrom = open;
            }

            if (hasPast)
            {
                Begin(level, open);
            }

            AnnounceFlats(level, long.MaxValue);
            _due[level.Index] = DueOf(level);
        }

        FindNextDue();
    }

    /// <summary>Every trade up to the present has come: the source's clock counts again.</summary>
    public void CaughtUp() => IsCatchingUp = false;

    /// <summary>The klines that <see cref="AddHistory"/> needs are those that end after this moment.</summary>
    public DateTimeOffset HistoryFrom(in Trade oldest)
    {
        var from = Math.Min(Ticks(oldest.EventTime), Math.Max(_clock, Ticks(oldest.ReceivedTime)) - _window);
        return FromTicks(from);
    }

    /// <summary>Takes klines back from the archive.</summary>
    /// <param name="klines">All archived klines, of every interval, that end after <paramref name="from"/>.</param>
    /// <param name="before">For each interval (index: its place in <see cref="KlineRules.Intervals"/>) the newest kline before those; null where there is none.</param>
    public void AddHistory(IReadOnlyList<Kline> klines, DateTimeOffset from, ReadOnlySpan<Kline?> before)
    {
        _historyUsed = _clock;
        for (var i = 0; i < _levels.Length; i++)
        {
            var level = _levels[i];
            var covered = level.Interval.OpenSeconds(Seconds(from));
            if (covered >= level.CoveredFrom)
            {
                continue;
            }

            var at = 0;
            foreach (var kline in klines)
            {
                if (kline.Interval != level.Interval || kline.OpenTime.ToUnixTimeSeconds() >= level.CoveredFrom)
                {
                    continue;
                }

                Debug.Assert(kline is { IsFinal: true, IsFlat: false });
                ref var closed = ref level.Closed.Insert(at++);
                closed.Sums = Bucket.FromKline(kline);
                closed.Revision = kline.Revision;
                closed.IsFinal = true;
                closed.IsStored = true;
                level.Finals++;
            }

            level.BaseClose = before[i]?.Close.Value;
            level.BaseRevision = before[i]?.Revision ?? 0;
            level.CoveredFrom = covered;
        }
    }

    /// <summary>Adds one trade. Moves the clock to its received time first.</summary>
    public ApplyResult Apply(in Trade trade)
    {
        Advance(Ticks(trade.ReceivedTime));
        var seconds = Seconds(trade.EventTime);
        if (Ticks(trade.EventTime) < _begun)
        {
            return ApplyResult.Duplicate;
        }

        if (IsLate(trade))
        {
            return _recent.Contains(trade.Order.Id) || FindEstimated(trade.Order.Id) >= 0 ? ApplyResult.Duplicate : ApplyResult.Late;
        }

        var estimated = FindEstimated(trade.Order.Id);
        if (estimated >= 0)
        {
            return trade.IsEventTimeEstimated ? ApplyResult.Duplicate : Move(estimated, trade);
        }

        if (!_recent.TryAdd(trade.Order.Id, seconds))
        {
            return ApplyResult.Duplicate;
        }

        if (trade.IsEventTimeEstimated)
        {
            _estimated.Add(trade);
        }

        Place(trade, seconds, null);
        return ApplyResult.Applied;
    }

    /// <summary>Puts a trade into its buckets.</summary>
    /// <param name="from">Where it was until now; buckets that it was in already change in nothing.</param>
    private void Place(in Trade trade, long seconds, long? from)
    {
        _changed = true;
        var added = trade.IsEventTimeEstimated;
        for (var i = 0; i < _levels.Length; i++)
        {
            var level = _levels[i];
            ref var current = ref level.Current;
            if (current.Exists && seconds >= current.Open && seconds < current.Open + level.Length)
            {
                if (!added)
                {
                    current.Add(trade);
                }

                break;
            }

            var open = level.Interval.OpenSeconds(seconds);
            if (open > level.Newest && DueOf(level, open) > _clock)
            {
                if (current.Exists)
                {
                    Close(i);
                }

                Begin(level, open);
                if (!added)
                {
                    // Every longer interval has it from here: the sums flow up.
                    level.Current.Add(trade);
                    added = true;
                }
            }
            else if (from is { } old && level.Interval.OpenSeconds(old) == open && level.Find(open) is >= 0 and var same)
            {
                // As an estimate it was shown there already.
                level.Closed[same].Sums.Add(trade);
            }
            else
            {
                AddToOlder(level, open, trade);
            }
        }

        // One flag for all: every interval from the one it was added to upwards has changed, and marking each would touch them all.
        _currentsChanged = true;
        if (_nextDue <= _clock)
        {
            MakeFinal();
            FindNextDue();
        }
    }

    private int FindEstimated(in TradeId id)
    {
        for (var i = 0; i < _estimated.Count; i++)
        {
            if (_estimated[i].Order.Id == id)
            {
                return i;
            }
        }

        return -1;
    }

    /// <summary>The right time of a trade that was estimated has come.</summary>
    private ApplyResult Move(int estimated, in Trade trade)
    {
        var was = _estimated[estimated];
        var old = Seconds(was.EventTime);
        var seconds = Seconds(trade.EventTime);
        _estimated.RemoveAt(estimated);
        foreach (var level in _levels)
        {
            var at = level.Find(level.Interval.OpenSeconds(old));
            if (at >= 0 && level.Interval.OpenSeconds(old) != level.Interval.OpenSeconds(seconds) && level.Closed[at].IsStored && Whole(level, level.Closed[at].Sums).UpdateCount == 0)
            {
                // The archive has a kline of this trade alone, and knows no way back.
                Settle(was);
                return ApplyResult.Duplicate;
            }
        }

        foreach (var level in _levels)
        {
            if (level.Interval.OpenSeconds(old) != level.Interval.OpenSeconds(seconds))
            {
                Leave(level, was);
            }
        }

        // Its own second may be forgotten before the one that it was estimated in.
        _recent.TryAdd(trade.Order.Id, seconds);
        Place(trade, seconds, old);
        foreach (var level in _levels)
        {
            _due[level.Index] = DueOf(level);
        }

        FindNextDue();
        if (_nextDue <= _clock)
        {
            MakeFinal();
            FindNextDue();
        }

        return ApplyResult.Applied;
    }

    /// <summary>A trade that was estimated to be in a bucket is in another.</summary>
    private void Leave(Level level, in Trade was)
    {
        var at = level.Find(level.Interval.OpenSeconds(Seconds(was.EventTime)));
        if (at < 0)
        {
            // In the newest bucket, which is shown without it from now on.
            return;
        }

        ref var closed = ref level.Closed[at];
        var whole = Whole(level, closed.Sums);
        var before = whole;
        before.Add(was);
        if (whole.UpdateCount > 0)
        {
            MarkChanged(level, ref closed);
            if (closed.IsFinal)
            {
                closed.Revision++;
                MarkUnarchived(ref closed);
            }

            if (before.LastPrice != whole.LastPrice)
            {
                CloseChanged(level, at, before.LastPrice);
            }

            return;
        }

        // Nothing is left of it, and nobody has stored it.
        level.Changed -= closed.IsChanged ? 1 : 0;
        level.Finals -= closed.IsFinal ? 1 : 0;
        Unarchived -= closed.IsUnarchived ? 1 : 0;
        var open = closed.Sums.Open;
        level.Closed.RemoveAt(at);
        if (Rules.Empty == EmptyPolicy.Flat && OpenPrice(level, at) is { } close)
        {
            AddFlat(level, open, close, RevisionOf(level, at), open < level.FlatFrom);
        }

        if (Rules.Open == OpenPolicy.PreviousClose && at < level.Closed.Count)
        {
            ref var following = ref level.Closed[at];
            MarkChanged(level, ref following);
            if (following.IsFinal)
            {
                following.Revision++;
                MarkUnarchived(ref following);
            }
        }
    }

    /// <summary>An estimate that nobody will correct becomes part of the sums.</summary>
    private void Settle(in Trade trade)
    {
        foreach (var level in _levels)
        {
            var open = level.Interval.OpenSeconds(Seconds(trade.EventTime));
            if (level.Current.Open == open)
            {
                level.Current.Add(trade);
                return;
            }

            var at = level.Find(open);
            if (at >= 0)
            {
                level.Closed[at].Sums.Add(trade);
            }
        }
    }

    private void SettleOld()
    {
        for (var i = _estimated.Count - 1; i >= 0; i--)
        {
            if (Ticks(_estimated[i].EventTime) < _clock - _window - EstimateSlack)
            {
                var trade = _estimated[i];
                _estimated.RemoveAt(i);
                Settle(trade);
            }
        }
    }

    /// <summary>The sums of a bucket with the trades that are estimated to be in it.</summary>
    private Bucket Whole(Level level, in Bucket sums)
    {
        var whole = sums;
        foreach (ref readonly var trade in CollectionsMarshal.AsSpan(_estimated))
        {
            if (level.Interval.OpenSeconds(Seconds(trade.EventTime)) == sums.Open)
            {
                whole.Add(trade);
            }
        }

        return whole;
    }

    private bool HoldsEstimate(Level level, long open)
    {
        foreach (ref readonly var trade in CollectionsMarshal.AsSpan(_estimated))
        {
            if (level.Interval.OpenSeconds(Seconds(trade.EventTime)) == open)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Until when a bucket waits for right times; <see cref="long.MinValue"/> if it does not.</summary>
    private long HeldUntil(Level level, long open)
    {
        var until = long.MinValue;
        foreach (ref readonly var trade in CollectionsMarshal.AsSpan(_estimated))
        {
            if (level.Interval.OpenSeconds(Seconds(trade.EventTime)) == open)
            {
                until = Math.Max(until, Ticks(trade.EventTime) + EstimateHold.Ticks);
            }
        }

        return until;
    }

    private decimal CloseOf(Level level, int at) => _estimated.Count == 0 ? level.Closed[at].Sums.LastPrice : Whole(level, level.Closed[at].Sums).LastPrice;

    /// <summary>Puts the trades of one slot into the chain's order. Those that were never applied must be applied first.</summary>
    /// <param name="slot">Every trade of the mint in one slot, and so of one event time, in the chain's order. Not empty.</param>
    public void SetOrder(ReadOnlySpan<Trade> slot)
    {
        if (slot.Length == 0 || IsLate(slot[0]))
        {
            return;
        }

        if (_estimated.Count > 0)
        {
            // Those whose time is estimated are in no sums: they stand right when they are delivered again.
            var known = new List<Trade>();
            foreach (ref readonly var trade in slot)
            {
                var at = FindEstimated(trade.Order.Id);
                if (at >= 0)
                {
                    _estimated[at] = _estimated[at] with { Order = trade.Order };
                    _changed = _currentsChanged = true;
                }
                else
                {
                    known.Add(trade);
                }
            }

            slot = CollectionsMarshal.AsSpan(known);
            if (slot.Length == 0)
            {
                return;
            }
        }

        var seconds = Seconds(slot[0].EventTime);
        foreach (var level in _levels)
        {
            var open = level.Interval.OpenSeconds(seconds);
            if (level.Current.Open == open)
            {
                if (level.Current.SetOrder(slot))
                {
                    _changed = _currentsChanged = true;
                }

                continue;
            }

            var at = level.Find(open);
            if (at < 0)
            {
                continue;
            }

            ref var closed = ref level.Closed[at];
            var closeBefore = CloseOf(level, at);
            if (!closed.Sums.SetOrder(slot))
            {
                continue;
            }

            MarkChanged(level, ref closed);
            if (closed.IsFinal)
            {
                closed.Revision++;
                MarkUnarchived(ref closed);
            }

            if (closeBefore != CloseOf(level, at))
            {
                CloseChanged(level, at, closeBefore);
            }
        }
    }

    /// <summary>Moves the clock: buckets whose end and grace it has passed become final. Moving it back has no effect.</summary>
    public void Advance(DateTimeOffset clock) => Advance(Ticks(clock));

    /// <summary>Gives every kline that changed since the last call, shortest interval first, oldest first within one.</summary>
    public void TakeChanges(ImmutableArray<Kline>.Builder into)
    {
        ArgumentNullException.ThrowIfNull(into);
        _changed = false;
        var newest = Bucket.Empty(Bucket.None);
        for (var i = 0; i < _levels.Length; i++)
        {
            var level = _levels[i];
            Newest(level, ref newest);
            var shown = Shown(level, newest);
            var isShown = shown is { Exists: true, UpdateCount: > 0 } && shown.Open != level.Partial;
            var from = into.Count;
            if (_currentsChanged && isShown && level.FlatBegun > shown.Open)
            {
                // Late, into a bucket that the clock has left: what was begun flat after it follows its close.
                for (var open = shown.Open + level.Length; open <= level.FlatBegun; open += level.Length)
                {
                    AddFlat(level, open, shown.LastPrice, 0, isFinal: false);
                }

                _changed = false;
            }

            TakeFlats(level, into);
            if (level.Changed > 0)
            {
                var at = level.Closed.Count;
                for (var left = level.Changed; left > 0;)
                {
                    left -= level.Closed[--at].IsChanged ? 1 : 0;
                }

                for (; at < level.Closed.Count; at++)
                {
                    ref var closed = ref level.Closed[at];
                    if (closed.IsChanged)
                    {
                        closed.IsChanged = false;
                        into.Add(ToKline(level, at));
                    }
                }

                level.Changed = 0;
            }

            if (_currentsChanged && isShown)
            {
                into.Add(shown.ToKline(level.Interval, OpenOf(level, level.Closed.Count), Rules.WicksIgnoreOpen, isFinal: false, revision: 0));
            }

            if (Rules.Empty == EmptyPolicy.Flat)
            {
                into.Sort(from, into.Count - from, ByOpenTime);
            }
        }

        _currentsChanged = false;
    }

    /// <summary>Every kline held, shortest interval first, oldest first within one. Flat ones are not held.</summary>
    public void CopyTo(ImmutableArray<Kline>.Builder into)
    {
        ArgumentNullException.ThrowIfNull(into);
        var newest = Bucket.Empty(Bucket.None);
        foreach (var level in _levels)
        {
            Newest(level, ref newest);
            for (var at = 0; at < level.Closed.Count; at++)
            {
                into.Add(ToKline(level, at));
            }

            var shown = Shown(level, newest);
            if (shown is { Exists: true, UpdateCount: > 0 } && shown.Open != level.Partial)
            {
                into.Add(shown.ToKline(level.Interval, OpenOf(level, level.Closed.Count), Rules.WicksIgnoreOpen, isFinal: false, revision: 0));
            }
        }
    }

    /// <summary>By interval (index: the enum's number): every kline with an open time at or after this one is held here. Intervals not built: the largest time.</summary>
    public ImmutableArray<DateTimeOffset> CoveredFrom
    {
        get
        {
            var result = Enumerable.Repeat(DateTimeOffset.MaxValue, KlineIntervals.Count).ToArray();
            foreach (var level in _levels)
            {
                result[(int)level.Interval] = level.CoveredFrom == long.MinValue ? DateTimeOffset.MinValue : DateTimeOffset.FromUnixTimeSeconds(level.CoveredFrom);
            }

            return [.. result];
        }
    }

    /// <summary>Final klines that the archive does not have yet. They stay here until <see cref="ArchiveTaken"/>.</summary>
    public void TakeUnarchived(ICollection<Kline> into)
    {
        ArgumentNullException.ThrowIfNull(into);
        foreach (var level in _levels)
        {
            CopyUnarchived(level, into);
        }

        foreach (var level in _gone)
        {
            CopyUnarchived(level, into);
        }
    }

    /// <summary>The klines of the last <see cref="TakeUnarchived"/> are in the archive, except those that changed since.</summary>
    public void ArchiveTaken()
    {
        foreach (var level in _levels)
        {
            MarkArchived(level);
        }

        foreach (var level in _gone)
        {
            MarkArchived(level);
        }

        _gone.RemoveAll(level => CountUnarchived(level) == 0);
        Forget();
    }

    /// <summary>Writes everything that <see cref="Read"/> needs to go on from here.</summary>
    internal void Write(StateWriter writer)
    {
        writer.Write(StateVersion);
        writer.Write((byte)Rules.Open);
        writer.Write((byte)Rules.Empty);
        writer.Write(Rules.WicksIgnoreOpen);
        writer.Write(Rules.Grace.Ticks);
        writer.Write(Rules.CorrectionWindow.Ticks);
        writer.Write(_clock);
        writer.Write(_begun);
        writer.Write(IsCatchingUp);
        writer.Write(_estimated.Count);
        foreach (ref readonly var trade in CollectionsMarshal.AsSpan(_estimated))
        {
            writer.Write(trade.Order);
            writer.Write(Ticks(trade.EventTime));
            writer.Write(trade.Price.Value);
            writer.Write(trade.BaseAmount);
            writer.Write(trade.QuoteAmount);
            writer.Write((byte)trade.TakerSide);
            writer.Write(trade.Count);
        }

        writer.Write(_levels.Length + _gone.Count);
        foreach (var level in _levels.Concat(_gone))
        {
            writer.Write((byte)level.Interval);
            writer.Write(level.IsGone);
            writer.Write(level.BuiltFrom);
            writer.Write(level.CoveredFrom);
            writer.Write(level.BaseClose.HasValue);
            if (level.BaseClose is { } close)
            {
                writer.Write(close);
            }

            writer.Write(level.BaseRevision);
            writer.Write(level.FlatFrom);
            writer.Write(level.FlatBegun);
            writer.Write(level.Current);
            writer.Write(level.NewestBegun);
            writer.Write(level.Partial);
            writer.Write(level.Seed is not null);
            if (level.Seed is { } seed)
            {
                writer.Write(seed.Sums);
            }

            // Final klines that the archive has are not needed again: they are read back if a late trade wants them.
            var from = 0;
            while (from < level.Finals && !level.Closed[from].IsUnarchived && !HoldsEstimate(level, level.Closed[from].Sums.Open))
            {
                from++;
            }

            writer.Write(level.Closed.Count - from);
            if (from > 0)
            {
                writer.Write(level.Closed[from - 1].Sums.LastPrice);
                writer.Write(level.Closed[from - 1].Revision);
                writer.Write(level.Closed[from - 1].Sums.Open + level.Length);
            }
            else
            {
                writer.Write(0m);
                writer.Write(-1);
                writer.Write(0L);
            }

            for (var at = from; at < level.Closed.Count; at++)
            {
                ref var closed = ref level.Closed[at];
                writer.Write(closed.Sums);
                writer.Write(closed.Revision);
                writer.Write(closed.IsFinal);
                writer.Write(closed.IsUnarchived);
            }
        }

        _recent.Write(writer);
    }

    /// <summary>A builder that goes on where <see cref="Write"/> was called.</summary>
    /// <param name="rules">
    /// Null: those that it was written with. Others may build other intervals than the state holds. Of those that are gone, what is final still goes to the archive.
    /// New ones begin with the next bucket: of the one that runs, only a part would be known.
    /// </param>
    /// <param name="reader">At the state's first byte.</param>
    /// <exception cref="InvalidDataException">The bytes are not such a state.</exception>
    internal static KlineBuilder Read(KlineRules? rules, ref StateReader reader)
    {
        var version = reader.ReadByte();
        if (version is 0 or > StateVersion)
        {
            throw new InvalidDataException($"Grain state has version {version}; this program reads the versions up to {StateVersion}.");
        }

        var stored = version < 3 ? new KlineRules() : new KlineRules
        {
            Open = (OpenPolicy)reader.ReadByte(),
            Empty = (EmptyPolicy)reader.ReadByte(),
            WicksIgnoreOpen = reader.ReadBoolean(),
            Grace = TimeSpan.FromTicks(reader.ReadInt64()),
            CorrectionWindow = TimeSpan.FromTicks(reader.ReadInt64()),
        };
        var clock = reader.ReadInt64();
        var begun = version > 1 ? reader.ReadInt64() : long.MinValue;
        var isCatchingUp = version > 1 && reader.ReadBoolean();
        var estimated = new List<Trade>();
        if (version > 1)
        {
            for (var n = reader.ReadInt32(); n > 0; n--)
            {
                var order = reader.ReadOrder();
                var time = FromTicks(reader.ReadInt64());
                estimated.Add(new Trade
                {
                    // Nobody looks at these two again.
                    Symbol = "",
                    ReceivedTime = time,
                    Order = order,
                    EventTime = time,
                    Price = new Price(reader.ReadDecimal()),
                    BaseAmount = reader.ReadDecimal(),
                    QuoteAmount = reader.ReadDecimal(),
                    TakerSide = (TakerSide)reader.ReadByte(),
                    Count = reader.ReadInt32(),
                    IsEventTimeEstimated = true,
                });
            }
        }

        var levels = new List<Level>();
        for (var n = reader.ReadInt32(); n > 0; n--)
        {
            levels.Add(ReadLevel(version, ref reader));
        }

        var builder = new KlineBuilder(rules ?? stored with { Intervals = [.. levels.Where(l => !l.IsGone).Select(l => l.Interval)] })
        {
            _clock = clock,
            _begun = begun,
            IsCatchingUp = isCatchingUp,
        };
        builder._estimated.AddRange(estimated);
        builder.Take(levels);
        builder._recent.Read(ref reader);
        foreach (var level in builder._levels)
        {
            builder._due[level.Index] = builder.DueOf(level);
        }

        builder.FindNextDue();
        return builder;
    }

    private static Level ReadLevel(byte version, ref StateReader reader)
    {
        var level = new Level((KlineInterval)reader.ReadByte(), -1);
        if (version > 2)
        {
            level.IsGone = reader.ReadBoolean();
            level.BuiltFrom = reader.ReadInt64();
        }

        level.CoveredFrom = reader.ReadInt64();
        level.BaseClose = reader.ReadBoolean() ? reader.ReadDecimal() : null;
        level.BaseRevision = reader.ReadInt32();
        level.FlatFrom = reader.ReadInt64();
        level.FlatBegun = reader.ReadInt64();
        level.Current = reader.ReadBucket();
        if (version > 1)
        {
            level.NewestBegun = reader.ReadInt64();
            level.Partial = reader.ReadInt64();
            level.Seed = reader.ReadBoolean() ? new Seed(reader.ReadBucket()) : null;
        }

        var count = reader.ReadInt32();
        var close = reader.ReadDecimal();
        var revision = reader.ReadInt32();
        var coveredFrom = reader.ReadInt64();
        if (revision >= 0)
        {
            level.BaseClose = close;
            level.BaseRevision = revision;
            level.CoveredFrom = coveredFrom;
        }

        for (; count > 0; count--)
        {
            ref var closed = ref level.Closed.Add();
            closed.Sums = reader.ReadBucket();
            closed.Revision = reader.ReadInt32();
            closed.IsFinal = reader.ReadBoolean();
            closed.IsUnarchived = reader.ReadBoolean();

            // It may have been stored after the state was.
            closed.IsStored = closed.IsFinal;
            level.Finals += closed.IsFinal ? 1 : 0;
        }

        return level;
    }

    /// <summary>Goes on with the intervals of a state, shortest first.</summary>
    private void Take(List<Level> levels)
    {
        var flowing = Bucket.Empty(Bucket.None);
        foreach (var level in levels)
        {
            var at = level.IsGone ? -1 : Array.FindIndex(_levels, l => l.Interval == level.Interval);
            if (!level.IsGone)
            {
                // What an interval that is no longer built still holds belongs to the next one.
                if (flowing.Exists)
                {
                    level.Current.Add(flowing);
                }

                flowing = at < 0 ? level.Current : Bucket.Empty(Bucket.None);
            }

            if (at >= 0)
            {
                level.Index = at;
                _levels[at] = level;
                Unarchived += CountUnarchived(level);
            }
            else if (CountUnarchived(level) is > 0 and var unarchived)
            {
                level.IsGone = true;
                level.Current = Bucket.Empty(Bucket.None);
                level.Seed = null;
                _gone.Add(level);
                Unarchived += unarchived;
            }
        }

        if (_clock == long.MinValue)
        {
            return;
        }

        var close = NewestClose();
        for (var i = 0; i < _levels.Length; i++)
        {
            var level = _levels[i];
            if (levels.Contains(level))
            {
                continue;
            }

            var shorter = i > 0 ? _levels[i - 1].Current : Bucket.Empty(Bucket.None);
            var running = level.Interval.OpenSeconds(shorter.Exists ? shorter.Open : _clock / TimeSpan.TicksPerSecond);
            level.BaseClose = close;
            level.Partial = level.CoveredFrom = running;
            level.BuiltFrom = level.FlatFrom = running + level.Length;
            if (shorter.Exists)
            {
                level.Current = Bucket.Empty(running);
                level.NewestBegun = running;
            }
        }
    }

    private decimal? NewestClose()
    {
        foreach (var level in _levels.Where(l => l.Current.Exists && l.Current.UpdateCount > 0))
        {
            return level.Current.LastPrice;
        }

        foreach (var level in _levels)
        {
            if ((level.Closed.Count > 0 ? level.Closed[level.Closed.Count - 1].Sums.LastPrice : level.BaseClose) is { } close)
            {
                return close;
            }
        }

        return null;
    }

    private static int CountUnarchived(Level level)
    {
        var count = 0;
        for (var at = 0; at < level.Finals; at++)
        {
            count += level.Closed[at].IsUnarchived ? 1 : 0;
        }

        return count;
    }

    private void CopyUnarchived(Level level, ICollection<Kline> into)
    {
        for (var at = 0; at < level.Finals; at++)
        {
            ref var closed = ref level.Closed[at];
            if (closed.IsUnarchived)
            {
                closed.IsTaken = closed.IsStored = true;
                into.Add(ToKline(level, at));
            }
        }
    }

    private void MarkArchived(Level level)
    {
        for (var at = 0; at < level.Finals; at++)
        {
            ref var closed = ref level.Closed[at];
            if (closed.IsTaken && closed.IsUnarchived)
            {
                closed.IsUnarchived = false;
                Unarchived--;
            }

            closed.IsTaken = false;
        }
    }

    private static long Ticks(DateTimeOffset time) => time.UtcTicks - DateTimeOffset.UnixEpoch.Ticks;

    private static DateTimeOffset FromTicks(long ticks) => new(DateTimeOffset.UnixEpoch.Ticks + ticks, TimeSpan.Zero);

    private static long Seconds(DateTimeOffset time)
    {
        var ticks = Ticks(time);
        var seconds = ticks / TimeSpan.TicksPerSecond;
        return ticks < seconds * TimeSpan.TicksPerSecond ? seconds - 1 : seconds;
    }

    // Against the clock and the trade's own received time: the answer does not depend on whether the clock has been moved for it yet.
    // A trade counts in every interval or in none, so that long klines are what short ones add up to: its shortest bucket decides.
    private bool IsLate(in Trade trade)
    {
        var clock = Math.Max(_clock, Ticks(trade.ReceivedTime));
        return Ticks(trade.EventTime) < clock - _window && DueOf(_levels[0], _levels[0].Interval.OpenSeconds(Seconds(trade.EventTime))) <= clock;
    }

    private void Advance(long clock)
    {
        if (clock <= _clock)
        {
            return;
        }

        _clock = clock;
        if (_estimated.Count > 0)
        {
            SettleOld();
        }

        if (_clock >= _nextDue)
        {
            MakeFinal();
            FindNextDue();
            _recent.ForgetBefore((_clock - _memory) / TimeSpan.TicksPerSecond - 1, _clock / TimeSpan.TicksPerSecond);
            if (_historyUsed != long.MinValue)
            {
                // Without history, only archiving lets go of klines.
                Forget();
            }
        }
    }

    /// <summary>The end and grace of a bucket, in ticks: when it becomes final.</summary>
    private long DueOf(Level level, long open) => (open + level.Length) * TimeSpan.TicksPerSecond + _grace;

    private void MakeFinal()
    {
        for (var i = 0; i < _levels.Length; i++)
        {
            if (_due[i] > _clock)
            {
                continue;
            }

            var level = _levels[i];
            if (level.Current.Exists && DueOf(level, level.Current.Open) <= _clock)
            {
                Close(i);
            }

            while (level.Finals < level.Closed.Count && DueOf(level, level.Closed[level.Finals].Sums.Open) <= _clock && HeldUntil(level, level.Closed[level.Finals].Sums.Open) <= _clock)
            {
                AnnounceFlats(level, level.Closed[level.Finals].Sums.Open);
                MarkFinal(level, level.Finals);
                level.Finals++;
            }

            if (Rules.Empty == EmptyPolicy.Flat)
            {
                AnnounceFlats(level, long.MaxValue);
            }

            _due[i] = DueOf(level);
        }
    }

    private void MarkFinal(Level level, int at)
    {
        ref var closed = ref level.Closed[at];
        closed.IsFinal = true;
        MarkUnarchived(ref closed);
        MarkChanged(level, ref closed);
        level.FlatFrom = Math.Max(level.FlatFrom, closed.Sums.Open + level.Length);
    }

    private void MarkUnarchived(ref Closed closed)
    {
        if (!closed.IsUnarchived)
        {
            closed.IsUnarchived = true;
            Unarchived++;
        }

        closed.IsTaken = false;
    }

    private void MarkChanged(Level level, ref Closed closed)
    {
        _changed = true;
        if (!closed.IsChanged)
        {
            closed.IsChanged = true;
            level.Changed++;
        }
    }

    /// <summary>Ends an interval's newest bucket: its sums flow into the next interval, and it stands among the closed.</summary>
    private void Close(int i)
    {
        var level = _levels[i];
        if (i + 1 < _levels.Length)
        {
            Debug.Assert(_levels[i + 1].Current.Exists, "A longer interval's newest bucket holds the shorter one's.");
            _levels[i + 1].Current.Add(level.Current);
        }

        if (level.Current.Open == level.Partial)
        {
            // A part of a kline: nobody is told, and nothing is stored. What follows goes on from its close.
            level.BaseClose = level.Current.UpdateCount > 0 ? level.Current.LastPrice : level.BaseClose;
            level.CoveredFrom = level.Current.Open + level.Length;
            level.FlatFrom = Math.Max(level.FlatFrom, level.CoveredFrom);
            level.Current = Bucket.Empty(Bucket.None);
            return;
        }

        var sums = level.Seed is { } seed ? seed.And(level.Current) : level.Current;
        level.Seed = null;
        level.Current = Bucket.Empty(Bucket.None);
        if (sums.UpdateCount == 0 && !HoldsEstimate(level, sums.Open))
        {
            // Its only trade has moved away.
            return;
        }

        ref var closed = ref level.Closed.Add();
        closed.Sums = sums;
        MarkChanged(level, ref closed);
        for (var open = closed.Sums.Open + level.Length; open <= level.FlatBegun; open += level.Length)
        {
            // Begun flat before a late trade came: they follow its close now.
            AddFlat(level, open, CloseOf(level, level.Closed.Count - 1), 0, isFinal: false);
        }
    }

    private void Begin(Level level, long open)
    {
        level.Current = Bucket.Empty(open);
        level.NewestBegun = open;
        if (level.FlatFrom == long.MinValue)
        {
            // No flat kline stands before the first trade.
            level.FlatFrom = open;
        }

        BecomesDue(level, Rules.Empty == EmptyPolicy.Flat ? (open + level.Length) * TimeSpan.TicksPerSecond : DueOf(level, open));
    }

    private void BecomesDue(Level level, long due)
    {
        _due[level.Index] = Math.Min(_due[level.Index], due);
        _nextDue = Math.Min(_nextDue, due);
    }

    private void AddToOlder(Level level, long open, in Trade trade)
    {
        if (open == level.Partial)
        {
            return;
        }

        Debug.Assert(open >= level.CoveredFrom, "The archive was asked first.");
        var at = level.Find(open);
        var inserted = at < 0;
        if (inserted && open < level.BuiltFrom)
        {
            // From before the interval was built, and the archive has no kline of it: this trade alone would make a wrong one.
            return;
        }

        decimal? closeBefore;
        if (inserted)
        {
            at = ~at;
            var isFinal = DueOf(level, open) <= _clock && (at < level.Finals || (at == level.Finals && HeldUntil(level, open) <= _clock));
            var revisionBefore = RevisionOf(level, at);
            closeBefore = OpenOf(level, at);
            ref var added = ref level.Closed.Insert(at);
            added.Sums = Bucket.Empty(open);
            added.IsFinal = isFinal;
            if (!isFinal)
            {
                BecomesDue(level, DueOf(level, open));

                // The first trade of all may have been ahead of the clock: what lies before it is not final for that.
                level.FlatFrom = Math.Min(level.FlatFrom, open);
            }
            else
            {
                level.Finals++;
                // It was final without a trade, as nothing or as a flat kline with the revision of the kline before.
                added.Revision = Rules.Empty == EmptyPolicy.Flat ? revisionBefore : 0;
            }

            if (level.FlatFrom == long.MinValue)
            {
                // The very first trade came late: flat klines stand from here to the clock.
                level.FlatFrom = isFinal ? open + level.Length : open;
                BecomesDue(level, DueOf(level));
            }
        }
        else
        {
            closeBefore = CloseOf(level, at);
        }

        ref var closed = ref level.Closed[at];
        if (!trade.IsEventTimeEstimated)
        {
            closed.Sums.Add(trade);
        }
        else if (!inserted)
        {
            // It is shown there by now: before, it was not.
            var before = closed.Sums;
            foreach (ref readonly var other in CollectionsMarshal.AsSpan(_estimated)[..^1])
            {
                if (level.Interval.OpenSeconds(Seconds(other.EventTime)) == open)
                {
                    before.Add(other);
                }
            }

            closeBefore = before.LastPrice;
        }

        MarkChanged(level, ref closed);
        if (closed.IsFinal)
        {
            closed.Revision++;
            MarkUnarchived(ref closed);
            _historyUsed = _historyUsed == long.MinValue ? long.MinValue : _clock;
        }

        if (closeBefore != CloseOf(level, at) || inserted)
        {
            CloseChanged(level, at, closeBefore);
        }
    }

    /// <summary>The close that the kline after <paramref name="at"/> follows on has changed: that kline's open, and the flat klines between them.</summary>
    private void CloseChanged(Level level, int at, decimal? closeBefore)
    {
        var close = CloseOf(level, at);
        var next = at + 1;
        if (Rules.Open == OpenPolicy.PreviousClose && closeBefore != close)
        {
            if (next == level.Closed.Count)
            {
                // The newest bucket's.
                _changed = _currentsChanged = true;
            }
            else
            {
                ref var following = ref level.Closed[next];
                MarkChanged(level, ref following);
                if (following.IsFinal)
                {
                    following.Revision++;
                    MarkUnarchived(ref following);
                }
            }
        }

        if (Rules.Empty == EmptyPolicy.Flat)
        {
            var to = next < level.Closed.Count ? level.Closed[next].Sums.Open : level.Current.Exists ? level.Current.Open : long.MaxValue;
            var from = level.Closed[at].Sums.Open + level.Length;
            to = Math.Min(to, Math.Max(level.FlatFrom, level.FlatBegun + level.Length));
            from = Math.Max(from, to - MostFlatKlines * level.Length);
            for (var open = from; open < to; open += level.Length)
            {
                AddFlat(level, open, close, level.Closed[at].Revision, open < level.FlatFrom);
            }
        }
    }

    /// <summary>Announces the empty buckets before <paramref name="before"/> that the clock has made final; without a bound, also those it has begun.</summary>
    private void AnnounceFlats(Level level, long before)
    {
        if (Rules.Empty != EmptyPolicy.Flat || level.FlatFrom == long.MinValue || CloseOfFinals(level) is not { } close)
        {
            return;
        }

        var revision = RevisionOf(level, level.Finals);

        // Buckets that are empty and final: those up to the next bucket with trades.
        var last = level.Interval.OpenSeconds((_clock - _grace) / TimeSpan.TicksPerSecond) - level.Length;
        var next = level.Finals < level.Closed.Count ? level.Closed[level.Finals].Sums.Open : level.Current.Exists ? level.Current.Open : long.MaxValue;
        var to = Math.Min(Math.Min(before, next), last + level.Length);
        if (to > level.FlatFrom)
        {
            var newest = to - MostFlatKlines * level.Length;
            for (var open = level.FlatFrom; open < to; open += level.Length)
            {
                if (open < newest && open > level.FlatBegun)
                {
                    // A long silence: those before the newest thousand are not announced, unless they were as begun.
                    open = newest;
                }

                AddFlat(level, open, close, revision, isFinal: true);
            }

            level.FlatFrom = to;
        }

        if (before == long.MaxValue && next == long.MaxValue)
        {
            // Empty so far and not final yet.
            var now = level.Interval.OpenSeconds(_clock / TimeSpan.TicksPerSecond);
            for (var open = Math.Max(level.FlatFrom, level.FlatBegun + level.Length); open <= now; open += level.Length)
            {
                AddFlat(level, open, close, 0, isFinal: false);
            }

            level.FlatBegun = Math.Max(level.FlatBegun, now);
        }
    }

    private void AddFlat(Level level, long open, decimal close, int revision, bool isFinal)
    {
        _changed = true;
        var flats = level.Flats ??= [];
        flats[open] = Kline.Flat(level.Interval, DateTimeOffset.FromUnixTimeSeconds(open), new Price(close), isFinal) with { Revision = isFinal ? revision : 0 };
        if (flats.Count >= 2 * MostFlatKlines)
        {
            foreach (var old in flats.Keys.Order().Take(flats.Count - MostFlatKlines).ToList())
            {
                flats.Remove(old);
            }
        }
    }

    private static void TakeFlats(Level level, ImmutableArray<Kline>.Builder into)
    {
        if (level.Flats is not { } flats)
        {
            return;
        }

        foreach (var (open, flat) in flats)
        {
            // A trade may have come since.
            if (open != level.Current.Open && level.Find(open) < 0)
            {
                into.Add(flat);
            }
        }

        flats.Clear();
        if (flats.Capacity > MostFlatsKept)
        {
            // After a silence; one tick gives one or two.
            level.Flats = null;
        }
    }

    /// <summary>The newest bucket of an interval: its own sums and, once it has been called for every shorter interval in turn, those still with them.</summary>
    private static void Newest(Level level, ref Bucket shorter)
    {
        if (!level.Current.Exists)
        {
            shorter = Bucket.Empty(Bucket.None);
            return;
        }

        if (!shorter.Exists)
        {
            shorter = level.Current;
            return;
        }

        var sums = level.Current;
        sums.Add(shorter);
        shorter = sums;
    }

    /// <summary>The newest bucket as it is shown: with what another counted of it, and with estimates.</summary>
    private Bucket Shown(Level level, in Bucket newest)
    {
        var shown = level.Seed is { } seed ? seed.And(newest) : newest;
        return _estimated.Count == 0 ? shown : Whole(level, shown);
    }

    private Kline ToKline(Level level, int at)
    {
        ref var closed = ref level.Closed[at];
        return (_estimated.Count == 0 ? closed.Sums : Whole(level, closed.Sums)).ToKline(level.Interval, OpenOf(level, at), Rules.WicksIgnoreOpen, closed.IsFinal, closed.Revision);
    }

    /// <summary>What the policy makes the kline at <paramref name="at"/> (its number among the closed; their count: the newest) open with; null: its first trade.</summary>
    private decimal? OpenOf(Level level, int at) => Rules.Open != OpenPolicy.PreviousClose ? null : OpenPrice(level, at);

    /// <summary>The close before the kline at <paramref name="at"/>.</summary>
    private decimal? OpenPrice(Level level, int at) => at > 0 ? CloseOf(level, at - 1) : level.BaseClose;

    /// <summary>The close of the newest of these klines that end at or before a bucket's open.</summary>
    private static decimal? CloseBefore(long open, ReadOnlySpan<Kline?> klines)
    {
        var newest = default(Kline);
        foreach (var candidate in klines)
        {
            if (candidate is { } kline && kline.EndTime.ToUnixTimeSeconds() <= open && (newest.Interval == KlineInterval.None || kline.EndTime > newest.EndTime))
            {
                newest = kline;
            }
        }

        return newest.Interval == KlineInterval.None ? null : newest.Close.Value;
    }

    private static int RevisionOf(Level level, int at) => at > 0 ? level.Closed[at - 1].Revision : level.BaseRevision;

    private decimal? CloseOfFinals(Level level) => level.Finals > 0 ? CloseOf(level, level.Finals - 1) : level.BaseClose;

    private void FindNextDue()
    {
        var next = long.MaxValue;
        foreach (var due in _due)
        {
            next = Math.Min(next, due);
        }

        _nextDue = next;
    }

    /// <summary>The next moment at which an interval has something to do.</summary>
    private long DueOf(Level level)
    {
        var due = long.MaxValue;
        if (level.Finals < level.Closed.Count)
        {
            var open = level.Closed[level.Finals].Sums.Open;
            due = Math.Max(DueOf(level, open), HeldUntil(level, open));
        }

        if (level.Current.Exists)
        {
            // Before one that is held: it ends with those of the longer intervals.
            due = Math.Min(due, DueOf(level, level.Current.Open));
        }

        if (Rules.Empty == EmptyPolicy.Flat && level.FlatFrom != long.MinValue)
        {
            due = Math.Min(due, DueOf(level, level.FlatFrom));
            var now = level.Interval.OpenSeconds(_clock / TimeSpan.TicksPerSecond);
            due = Math.Min(due, (now + level.Length) * TimeSpan.TicksPerSecond);
        }

        return due;
    }

    /// <summary>Lets go of what is final and archived, unless history is held for late trades.</summary>
    private void Forget()
    {
        if (_historyUsed != long.MinValue && _clock - _historyUsed > _window)
        {
            _historyUsed = long.MinValue;
        }

        var keepFrom = (_clock - _window) / TimeSpan.TicksPerSecond - 1;
        foreach (var level in _levels)
        {
            while (level.Finals > 0 && !level.Closed[0].IsUnarchived && !level.Closed[0].IsChanged && !HoldsEstimate(level, level.Closed[0].Sums.Open)
                && (_historyUsed == long.MinValue || level.Closed[0].Sums.Open + level.Length <= keepFrom))
            {
                ref var oldest = ref level.Closed[0];
                level.BaseClose = oldest.Sums.LastPrice;
                level.BaseRevision = oldest.Revision;
                level.CoveredFrom = oldest.Sums.Open + level.Length;
                level.Closed.RemoveFirst();
                level.Finals--;
                Forgotten++;
            }

            level.Closed.Trim();
        }
    }

    /// <summary>A bucket that newer trades have left behind.</summary>
    private struct Closed
    {
        public Bucket Sums;
        public int Revision;
        public bool IsFinal;

        /// <summary>Changed since <see cref="TakeChanges"/>.</summary>
        public bool IsChanged;

        /// <summary>Final, and not in the archive as it is now.</summary>
        public bool IsUnarchived;

        /// <summary>Given out by <see cref="TakeUnarchived"/> and unchanged since.</summary>
        public bool IsTaken;

        /// <summary>The archive may have it, in this or an earlier form.</summary>
        public bool IsStored;
    }

    /// <summary>Sums of the beginning of a bucket. Immutable.</summary>
    private sealed class Seed(in Bucket sums)
    {
        private readonly Bucket _sums = sums;

        public Bucket Sums => _sums;

        /// <summary>The whole bucket: these sums and those of the trades since.</summary>
        public Bucket And(in Bucket since)
        {
            var whole = _sums;
            whole.Add(since);
            return whole;
        }
    }

    /// <summary>One interval.</summary>
    private sealed class Level(KlineInterval interval, int index)
    {
        /// <summary>Its place among the intervals that are built.</summary>
        public int Index = index;
        public readonly KlineInterval Interval = interval;
        public readonly long Length = interval.Seconds();
        public readonly Ring<Closed> Closed = new();

        /// <summary>Flat klines to announce, by open time; null before the first, and where there were too many to keep the room for.</summary>
        public Dictionary<long, Kline>? Flats;

        /// <summary>The newest bucket, without what still stands in the current bucket of a shorter interval.</summary>
        public Bucket Current = Bucket.Empty(Bucket.None);

        /// <summary>What another counted of the newest bucket's trades; null: nothing. Its bucket is <see cref="Current"/>.</summary>
        public Seed? Seed;

        /// <summary>The bucket that only a part of is known, because its beginning is in no sum; <see cref="Bucket.None"/> if there is none.</summary>
        public long Partial = Bucket.None;

        /// <summary>Buckets that begin before this and are in no archive cannot be built: the interval was not there yet.</summary>
        public long BuiltFrom = long.MinValue;

        /// <summary>Not built any more.</summary>
        public bool IsGone;

        /// <summary>How many of <see cref="Closed"/> are final: they are the oldest ones.</summary>
        public int Finals;

        /// <summary>How many of <see cref="Closed"/> are changed.</summary>
        public int Changed;

        /// <summary>Close and revision of the newest kline before <see cref="Closed"/>; null where there is none.</summary>
        public decimal? BaseClose;

        public int BaseRevision;

        /// <summary>Buckets that begin before this are in the archive only.</summary>
        public long CoveredFrom = long.MinValue;

        /// <summary>Flat policy: the first bucket that is not known as final yet.</summary>
        public long FlatFrom = long.MinValue;

        /// <summary>Flat policy: the newest bucket announced as begun and empty.</summary>
        public long FlatBegun = long.MinValue / 2;

        /// <summary>The newest bucket that ever began: no older one may begin after it, even if its only trade has moved away, because longer intervals have gone on too.</summary>
        public long NewestBegun = long.MinValue;

        /// <summary>Open time of the newest bucket with trades.</summary>
        public long Newest => Current.Exists ? Current.Open : Math.Max(NewestBegun, Closed.Count > 0 ? Closed[Closed.Count - 1].Sums.Open : CoveredFrom == long.MinValue ? long.MinValue : CoveredFrom - 1);

        /// <summary>The place of a bucket among the closed, or the complement of the place where it would stand.</summary>
        public int Find(long open)
        {
            int low = 0, high = Closed.Count - 1;
            while (low <= high)
            {
                var middle = (low + high) >> 1;
                var found = Closed[middle].Sums.Open;
                if (found == open)
                {
                    return middle;
                }

                if (found < open)
                {
                    low = middle + 1;
                }
                else
                {
                    high = middle - 1;
                }
            }

            return ~low;
        }
    }
}
