using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>One reading of the chain: frames, answers and the clock become chunks in one loop, which alone changes what is known. Used once.</summary>
/// <remarks>
/// <para>
/// A transaction's trades wait for the block time of their slot (bounded), are given with a provisional place, and are compared with the chain's order once
/// the block can be asked for. What the chain lists and was not heard the <see cref="Verifier"/> brings.
/// </para>
/// <para>
/// While a connection's beginning is healed, live frames wait in the queue; if that fills up they are taken all the same: trades in any order give the
/// same klines, and frames that are dropped do not.
/// </para>
/// </remarks>
internal sealed class LiveReader : IDisposable
{
    /// <summary>Provisional places begin here: after any place in a block.</summary>
    internal const long FirstProvisional = 1L << 40;

    private const string Version = "solana1";
    private const int MaxChunkTrades = 2_048;
    private const int MaxFramesAtOnce = 4_096;
    private const int MaxResults = 256;
    private const int OrderDelay = 2;

    // A log so far ahead of what the node itself says of the chain is nonsense, and would be remembered until the chain comes there. A real one the verifier brings.
    private const int MaxSlotsAhead = 1_000;

    // Slots for which the texts of events are held. An order that comes later corrects trades alone.
    private const int EventSlots = 12;

    // A pulse a slot: twice as often as a kline could end, twice as rarely as the next slot.
    private static readonly TimeSpan ClockInterval = TimeSpan.FromMilliseconds(350);
    private static readonly TimeSpan QuietInterval = TimeSpan.FromMilliseconds(900);
    private static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan FirstReconnect = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LastReconnect = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan CompareInterval = TimeSpan.FromSeconds(10);

    private readonly string _source;
    private readonly SolanaOptions _options;
    private readonly TimeProvider _time;
    private readonly SkipCounts _skipped;

    // Of the newest frame alone: what a cut copy lacks is not lost yet.
    private readonly SkipCounts _frameSkipped = new();
    private readonly LiveFigures _figures;
    private readonly NodePool _pool;
    private readonly Ledger _ledger;
    private readonly SlotBook _book = new();
    private readonly ChainClock _clock;
    private readonly LiveBlockTimes _blockTimes = new();
    private readonly EventTimes _times;
    private readonly SolanaTrades _decoder;
    private readonly TransactionDecoder _fetchedDecoder;
    private readonly Channel<LiveResult> _results = Channel.CreateBounded<LiveResult>(new BoundedChannelOptions(MaxResults) { SingleReader = true });
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });
    private readonly FrameQueue _queue;
    private readonly Verifier _verifier;
    private readonly Lock _statusLock = new();

    private readonly List<Trade> _decoded = [];
    private readonly List<SymbolInfo> _decodedSymbols = [];
    private readonly List<ChainEvent> _decodedEvents = [];
    private readonly ImmutableArray<Trade>.Builder _trades = ImmutableArray.CreateBuilder<Trade>();

    // Whose order the next chunk corrects. Its trades are put together with the chunk, so that they hold what was given meanwhile.
    private readonly HashSet<(long Slot, string Mint)> _corrections = [];
    private readonly ImmutableArray<SymbolInfo>.Builder _symbols = ImmutableArray.CreateBuilder<SymbolInfo>();
    private readonly ImmutableArray<ChainEvent>.Builder _events = ImmutableArray.CreateBuilder<ChainEvent>();

    // Whose events may still have to be given in another order, oldest first.
    private readonly Queue<(long Slot, SeenTransaction Transaction)> _eventsHeld = new();

    // Slots with trades that wait for their time, or for their order: no checkpoint passes them.
    private readonly SortedSet<long> _unresolved = [];
    private readonly Queue<(long Slot, long Until)> _waiting = new();
    private readonly SortedSet<long> _toOrder = [];

    private CancellationToken _stopping;
    private Errands _errands = null!;
    private NodeSocket? _socket;
    private CancellationTokenSource? _connection;
    private string? _disconnectReason;
    // Healings that were asked for, and the newest that is done.
    private int _heals;
    private int _healed;
    private long _lostAt;
    private long _arrivals;
    private long _floor;
    private long _verified;
    private long _head = -1;
    private long _lastChunk;
    private string? _lastCheckpoint;
    private bool _isCaughtUp;
    private bool _hasDropped;
    private bool _wasLive;
    private SourceState _state = SourceState.Starting;
    private DateTimeOffset _since;
    private long _given;

    // Trades that go out for the first time, in a correction of order.
    private int _newlyOrdered;

    // Trades that go out again, with the right time.
    private int _retimed;
    private string? _error;

    public LiveReader(string source, SolanaOptions options, TimeProvider time, SkipCounts skipped, LiveFigures figures)
    {
        _source = source;
        _options = options;
        _time = time;
        _skipped = skipped;
        _figures = figures;
        _pool = new NodePool(options, time, figures);
        _ledger = new Ledger(_pool, options);
        _clock = new ChainClock(time);
        _queue = new FrameQueue(options.MaxQueuedFrames, Wake);
        _times = new EventTimes(_blockTimes, EventTimes.Genesis);
        _decoder = new SolanaTrades(source, options.Programs, _times, _frameSkipped);
        _fetchedDecoder = new TransactionDecoder(source, options.Programs, skipped);
        _verifier = new Verifier(options, _ledger, _book, _fetchedDecoder, figures, time, Post);
        _since = time.GetUtcNow();
        _lostAt = time.GetTimestamp();
    }

    /// <summary>Figures so far. Thread safe.</summary>
    public SourceStatus GetStatus()
    {
        UpdateState();
        var details = ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);
        _figures.WriteTo(details);
        var best = _pool.BestSlot;
        foreach (var node in _pool.Nodes)
        {
            details[$"endpoint:{node.Endpoint.Name}"] = node.Describe(best);
        }

        details["slot"] = Math.Max(Interlocked.Read(ref _head), -1).ToString(CultureInfo.InvariantCulture);
        details["verifiedSlot"] = Interlocked.Read(ref _verified).ToString(CultureInfo.InvariantCulture);
        if (best >= 0)
        {
            details["lagSlots"] = Math.Max(0, best - Interlocked.Read(ref _verified)).ToString(CultureInfo.InvariantCulture);
        }

        details["queuedFrames"] = _queue.Count.ToString(CultureInfo.InvariantCulture);
        details["seenTransactions"] = _book.Count.ToString(CultureInfo.InvariantCulture);
        lock (_statusLock)
        {
            return new SourceStatus
            {
                Name = _source,
                Kind = nameof(SourceKind.Solana),
                State = _state,
                Since = _since,
                Trades = Interlocked.Read(ref _given),
                Skipped = _skipped.ToDictionary(),
                Error = _state is SourceState.Live ? (_figures.NewestGap is { } gap ? $"Trades may be missing: {gap}" : null) : _error ?? _figures.NewestGap ?? (_state is SourceState.Stale ? $"Nothing is heard of {_pool.Nodes[_pool.Preferred].Endpoint.Name}: {_pool.Nodes[_pool.Preferred].Describe(-1)}" : null),
                Details = details.ToImmutable(),
            };
        }
    }

    public async IAsyncEnumerable<SourceChunk> Read(string? checkpoint, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        _stopping = stop.Token;
        _errands = new Errands(_ledger, _fetchedDecoder, _figures, _time, Post, stop.Token);
        using var timer = _time.CreateTimer(_ => Tick(), null, TickInterval, TickInterval);
        var start = await Start(checkpoint, stop.Token);
        _floor = start;
        Interlocked.Exchange(ref _verified, start);
        var tasks = new[]
        {
            Task.Run(() => Connect(stop.Token), CancellationToken.None),
            Task.Run(() => _verifier.Run(start, checkpoint is not null, stop.Token), CancellationToken.None),
            Task.Run(() => Compare(stop.Token), CancellationToken.None),
        };
        try
        {
            while (true)
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (tasks.FirstOrDefault(t => t.IsFaulted) is { } failed)
                {
                    // A defect of ours: the reader starts anew from the checkpoint rather than going on half.
                    await failed;
                }

                var hasMore = Work();
                if (TakeChunk(hasMore) is { } chunk)
                {
                    yield return chunk;
                }
                else if (!hasMore)
                {
                    await _wake.Reader.ReadAsync(cancellationToken);
                }
            }
        }
        finally
        {
            await stop.CancelAsync();
            try
            {
                await Task.WhenAll(tasks);
            }
            catch (OperationCanceledException)
            {
                // As asked.
            }

            while (_queue.TryTake(out var frame))
            {
                frame.Return();
            }
        }
    }

    public void Dispose() => _pool.Dispose();

    /// <summary>solana1|slot, and the genesis hash of the cluster where it was known.</summary>
    private static bool TryReadCheckpoint(string checkpoint, out long slot, out string? genesis)
    {
        var parts = checkpoint.Split('|');
        slot = 0;
        genesis = parts.Length == 3 && parts[2].Length > 0 ? parts[2] : null;
        return parts.Length is 2 or 3 && parts[0] == Version
            && long.TryParse(parts[1], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out slot) && slot >= -1;
    }

    private async Task<long> Start(string? checkpoint, CancellationToken cancellationToken)
    {
        if (checkpoint is not null)
        {
            if (!TryReadCheckpoint(checkpoint, out var saved, out var genesis))
            {
                throw new SourceException($"The saved position of the source '{_source}' cannot be read: '{checkpoint}'.");
            }

            _pool.Genesis = genesis;
            return saved;
        }

        if (_options.StartSlot is { } slot)
        {
            return slot - 1;
        }

        var head = await _ledger.GetSlot(cancellationToken);
        return Math.Max(-1, head - (long)(_options.Backfill / TimeSpan.FromMilliseconds(400)));
    }

    private void Wake() => _wake.Writer.TryWrite(true);

    private async Task Post(LiveResult result)
    {
        await _results.Writer.WriteAsync(result, _stopping);
        Wake();
    }

    // Runs on the timer's thread.
    private void Tick()
    {
        UpdateState();
        if (Volatile.Read(ref _socket) is { } socket && Volatile.Read(ref _connection) is { } connection)
        {
            var reason = socket.Silence >= _options.IdleTimeout ? "silent"
                : socket.PulseSilence >= _options.IdleTimeout ? "tells of no slots"
                : socket.UnconfirmedFor >= _options.RequestTimeout ? "does not confirm subscriptions"
                : _pool.BestSlot - socket.Slot > _options.MaxLagSlots && socket.Slot >= 0 && _pool.Nodes.Length > 1 ? "behind"
                : null;
            if (reason is not null)
            {
                Volatile.Write(ref _disconnectReason, reason);
                try
                {
                    connection.Cancel();
                }
                catch (ObjectDisposedException)
                {
                    // It has just ended by itself.
                }
            }
        }

        Wake();
    }

    /// <summary>Whether nothing was heard for so long that nobody knows what the chain does.</summary>
    private bool IsStale()
    {
        var socket = Volatile.Read(ref _socket);
        return socket is { Slot: >= 0 }
            ? socket.Silence >= _options.IdleTimeout || socket.PulseSilence >= _options.IdleTimeout
            : _time.GetElapsedTime(Interlocked.Read(ref _lostAt)) >= _options.IdleTimeout;
    }

    private bool IsHealing => Volatile.Read(ref _healed) != Volatile.Read(ref _heals) || Volatile.Read(ref _socket) is not { IsSubscribed: true };

    /// <summary>Frames of this connection wait until what came before it is given.</summary>
    private bool IsHolding =>
        Volatile.Read(ref _healed) != Volatile.Read(ref _heals) && Volatile.Read(ref _socket) is { IsSubscribed: true } && !_queue.IsNearlyFull;

    private void UpdateState()
    {
        lock (_statusLock)
        {
            var state = IsStale() ? SourceState.Stale
                : _heals == 0 ? SourceState.Starting
                : IsHealing || !Volatile.Read(ref _isCaughtUp) ? SourceState.Backfilling
                : SourceState.Live;
            if (state != _state)
            {
                (_state, _since) = (state, _time.GetUtcNow());
            }
        }
    }

    // Keeps a subscription, for ever: on one node after the other.
    private async Task Connect(CancellationToken cancellationToken)
    {
        var attempt = 0;
        var index = 0;
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var node = _pool.Nodes[index];
            using var connection = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            var socket = new NodeSocket(node, _options, _time, _queue, _skipped, _figures, () => Subscribed(node), Overflowed);
            Volatile.Write(ref _disconnectReason, null);
            Volatile.Write(ref _isCaughtUp, false);
            Volatile.Write(ref _connection, connection);
            Volatile.Write(ref _socket, socket);
            string reason;
            try
            {
                await CheckCluster(node, connection.Token);
                await socket.Run(connection.Token);
                reason = "ended";
            }
            catch (RpcException e)
            {
                reason = e.Message;
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                reason = Volatile.Read(ref _disconnectReason) ?? "given up";
            }
            finally
            {
                Volatile.Write(ref _isCaughtUp, false);
                if (socket.Slot >= 0)
                {
                    Interlocked.Exchange(ref _lostAt, _time.GetTimestamp() - (long)(socket.PulseSilence.TotalSeconds * _time.TimestampFrequency));
                }

                Volatile.Write(ref _socket, null);
                Volatile.Write(ref _connection, null);
            }

            attempt = socket.IsSubscribed && socket.Slot >= 0 ? 0 : attempt + 1;
            node.Failed(reason, TimeSpan.Zero);
            lock (_statusLock)
            {
                _error = $"{node.Endpoint.Name}: {reason}";
            }

            _figures.Add(LiveFigures.Reconnects);
            _figures.Warn($"reconnect:{node.Endpoint.Name}", $"{node.Endpoint.Name}: the connection ended: {reason}");
            Wake();
            index = (index + 1) % _pool.Nodes.Length;
            _pool.Preferred = index;
            await Task.Delay(Backoff.Delay(attempt / _pool.Nodes.Length, FirstReconnect, LastReconnect), _time, cancellationToken);
        }
    }

    // With every connection; one that was right before and does not answer just now is not kept from telling of slots and logs.
    private async Task CheckCluster(NodeHealth node, CancellationToken cancellationToken)
    {
        var wasOfCluster = node.IsOfCluster;
        try
        {
            node.IsOfCluster = false;
            await _pool.CheckCluster(node, cancellationToken);
        }
        catch (RpcException e) when (wasOfCluster && e.Origin != RpcOrigin.Cluster)
        {
            node.IsOfCluster = true;
        }
    }

    private void Subscribed(NodeHealth node)
    {
        node.Set("connected");
        node.Succeeded();
        _pool.Preferred = _pool.Nodes.IndexOf(node);
        _verifier.Heal(Interlocked.Increment(ref _heals));
        Wake();
    }

    // Frames were dropped: what they held is fetched.
    private void Overflowed()
    {
        if (IsHealing)
        {
            // What is being listed may not hold them: once more when it is done.
            Volatile.Write(ref _hasDropped, true);
        }
        else
        {
            Volatile.Write(ref _isCaughtUp, false);
            _verifier.Heal(Interlocked.Increment(ref _heals));
        }
    }

    // Where several nodes are known: which of them is ahead.
    private async Task Compare(CancellationToken cancellationToken)
    {
        while (_pool.Nodes.Length > 1)
        {
            await Task.Delay(CompareInterval, _time, cancellationToken);
            foreach (var node in _pool.Nodes.Where(n => n != _pool.Nodes[_pool.Preferred] && n.NotBefore <= _time.GetUtcNow()))
            {
                try
                {
                    node.Heard(await _ledger.GetSlot(node, cancellationToken));
                }
                catch (RpcException)
                {
                    // Its health says so; a slot it told of long ago must not make the others look late.
                    node.Heard(-1);
                }
            }
        }
    }

    // Everything below runs in the loop of Read alone.

    /// <summary>Takes what has come; true if there is more.</summary>
    private bool Work()
    {
        while (_trades.Count + _corrections.Count < MaxChunkTrades && _results.Reader.TryRead(out var result))
        {
            Take(result);
        }

        if (_trades.Count + _corrections.Count >= MaxChunkTrades)
        {
            return true;
        }

        var frames = 0;
        while (!IsHolding && frames++ < MaxFramesAtOnce && _trades.Count < MaxChunkTrades && _queue.TryTake(out var frame))
        {
            if (frame.Buffer is null)
            {
                TakeSlot(frame.Slot, frame.Root);
                continue;
            }

            TakeLogs(frame.Frame);
            frame.Return();
        }

        GiveOverdue();
        if (!IsHealing && _queue.Count == 0 && !_isCaughtUp)
        {
            Volatile.Write(ref _isCaughtUp, true);
            UpdateState();
        }

        return (_queue.Count > 0 && !IsHolding) || _results.Reader.Count > 0;
    }

    internal SourceChunk? TakeChunk(bool hasMore)
    {
        var isLive = _isCaughtUp && !IsHealing && !IsStale() && _clock.IsKnown;
        var elapsed = _time.GetElapsedTime(_lastChunk);
        var hasTrades = _trades.Count + _corrections.Count + _symbols.Count + _events.Count > 0;
        var checkpoint = Checkpoint();
        var isDue = isLive != _wasLive || elapsed >= (isLive ? ClockInterval : QuietInterval) || (checkpoint != _lastCheckpoint && elapsed >= ClockInterval);
        if (!isDue && !(hasTrades && (!hasMore || _trades.Count + _corrections.Count >= MaxChunkTrades)))
        {
            return null;
        }

        _wasLive = isLive;
        _lastChunk = _time.GetTimestamp();
        _lastCheckpoint = checkpoint;
        var ordered = TakeOrdered();
        Interlocked.Add(ref _given, _trades.Count + _newlyOrdered - _retimed);
        _newlyOrdered = _retimed = 0;
        return new SourceChunk(_trades.DrainToImmutable(), checkpoint, new SourceClock(_clock.Now(isLive), isLive))
        {
            Ordered = ordered,
            Symbols = _symbols.DrainToImmutable(),
            Events = _events.DrainToImmutable(),
        };
    }

    private ImmutableArray<Trade> TakeOrdered()
    {
        if (_corrections.Count == 0)
        {
            return [];
        }

        var ordered = ImmutableArray.CreateBuilder<Trade>();
        foreach (var (slot, mint) in _corrections)
        {
            if (_book.Find(slot) is { } seen)
            {
                // One that came after the correction stands at its provisional place, behind the others, and gets its own correction.
                ordered.AddRange(seen.Transactions.Values.Where(t => t.IsGiven).SelectMany(t => t.Trades).Where(t => t.Symbol == mint).OrderBy(t => t.Order));
            }
        }

        _corrections.Clear();
        return ordered.DrainToImmutable();
    }

    private string Checkpoint()
    {
        var slot = Interlocked.Read(ref _verified);
        slot = _unresolved.Count > 0 && _unresolved.Min <= slot ? Math.Max(_floor, _unresolved.Min - 1) : slot;
        var position = string.Create(CultureInfo.InvariantCulture, $"{Version}|{slot}");
        return _pool.Genesis is { } genesis ? $"{position}|{genesis}" : position;
    }

    private void TakeSlot(long slot, long root)
    {
        Interlocked.Exchange(ref _head, slot);
        var complete = _options.Commitment switch
        {
            SolanaCommitment.Processed => slot - 1,
            SolanaCommitment.Finalized => root,
            _ => slot - 4,
        };
        _clock.Reach(complete);
        _errands.AskBlockTime(slot, isWaitedFor: false);
        // Those of a slot whose time is an estimate are given again once it is known.
        while (_eventsHeld.TryPeek(out var held) && held.Slot < slot - EventSlots && held.Transaction.IsGiven && _book.Find(held.Slot) is not { HasEstimates: true, IsTimeGivenUp: false })
        {
            _eventsHeld.Dequeue().Transaction.ForgetEvents();
        }

        while (_toOrder.Count > 0 && _toOrder.Min <= complete - OrderDelay)
        {
            var due = _toOrder.Min;
            _toOrder.Remove(due);
            if (_book.Find(due) is { NeedsOrder: true, IsOrderAsked: false } seen)
            {
                seen.IsOrderAsked = true;
                _errands.AskPlaces(due);
            }
        }
    }

    internal void TakeLogs(ReadOnlySpan<byte> frame)
    {
        _figures.Add(LiveFigures.Frames);
        _decoded.Clear();
        _decodedSymbols.Clear();
        _decodedEvents.Clear();
        var kind = _decoder.Read(frame, 0, _decoded, _decodedSymbols, events: _decodedEvents);
        if (kind != LogFrameKind.Logs)
        {
            _frameSkipped.MoveTo(_skipped);
            _figures.Warn("malformedLog", $"a log notification of {frame.Length} bytes is not what it should be");
            return;
        }

        var hasLosses = HasLosses();
        _frameSkipped.MoveTo(_decoder.IsTruncated ? null : _skipped);
        if (hasLosses && !_decoder.IsTruncated)
        {
            _figures.Warn("refusedEvents", $"events of transaction {_decoder.Signature(frame)} in slot {_decoder.Slot} were refused; the counts of skipped tell why");
        }

        var slot = _decoder.Slot;
        if (_decoder.HasError || slot <= _floor || slot <= _book.Forgotten)
        {
            return;
        }

        if (_head >= 0 && slot > _head + MaxSlotsAhead)
        {
            _skipped.Add(SkipReason.MalformedFrame);
            _figures.Warn("slotAhead", string.Create(CultureInfo.InvariantCulture, $"a log notification names slot {slot}, the node is at {_head}"));
            return;
        }

        var signature = _decoder.Signature(frame);
        if (_decoder.IsTruncated)
        {
            if (!_book.Contains(slot, signature))
            {
                _figures.Add(LiveFigures.TruncatedLogs);
                _errands.AskTransaction(slot, signature);
            }

            return;
        }

        var seen = _book.GetOrAdd(slot);
        var transaction = new SeenTransaction(signature, [.. _decoded], [.. _decodedEvents], ++_arrivals);
        if (!_book.TryAdd(seen, transaction))
        {
            _figures.Add(LiveFigures.Repeated);
            return;
        }

        _symbols.AddRange(_decodedSymbols);
        Receive(seen, transaction);
    }

    private bool HasLosses() =>
        _frameSkipped[SkipReason.UnknownEvent] + _frameSkipped[SkipReason.UnknownLayout] + _frameSkipped[SkipReason.BadBase64] + _frameSkipped[SkipReason.PriceOutOfRange] > 0;

    // A new transaction of a slot whose block time may not be known.
    private void Receive(SeenSlot seen, SeenTransaction transaction)
    {
        if (transaction.IsEmpty)
        {
            transaction.IsGiven = true;
            return;
        }

        if (_blockTimes.TryGet(seen.Slot, out _) || (_options.BlockTimeWait == TimeSpan.Zero && _times.Newest is not null))
        {
            Give(seen, transaction);
            return;
        }

        if (seen.Waiting is null)
        {
            seen.Waiting = _time.GetTimestamp() + (long)(_options.BlockTimeWait.TotalSeconds * _time.TimestampFrequency);
            _waiting.Enqueue((seen.Slot, seen.Waiting.Value));
            _unresolved.Add(seen.Slot);
            _errands.AskBlockTime(seen.Slot, isWaitedFor: true);
        }
    }

    private void GiveOverdue()
    {
        if (_times.Newest is null)
        {
            // No time of any slot is known yet: an estimate could be off by days. This wait has no bound but that of what is held.
            return;
        }

        var now = _time.GetTimestamp();
        while (_waiting.TryPeek(out var oldest) && (oldest.Until <= now || _book.Find(oldest.Slot) is not { Waiting: not null }))
        {
            _waiting.Dequeue();
            if (_book.Find(oldest.Slot) is { Waiting: not null } seen)
            {
                GiveWaiting(seen);
            }
        }
    }

    private void GiveWaiting(SeenSlot seen)
    {
        seen.Waiting = null;
        foreach (var transaction in seen.Transactions.Values.Where(t => !t.IsGiven).OrderBy(t => t.Arrival).ToList())
        {
            Give(seen, transaction);
        }

        Resolve(seen);
    }

    private void Give(SeenSlot seen, SeenTransaction transaction)
    {
        Timed(seen, transaction, transaction.Place ?? (FirstProvisional + transaction.Arrival));
        _trades.AddRange(transaction.Trades);
        GiveEvents(seen, transaction);
        if (transaction.Place is null && transaction.Trades.Any(t => seen.Transactions.Values.Any(o => o != transaction && o.IsGiven && o.Has(t.Symbol))))
        {
            NeedOrder(seen);
        }
    }

    private void NeedOrder(SeenSlot seen)
    {
        seen.NeedsOrder = true;
        _unresolved.Add(seen.Slot);
        if (!seen.IsOrderAsked)
        {
            _toOrder.Add(seen.Slot);
        }
    }

    // Puts into the trades what they are given with: time, moment of reading, place.
    private void Timed(SeenSlot seen, SeenTransaction transaction, long sequence)
    {
        DateTimeOffset? time = _blockTimes.TryGet(seen.Slot, out var seconds) ? DateTimeOffset.FromUnixTimeSeconds(seconds) : null;
        var now = _clock.Now(_wasLive);
        foreach (ref var trade in transaction.Trades.AsSpan())
        {
            trade = trade with
            {
                Order = new TradeOrder(trade.Order.Id, sequence),
                EventTime = time ?? (trade.IsEventTimeEstimated ? _times.Resolve(seen.Slot, 0, out _) : trade.EventTime),
                IsEventTimeEstimated = time is null,
                ReceivedTime = now > DateTimeOffset.UnixEpoch ? now : time ?? trade.EventTime,
            };
            if (trade.IsEventTimeEstimated)
            {
                _figures.Add(LiveFigures.EstimatedTimes);
            }

        }

        foreach (ref var e in transaction.Events.AsSpan())
        {
            e = e with { Order = new TradeOrder(e.Order.Id, sequence), EventTime = time ?? e.EventTime };
        }

        transaction.IsGiven = true;
        if (time is null && !seen.HasEstimates)
        {
            // A restart from before the slot would learn the time and give the trades with it: so does this life, before its checkpoint passes.
            seen.HasEstimates = true;
            _unresolved.Add(seen.Slot);
            _errands.AskBlockTime(seen.Slot, isWaitedFor: true);
        }
    }

    private void GiveEvents(SeenSlot seen, SeenTransaction transaction)
    {
        if (transaction.Events.Length > 0)
        {
            _events.AddRange(transaction.Events);
            _eventsHeld.Enqueue((seen.Slot, transaction));
        }
    }

    // Takes the slot from those that hold the checkpoint, if nothing of it is open.
    private void Resolve(SeenSlot seen)
    {
        if (seen.Waiting is null && !seen.NeedsOrder && (!seen.HasEstimates || seen.IsTimeGivenUp))
        {
            _unresolved.Remove(seen.Slot);
        }
    }

    private void Take(LiveResult result)
    {
        switch (result)
        {
            case SlotFetched fetched:
                TakeFetched(fetched);
                break;
            case BlockTimeTold { Seconds: { } seconds } told:
                Learn(told.Slot, seconds);
                break;
            case BlockTimeTold told:
                // The wait ends by itself; who was given an estimate keeps it, unless the time is told by the way.
                if (_book.Find(told.Slot) is { HasEstimates: true, IsTimeGivenUp: false } estimated)
                {
                    estimated.IsTimeGivenUp = true;
                    _figures.Add(LiveFigures.UnknownTimes);
                    _figures.Warn(LiveFigures.UnknownTimes, $"slot {told.Slot}: no node tells its time; its trades stay where they were estimated to be");
                    Resolve(estimated);
                }

                break;
            case PlacesTold told:
                TakePlaces(told);
                break;
            case Verified verified:
                Interlocked.Exchange(ref _verified, Math.Max(verified.Slot, Interlocked.Read(ref _verified)));
                var open = Math.Min(_unresolved.Count > 0 ? _unresolved.Min : long.MaxValue, _corrections.Count > 0 ? _corrections.Min(c => c.Slot) : long.MaxValue);
                _book.Forget(Math.Min(verified.Slot - _options.ScanSlots, open) - 1);
                break;
            case Healed healed:
                Volatile.Write(ref _healed, healed.Number);
                if (Volatile.Read(ref _hasDropped) && !IsHealing)
                {
                    Volatile.Write(ref _hasDropped, false);
                    Overflowed();
                }

                break;
        }
    }

    internal void Learn(long slot, long seconds)
    {
        _blockTimes.Add(slot, seconds);
        _times.Learn(slot, seconds);
        _clock.Learn(slot, seconds);
        if (_book.Find(slot) is not { } seen)
        {
            return;
        }

        if (seen.HasEstimates)
        {
            Retime(seen, DateTimeOffset.FromUnixTimeSeconds(seconds));
        }

        if (seen.Waiting is not null)
        {
            GiveWaiting(seen);
        }
    }

    // Gives again, with the slot's time, what was given with an estimate: who takes it moves it.
    private void Retime(SeenSlot seen, DateTimeOffset time)
    {
        seen.HasEstimates = false;
        var now = _clock.Now(_wasLive);
        DateTimeOffset? wrong = null;
        foreach (var transaction in seen.Transactions.Values.Where(t => t.IsGiven).OrderBy(t => t.Arrival))
        {
            foreach (ref var trade in transaction.Trades.AsSpan())
            {
                if (!trade.IsEventTimeEstimated)
                {
                    continue;
                }

                wrong = trade.EventTime != time ? trade.EventTime : wrong;
                trade = trade with { EventTime = time, IsEventTimeEstimated = false, ReceivedTime = now > DateTimeOffset.UnixEpoch ? now : time };
                _trades.Add(trade);
                _retimed++;
            }

            foreach (ref var e in transaction.Events.AsSpan())
            {
                if (e.EventTime != time)
                {
                    e = e with { EventTime = time };
                    _events.Add(e);
                }
            }
        }

        if (wrong is { } given)
        {
            _figures.Add(LiveFigures.WrongTimes);
            _figures.Warn(LiveFigures.WrongTimes, $"slot {seen.Slot}: trades were given at {given:O}, its block time is {time:O}; they are given again");
        }

        Resolve(seen);
    }

    private void TakeFetched(SlotFetched fetched)
    {
        if (fetched.Slot <= _book.Forgotten && fetched.Slot <= Interlocked.Read(ref _verified))
        {
            // An answer that took so long that the verifier has brought it. What else was given of the slot is known no more.
            return;
        }

        if (fetched.BlockTime is { } seconds)
        {
            Learn(fetched.Slot, seconds);
        }

        var seen = _book.GetOrAdd(fetched.Slot);
        var fresh = new List<SeenTransaction>();
        foreach (var one in fetched.Transactions.OrderBy(t => fetched.Places?.GetValueOrDefault(t.Signature, int.MaxValue)))
        {
            var transaction = new SeenTransaction(one.Signature, one.Trades, one.Events, ++_arrivals);
            if (!_book.TryAdd(seen, transaction))
            {
                continue;
            }

            if (one.IsTruncated)
            {
                _skipped.Add(SkipReason.MissingTransaction);
                _figures.Gap(string.Create(CultureInfo.InvariantCulture, $"transaction {one.Signature} of slot {fetched.Slot}: its log is cut on every copy; events after the cut are unknown"));
            }

            _symbols.AddRange(one.Symbols);
            if (transaction.IsEmpty)
            {
                transaction.IsGiven = true;
            }
            else
            {
                fresh.Add(transaction);
            }
        }

        if (fresh.Count > 0)
        {
            if (fetched.BlockTime is null && !_blockTimes.TryGet(fetched.Slot, out _))
            {
                // Not even the ledger knows it: wait as a live trade does. Places are asked for then.
                foreach (var transaction in fresh)
                {
                    Receive(seen, transaction);
                }
            }
            else
            {
                GiveFetched(seen, fresh, fetched);
            }
        }

        if (fetched.IsHealing && fetched.BlockTime is not null)
        {
            _clock.Reach(fetched.Slot);
        }

        Resolve(seen);
    }

    private void GiveFetched(SeenSlot seen, List<SeenTransaction> fresh, SlotFetched fetched)
    {
        var corrected = new HashSet<string>(StringComparer.Ordinal);
        foreach (var mint in fresh.SelectMany(t => t.Trades).Select(t => t.Symbol).Distinct(StringComparer.Ordinal))
        {
            var all = seen.Transactions.Values.Where(t => t.Has(mint)).ToList();
            if (all.Count < 2)
            {
                continue;
            }

            if (fetched.Places is null || all.Exists(t => !fetched.Places.ContainsKey(t.Signature)))
            {
                NeedOrder(seen);
            }
            else if (fetched.IsUncertain || all.Exists(t => !fresh.Contains(t)))
            {
                corrected.Add(mint);
            }
        }

        foreach (var transaction in fresh)
        {
            transaction.Place = fetched.Places is not null && fetched.Places.TryGetValue(transaction.Signature, out var place) ? place : null;
            Timed(seen, transaction, transaction.Place ?? (FirstProvisional + transaction.Arrival));
            foreach (ref readonly var trade in transaction.Trades.AsSpan())
            {
                if (!corrected.Contains(trade.Symbol))
                {
                    _trades.Add(trade);
                }
                else
                {
                    _newlyOrdered++;
                }
            }

            GiveEvents(seen, transaction);
        }

        foreach (var mint in corrected)
        {
            Correct(seen, mint, fetched.Places!);
        }
    }

    private void TakePlaces(PlacesTold told)
    {
        if (_book.Find(told.Slot) is not { } seen)
        {
            _unresolved.Remove(told.Slot);
            return;
        }

        seen.IsOrderAsked = false;
        seen.NeedsOrder = false;
        var isUnknown = told.Places is null;
        var places = told.Places ?? ImmutableDictionary<string, int>.Empty;
        var mints = seen.Transactions.Values.Where(t => t.IsGiven).SelectMany(t => t.Trades.Select(r => r.Symbol).Distinct(StringComparer.Ordinal))
            .GroupBy(m => m, StringComparer.Ordinal).Where(g => g.Count() > 1).Select(g => g.Key).ToList();
        foreach (var mint in told.Places is null ? [] : mints)
        {
            var all = seen.Transactions.Values.Where(t => t.IsGiven && t.Has(mint)).ToList();
            if (all.Exists(t => !places.ContainsKey(t.Signature)))
            {
                isUnknown = true;
            }
            else if (!IsInOrder(all, mint, places))
            {
                Correct(seen, mint, places);
            }
        }

        if (isUnknown)
        {
            _figures.Add(LiveFigures.UnknownOrders);
            _figures.Warn(LiveFigures.UnknownOrders, $"slot {told.Slot}: no node tells the order of its transactions; that of arrival stays");
        }

        Resolve(seen);
    }

    // Whether the places give the order that the trades were given in.
    private static bool IsInOrder(List<SeenTransaction> all, string mint, IReadOnlyDictionary<string, int> places)
    {
        var given = all.OrderBy(t => t.Trades.First(r => r.Symbol == mint).Order).Select(t => places[t.Signature]).ToList();
        return given.SequenceEqual(given.Order());
    }

    // Gives all trades of a mint in a slot again, with the places of their transactions.
    private void Correct(SeenSlot seen, string mint, IReadOnlyDictionary<string, int> places)
    {
        _figures.Add(LiveFigures.Corrected);
        _corrections.Add((seen.Slot, mint));
        foreach (var transaction in seen.Transactions.Values.Where(t => t.IsGiven && t.Has(mint)))
        {
            foreach (ref var trade in transaction.Trades.AsSpan())
            {
                if (trade.Symbol == mint)
                {
                    trade = trade with { Order = new TradeOrder(trade.Order.Id, places[transaction.Signature]) };
                }
            }
        }

        // Also those of transactions without a trade, such as the mint's creation: they stand before or behind the trades.
        foreach (var transaction in seen.Transactions.Values.Where(t => t.IsGiven && t.Events.Length > 0))
        {
            if (places.TryGetValue(transaction.Signature, out var place))
            {
                foreach (ref var e in transaction.Events.AsSpan())
                {
                    if (e.Symbol == mint && e.Order.Sequence != place)
                    {
                        e = e with { Order = new TradeOrder(e.Order.Id, place) };
                        _events.Add(e);
                    }
                }
            }
        }
    }
}
