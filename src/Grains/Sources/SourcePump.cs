using System.Collections.Immutable;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Grains;

/// <summary>Brings the trades of one source to their grains, and its checkpoint past what they have saved.</summary>
/// <remarks>
/// <para>
/// Each mint has a lane: one call at a time, with everything that came meanwhile in the next call. A slow grain holds up its own mint only, until
/// <see cref="MaxUndelivered"/> trades wait in all.
/// </para>
/// <para>
/// Trades are numbered as they are read. A checkpoint is that of the newest chunk of which every trade was taken by its grain, written once every mint has saved
/// what it took. A mint's clock (<see cref="ClockOf"/>) is the newest chunk's, or while trades of the mint are on their way the one before the oldest of them: a
/// mint that cannot take its trades holds up the checkpoint, and nobody else's klines.
/// </para>
/// <para>
/// What a grain took and has not saved is gone when its activation ends. The pump knows which activation took it; where another one answers, it gives up what is under
/// way and reads again from the checkpoint that is stored. Grains know the trades that they have. Thread safe.
/// </para>
/// <para>
/// A symbol's past (<see cref="SourceChunk.History"/>) goes the same way, at its place among the symbol's trades: its final klines to the archive, its forming ones to
/// the grain, and then the lane waits until a checkpoint has passed it. Whatever is read again after a kill begins with that past again.
/// </para>
/// </remarks>
internal sealed partial class SourcePump : IDisposable
{
    /// <summary>Trades read and not yet taken by their grains at which reading waits.</summary>
    internal const int MaxUndelivered = 65_536;

    /// <summary>
    /// Mints whose grains may come into memory for their first trades at the same time. Each reads its state first: more at once would only have each wait longer, until
    /// the calls are given up. Mints whose grains have taken trades do not wait for these.
    /// </summary>
    internal const int MaxArrivals = 1_024;

    /// <summary>Mints that are asked to save at the same time.</summary>
    private const int MaxSavesAtOnce = 2_000;

    /// <summary>Mints whose saves begin without other work between them.</summary>
    private const int SavesInARow = 4;

    /// <summary>Chunks remembered as places for a checkpoint.</summary>
    private const int MaxMarks = 2_048;

    /// <summary>Checkpoints after which an idle lane is let go.</summary>
    private const int IdleCheckpoints = 60;

    internal static readonly TimeSpan CheckpointInterval = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan VisitInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LastRetry = TimeSpan.FromSeconds(30);

    private readonly SourceDescription _description;
    private readonly Func<ITradeSource> _create;
    private readonly IGrainFactory _grains;
    private readonly IKlineArchive _archive;
    private readonly TimeProvider _time;
    private readonly Func<string?, DateTimeOffset, Task> _saveCheckpoint;
    private readonly ILogger _logger;
    private readonly SymbolIndex _index;
    private readonly QuietMints _quiet;

    private readonly CancellationTokenSource _stop = new();
    private readonly ChainEventLane _events;
    private readonly Dictionary<string, Lane> _lanes = new(StringComparer.Ordinal);
    private readonly HashSet<Lane> _busy = [];
    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _checkpointing = new(1, 1);
    private readonly SemaphoreSlim _arriving = new(MaxArrivals, MaxArrivals);

    /// <summary>Hashes of the symbols met, of 64 bits each: a mint is counted, and put into the index, once.</summary>
    private readonly HashSet<ulong> _met = [];

    /// <summary>Places for a checkpoint, oldest first.</summary>
    private readonly List<Mark> _marks = [];

    private ITradeSource? _source;
    private Task _running = Task.CompletedTask;
    private Task _visits = Task.CompletedTask;
    private TaskCompletionSource? _room;
    private TaskCompletionSource? _delivered;
    private TaskCompletionSource? _progress;

    /// <summary>Ends with the stop, or when trades are lost: then what is under way is given up.</summary>
    private CancellationTokenSource _reading;
    private bool _isLost;
    private long _read;
    private long _chunks;

    /// <summary>The newest chunk's clock, and when it was given.</summary>
    private SourceClock _clock;
    private long _clockGiven;

    /// <summary>The newest mark that every lane has passed.</summary>
    private Mark? _taken;

    /// <summary>What is stored, and the number that it has passed.</summary>
    private (string? Checkpoint, DateTimeOffset Clock) _stored;
    private long _checkpointed;
    private long _checkpoints;
    private long _undelivered;
    private long _duplicates;
    private long _late;
    private long _refused;
    private SourceState? _state = SourceState.Starting;
    private DateTimeOffset _since;
    private SourceState _shown = SourceState.Starting;
    private string? _error;
    private string? _saveError;

    public SourcePump(
        SourceDescription description,
        Func<ITradeSource> create,
        IGrainFactory grains,
        IKlineArchive archive,
        TimeProvider time,
        Func<string?, DateTimeOffset, Task> saveCheckpoint,
        Func<CancellationToken, ChainEventLane> openEvents,
        ILogger<SourcePump> logger)
    {
        (_description, _create, _grains, _archive, _time, _saveCheckpoint, _logger) = (description, create, grains, archive, time, saveCheckpoint, logger);
        _events = openEvents(_stop.Token);
        _index = new SymbolIndex(archive, time);
        _quiet = new QuietMints(description.Name, grains, archive, time, ClockOfQuiet, logger);
        _reading = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        _since = time.GetUtcNow();
    }

    /// <summary>The clock that makes klines of one mint final: see <see cref="ISourceGrain.GetClock"/>.</summary>
    public SourceClock ClockOf(string symbol, long activation)
    {
        lock (_lock)
        {
            if (!_lanes.TryGetValue(symbol, out var lane))
            {
                return _clock.After(_time.GetElapsedTime(_clockGiven));
            }

            if (_isLost || (lane.IsUnsaved && lane.Activation != activation))
            {
                Lose(lane);
                return new SourceClock(DateTimeOffset.MinValue, IsLive: false);
            }

            return lane.TryGetClock(out var before) ? before : _clock.After(_time.GetElapsedTime(_clockGiven));
        }
    }

    /// <param name="checkpoint">Where to read from; null: the beginning.</param>
    /// <param name="clock">The source's clock there.</param>
    public void Start(string? checkpoint, DateTimeOffset clock)
    {
        _stored = (checkpoint, clock);
        _clock = new SourceClock(clock, IsLive: false);
        _running = Task.Run(Run);
    }

    /// <summary>Stops reading, brings what was read to its grains, and saves. Throws what kept it from saving.</summary>
    public async Task Stop()
    {
        await _stop.CancelAsync();
        await _running;
        await _visits;
        await Checkpoint(everyMint: false);
        lock (_lock)
        {
            _state = SourceState.Closed;
        }
    }

    /// <summary>Call after <see cref="Stop"/>.</summary>
    public void Dispose()
    {
        _stop.Dispose();
        _reading.Dispose();
        _checkpointing.Dispose();
        _arriving.Dispose();
        _index.Dispose();
        _quiet.Dispose();
    }

    public SourceStatus GetStatus()
    {
        var events = _events.Figures;
        var status = Volatile.Read(ref _source)?.GetStatus() ?? new SourceStatus { Name = _description.Name, Kind = _description.Kind, State = SourceState.Starting };
        lock (_lock)
        {
            var state = _state ?? status.State;
            if (state == SourceState.Ended && _state is null)
            {
                // Read to its end, and not saved to its end yet.
                state = SourceState.Replaying;
            }

            if (state != _shown)
            {
                _shown = state;
                _since = _time.GetUtcNow();
            }

            return status with
            {
                Name = _description.Name,
                Kind = _description.Kind,
                State = state,
                Since = _since,
                Clock = _clock.Time,
                Skipped = _refused == 0 ? status.Skipped : status.Skipped.SetItem("otherSource", _refused),
                Duplicates = _duplicates,
                Late = _late,
                IsSimulated = _description.IsSimulated,
                Error = _error ?? _saveError ?? _busy.FirstOrDefault(l => l.Error is not null)?.Error ?? status.Error,
                Mints = _met.Count,
                Events = events.Stored,
                LastEventTime = events.Newest,
            };
        }
    }

    private async Task Run()
    {
        using var checkpoints = _time.CreateTimer(_ => _ = CheckpointByTimer(), null, CheckpointInterval, CheckpointInterval);
        using var visits = _time.CreateTimer(_ => _visits = _visits.IsCompleted ? VisitByTimer() : _visits, null, VisitInterval, VisitInterval);
        var (retry, rewind) = (FirstRetry, TimeSpan.Zero);
        long? rewound = null;
        var checkpoint = _stored.Checkpoint;
        while (!_stop.IsCancellationRequested)
        {
            var reading = _reading.Token;
            try
            {
                var source = _create();
                Volatile.Write(ref _source, source);
                SetState(null, null);
                await foreach (var chunk in source.Read(checkpoint, reading))
                {
                    retry = FirstRetry;
                    checkpoint = chunk.Checkpoint;

                    // Before the mark of its chunk: no checkpoint finds the one without the other.
                    await _events.Add(chunk.Events);
                    await Take(chunk);
                }

                await Delivered();
                if (!reading.IsCancellationRequested)
                {
                    // The recording's last word: its clock reaches every mint, also those without a trade near the end.
                    SetState(SourceState.Replaying, null);
                    await FinishAll(reading);
                }

                if (!reading.IsCancellationRequested)
                {
                    SetState(SourceState.Ended, null);
                    LogEnded(_description.Name, Interlocked.Read(ref _read));
                    return;
                }
            }
            catch (OperationCanceledException) when (reading.IsCancellationRequested)
            {
                // The stop, or what follows.
            }
            catch (Exception error)
            {
                SetState(SourceState.Failed, error.Message);
                LogFailed(_description.Name, error.Message, retry, error is SourceException ? null : error);
                await Wait(retry, reading);
                retry = retry * 2 < LastRetry ? retry * 2 : LastRetry;
            }

            if (reading.IsCancellationRequested && !_stop.IsCancellationRequested)
            {
                // At once, unless it happens again and again.
                rewind = rewound is null || _time.GetElapsedTime(rewound.Value) > LastRetry * 2 ? TimeSpan.Zero : rewind == TimeSpan.Zero ? FirstRetry : rewind * 2 < LastRetry ? rewind * 2 : LastRetry;
                await Delivered();
                await Wait(rewind, _stop.Token);
                checkpoint = await Rewind();
                rewound = _time.GetTimestamp();
            }
        }

        await Delivered();
    }

    private async ValueTask Take(SourceChunk chunk)
    {
        List<Lane>? idle = null;
        TaskCompletionSource? room = null;
        lock (_lock)
        {
            if (_isLost)
            {
                return;
            }

            foreach (var symbol in chunk.Symbols)
            {
                _index.Name(symbol with { Source = _description.Name });
            }

            _chunks++;
            foreach (var history in chunk.History)
            {
                var lane = LaneOf(history.Symbol, history.From);
                lane.Add(BatchKind.Begin, history, ++_read, _clock);
                Wake(lane, ref idle);
            }

            Add(chunk.Trades, BatchKind.Trades, ref idle);
            Add(chunk.Ordered, BatchKind.SlotOrder, ref idle);
            foreach (var symbol in chunk.CaughtUp)
            {
                var lane = LaneOf(symbol, chunk.Clock.Time);
                lane.Add(BatchKind.CaughtUp, null, ++_read, _clock);
                Wake(lane, ref idle);
            }

            _undelivered += chunk.Trades.Length + chunk.Ordered.Length;
            (_clock, _clockGiven) = (chunk.Clock, _time.GetTimestamp());
            AddMark(new Mark(_read, chunk.Checkpoint, chunk.Clock.Time));
            if (_undelivered >= MaxUndelivered)
            {
                room = _room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            }
        }

        if (_index.WantsToRegister())
        {
            _ = RegisterSoon();
        }

        if (idle is not null)
        {
            foreach (var lane in idle)
            {
                _ = Drain(lane);
            }
        }

        if (room is not null)
        {
            await room.Task;
        }
    }

    /// <summary>Puts trades into their lanes; <paramref name="idle"/> gets the lanes that nobody drains yet. Under the lock.</summary>
    private void Add(ImmutableArray<Trade> trades, BatchKind kind, ref List<Lane>? idle)
    {
        foreach (ref readonly var trade in trades.AsSpan())
        {
            var lane = LaneOf(trade.Symbol, trade.EventTime);
            lane.Add(trade, ++_read, kind, _chunks, _clock);
            Wake(lane, ref idle);
        }
    }

    private Lane LaneOf(string symbol, DateTimeOffset listed)
    {
        if (!_lanes.TryGetValue(symbol, out var lane))
        {
            lane = new Lane(symbol, _grains.GetGrain<IKlineGrain>(symbol), _description.TradesPerUpdate);
            _lanes.Add(symbol, lane);
            if (_met.Add(Hash(symbol)))
            {
                _index.Meet(new SymbolInfo(symbol, symbol, _description.Name, listed));
            }
        }

        return lane;
    }

    private void Wake(Lane lane, ref List<Lane>? idle)
    {
        if (_busy.Add(lane))
        {
            lane.LastUse = _checkpoints;
            (idle ??= []).Add(lane);
        }
    }

    private void AddMark(Mark mark)
    {
        if (_marks.Count >= MaxMarks)
        {
            Settle();
            if (_marks.Count >= MaxMarks)
            {
                // A mint does not take its trades, and until it does no checkpoint passes them: every other place will do.
                var kept = 0;
                for (var i = 1; i < _marks.Count; i += 2)
                {
                    _marks[kept++] = _marks[i];
                }

                _marks.RemoveRange(kept, _marks.Count - kept);
            }
        }

        _marks.Add(mark);
    }

    private async Task Drain(Lane lane)
    {
        var retry = FirstRetry;
        while (true)
        {
            Batch batch;
            lock (_lock)
            {
                if (_isLost)
                {
                    Abandon(lane);
                    return;
                }

                if (!lane.TryTake(out batch))
                {
                    _busy.Remove(lane);
                    TellDelivered();
                    return;
                }
            }

            while (true)
            {
                var reading = _reading.Token;
                try
                {
                    long required;
                    lock (_lock)
                    {
                        required = lane.Required;
                    }

                    var result = await (lane.Activation == 0 ? DeliverFirst(lane, batch, required) : Deliver(lane, batch, required));
                    retry = FirstRetry;
                    if (required != 0 && result.Activation != required && result.Refusal is null)
                    {
                        // Another activation, and it took nothing. What the other had is lost, or was saved meanwhile.
                        if (IsLost(lane, result.Activation))
                        {
                            break;
                        }

                        continue;
                    }

                    Delivered(lane, batch, result);
                    if (batch.History is not null && result.Refusal is null)
                    {
                        await CheckpointPast(batch.Oldest, reading);
                    }

                    break;
                }
                catch (Exception error)
                {
                    LogIngestFailed(lane.Symbol, error.Message, retry, error);
                    lock (_lock)
                    {
                        lane.Error = $"{lane.Symbol}: trades wait: {error.Message}";
                        if (reading.IsCancellationRequested)
                        {
                            // Not delivered, so no checkpoint passes them: they are read again.
                            Abandon(lane);
                            return;
                        }
                    }

                    await Wait(retry, reading);
                    retry = retry * 2 < LastRetry ? retry * 2 : LastRetry;
                }
            }
        }
    }

    private async Task<IngestResult> DeliverFirst(Lane lane, Batch batch, long required)
    {
        // Also while the source stops: what was read still goes to its grain.
        await _arriving.WaitAsync();
        try
        {
            return await Deliver(lane, batch, required);
        }
        finally
        {
            _arriving.Release();
        }
    }

    private async Task<IngestResult> Deliver(Lane lane, Batch batch, long required)
    {
        if (batch.History is { } history)
        {
            // Refused before anything is written, if another source feeds the symbol.
            var result = await lane.Grain.Ingest(new TradeBatch { Source = _description.Name, Trades = [], Activation = required });
            if (result.Refusal is not null || (required != 0 && result.Activation != required))
            {
                return result;
            }

            // What the grain has final and not archived goes first: the venue's own klines of the same buckets stand.
            if (!(await lane.Grain.Save(new SourceClock(history.WholeTo ?? DateTimeOffset.MinValue, IsLive: false), result.Activation)).IsSaved)
            {
                throw new InvalidOperationException("The grain has left memory meanwhile.");
            }

            if (await PastKlines.Of(history, _description.Rules, _archive) is { Count: > 0 } klines)
            {
                await _archive.Write(history.Symbol, klines);
            }

            await lane.Grain.Begin(new KlineSeed { Source = _description.Name, From = history.From, Forming = history.Forming, Unknown = history.Unknown });
            return result;
        }

        using var span = GrainTraces.Source.StartActivity("kline.ingest");
        span?.SetTag("kline.source", _description.Name).SetTag("kline.trades", batch.Trades.Length);
        return await lane.Grain.Ingest(new TradeBatch
        {
            Source = _description.Name,
            Trades = batch.Trades,
            IsSlotOrder = batch.Kind == BatchKind.SlotOrder,
            IsCaughtUp = batch.Kind == BatchKind.CaughtUp,
            Activation = required,
        });
    }

    /// <summary>Completes when a checkpoint has passed the number, or reading ends.</summary>
    private async Task CheckpointPast(long number, CancellationToken reading)
    {
        while (!reading.IsCancellationRequested)
        {
            Task? progress = null;
            lock (_lock)
            {
                if (_checkpointed >= number)
                {
                    return;
                }

                Settle();
                if (_taken is null || _taken.Number < number)
                {
                    progress = (_progress ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
                }
            }

            try
            {
                // Other symbols' earlier trades may still be on their way.
                await (progress?.WaitAsync(reading) ?? Checkpoint(everyMint: false, past: number));
            }
            catch (OperationCanceledException) when (reading.IsCancellationRequested)
            {
                return;
            }
            catch (Exception error)
            {
                LogCheckpointFailed(_description.Name, error.Message, error);
                await Wait(CheckpointInterval, reading);
            }
        }
    }

    private async Task Wait(TimeSpan delay, CancellationToken cancellationToken)
    {
        try
        {
            await Task.Delay(delay, _time, cancellationToken);
        }
        catch (OperationCanceledException)
        {
            // The caller looks.
        }
    }

    private void Delivered(Lane lane, in Batch batch, IngestResult result)
    {
        lock (_lock)
        {
            if (result.Refusal is { } refusal)
            {
                // The grain will never take these.
                _error = refusal;
                _refused += batch.Trades.Length;
                lane.PassBy();
            }
            else if (batch.History is not null)
            {
                // Durable, and nothing of before is left.
                lane.PassBy();
                lane.Saved(lane.Delivered);
            }
            else if (!lane.Took(result.Activation))
            {
                Lose(lane);
                return;
            }

            _progress?.TrySetResult();
            _progress = null;
            _undelivered -= batch.Trades.Length;
            _duplicates += result.Duplicates;
            _late += result.Late;
            if (_undelivered < MaxUndelivered / 2 && _room is { } room)
            {
                _room = null;
                room.TrySetResult();
            }
        }
    }

    private bool IsLost(Lane lane, long activation)
    {
        lock (_lock)
        {
            if (lane.IsUnsaved && lane.Activation != activation)
            {
                Lose(lane);
            }

            return _isLost;
        }
    }

    /// <summary>What the lane's grain took and did not save is gone: everything under way is given up, and read again. Under the lock.</summary>
    private void Lose(Lane lane)
    {
        if (!_isLost)
        {
            // Also while the source stops: no checkpoint passes what is lost.
            _isLost = true;
            LogLost(_description.Name, lane.Symbol);

            // Not here: who waits for the token goes on at once, and this is under the lock.
            _ = _reading.CancelAsync();
        }
    }

    /// <summary>Forgets what is under way, once no call is, and gives the checkpoint to read from.</summary>
    private async Task<string?> Rewind()
    {
        await _checkpointing.WaitAsync();
        try
        {
            lock (_lock)
            {
                _lanes.Clear();
                _busy.Clear();
                _marks.Clear();
                _taken = null;
                _undelivered = 0;
                _clock = new SourceClock(_stored.Clock, IsLive: false);
                _isLost = false;

                // The old one is not disposed of, because its cancellation may be under way still.
                _reading = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
                return _stored.Checkpoint;
            }
        }
        finally
        {
            _checkpointing.Release();
        }
    }

    /// <summary>Gives up a lane. It stays among the busy with its oldest number: no checkpoint passes it. Under the lock.</summary>
    private void Abandon(Lane lane)
    {
        lane.IsAbandoned = true;
        TellDelivered();
        _room?.TrySetResult();
        _room = null;
    }

    private void TellDelivered()
    {
        if (_delivered is not null && _busy.All(l => l.IsAbandoned))
        {
            _delivered.TrySetResult();
            _delivered = null;
        }
    }

    /// <summary>Completes when every trade read so far was taken by its grain, or given up.</summary>
    private Task Delivered()
    {
        lock (_lock)
        {
            if (_busy.All(l => l.IsAbandoned))
            {
                return Task.CompletedTask;
            }

            return (_delivered ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    /// <summary>Moves <see cref="_taken"/> to the newest mark that every lane has passed. Under the lock.</summary>
    private void Settle()
    {
        var until = long.MaxValue;
        foreach (var lane in _busy)
        {
            until = Math.Min(until, lane.OldestUndelivered - 1);
        }

        var passed = 0;
        while (passed < _marks.Count && _marks[passed].Number <= until)
        {
            _taken = _marks[passed++];
        }

        _marks.RemoveRange(0, passed);
    }

    private SourceClock? ClockOfQuiet(string symbol)
    {
        lock (_lock)
        {
            return _isLost || _stop.IsCancellationRequested || (_lanes.TryGetValue(symbol, out var lane) && (lane.IsUnsaved || lane.TryGetClock(out _))) ? null : _clock;
        }
    }

    private async Task CheckpointByTimer()
    {
        try
        {
            await Checkpoint(everyMint: false);
        }
        catch (Exception error)
        {
            LogCheckpointFailed(_description.Name, error.Message, error);
        }
    }

    private async Task VisitByTimer()
    {
        try
        {
            await _quiet.Visit();
        }
        catch (Exception error)
        {
            LogListFailed(_description.Name, error.Message, error);
        }
    }

    /// <summary>Saves every mint with the last clock, those that nothing came to as well.</summary>
    private async Task FinishAll(CancellationToken reading)
    {
        while (!reading.IsCancellationRequested)
        {
            try
            {
                await Checkpoint(everyMint: true);
                if (!reading.IsCancellationRequested)
                {
                    await _quiet.VisitAll(reading);
                }

                return;
            }
            catch (Exception error) when (error is not OperationCanceledException)
            {
                LogCheckpointFailed(_description.Name, error.Message, error);
                SetSaveError($"Saving is behind: {error.Message}");
                await Wait(CheckpointInterval, reading);
            }
        }
    }

    /// <summary>Saves the mints that have taken anything since they last saved, then the checkpoint.</summary>
    /// <param name="everyMint">The others as well.</param>
    /// <param name="past">Nothing is done if a checkpoint has passed this number by now.</param>
    private async Task Checkpoint(bool everyMint, long past = 0)
    {
        if (!everyMint && past == 0 && !_stop.IsCancellationRequested)
        {
            // One at a time; a timer that comes while one is under way has nothing to add.
            if (!await _checkpointing.WaitAsync(0))
            {
                return;
            }
        }
        else
        {
            await _checkpointing.WaitAsync();
        }

        try
        {
            Mark? taken;
            var saves = new List<Saving>();
            lock (_lock)
            {
                if (_isLost)
                {
                    return;
                }

                Settle();
                taken = _taken;
                if (past > 0 && (taken is null || _checkpointed >= past))
                {
                    return;
                }

                _checkpoints++;
                foreach (var lane in _lanes.Values)
                {
                    if (lane.IsUnsaved || everyMint)
                    {
                        saves.Add(new Saving(lane, lane.IsUnsaved, lane.Activation, lane.Delivered, lane.TryGetClock(out var before) ? before : _clock));
                    }
                }
            }

            try
            {
                foreach (var some in saves.Chunk(MaxSavesAtOnce))
                {
                    var saving = new List<Task>(some.Length);
                    foreach (var lane in some)
                    {
                        saving.Add(Save(lane));
                        if (saving.Count % SavesInARow == 0)
                        {
                            // What is saved is written down on the threads that deliver: others get their turn in between.
                            await Task.Yield();
                        }
                    }

                    await Task.WhenAll(saving);
                }

                // After the saves, so that they do not wait for it, and before the checkpoint: who does not come again must be found in the index.
                await _index.Register();

                // Those of chunks after the mark too, which harms nothing.
                await _events.Flush();
                lock (_lock)
                {
                    if (_isLost)
                    {
                        return;
                    }
                }

                if (taken is not null)
                {
                    await _saveCheckpoint(taken.Checkpoint, taken.Clock);
                }

                SetSaveError(null);
                lock (_lock)
                {
                    if (taken is not null)
                    {
                        _stored = (taken.Checkpoint, taken.Clock);
                        _checkpointed = Math.Max(_checkpointed, taken.Number);
                    }

                    LetGo();
                }
            }
            catch (Exception error)
            {
                SetSaveError($"Saving is behind: {error.Message}");
                throw;
            }
        }
        finally
        {
            _checkpointing.Release();
        }
    }

    private async Task Save(Saving saving)
    {
        var lane = saving.Lane;
        if (!saving.IsUnsaved)
        {
            _quiet.Note(lane.Symbol, (await lane.Grain.Settle(_description.Name, saving.Clock)).NextFinal);
            return;
        }

        var result = await lane.Grain.Save(saving.Clock, saving.Activation);
        lock (_lock)
        {
            if (!result.IsSaved)
            {
                Lose(lane);
                return;
            }

            lane.Saved(saving.Delivered);
        }

        _quiet.Note(lane.Symbol, result.NextFinal);
    }

    /// <summary>Lets lanes go that have been idle. Under the lock.</summary>
    private void LetGo()
    {
        if (_checkpoints % IdleCheckpoints != 0)
        {
            return;
        }

        foreach (var (symbol, lane) in _lanes)
        {
            if (!lane.IsUnsaved && !_busy.Contains(lane) && _checkpoints - lane.LastUse >= IdleCheckpoints)
            {
                _lanes.Remove(symbol);
            }
        }
    }

    private async Task RegisterSoon()
    {
        try
        {
            await _index.Register();
        }
        catch (Exception error)
        {
            // The next checkpoint waits for it.
            LogRegisterFailed(_description.Name, error.Message, error);
        }
    }

    private void SetState(SourceState? state, string? error)
    {
        lock (_lock)
        {
            _state = state;
            _error = error;
        }
    }

    private void SetSaveError(string? error)
    {
        lock (_lock)
        {
            _saveError = error;
        }
    }

    private static ulong Hash(string symbol)
    {
        var hash = 0xCBF29CE484222325UL;
        foreach (var c in symbol)
        {
            hash = (hash ^ c) * 0x100000001B3UL;
        }

        return hash;
    }

    [LoggerMessage(1111, LogLevel.Error, "Source {Name} failed and is read again in {Delay}: {Reason}")]
    private partial void LogFailed(string name, string reason, TimeSpan delay, Exception? error);

    [LoggerMessage(1112, LogLevel.Error, "{Symbol}: trades were not taken and are sent again in {Delay}: {Reason}")]
    private partial void LogIngestFailed(string symbol, string reason, TimeSpan delay, Exception error);

    [LoggerMessage(1113, LogLevel.Error, "Source {Name}: the checkpoint stays where it is, because not everything was saved: {Reason}")]
    private partial void LogCheckpointFailed(string name, string reason, Exception error);

    [LoggerMessage(1114, LogLevel.Warning, "Source {Name}: new symbols are not in the index yet: {Reason}")]
    private partial void LogRegisterFailed(string name, string reason, Exception error);

    [LoggerMessage(1115, LogLevel.Information, "Source {Name} has ended: {Trades} trades read, all saved")]
    private partial void LogEnded(string name, long trades);

    [LoggerMessage(1117, LogLevel.Warning, "Source {Name}: the grain of {Symbol} has left memory with trades that it had not saved; the source is read again from its checkpoint")]
    private partial void LogLost(string name, string symbol);

    [LoggerMessage(1118, LogLevel.Error, "Source {Name}: the index of symbols cannot be read, and klines of quiet ones are not stored yet: {Reason}")]
    private partial void LogListFailed(string name, string reason, Exception error);

    /// <summary>A chunk's end: the number of its last trade, and what holds once all up to it are taken.</summary>
    private sealed record Mark(long Number, string Checkpoint, DateTimeOffset Clock);

    /// <summary>What one lane's grain is asked to save.</summary>
    private readonly record struct Saving(Lane Lane, bool IsUnsaved, long Activation, long Delivered, SourceClock Clock);
}
