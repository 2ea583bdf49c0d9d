using System.Buffers;
using System.Collections.Immutable;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;
using Orleans.Runtime;
using Orleans.Storage;
using Orleans.Streams;

namespace KlineOrleans.Grains;

/// <summary>One mint: identity, turns, state and timer around a <see cref="KlineBuilder"/>.</summary>
/// <remarks>
/// Only <see cref="Save"/> and the timer interleave with other calls. The builder is changed between awaits only, so it is whole at each of them.
/// The state is written before final klines go to the archive and the next save forgets them: the archive is never ahead of the state, so that a
/// trade delivered again after a crash finds the klines without it.
/// </remarks>
public sealed partial class KlineGrain(
    [PersistentState("kline")] IPersistentState<KlineGrainState> state,
    IKlineArchive archive,
    ITradeSourceFactory sources,
    SourceClocks clocks,
    GrainMetrics metrics,
    TimeProvider time,
    ILogger<KlineGrain> logger) : Grain, IKlineGrain
{
    /// <summary>A grain with changes saves itself at least this often.</summary>
    internal static readonly TimeSpan SaveInterval = TimeSpan.FromSeconds(5);

    /// <summary>Final klines not archived at which the grain saves at once.</summary>
    internal const int SaveAtUnarchived = 1_000;

    /// <summary>Final klines not archived at which the grain takes no more trades until they are.</summary>
    internal const int WaitAtUnarchived = 20_000;

    /// <summary>How often the clock of a recording is looked at.</summary>
    private static readonly TimeSpan RecordedClockInterval = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan ShortestWait = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan LongestWait = TimeSpan.FromHours(1);

    private readonly ImmutableArray<Kline>.Builder _changes = ImmutableArray.CreateBuilder<Kline>();
    private string _symbol = "";
    private string _source = "";
    private KlineBuilder? _builder;
    private IAsyncStream<KlineUpdate>? _stream;
    private IGrainTimer? _timer;
    private DateTimeOffset _timerDue = DateTimeOffset.MaxValue;
    private long _epoch;
    private long _seq;

    // How far the source's clock is behind ours; null while it does not run on with ours.
    private TimeSpan? _behind;
    private DateTimeOffset _newestEventTime;
    private DateTimeOffset _newestReceivedTime;

    // Counts changes; saved up to _savedVersion. A save that is under way serves everybody who waits for an older version.
    private long _version;
    private long _savedVersion;
    private Task _saving = Task.CompletedTask;

    // The part of metrics.Unarchived that is this grain's.
    private int _unarchived;
    private DateTimeOffset _dirtySince;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        _symbol = this.GetPrimaryKeyString();
        _epoch = Math.Max(state.State.Epoch + 1, time.GetUtcNow().ToUnixTimeMilliseconds());
        _stream = this.GetStreamProvider(KlineStreams.Provider).GetStream<KlineUpdate>(KlineStreams.ForSymbol(_symbol));
        if (state.RecordExists && state.State.Source.Length > 0)
        {
            _source = state.State.Source;
            var reader = new StateReader(state.State.Builder);
            _builder = KlineBuilder.Read(RulesOf(_source), ref reader);
            if (_builder.Unarchived > 0)
            {
                // Saved, and perhaps never archived.
                Dirty();
                CountUnarchived(_builder.Unarchived);
            }

            // Time has passed while nobody was here: the timer looks at the source's clock soon.
            Arm();
        }

        metrics.Activated();
        return Task.CompletedTask;
    }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        metrics.Deactivated();
        _timer?.Dispose();
        try
        {
            await SaveChanges();
        }
        catch (Exception error)
        {
            // Nothing is lost: the source's checkpoint has not moved past what is not saved.
            LogSaveFailed(_symbol, error.Message, error);
        }

        CountUnarchived(0);
    }

    /// <inheritdoc/>
    public async Task<IngestResult> Ingest(TradeBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
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

        metrics.Ingested(applied, duplicates, late);
        await Publish(builder);
        Arm();
        if (builder.Unarchived >= WaitAtUnarchived || (builder.Unarchived > 0 && metrics.Unarchived >= metrics.MostUnarchived))
        {
            await SaveChanges();
        }
        else if (builder.Unarchived >= SaveAtUnarchived && !IsSaving)
        {
            SaveInBackground();
        }

        return new IngestResult(applied, duplicates, late);
    }

    /// <inheritdoc/>
    public async Task Save(SourceClock clock)
    {
        if (_builder is not null)
        {
            Advance(_builder, clock);
            await Publish(_builder);
            Arm();
        }

        await SaveChanges();
    }

    /// <inheritdoc/>
    public async Task<KlineSnapshot> GetSnapshot()
    {
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

    private KlineBuilder Builder(string source)
    {
        if (_builder is null)
        {
            _source = source;
            _builder = new KlineBuilder(RulesOf(source));
        }
        else if (_source != source)
        {
            // A source may be renamed or replaced by another that continues it; two at once would fight over the klines.
            if (sources.Sources.Any(s => s.Name == _source))
            {
                throw new ArgumentException($"'{_symbol}' is fed by source '{_source}'; source '{source}' cannot feed it too.");
            }

            LogSourceChanged(_symbol, _source, source);
            _source = source;
        }

        return _builder;
    }

    private KlineRules RulesOf(string source) => sources.Sources.FirstOrDefault(s => s.Name == source)?.Rules ?? new KlineRules();

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
                var older = await archive.Read(_symbol, interval, new KlineRange(null, interval.OpenTime(from), 1, Newest: true));
                before[i] = older.Count > 0 ? older[0] : null;
            }

            // A save may have interleaved, archived klines after the read, and let them go.
            if (builder.Forgotten == forgotten)
            {
                builder.AddHistory(klines, from, before);
                return;
            }
        }
    }

    private async Task SetOrder(KlineBuilder builder, ImmutableArray<Trade> trades)
    {
        for (int from = 0, to; from < trades.Length; from = to)
        {
            for (to = from + 1; to < trades.Length && trades[to].Order.Id.Position == trades[from].Order.Id.Position;)
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
        var clock = await clocks.Get(_source);
        Advance(builder, clock);
        await Publish(builder);
    }

    private void Advance(KlineBuilder builder, SourceClock clock)
    {
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
        builder.TakeChanges(_changes);
        if (_changes.Count == 0)
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
            Klines = _changes.ToImmutable(),
        };
        _changes.Clear();
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

    private void Dirty()
    {
        if (_version == _savedVersion)
        {
            _dirtySince = time.GetUtcNow();
        }

        _version++;
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

            await _saving;
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
            if (finals.Count > 0)
            {
                await archive.Write(_symbol, finals);
                builder.ArchiveTaken();
                CountUnarchived(builder.Unarchived);
            }

            _savedVersion = version;
            _dirtySince = time.GetUtcNow();
            metrics.Saved(payload.WrittenCount, finals.Count);
        }
        catch (InconsistentStateException)
        {
            // Another activation has taken over: what it knows counts.
            DeactivateOnIdle();
            throw;
        }
    }

    /// <summary>Sets the timer to the next moment at which there is something to do: a bucket becomes final, or changes must be saved.</summary>
    private void Arm()
    {
        var now = time.GetUtcNow();
        DateTimeOffset? due = _version != _savedVersion ? _dirtySince + SaveInterval : null;
        if (_builder?.NextDue is { } final)
        {
            // By a clock that stands or runs at a pace of its own, it can only be looked for.
            due = Min(due, _behind is { } behind ? final + behind : now + RecordedClockInterval);
        }

        if (due is null || due >= _timerDue)
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

    private async Task OnTimer()
    {
        _timerDue = DateTimeOffset.MaxValue;
        try
        {
            if (_builder is { } builder)
            {
                await AdvanceToSource(builder);
            }

            if (_version != _savedVersion && !IsSaving && time.GetUtcNow() >= _dirtySince + SaveInterval)
            {
                await SaveChanges();
            }
        }
        catch (Exception error)
        {
            _dirtySince = time.GetUtcNow();
            LogSaveFailed(_symbol, error.Message, error);
        }

        Arm();
    }

    private static DateTimeOffset? Min(DateTimeOffset? left, DateTimeOffset? right) =>
        left is null ? right : right is null || left < right ? left : right;
}
