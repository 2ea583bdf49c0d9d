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
    private long _read;
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

            Add(chunk.Trades, isSlotOrder: false, ref idle);
            Add(chunk.Ordered, isSlotOrder: true, ref idle);

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
    private void Add(ImmutableArray<Trade> trades, bool isSlotOrder, ref List<Lane>? idle)
    {
        foreach (ref readonly var trade in trades.AsSpan())
        {
            if (!_lanes.TryGetValue(trade.Symbol, out var lane))
            {
                lane = new Lane(trade.Symbol, grains.GetGrain<IKlineGrain>(trade.Symbol));
                _lanes.Add(trade.Symbol, lane);
                _unregistered.TryAdd(trade.Symbol, (new SymbolInfo(trade.Symbol, trade.Symbol, description.Name, trade.EventTime), IsNamed: false));
            }

            lane.Add(trade, ++_read, isSlotOrder);
            if (_busy.Add(lane))
            {
                (idle ??= []).Add(lane);
            }
        }
    }

    private async Task Drain(Lane lane)
    {
        var retry = FirstRetry;
        while (true)
        {
            ImmutableArray<Trade> trades;
            bool isSlotOrder;
            lock (_lock)
            {
                if (!lane.TryTake(out trades, out isSlotOrder))
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
                    var result = await lane.Grain.Ingest(new TradeBatch { Source = description.Name, Trades = trades, IsSlotOrder = isSlotOrder });
                    retry = FirstRetry;
                    Delivered(lane, trades.Length, result);
                    break;
                }
                catch (ArgumentException error)
                {
                    // The grain will never take these: another source feeds this mint.
                    SetError(error.Message);
                    Delivered(lane, trades.Length, default);
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
    private async Task Checkpoint(bool everyMint)
    {
        if (!everyMint && !_stop.IsCancellationRequested)
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
                if (_taken is not { } mark)
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

    /// <summary>One mint's trades on their way. Guarded by the pump's lock.</summary>
    private sealed class Lane(string symbol, IKlineGrain grain)
    {
        private readonly Queue<(ImmutableArray<Trade> Trades, long Oldest, bool IsSlotOrder)> _earlier = new();
        private readonly ImmutableArray<Trade>.Builder _waiting = ImmutableArray.CreateBuilder<Trade>();
        private bool _waitingIsSlotOrder;
        private long _oldestWaiting;
        private long _oldestOnTheWay;

        public string Symbol => symbol;

        public IKlineGrain Grain => grain;

        /// <summary>Took trades since it was last asked to save.</summary>
        public bool IsFed { get; set; }

        public bool IsAbandoned { get; set; }

        /// <summary>Number of the oldest trade not taken by the grain; valid while the lane is busy.</summary>
        public long OldestUndelivered => _oldestOnTheWay != 0 ? _oldestOnTheWay : _earlier.TryPeek(out var earlier) ? earlier.Oldest : _oldestWaiting;

        public void Add(in Trade trade, long number, bool isSlotOrder)
        {
            if (_waiting.Count > 0 && (isSlotOrder != _waitingIsSlotOrder || (!isSlotOrder && _waiting.Count >= MaxBatch)))
            {
                // A correction of order is a batch of its own.
                _earlier.Enqueue((_waiting.DrainToImmutable(), _oldestWaiting, _waitingIsSlotOrder));
            }

            if (_waiting.Count == 0)
            {
                _oldestWaiting = number;
                _waitingIsSlotOrder = isSlotOrder;
            }

            _waiting.Add(trade);
        }

        public bool TryTake(out ImmutableArray<Trade> trades, out bool isSlotOrder)
        {
            if (_earlier.TryDequeue(out var earlier))
            {
                (trades, _oldestOnTheWay, isSlotOrder) = earlier;
            }
            else if (_waiting.Count > 0)
            {
                _oldestOnTheWay = _oldestWaiting;
                isSlotOrder = _waitingIsSlotOrder;
                trades = _waiting.DrainToImmutable();
            }
            else
            {
                trades = [];
                isSlotOrder = false;
                return false;
            }

            IsFed = true;
            return true;
        }

        public void Delivered() => _oldestOnTheWay = 0;
    }
}
