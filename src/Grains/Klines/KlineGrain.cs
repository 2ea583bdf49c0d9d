using System.Buffers;
using System.Collections.Immutable;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;
using Orleans.Storage;
using Orleans.Streams;

namespace KlineOrleans.Grains;

/// <summary>One mint: identity, turns, state and timer around a <see cref="KlineBuilder"/>.</summary>
/// <remarks>
/// Only <see cref="Save"/>, <see cref="Settle"/>, the timer and <see cref="SourceClocks"/> interleave with other calls. The builder is changed between awaits only, so it is whole at each of them.
/// The state is written before final klines go to the archive and the next save forgets them: the archive is never ahead of the state, so that a
/// trade delivered again after a crash finds the klines without it. While it has changes that are not saved, or that its source does not know to be, the grain is not collected for being idle; when its
/// process is lost all the same, the next activation is another one, and the source learns it from <see cref="IngestResult.Activation"/>.
/// </remarks>
public sealed partial class KlineGrain(
    [PersistentState("kline")] IPersistentState<KlineGrainState> state,
    IKlineArchive archive,
    ITradeSourceFactory sources,
    SourceClocks clocks,
    GrainMetrics metrics,
    ActiveGrains here,
    TimeProvider time,
    ILogger<KlineGrain> logger) : Grain, IKlineGrain
{
    /// <summary>A grain with changes saves itself at least this often.</summary>
    internal static readonly TimeSpan SaveInterval = TimeSpan.FromSeconds(5);

    /// <summary>Final klines not archived at which the grain saves at once.</summary>
    internal const int SaveAtUnarchived = 1_000;

    /// <summary>Final klines not archived at which the grain takes no more trades until they are.</summary>
    internal const int WaitAtUnarchived = 20_000;

    /// <summary>
    /// How long a grain that is saved stays for its source to ask for that save. Another activation could not answer for this one, and the source would read again
    /// from its checkpoint. One that has not asked by then is not there any more.
    /// </summary>
    internal static readonly TimeSpan SourcePatience = TimeSpan.FromMinutes(10);

    /// <summary>How old the source's clock may be that the grain goes by.</summary>
    private static readonly TimeSpan MaxClockAge = TimeSpan.FromMilliseconds(250);

    /// <summary>How long the source may take to tell its clock. It waits for this grain while it stops.</summary>
    private static readonly TimeSpan ClockPatience = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan ShortestWait = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan LongestWait = TimeSpan.FromHours(1);

    /// <summary>The changes kept room for between updates.</summary>
    private const int MostChangesKept = 1_024;

    /// <summary>For the changes of one update; empty between turns. One for all grains of a thread: an update is made without an await.</summary>
    [ThreadStatic]
    private static ImmutableArray<Kline>.Builder? t_changes;

    private string _symbol = "";
    private string _source = "";
    private KlineBuilder? _builder;
    private IAsyncStream<KlineUpdate>? _stream;
    private TaskScheduler? _turns;
    private SourceClocks.Waiter? _waiter;
    private IGrainTimer? _timer;
    private DateTimeOffset _timerDue = DateTimeOffset.MaxValue;
    private long _activation;
    private long _epoch;
    private long _seq;

    // The source has given trades, and not asked for a save that covers them yet: how often it gave some, and of what it knows.
    private long _given;
    private long _confirmed;

    // Somebody other than Settle has called.
    private bool _isWanted;
    private bool _isEnding;

    // How far the source's clock is behind ours; null while it does not run on with ours.
    private TimeSpan? _behind;
    private SourceClock _clock;
    private long _clockAsked;
    private DateTimeOffset _newestEventTime;
    private DateTimeOffset _newestReceivedTime;

    // Counts changes; saved up to _savedVersion. A save that is under way serves everybody who waits for an older version.
    private long _version;
    private long _savedVersion;
    private Task _saving = Task.CompletedTask;

    // The part of metrics.Unarchived that is this grain's.
    private int _unarchived;
    private DateTimeOffset _dirtySince;

    // Not before this, after a save that failed.
    private DateTimeOffset _nextSave = DateTimeOffset.MinValue;

    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        // Where a read of the state completes within this turn, the runtime goes on after it with no scheduler for current. After this there is the grain's own again.
        await Task.Yield();
        _turns = TaskScheduler.Current;
        if (_turns == TaskScheduler.Default)
        {
            throw new InvalidOperationException("The engine does not say where turns run.");
        }

        _symbol = this.GetPrimaryKeyString();
        _activation = Random.Shared.NextInt64(1, long.MaxValue);
        _epoch = Math.Max(state.State.Epoch + 1, time.GetUtcNow().ToUnixTimeMilliseconds());
        _stream = this.GetStreamProvider(KlineStreams.Provider).GetStream<KlineUpdate>(KlineStreams.ForSymbol(_symbol));
        var isKnown = state.RecordExists && state.State.Source.Length > 0;
        if (isKnown)
        {
            _source = state.State.Source;
            var reader = new StateReader(state.State.Builder);
            _builder = KlineBuilder.Read(RulesOf(_source), ref reader);
            state.State = new KlineGrainState { Source = _source, Epoch = state.State.Epoch };
            if (_builder.Unarchived > 0)
            {
                // Saved, and perhaps never archived.
                Dirty();
                CountUnarchived(_builder.Unarchived);
            }
        }

        here.Enter(GrainContext, isSource: false);
        if (isKnown)
        {
            // Time has passed while nobody was here: the source's clock is looked at soon.
            Arm();
        }

        metrics.Activated();
    }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        here.Exit(GrainContext);
        metrics.Deactivated();
        _isEnding = true;
        _timer?.Dispose();
        StopWaiting();
        try
        {
            await SaveChanges();
        }
        catch (Exception error)
        {
            // The source hears of another activation, and delivers again what this one took since it was last asked to save.
            LogSaveFailed(_symbol, error.Message, error);
        }

        CountUnarchived(0);
    }

    /// <inheritdoc/>
    public async Task<IngestResult> Ingest(TradeBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        _isWanted = true;
        if (RefusalOf(batch.Source) is { } refusal)
        {
            return new IngestResult { Activation = _activation, Refusal = refusal };
        }

        if (batch.Activation != 0 && batch.Activation != _activation)
        {
            return new IngestResult { Activation = _activation };
        }

        var builder = Builder(batch.Source);
        var trades = batch.Trades;
        for (var i = 0; i < trades.Length; i++)
        {
            if (trades[i].Symbol != _symbol)
            {
                throw new ArgumentException($"A trade of '{trades[i].Symbol}' was sent to the grain of '{_symbol}'.", nameof(batch));
            }
        }

        int applied = 0, duplicates = 0, late = 0;
        for (var i = 0; i < trades.Length; i++)
        {
            if (builder.NeedsHistory(trades.ItemRef(i)))
            {
                await AddHistory(builder, trades[i]);
            }

            switch (Apply(builder, trades.ItemRef(i)))
            {
                case ApplyResult.Applied:
                    applied++;
                    break;
                case ApplyResult.Duplicate:
                    duplicates++;
                    break;
                default:
                    late++;
                    break;
            }
        }

        if (batch.IsSlotOrder)
        {
            await SetOrder(builder, trades);
        }

        if (batch.IsCaughtUp && builder.IsCatchingUp)
        {
            builder.CaughtUp();
            Dirty();
        }

        _given++;
        KeepWhileNeeded();
        metrics.Ingested(applied, duplicates, late);
        await Publish(builder);
        Arm();
        if (builder.Unarchived >= WaitAtUnarchived || (builder.Unarchived > 0 && metrics.Unarchived >= metrics.MostUnarchived))
        {
            await SaveChanges();
        }
        else if (builder.Unarchived >= SaveAtUnarchived && !IsSaving && time.GetUtcNow() >= _nextSave)
        {
            SaveInBackground();
        }

        return new IngestResult(applied, duplicates, late) { Activation = _activation };
    }

    /// <inheritdoc/>
    public async Task Begin(KlineSeed seed)
    {
        ArgumentNullException.ThrowIfNull(seed);
        _isWanted = true;
        if (RefusalOf(seed.Source) is { } refusal)
        {
            throw new ArgumentException(refusal, nameof(seed));
        }

        var builder = Builder(seed.Source);
        var before = new Kline?[builder.Rules.Intervals.Length];
        for (var i = 0; i < before.Length; i++)
        {
            var interval = builder.Rules.Intervals[i];
            before[i] = await NewestBefore(interval, interval.OpenTime(seed.From));
        }

        builder.BeginFrom(seed.From, seed.Forming.AsSpan(), seed.Unknown.AsSpan(), before);

        BeginEpoch();
        _newestEventTime = _newestReceivedTime = seed.From;
        Dirty();
        await Publish(builder);
        Arm();
        await SaveChanges();
    }

    /// <inheritdoc/>
    public async Task<SaveResult> Save(SourceClock clock, long activation)
    {
        if (activation != _activation)
        {
            return new SaveResult(IsSaved: false, NextFinal: null);
        }

        var given = _given;
        var result = await SaveUpTo(clock);
        _confirmed = Math.Max(_confirmed, given);
        KeepWhileNeeded();
        return result;
    }

    /// <inheritdoc/>
    public async Task<SaveResult> Settle(string source, SourceClock clock)
    {
        var result = _source == source ? await SaveUpTo(clock) : new SaveResult(IsSaved: true, NextFinal: null);
        if (!_isWanted && _version == _savedVersion)
        {
            DeactivateOnIdle();
        }

        return result;
    }

    /// <inheritdoc/>
    public async Task<KlineSnapshot> GetSnapshot()
    {
        _isWanted = true;
        if (_builder is { } builder)
        {
            await AdvanceToSource(builder);
        }

        var klines = ImmutableArray.CreateBuilder<Kline>();
        _builder?.CopyTo(klines);
        return new KlineSnapshot
        {
            Symbol = _symbol,
            Epoch = _epoch,
            Seq = _seq,
            Clock = _builder?.Clock ?? DateTimeOffset.MinValue,
            Source = _source,
            Rules = _builder?.Rules ?? new KlineRules(),
            Klines = klines.DrainToImmutable(),
            CoveredFrom = _builder?.CoveredFrom ?? [.. Enumerable.Repeat(DateTimeOffset.MinValue, KlineIntervals.Count)],
        };
    }

    private ApplyResult Apply(KlineBuilder builder, in Trade trade)
    {
        var result = builder.Apply(trade);
        if (result == ApplyResult.Applied)
        {
            _newestEventTime = trade.EventTime;
            _newestReceivedTime = trade.ReceivedTime;
        }
        else if (result == ApplyResult.Late)
        {
            LogLate(trade);
        }

        return result;
    }

    private async Task<SaveResult> SaveUpTo(SourceClock clock)
    {
        if (_builder is not null)
        {
            Advance(_builder, clock);
            await Publish(_builder);
            Arm();
        }

        await SaveChanges();
        return new SaveResult(IsSaved: true, _builder?.NextFinal);
    }

    /// <summary>Why the mint takes nothing from a source; null: it does. A source may be renamed or replaced by another that continues it; two at once would fight over the klines.</summary>
    private string? RefusalOf(string source) =>
        _builder is null || _source == source || !sources.Sources.Any(s => s.Name == _source)
            ? null
            : $"'{_symbol}' is fed by source '{_source}'; source '{source}' cannot feed it too.";

    private KlineBuilder Builder(string source)
    {
        if (_builder is not null && _source == source)
        {
            return _builder;
        }

        var rules = RulesOf(source) ?? throw new InvalidOperationException($"'{_symbol}': source '{source}' is not configured here, so that nobody knows how its klines are built.");
        if (_builder is null)
        {
            _builder = new KlineBuilder(rules);
        }
        else
        {
            LogSourceChanged(_symbol, _source, source);
            var payload = new ArrayBufferWriter<byte>(1_024);
            _builder.Write(new StateWriter(payload));
            var reader = new StateReader(payload.WrittenSpan);
            _builder = KlineBuilder.Read(rules, ref reader);
            BeginEpoch();
            Dirty();
        }

        _source = source;
        return _builder;
    }

    private KlineRules? RulesOf(string source) => sources.Sources.FirstOrDefault(s => s.Name == source)?.Rules;

    /// <summary>What was published before does not lead to what follows: who listens asks for a snapshot.</summary>
    private void BeginEpoch()
    {
        _epoch = Math.Max(_epoch + 1, time.GetUtcNow().ToUnixTimeMilliseconds());
        _seq = 0;
    }

    private async Task AddHistory(KlineBuilder builder, Trade oldest)
    {
        while (true)
        {
            var forgotten = builder.Forgotten;
            var from = builder.HistoryFrom(oldest);
            var klines = await archive.ReadEndingAfter(_symbol, from);
            var before = new Kline?[builder.Rules.Intervals.Length];
            for (var i = 0; i < before.Length; i++)
            {
                var interval = builder.Rules.Intervals[i];
                before[i] = await NewestBefore(interval, interval.OpenTime(from));
            }

            // A save may have interleaved, archived klines after the read, and let them go.
            if (builder.Forgotten == forgotten)
            {
                builder.AddHistory(klines, from, before);
                return;
            }
        }
    }

    private async Task<Kline?> NewestBefore(KlineInterval interval, DateTimeOffset open)
    {
        var older = await archive.Read(_symbol, interval, new KlineRange(null, open, 1, Newest: true));
        return older.Count > 0 ? older[0] : null;
    }

    private async Task SetOrder(KlineBuilder builder, ImmutableArray<Trade> trades)
    {
        for (int from = 0, to; from < trades.Length; from = to)
        {
            // In one correction the order rises: where it falls back, the slot has been corrected again.
            for (to = from + 1; to < trades.Length && trades[to].Order.Id.Position == trades[from].Order.Id.Position && trades[to].Order > trades[to - 1].Order;)
            {
                to++;
            }

            if (builder.LacksHistory(trades[from]))
            {
                await AddHistory(builder, trades[from]);
            }

            builder.SetOrder(trades.AsSpan(from, to - from));
        }
    }

    private async ValueTask AdvanceToSource(KlineBuilder builder)
    {
        var now = time.GetTimestamp();
        var age = time.GetElapsedTime(_clockAsked, now);
        if (_clockAsked == 0 || age >= MaxClockAge)
        {
            try
            {
                _clock = await GrainFactory.GetGrain<ISourceGrain>(_source).GetClock(_symbol, _activation).WaitAsync(ClockPatience, time);
            }
            catch (Exception)
            {
                // Not final rather than final too early; whoever watches the source sees why.
                _clock = _clock with { IsLive = false };
            }

            _clockAsked = Math.Max(1, now);
            age = TimeSpan.Zero;
        }

        Advance(builder, _clock.After(age));
        await Publish(builder);
    }

    private void Advance(KlineBuilder builder, SourceClock clock)
    {
        if (builder.IsCatchingUp)
        {
            // The source's clock is ahead of this mint's trades.
            _behind = null;
            return;
        }

        builder.Advance(clock.Time);
        _behind = clock.IsLive ? time.GetUtcNow() - clock.Time : null;
    }

    private ValueTask Publish(KlineBuilder builder)
    {
        if (!builder.HasChanges)
        {
            return ValueTask.CompletedTask;
        }

        Dirty();
        CountUnarchived(builder.Unarchived);
        var changes = t_changes ??= ImmutableArray.CreateBuilder<Kline>();
        changes.Clear();
        builder.TakeChanges(changes);
        if (changes.Count == 0)
        {
            return ValueTask.CompletedTask;
        }

        _seq++;
        var update = new KlineUpdate
        {
            Symbol = _symbol,
            Epoch = _epoch,
            Seq = _seq,
            EventTime = _newestEventTime,
            ReceivedTime = _newestReceivedTime,
            Klines = changes.ToImmutable(),
        };
        changes.Clear();
        if (changes.Capacity > MostChangesKept)
        {
            t_changes = null;
        }

        var sent = _stream!.OnNextAsync(update);
        return sent.IsCompletedSuccessfully ? ValueTask.CompletedTask : Sent(sent, update.Seq);
    }

    private async ValueTask Sent(Task sent, long seq)
    {
        try
        {
            await sent;
        }
        catch (Exception error)
        {
            // The hole in seq tells the feeds to take a snapshot.
            metrics.PublishFailed();
            LogPublishFailed(_symbol, seq, error.Message, error);
        }
    }

    private void CountUnarchived(int now)
    {
        metrics.UnarchivedChanged(now - _unarchived);
        _unarchived = now;
    }

    private bool IsSaving => !_saving.IsCompleted;

    private DateTimeOffset NextSave => _dirtySince + SaveInterval > _nextSave ? _dirtySince + SaveInterval : _nextSave;

    private void Dirty()
    {
        if (_version == _savedVersion)
        {
            _dirtySince = time.GetUtcNow();
            DelayDeactivation(TimeSpan.MaxValue);
        }

        _version++;
    }

    private void KeepWhileNeeded()
    {
        if (_version == _savedVersion)
        {
            // Negative, as both engines have it: takes the delay back.
            DelayDeactivation(_confirmed < _given ? SourcePatience : TimeSpan.FromSeconds(-1));
        }
    }

    private async Task SaveChanges()
    {
        var wanted = _version;
        while (_savedVersion < wanted)
        {
            if (!IsSaving)
            {
                _saving = SaveOnce();
            }

            try
            {
                await _saving;
            }
            finally
            {
                Arm();
            }
        }
    }

    private async void SaveInBackground()
    {
        try
        {
            await SaveChanges();
        }
        catch (Exception error)
        {
            LogSaveFailed(_symbol, error.Message, error);
        }
    }

    private async Task SaveOnce()
    {
        using var span = GrainTraces.Source.StartActivity("kline.save");
        span?.SetTag("kline.symbol", _symbol);
        try
        {
            // What is written is fixed here, before the first await; trades go on being applied during the writes.
            var version = _version;
            var builder = _builder!;
            var finals = new List<Kline>(builder.Unarchived);
            builder.TakeUnarchived(finals);
            var payload = new ArrayBufferWriter<byte>(1_024);
            builder.Write(new StateWriter(payload));
            state.State = new KlineGrainState { Source = _source, Epoch = _epoch, Builder = payload.WrittenSpan.ToArray() };
            await state.WriteStateAsync();

            // Read at activation only: what is stored needs no copy in memory.
            state.State = new KlineGrainState { Source = _source, Epoch = _epoch };
            if (finals.Count > 0)
            {
                await archive.Write(_symbol, finals);
                builder.ArchiveTaken();
                CountUnarchived(builder.Unarchived);
            }

            _savedVersion = version;
            _dirtySince = time.GetUtcNow();
            KeepWhileNeeded();
            metrics.Saved(payload.WrittenCount, finals.Count);
            span?.SetTag("kline.bytes", payload.WrittenCount).SetTag("kline.archived", finals.Count);
        }
        catch (Exception error)
        {
            _nextSave = time.GetUtcNow() + SaveInterval;
            metrics.SaveFailed();
            span.Failed(error);
            if (error is InconsistentStateException)
            {
                // Another activation has taken over, or the answer to a write was lost: what is stored counts.
                DeactivateOnIdle();
            }

            throw;
        }
    }

    /// <summary>
    /// Sees to it that the grain wakes at the next moment at which there is something to do: changes must be saved, or a bucket becomes final. That is a moment of ours by
    /// a clock that runs on with ours, else one of the source's, which is looked at for all grains at once.
    /// </summary>
    private void Arm()
    {
        var now = time.GetUtcNow();
        DateTimeOffset? due = _version != _savedVersion && !IsSaving ? NextSave : null;
        if (_builder is { IsCatchingUp: false, NextDue: { } final } && !_isEnding)
        {
            if (_behind is { } behind)
            {
                due = Min(due, final + behind);
                StopWaiting();
            }
            else
            {
                clocks.Wait(_waiter ??= new SourceClocks.Waiter(OnClock), _source, final);
            }
        }
        else
        {
            StopWaiting();
        }

        if (due is null || due >= _timerDue || _isEnding)
        {
            return;
        }

        var wait = due.Value - now;
        wait = wait < ShortestWait ? ShortestWait : wait > LongestWait ? LongestWait : wait;
        _timerDue = now + wait;
        if (_timer is null)
        {
            _timer = this.RegisterGrainTimer(static (grain, _) => grain.OnTimer(), this, new GrainTimerCreationOptions { DueTime = wait, Period = Timeout.InfiniteTimeSpan, Interleave = true });
        }
        else
        {
            _timer.Change(wait, Timeout.InfiniteTimeSpan);
        }
    }

    private void StopWaiting()
    {
        if (_waiter is { } waiter)
        {
            clocks.Forget(waiter);
        }
    }

    /// <summary>A turn of its own, as the timer's are, and no call, so that it keeps nobody in memory. Any thread.</summary>
    private Task OnClock() => Task.Factory.StartNew(static grain => ((KlineGrain)grain!).Look(asks: true), this, CancellationToken.None, TaskCreationOptions.DenyChildAttach, _turns!).Unwrap();

    private Task OnTimer()
    {
        _timerDue = DateTimeOffset.MaxValue;
        return Look(asks: _behind is not null);
    }

    /// <param name="asks">For the source's clock too.</param>
    private async Task Look(bool asks)
    {
        if (_isEnding)
        {
            return;
        }

        try
        {
            if (asks && _builder is { } builder)
            {
                await AdvanceToSource(builder);
            }

            if (_version != _savedVersion && !IsSaving && time.GetUtcNow() >= NextSave)
            {
                // Not waited for: a store that hangs must not hold up the clock.
                SaveInBackground();
            }
        }
        catch (Exception error)
        {
            LogTimerFailed(_symbol, error.Message, error);
        }

        Arm();
    }

    private static DateTimeOffset? Min(DateTimeOffset? left, DateTimeOffset? right) =>
        left is null ? right : right is null || left < right ? left : right;
}
