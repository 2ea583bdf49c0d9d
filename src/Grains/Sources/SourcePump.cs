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
/// Trades are numbered as they are read. The newest chunk of which every trade was taken by its grain gives the <see cref="Clock"/>; a checkpoint is
/// such a chunk's, written once every mint it fed has saved. Thread safe.
/// </para>
/// <para>
/// A symbol's past (<see cref="SourceChunk.History"/>) goes the same way, at its place among the symbol's trades: its final klines to the archive, its forming ones to
/// the grain, and then the lane waits until a checkpoint has passed it. Whatever is read again after a kill begins with that past again.
/// </para>
/// </remarks>
internal sealed partial class SourcePump(
    SourceDescription description,
    Func<ITradeSource> create,
    IGrainFactory grains,
    IKlineArchive archive,
    TimeProvider time,
    Func<string, Task> saveCheckpoint,
    Func<CancellationToken, ChainEventLane> openEvents,
    ILogger<SourcePump> logger) : IDisposable
{
    /// <summary>Trades read and not yet taken by their grains at which reading waits.</summary>
    internal const int MaxUndelivered = 65_536;

    /// <summary>The most trades in one call to a grain, so that its turns stay short. A correction of order may be longer: it is not cut within a slot.</summary>
    internal const int MaxBatch = 1_024;

    /// <summary>Mints that are asked to save at the same time.</summary>
    private const int MaxSavesAtOnce = 2_000;

    internal static readonly TimeSpan CheckpointInterval = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LastRetry = TimeSpan.FromSeconds(30);

    private readonly CancellationTokenSource _stop = new();
    private ChainEventLane? _events;
    private readonly Dictionary<string, Lane> _lanes = new(StringComparer.Ordinal);
    private readonly HashSet<Lane> _busy = [];
    private readonly Queue<Mark> _marks = new();
    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _checkpointing = new(1, 1);
    private readonly SemaphoreSlim _registering = new(1, 1);
    private readonly Dictionary<string, (SymbolInfo Symbol, bool IsNamed)> _unregistered = new(StringComparer.Ordinal);

    private ITradeSource? _source;
    private Task _running = Task.CompletedTask;
    private TaskCompletionSource? _room;
    private TaskCompletionSource? _delivered;
    private TaskCompletionSource? _progress;
    private long _read;

    /// <summary>The number that the saved checkpoint has passed.</summary>
    private long _checkpointed;
    private long _undelivered;
    private long _duplicates;
    private long _late;
    private Mark? _taken;
    private SourceState? _state = SourceState.Starting;
    private DateTimeOffset _since = time.GetUtcNow();
    private SourceState _shown = SourceState.Starting;
    private string? _error;
    private string? _saveError;

    /// <summary>The clock of the newest chunk that the grains have whole.</summary>
    public SourceClock Clock
    {
        get
        {
            lock (_lock)
            {
                Settle();
                return _taken is { } mark ? mark.Clock.After(time.GetElapsedTime(mark.Given)) : new SourceClock(DateTimeOffset.MinValue, IsLive: false);
            }
        }
    }

    public void Start(string? checkpoint)
    {
        _events = openEvents(_stop.Token);
        _running = Task.Run(() => Run(checkpoint));
    }

    /// <summary>Stops reading, brings what was read to its grains, and saves. Throws what kept it from saving.</summary>
    public async Task Stop()
    {
        await _stop.CancelAsync();
        await _running;
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
        _checkpointing.Dispose();
        _registering.Dispose();
    }

    public SourceStatus GetStatus()
    {
        var status = Volatile.Read(ref _source)?.GetStatus() ?? new SourceStatus { Name = description.Name, Kind = description.Kind, State = SourceState.Starting };
        var events = _events?.Figures ?? default;
        lock (_lock)
        {
            Settle();
            var state = _state ?? status.State;
            if (state == SourceState.Ended && _state is null)
            {
                // Read to its end, and not saved to its end yet.
                state = SourceState.Replaying;
            }

            if (state != _shown)
            {
                _shown = state;
                _since = time.GetUtcNow();
            }

            return status with
            {
                Name = description.Name,
                Kind = description.Kind,
                State = state,
                Since = _since,
                Clock = _taken?.Clock.Time ?? DateTimeOffset.MinValue,
                Duplicates = _duplicates,
                Late = _late,
                IsSimulated = description.IsSimulated,
                Error = _error ?? _saveError ?? status.Error,
                Mints = _lanes.Count,
                Events = events.Stored,
                LastEventTime = events.Newest,
            };
        }
    }

    private async Task Run(string? checkpoint)
    {
        using var checkpoints = time.CreateTimer(_ => _ = CheckpointByTimer(), null, CheckpointInterval, CheckpointInterval);
        var retry = FirstRetry;
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                var source = create();
                Volatile.Write(ref _source, source);
                SetState(null, null);
                await foreach (var chunk in source.Read(checkpoint, _stop.Token))
                {
                    retry = FirstRetry;
                    checkpoint = chunk.Checkpoint;

                    // Before the mark of its chunk: no checkpoint finds the one without the other.
                    await _events!.Add(chunk.Events);
                    await Take(chunk);
                }

                await Delivered();
                if (!_stop.IsCancellationRequested)
                {
                    // The recording's last word: its clock reaches every mint, also those without a trade near the end.
                    SetState(SourceState.Replaying, null);
                    await CheckpointUntilDone();
                    SetState(SourceState.Ended, null);
                    LogEnded(description.Name, Interlocked.Read(ref _read));
                }

                return;
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                break;
            }
            catch (Exception error)
            {
                SetState(SourceState.Failed, error.Message);
                LogFailed(description.Name, error.Message, retry, error is SourceException ? null : error);
                try
                {
                    await Task.Delay(retry, time, _stop.Token);
                }
                catch (OperationCanceledException)
                {
                    break;
                }

                retry = retry * 2 < LastRetry ? retry * 2 : LastRetry;
            }
        }

        await Delivered();
    }

    private async ValueTask Take(SourceChunk chunk)
    {
        List<Lane>? idle = null;
        TaskCompletionSource? room = null;
        bool register;
        lock (_lock)
        {
            foreach (var symbol in chunk.Symbols)
            {
                _unregistered[symbol.Symbol] = (symbol with { Source = description.Name }, IsNamed: true);
            }

            foreach (var history in chunk.History)
            {
                var lane = LaneOf(history.Symbol, history.From);
                lane.Add(BatchKind.Begin, history, ++_read);
                Wake(lane, ref idle);
            }

            Add(chunk.Trades, BatchKind.Trades, ref idle);
            Add(chunk.Ordered, BatchKind.SlotOrder, ref idle);
            foreach (var symbol in chunk.CaughtUp)
            {
                var lane = LaneOf(symbol, chunk.Clock.Time);
                lane.Add(BatchKind.CaughtUp, null, ++_read);
                Wake(lane, ref idle);
            }

            register = _unregistered.Count > 0;
            _undelivered += chunk.Trades.Length + chunk.Ordered.Length;
            _marks.Enqueue(new Mark(_read, chunk.Checkpoint, chunk.Clock, time.GetTimestamp()));
            if (_undelivered >= MaxUndelivered)
            {
                room = _room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            }
        }

        if (register)
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
            lane.Add(trade, ++_read, kind);
            Wake(lane, ref idle);
        }
    }

    private Lane LaneOf(string symbol, DateTimeOffset listed)
    {
        if (!_lanes.TryGetValue(symbol, out var lane))
        {
            lane = new Lane(symbol, grains.GetGrain<IKlineGrain>(symbol));
            _lanes.Add(symbol, lane);
            _unregistered.TryAdd(symbol, (new SymbolInfo(symbol, symbol, description.Name, listed), IsNamed: false));
        }

        return lane;
    }

    private void Wake(Lane lane, ref List<Lane>? idle)
    {
        if (_busy.Add(lane))
        {
            (idle ??= []).Add(lane);
        }
    }

    private async Task Drain(Lane lane)
    {
        var retry = FirstRetry;
        while (true)
        {
            Batch batch;
            lock (_lock)
            {
                if (!lane.TryTake(out batch))
                {
                    _busy.Remove(lane);
                    if (_busy.Count == 0)
                    {
                        _delivered?.TrySetResult();
                        _delivered = null;
                    }

                    return;
                }
            }

            while (true)
            {
                try
                {
                    var result = await Deliver(lane, batch);
                    retry = FirstRetry;
                    Delivered(lane, batch.Trades.Length, result);
                    if (batch.History is not null)
                    {
                        await CheckpointPast(batch.Oldest);
                    }

                    break;
                }
                catch (ArgumentException error)
                {
                    // The grain will never take these: another source feeds this mint.
                    SetError(error.Message);
                    Delivered(lane, batch.Trades.Length, default);
                    break;
                }
                catch (Exception error)
                {
                    LogIngestFailed(lane.Symbol, error.Message, retry, error);
                    if (_stop.IsCancellationRequested)
                    {
                        // Not delivered, so no checkpoint passes them: a restart reads them again.
                        Abandon(lane);
                        return;
                    }

                    await Wait(retry);
                    retry = retry * 2 < LastRetry ? retry * 2 : LastRetry;
                }
            }
        }
    }

    private async Task<IngestResult> Deliver(Lane lane, Batch batch)
    {
        if (batch.History is { } history)
        {
            // Refused before anything is written, if another source feeds the symbol.
            await lane.Grain.Ingest(new TradeBatch { Source = description.Name, Trades = [] });

            // What the grain has final and not archived goes first: the venue's own klines of the same buckets stand.
            await lane.Grain.Save(new SourceClock(history.WholeTo ?? DateTimeOffset.MinValue, IsLive: false));
            if (await PastKlines.Of(history, description.Rules, archive) is { Count: > 0 } klines)
            {
                await archive.Write(history.Symbol, klines);
            }

            await lane.Grain.Begin(new KlineSeed { Source = description.Name, From = history.From, Forming = history.Forming, Unknown = history.Unknown });
            return default;
        }

        return await lane.Grain.Ingest(new TradeBatch
        {
            Source = description.Name,
            Trades = batch.Trades,
            IsSlotOrder = batch.Kind == BatchKind.SlotOrder,
            IsCaughtUp = batch.Kind == BatchKind.CaughtUp,
        });
    }

    /// <summary>Completes when a checkpoint has passed the number, or the pump stops.</summary>
    private async Task CheckpointPast(long number)
    {
        while (!_stop.IsCancellationRequested)
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
                await (progress?.WaitAsync(_stop.Token) ?? Checkpoint(everyMint: false, past: number));
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception error)
            {
                LogCheckpointFailed(description.Name, error.Message, error);
                await Wait(CheckpointInterval);
            }
        }
    }

    private async Task Wait(TimeSpan delay)
    {
        try
        {
            await Task.Delay(delay, time, _stop.Token);
        }
        catch (OperationCanceledException)
        {
            // The caller looks.
        }
    }

    private void Delivered(Lane lane, int trades, IngestResult result)
    {
        lock (_lock)
        {
            lane.Delivered();
            _progress?.TrySetResult();
            _progress = null;
            _undelivered -= trades;
            _duplicates += result.Duplicates;
            _late += result.Late;
            if (_undelivered < MaxUndelivered / 2 && _room is { } room)
            {
                _room = null;
                room.TrySetResult();
            }
        }
    }

    private void Abandon(Lane lane)
    {
        lock (_lock)
        {
            // It stays in _busy with its oldest number: Settle never passes it.
            lane.IsAbandoned = true;
            if (_busy.All(l => l.IsAbandoned))
            {
                _delivered?.TrySetResult();
                _delivered = null;
            }

            _room?.TrySetResult();
            _room = null;
        }
    }

    /// <summary>Completes when every trade read so far was taken by its grain, or given up because the pump stops.</summary>
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

        while (_marks.TryPeek(out var mark) && mark.Number <= until)
        {
            _taken = _marks.Dequeue();
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
            LogCheckpointFailed(description.Name, error.Message, error);
        }
    }

    private async Task CheckpointUntilDone()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await Checkpoint(everyMint: true);
                return;
            }
            catch (Exception error) when (error is not OperationCanceledException)
            {
                LogCheckpointFailed(description.Name, error.Message, error);
                await Wait(CheckpointInterval);
            }
        }
    }

    /// <summary>Saves the mints fed since they last saved, then the checkpoint.</summary>
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
            Mark taken;
            List<Lane> fed;
            lock (_lock)
            {
                Settle();
                if (_taken is not { } mark || (past > 0 && _checkpointed >= past))
                {
                    return;
                }

                taken = mark;
                fed = [.. _lanes.Values.Where(l => everyMint || l.IsFed)];
                foreach (var lane in fed)
                {
                    lane.IsFed = false;
                }
            }

            try
            {
                await Register();
                foreach (var some in fed.Chunk(MaxSavesAtOnce))
                {
                    await Task.WhenAll(some.Select(l => l.Grain.Save(taken.Clock)));
                }

                // Those of chunks after the mark too, which harms nothing.
                await _events!.Flush();
                await saveCheckpoint(taken.Checkpoint);
                SetSaveError(null);
                lock (_lock)
                {
                    _checkpointed = Math.Max(_checkpointed, taken.Number);
                }
            }
            catch (Exception error)
            {
                SetSaveError($"Saving is behind: {error.Message}");
                lock (_lock)
                {
                    foreach (var lane in fed)
                    {
                        lane.IsFed = true;
                    }
                }

                throw;
            }
        }
        finally
        {
            _checkpointing.Release();
        }
    }

    private async Task RegisterSoon()
    {
        try
        {
            await Register();
        }
        catch (Exception error)
        {
            // The next checkpoint waits for it.
            LogRegisterFailed(description.Name, error.Message, error);
        }
    }

    /// <summary>Puts new symbols into the index.</summary>
    private async Task Register()
    {
        await _registering.WaitAsync();
        try
        {
            KeyValuePair<string, (SymbolInfo Symbol, bool IsNamed)>[] symbols;
            lock (_lock)
            {
                symbols = [.. _unregistered];
            }

            await Task.WhenAll(symbols.Select(async entry =>
            {
                // The name may be known from an earlier run: the symbol itself is only a stand-in.
                if (entry.Value.IsNamed || await archive.GetSymbol(entry.Key) is null)
                {
                    await archive.PutSymbol(entry.Value.Symbol);
                }

                lock (_lock)
                {
                    if (_unregistered.TryGetValue(entry.Key, out var now) && now == entry.Value)
                    {
                        _unregistered.Remove(entry.Key);
                    }
                }
            }));
        }
        finally
        {
            _registering.Release();
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

    private void SetError(string error)
    {
        lock (_lock)
        {
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

    /// <summary>A chunk's end: the number of its last trade, and what holds once all up to it are taken.</summary>
    private sealed record Mark(long Number, string Checkpoint, SourceClock Clock, long Given);

    private enum BatchKind
    {
        Trades,

        /// <summary>A correction of order.</summary>
        SlotOrder,

        /// <summary>The symbol's past.</summary>
        Begin,

        /// <summary>The symbol's trades have reached the present.</summary>
        CaughtUp,
    }

    /// <summary>What goes to a grain in one call.</summary>
    /// <param name="Oldest">The number of its first trade.</param>
    /// <param name="History">Of <see cref="BatchKind.Begin"/> only.</param>
    private readonly record struct Batch(ImmutableArray<Trade> Trades, long Oldest, BatchKind Kind, SymbolKlines? History);

    /// <summary>One mint's trades on their way. Guarded by the pump's lock.</summary>
    private sealed class Lane(string symbol, IKlineGrain grain)
    {
        private readonly Queue<Batch> _earlier = new();
        private readonly ImmutableArray<Trade>.Builder _waiting = ImmutableArray.CreateBuilder<Trade>();
        private BatchKind _waitingKind;
        private long _oldestWaiting;
        private long _oldestOnTheWay;

        public string Symbol => symbol;

        public IKlineGrain Grain => grain;

        /// <summary>Took trades since it was last asked to save.</summary>
        public bool IsFed { get; set; }

        public bool IsAbandoned { get; set; }

        /// <summary>Number of the oldest trade not taken by the grain; valid while the lane is busy.</summary>
        public long OldestUndelivered => _oldestOnTheWay != 0 ? _oldestOnTheWay : _earlier.TryPeek(out var earlier) ? earlier.Oldest : _waiting.Count > 0 ? _oldestWaiting : long.MaxValue;

        public void Add(in Trade trade, long number, BatchKind kind)
        {
            if (_waiting.Count > 0 && (kind != _waitingKind || (kind == BatchKind.Trades && _waiting.Count >= MaxBatch)))
            {
                // A correction of order is a batch of its own.
                EndBatch();
            }

            if (_waiting.Count == 0)
            {
                _oldestWaiting = number;
                _waitingKind = kind;
            }

            _waiting.Add(trade);
        }

        /// <summary>Adds what is not a trade, at its place among them.</summary>
        public void Add(BatchKind kind, SymbolKlines? history, long number)
        {
            EndBatch();
            _earlier.Enqueue(new Batch([], number, kind, history));
        }

        public bool TryTake(out Batch batch)
        {
            if (!_earlier.TryDequeue(out batch))
            {
                if (_waiting.Count == 0)
                {
                    return false;
                }

                batch = new Batch(_waiting.DrainToImmutable(), _oldestWaiting, _waitingKind, null);
            }

            _oldestOnTheWay = batch.Oldest;
            IsFed = true;
            return true;
        }

        private void EndBatch()
        {
            if (_waiting.Count > 0)
            {
                _earlier.Enqueue(new Batch(_waiting.DrainToImmutable(), _oldestWaiting, _waitingKind, null));
            }
        }

        public void Delivered() => _oldestOnTheWay = 0;
    }
}
