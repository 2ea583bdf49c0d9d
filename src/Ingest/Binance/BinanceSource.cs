using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Threading.Channels;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Ingest.Binance;

/// <summary>The live trades of a market of Binance, whole and in order for each symbol, whatever the network does.</summary>
/// <remarks>
/// <para>
/// Aggregate trade ids of a symbol have no holes, so that every loss shows: between two trades at once; at the end, when nothing follows, by comparing the
/// newest ids of all symbols with the venue's, after every lost connection and once a minute. What is missing is fetched by REST and given before what
/// follows it, which waits. A restart goes the same way from its checkpoint.
/// </para>
/// <para>
/// The clock is the venue's: the event time of the newest frame of the connection that is furthest behind, or the moment of a question that the
/// venue has answered since. It stands, and is not live, while any symbol misses a trade or any connection is down or silent. One symbol so holds up the
/// final klines of all (forming klines go on): a source has one clock, a gap closes within a second or the venue is unreachable for every symbol,
/// and a kline that is final and wrong costs more than one that is late.
/// </para>
/// <para>
/// A symbol begins with its past as klines (<see cref="BinanceHistory"/>) and with trades from the start of a minute; once these have reached the present it is told
/// (<see cref="SourceChunk.CaughtUp"/>). The same happens after an absence longer than <see cref="BinanceOptions.MaxGap"/>; then the clock stands where it was
/// until every symbol of before has begun, because it would make final what lacks the absence's trades.
/// </para>
/// <para>Everything but the reading of sockets and of REST answers runs in the loop of <see cref="Read"/>: other threads post to it.</para>
/// </remarks>
internal sealed class BinanceSource(SourceOptions source, TimeProvider time, ILogger<BinanceSource> logger) : ITradeSource, IBinanceListener
{
    private const int MaxChunkTrades = 2_048;
    private const int MaxFramesAtOnce = 4_096;
    private const int BeginsAtOnce = 2;

    /// <summary>Up to this many symbols are asked one by one; for more the venue's list of all newest ids costs less.</summary>
    private const int FewSymbols = 10;

    private const string TickerStream = "!miniTicker@arr";

    /// <summary>Klines and trades this young may still be on their way into the venue's database.</summary>
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(5);

    /// <summary>How long a live frame may take longer than the venue's answer about newest ids.</summary>
    private static readonly TimeSpan ScanGrace = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan ChunkInterval = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan CheckpointInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LiveSilence = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan SyncInterval = TimeSpan.FromMinutes(5);

    private readonly BinanceOptions _options = source.Binance ?? throw new ArgumentException($"The source '{source.Name}' is not of the kind Binance.", nameof(source));
    private readonly SkipCounts _skipped = new();
    private readonly Channel<Frame> _frames = Channel.CreateBounded<Frame>(new BoundedChannelOptions(source.Binance?.BufferedFrames ?? 1) { SingleReader = true });
    private readonly Channel<Action> _events = Channel.CreateUnbounded<Action>(new UnboundedChannelOptions { SingleReader = true });
    private readonly Channel<bool> _wake = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly ConcurrentDictionary<string, bool> _overflowed = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, bool> _known = new(StringComparer.Ordinal);
    private readonly Dictionary<string, BinanceLane> _lanes = new(StringComparer.Ordinal);
    private readonly Channel<(BinanceLane Lane, int Wished)> _begins = Channel.CreateUnbounded<(BinanceLane, int)>();
    private readonly Queue<SourceChunk> _chunks = new();
    private readonly List<Task> _tasks = [];
    private readonly VenueProfile _venue = VenueProfile.Of(source.Binance?.Venue ?? BinanceVenue.Spot);

    private readonly ImmutableArray<Trade>.Builder _out = ImmutableArray.CreateBuilder<Trade>(MaxChunkTrades);
    private ImmutableArray<BinanceShard> _shards = [];
    private BinanceRest _rest = null!;
    private CancellationToken _stop;
    private DateTimeOffset _clock = DateTimeOffset.MinValue;
    private readonly HashSet<string> _awaited = new(StringComparer.Ordinal);
    private string _checkpoint = "";
    private long _checkpointAt;
    private long _chunkAt;
    private long _scanAt;
    private long _syncAt;
    private long _refreshAt;
    private bool _refreshing;
    private bool _scanning;
    private int _waiting;
    private int _gaps;
    private int _starting;
    private int _begun;
    private long _trades;
    private string? _notice;
    private long _started = time.GetTimestamp();
    private SourceState _state = SourceState.Starting;
    private DateTimeOffset _since = time.GetUtcNow();
    private readonly Lock _statusLock = new();

    public SourceStatus GetStatus()
    {
        lock (_statusLock)
        {
            var state = State();
            if (state != _state)
            {
                (_state, _since) = (state, time.GetUtcNow());
            }

            return new SourceStatus
            {
                Name = source.Name,
                Kind = nameof(SourceKind.Binance),
                State = _state,
                Since = _since,
                Trades = Interlocked.Read(ref _trades),
                Skipped = _skipped.ToDictionary(),
                Error = _shards.Select(s => s.Error).FirstOrDefault(e => e is not null) ?? Volatile.Read(ref _rest)?.Error ?? Volatile.Read(ref _notice),
            };
        }
    }

    /// <summary>Connections opened so far, replacements included.</summary>
    internal long ConnectionsOpened => _shards.Sum(s => s.Opened);

    public async IAsyncEnumerable<SourceChunk> Read(string? checkpoint, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        _stop = stop.Token;
        _started = time.GetTimestamp();
        using var rest = new BinanceRest(_options, time, _skipped, logger);
        Volatile.Write(ref _rest, rest);
        try
        {
            await Start(checkpoint);
            await using var ticks = time.CreateTimer(_ => _wake.Writer.TryWrite(true), null, ChunkInterval, ChunkInterval);
            while (true)
            {
                cancellationToken.ThrowIfCancellationRequested();
                _wake.Reader.TryRead(out _);
                while (_events.Reader.TryRead(out var action))
                {
                    action();
                }

                var frames = 0;
                while (frames < MaxFramesAtOnce && _frames.Reader.TryRead(out var frame))
                {
                    Take(frame);
                    frames++;
                }

                TakeOverflow();
                Tick();
                Flush();
                while (_chunks.TryDequeue(out var chunk))
                {
                    yield return chunk;
                }

                if (frames < MaxFramesAtOnce)
                {
                    await _wake.Reader.WaitToReadAsync(cancellationToken);
                }
            }
        }
        finally
        {
            await stop.CancelAsync();
            _begins.Writer.TryComplete();
            await Task.WhenAll(_tasks);
        }
    }

    void IBinanceListener.Heard(BinanceShard shard, in Trade trade, long lastId, long upTo)
    {
        if (!_frames.Writer.TryWrite(new Frame(shard, trade, lastId, upTo)) && trade.Symbol is not null)
        {
            _skipped.Add(SkipReason.BufferFull);
            _overflowed[trade.Symbol] = true;
        }

        _wake.Writer.TryWrite(true);
    }

    void IBinanceListener.SymbolsSeen(List<string> symbols)
    {
        foreach (var symbol in symbols)
        {
            if (!_known.ContainsKey(symbol))
            {
                Post(RefreshSymbols);
                return;
            }
        }
    }

    private SourceState State()
    {
        var shards = _shards;
        if (shards.IsEmpty)
        {
            return time.GetElapsedTime(_started) >= _options.IdleTimeout ? SourceState.Stale : SourceState.Starting;
        }

        if (shards.Any(s => s.Silence >= _options.IdleTimeout))
        {
            return SourceState.Stale;
        }

        if (Volatile.Read(ref _begun) == 0)
        {
            return SourceState.Starting;
        }

        return Volatile.Read(ref _gaps) > 0 || Volatile.Read(ref _starting) > 0 || shards.Any(s => !s.IsWhole) ? SourceState.Backfilling : SourceState.Live;
    }

    private bool IsLive => _gaps == 0 && _begun > 0 && _awaited.Count == 0 && _shards.All(s => s.IsWhole && s.Silence < LiveSilence);

    private void Post(Action action)
    {
        _events.Writer.TryWrite(action);
        _wake.Writer.TryWrite(true);
    }

    // Called by the reading loop only.
    private void Background(Func<Task> work)
    {
        _tasks.RemoveAll(static t => t.IsCompleted);
        _tasks.Add(Task.Run(
            async () =>
            {
                try
                {
                    await work();
                }
                catch (OperationCanceledException) when (_stop.IsCancellationRequested)
                {
                    // Stopped.
                }
                catch (Exception e)
                {
                    // Nothing goes on without its part: the reader sees it and reads again.
                    Post(() => ExceptionDispatchInfo.Throw(e));
                }
            },
            CancellationToken.None));
    }

    private async Task Start(string? checkpoint)
    {
        BinanceCheckpoint? from = null;
        if (checkpoint is not null)
        {
            from = BinanceCheckpoint.TryParse(checkpoint) ?? throw new SourceException($"The saved position of the source '{source.Name}' cannot be read: '{checkpoint[..Math.Min(checkpoint.Length, 100)]}'.");
        }

        List<BinanceSymbol> listed;
        try
        {
            await _rest.SyncTime(_stop);
            listed = await _rest.Symbols(_stop);
        }
        catch (BinanceRefusedException e)
        {
            throw new SourceException($"{_options.RestAddress.Host} does not serve us: {e.Message}", e);
        }

        var followed = listed.Where(Follows).ToList();
        var missing = _options.Symbols.Except(followed.Select(s => s.Name)).ToList();
        if (missing.Count > 0)
        {
            throw new SourceException($"{_options.RestAddress.Host} does not trade {string.Join(", ", missing)} on the venue {_options.Venue}.");
        }

        foreach (var symbol in listed.Where(s => s.IsTrading || !Matches(s)))
        {
            _known[symbol.Name] = true;
        }

        if (from is not null && from.Venue != _options.Venue)
        {
            logger.LogWarning(1305, "Source {Source}: the saved position is of the venue {Saved}, not {Venue}; every symbol begins anew", source.Name, from.Venue, _options.Venue);
            Await(from, followed);
            from = null;
        }

        if (from is not null && _rest.Now - from.Clock > _options.MaxGap)
        {
            Notice($"Away for {_rest.Now - from.Clock:d\\.hh\\:mm\\:ss}, longer than MaxGap: every symbol begins anew, with klines for what was missed.");
            Await(from, followed);
            from = null;
        }

        _clock = from?.Clock ?? _clock;
        if (_options.FollowNewSymbols)
        {
            AddStream(TickerStream);
        }

        foreach (var symbol in followed.OrderBy(s => s.ListedTime ?? 0).ThenBy(s => s.Name, StringComparer.Ordinal))
        {
            var lane = AddLane(symbol);
            if (from is not null && from.Next.TryGetValue(symbol.Name, out var next))
            {
                lane.Next = next;
                lane.HasBegun = true;
                _begun++;
                if (from.FirstFill.TryGetValue(symbol.Name, out var reached))
                {
                    lane.IsFirstFill = lane.HasGap = true;
                    lane.FirstFillTime = reached;
                }
                else
                {
                    _starting--;
                    OpenGap(lane);
                }
            }
        }

        _syncAt = _scanAt = _refreshAt = time.GetTimestamp();
        foreach (var shard in _shards)
        {
            Background(() => shard.Run(_stop));
        }

        for (var i = 0; i < BeginsAtOnce; i++)
        {
            Background(BeginLanes);
        }
    }

    /// <summary>The symbols of a saved position begin anew: what their grains hold lacks trades, so that the clock waits for them.</summary>
    private void Await(BinanceCheckpoint from, List<BinanceSymbol> followed)
    {
        _clock = from.Clock;
        _awaited.UnionWith(followed.Select(s => s.Name).Where(from.Next.ContainsKey));
    }

    private bool Matches(BinanceSymbol symbol) =>
        _options.Symbols.Length > 0 ? _options.Symbols.Contains(symbol.Name) : symbol.QuoteAsset == _options.QuoteAsset && symbol.IsPerpetual;

    private bool Follows(BinanceSymbol symbol) => symbol.IsTrading && Matches(symbol);

    private BinanceShard AddStream(string stream)
    {
        foreach (var shard in _shards)
        {
            if (shard.TryAdd(stream))
            {
                return shard;
            }
        }

        var added = new BinanceShard(
            _options,
            time,
            this,
            _rest,
            _skipped,
            logger,
            (shard, wasLost) => Post(() => Ready(shard, wasLost)),
            shard => Post(() => shard.IsWhole = false),
            (shard, name) => Post(() => Confirmed(name)));
        added.TryAdd(stream);
        _shards = _shards.Add(added);
        return added;
    }

    private BinanceLane AddLane(BinanceSymbol symbol)
    {
        var stream = symbol.Name.ToLowerInvariant() + "@aggTrade";
        var lane = new BinanceLane(symbol, stream, AddStream(stream)) { Retry = _options.FirstRetry };
        _lanes.Add(symbol.Name, lane);
        _starting += lane.HasBegun ? 0 : 1;
        return lane;
    }

    private void Confirmed(string stream)
    {
        foreach (var lane in _lanes.Values)
        {
            if (lane.Stream == stream)
            {
                Heal(lane);
                return;
            }
        }
    }

    /// <summary>A shard hears all its streams again.</summary>
    private void Ready(BinanceShard shard, bool wasLost)
    {
        if (!wasLost)
        {
            return;
        }

        var lanes = _lanes.Values.Where(l => l.Shard == shard).ToList();
        var known = lanes.Where(l => l is { HasBegun: true, HasGap: false, LastId: >= 0 }).ToList();
        foreach (var lane in known.Count > FewSymbols ? lanes.Except(known) : lanes)
        {
            Heal(lane);
        }

        if (known.Count <= FewSymbols)
        {
            shard.IsWhole = true;
            return;
        }

        Background(async () =>
        {
            Dictionary<string, long>? newest = null;
            try
            {
                newest = await _rest.NewestIds(_stop);
            }
            catch (BinanceRefusedException e)
            {
                Notice(e.Message);
            }

            Post(() =>
            {
                foreach (var lane in known)
                {
                    if (newest is null || !newest.TryGetValue(lane.Name, out var id) || id > lane.LastId)
                    {
                        Heal(lane);
                    }
                }

                shard.IsWhole = true;
            });
        });
    }

    private void Heal(BinanceLane lane)
    {
        if (lane.IsGone)
        {
            return;
        }

        if (lane.HasBegun)
        {
            Fill(lane, toEnd: true);
            return;
        }

        // Under way already: what it asked for before now does not reach the end.
        lane.EndWished++;
        if (!lane.IsBeginning)
        {
            lane.IsBeginning = true;
            _begins.Writer.TryWrite((lane, lane.EndWished));
        }
    }

    private async Task BeginLanes()
    {
        await foreach (var (lane, wished) in _begins.Reader.ReadAllAsync(_stop))
        {
            try
            {
                var from = KlineInterval.M1.OpenTime(_rest.Now - Settling);
                var page = await _rest.TradesSince(lane.Name, from, _stop);
                long next = 0, lastId = -1;
                while (page.Count == 0)
                {
                    var newest = await _rest.NewestTrade(lane.Name, _stop);
                    if (newest.Count == 0)
                    {
                        break;
                    }

                    if (newest[0].Trade.EventTime < from)
                    {
                        (next, lastId) = (newest[0].Trade.Order.Id.Position + 1, newest[0].LastId);
                        break;
                    }

                    // It came just now.
                    page = await _rest.TradesSince(lane.Name, from, _stop);
                }

                var (history, firstDay) = _options.History
                    ? await BinanceHistory.Fetch(_rest, _venue, lane.Symbol, from, _stop)
                    : (BinanceHistory.Compose(lane.Name, ImmutableDictionary<KlineInterval, List<Kline>>.Empty, from), null);
                Post(() => Begin(lane, wished, history, firstDay, page, next, lastId));
            }
            catch (BinanceRefusedException e)
            {
                Notice($"{lane.Name} cannot begin: {e.Message}");
                Post(() =>
                {
                    // Tried again when the symbols are read again, or the connection is new. The others do not wait for it.
                    lane.IsBeginning = false;
                    _awaited.Remove(lane.Name);
                });
            }
        }
    }

    private void Begin(BinanceLane lane, int wished, SymbolKlines history, DateTimeOffset? firstDay, List<RestTrade> page, long next, long lastId)
    {
        if (lane.IsGone)
        {
            return;
        }

        lane.IsBeginning = false;
        lane.HasBegun = true;
        lane.IsFirstFill = true;
        lane.From = history.From;
        lane.Next = page.Count > 0 ? page[0].Trade.Order.Id.Position : next;
        lane.LastId = lastId;
        _begun++;
        lane.FirstFillTime = history.From;
        if (_clock == DateTimeOffset.MinValue)
        {
            _clock = history.From;
        }

        // What was given before this chunk belongs to a checkpoint before it.
        FlushTrades();
        _checkpoint = Checkpoint();
        _checkpointAt = time.GetTimestamp();
        var listed = lane.Symbol.ListedTime is { } ms ? DateTimeOffset.FromUnixTimeMilliseconds(ms) : firstDay ?? history.From;
        _chunks.Enqueue(new SourceChunk([], _checkpoint, Clock())
        {
            Symbols = [new SymbolInfo(lane.Name, lane.Name, source.Name, listed)],
            History = [history with { WholeTo = _awaited.Remove(lane.Name) ? _clock : null }],
        });
        lane.HasGap = true;
        lane.IsFetching = true;
        TakePage(lane, page, wished);
    }

    private void Take(in Frame frame)
    {
        if (frame.Trade.Symbol is { } symbol)
        {
            if (_lanes.TryGetValue(symbol, out var lane))
            {
                TakeTrade(lane, new RestTrade(frame.Trade, frame.LastId));
            }
            else
            {
                _skipped.Add(SkipReason.NotFollowed);
            }
        }

        if (frame.UpTo > frame.Shard.CompleteTo)
        {
            frame.Shard.CompleteTo = frame.UpTo;
            MoveClock();
        }
    }

    private void TakeTrade(BinanceLane lane, in RestTrade trade)
    {
        var id = trade.Trade.Order.Id.Position;
        if (lane.HasBegun && id < lane.Next)
        {
            _skipped.Add(SkipReason.AlreadySeen);
            return;
        }

        if (lane.HasBegun && id == lane.Next)
        {
            Give(lane, trade);
            GiveWaiting(lane);
            return;
        }

        lane.Target = Math.Max(lane.Target, id);
        if (_waiting >= _options.BufferedFrames)
        {
            // What waits is fetched with what it waits for.
            _skipped.Add(SkipReason.BufferFull, lane.Waiting.Count + 1);
            _waiting -= lane.Waiting.Count;
            lane.Waiting.Clear();
        }
        else if (lane.Waiting.TryAdd(id, trade))
        {
            _waiting++;
        }
        else
        {
            _skipped.Add(SkipReason.AlreadySeen);
        }

        if (lane.HasBegun)
        {
            Fill(lane, toEnd: false);
        }
    }

    private void GiveWaiting(BinanceLane lane)
    {
        var given = 0;
        foreach (var (id, trade) in lane.Waiting)
        {
            if (id > lane.Next)
            {
                break;
            }

            given++;
            if (id == lane.Next)
            {
                Give(lane, trade);
            }
        }

        if (given == lane.Waiting.Count)
        {
            lane.Waiting.Clear();
        }
        else
        {
            for (var i = given - 1; i >= 0; i--)
            {
                lane.Waiting.RemoveAt(i);
            }
        }

        _waiting -= given;
    }

    private void Give(BinanceLane lane, in RestTrade rest)
    {
        var trade = rest.Trade;
        lane.Next = trade.Order.Id.Position + 1;
        lane.LastId = Math.Max(lane.LastId, rest.LastId);
        if (trade.EventTime < lane.From)
        {
            return;
        }

        var received = _clock;
        if (lane.IsFirstFill)
        {
            // As in a recording: what came before the symbol was followed makes its klines final in the order in which it happened.
            lane.FirstFillTime = trade.EventTime > lane.FirstFillTime ? trade.EventTime : lane.FirstFillTime;
            received = lane.FirstFillTime < _clock ? lane.FirstFillTime : _clock;
        }

        _out.Add(trade with
        {
            Symbol = lane.Name,
            ReceivedTime = received,
            QuoteAmount = lane.Symbol.ContractSize > 0 ? trade.BaseAmount * lane.Symbol.ContractSize : trade.QuoteAmount,
        });
        Interlocked.Increment(ref _trades);
        if (_out.Count >= MaxChunkTrades)
        {
            FlushTrades();
        }
    }

    private void OpenGap(BinanceLane lane)
    {
        if (!lane.HasGap)
        {
            lane.HasGap = true;
            _gaps++;
        }
    }

    /// <summary>Fetches what comes after the last trade given.</summary>
    /// <param name="toEnd">Until the venue has no more; otherwise until what waits is reached.</param>
    private void Fill(BinanceLane lane, bool toEnd)
    {
        OpenGap(lane);
        lane.EndWished += toEnd ? 1 : 0;
        if (!lane.IsFetching)
        {
            lane.IsFetching = true;
            lane.Retry = _options.FirstRetry;
            Fetch(lane, TimeSpan.Zero);
        }
    }

    private void Fetch(BinanceLane lane, TimeSpan delay)
    {
        var (next, wished) = (lane.Next, lane.EndWished);
        Background(async () =>
        {
            if (delay > TimeSpan.Zero)
            {
                await Task.Delay(BinanceRest.Jitter(delay), time, _stop);
            }

            try
            {
                var page = await _rest.TradesFrom(lane.Name, next, _stop);
                Post(() => TakePage(lane, page, wished));
            }
            catch (BinanceRefusedException e)
            {
                Post(() => GiveUp(lane, e));
            }
        });
    }

    private void TakePage(BinanceLane lane, List<RestTrade> page, int wished)
    {
        if (lane.IsGone)
        {
            return;
        }

        var before = lane.Next;
        foreach (var trade in page)
        {
            var id = trade.Trade.Order.Id.Position;
            if (id < lane.Next)
            {
                continue;
            }

            // The venue has what follows and not this: it will never come from anywhere, unless it waits here.
            GiveWaiting(lane);
            if (id > lane.Next)
            {
                _skipped.Add(SkipReason.MissingAtVenue, id - lane.Next);
                Notice($"{lane.Name}: the venue does not have the trades {lane.Next} to {id - 1}.");
            }

            if (id >= lane.Next)
            {
                Give(lane, trade);
            }
        }

        GiveWaiting(lane);
        if (page.Count < BinanceRest.PageSize)
        {
            lane.EndReached = Math.Max(lane.EndReached, wished);
        }

        if (lane.Waiting.Count == 0 && lane.Next > lane.Target && lane.EndReached >= lane.EndWished)
        {
            CloseGap(lane);
            return;
        }

        var progressed = lane.Next > before || lane.EndReached < lane.EndWished;
        Fetch(lane, progressed ? TimeSpan.Zero : lane.Retry);
        lane.Retry = progressed ? _options.FirstRetry : lane.Retry * 2 < _options.LastRetry ? lane.Retry * 2 : _options.LastRetry;
    }

    private void CloseGap(BinanceLane lane)
    {
        lane.IsFetching = false;
        lane.HasGap = false;
        if (lane.IsFirstFill)
        {
            lane.IsFirstFill = false;
            _starting--;
            SayCaughtUp(lane);
        }
        else
        {
            _gaps--;
        }

        MoveClock();
    }

    private void SayCaughtUp(BinanceLane lane)
    {
        FlushTrades();
        _checkpoint = Checkpoint();
        _checkpointAt = _chunkAt = time.GetTimestamp();
        _chunks.Enqueue(new SourceChunk([], _checkpoint, Clock()) { CaughtUp = [lane.Name] });
    }

    /// <summary>The venue refuses to say what is missing: what waits is given, and the loss is named.</summary>
    private void GiveUp(BinanceLane lane, BinanceRefusedException error)
    {
        if (lane.IsGone)
        {
            return;
        }

        Notice($"{lane.Name}: a gap from {lane.Next} on cannot be closed: {error.Message}");
        lane.EndReached = lane.EndWished;
        foreach (var trade in lane.Waiting.Values)
        {
            var id = trade.Trade.Order.Id.Position;
            if (id < lane.Next)
            {
                continue;
            }

            _skipped.Add(SkipReason.MissingAtVenue, id - lane.Next);
            Give(lane, trade);
        }

        _waiting -= lane.Waiting.Count;
        lane.Waiting.Clear();
        lane.Target = lane.Next - 1;
        CloseGap(lane);
    }

    private void TakeOverflow()
    {
        if (_overflowed.IsEmpty)
        {
            return;
        }

        foreach (var symbol in _overflowed.Keys)
        {
            if (_overflowed.TryRemove(symbol, out _) && _lanes.TryGetValue(symbol, out var lane) && lane.HasBegun)
            {
                Fill(lane, toEnd: true);
            }
        }
    }

    private void MoveClock()
    {
        if (_gaps > 0 || _begun == 0 || _awaited.Count > 0)
        {
            return;
        }

        var least = long.MaxValue;
        foreach (var shard in _shards)
        {
            if (!shard.IsWhole)
            {
                return;
            }

            least = Math.Min(least, shard.CompleteTo);
        }

        // A venue whose clock runs wild must not make klines final.
        if (least > 0 && least <= _rest.Now.ToUnixTimeMilliseconds() + 60_000)
        {
            var clock = DateTimeOffset.FromUnixTimeMilliseconds(least);
            _clock = clock > _clock ? clock : _clock;
        }
    }

    private SourceClock Clock() => new(_clock, IsLive);

    private string Checkpoint() =>
        new BinanceCheckpoint(_options.Venue, _clock, _lanes.Values.Where(l => l.HasBegun).ToDictionary(l => l.Name, l => l.Next, StringComparer.Ordinal))
        {
            FirstFill = _lanes.Values.Where(l => l is { HasBegun: true, IsFirstFill: true }).ToDictionary(l => l.Name, l => l.FirstFillTime, StringComparer.Ordinal),
        }.ToString();

    private void FlushTrades()
    {
        if (_out.Count == 0)
        {
            return;
        }

        // One that is a little older is as good: it only gives some trades again.
        if (_checkpoint.Length == 0 || time.GetElapsedTime(_checkpointAt) >= CheckpointInterval)
        {
            _checkpoint = Checkpoint();
            _checkpointAt = time.GetTimestamp();
        }

        _chunks.Enqueue(new SourceChunk(_out.DrainToImmutable(), _checkpoint, Clock()));
        _chunkAt = time.GetTimestamp();
    }

    private void Flush()
    {
        FlushTrades();
        if (_begun == 0 || _chunks.Count > 0 || time.GetElapsedTime(_chunkAt) < ChunkInterval)
        {
            return;
        }

        // With nothing new to give, everything given is behind it.
        _checkpoint = Checkpoint();
        _checkpointAt = _chunkAt = time.GetTimestamp();
        _chunks.Enqueue(new SourceChunk([], _checkpoint, Clock()));
    }

    private void Tick()
    {
        if (time.GetElapsedTime(_syncAt) >= SyncInterval)
        {
            _syncAt = time.GetTimestamp();
            Background(async () =>
            {
                try
                {
                    await _rest.SyncTime(_stop);
                }
                catch (BinanceRefusedException e)
                {
                    Notice(e.Message);
                }
            });
        }

        if (!_scanning && time.GetElapsedTime(_scanAt) >= _options.ScanInterval)
        {
            _scanning = true;
            Background(Scan);
        }
    }

    /// <summary>Compares the newest ids of all symbols with the venue's: the only way to see that a last trade was lost.</summary>
    private async Task Scan()
    {
        Dictionary<string, long> newest;
        try
        {
            newest = await _rest.NewestIds(_stop);

            // What is on its way may come.
            await Task.Delay(_options.ScanInterval < ScanGrace ? _options.ScanInterval : ScanGrace, time, _stop);
        }
        catch (BinanceRefusedException e)
        {
            Notice(e.Message);
            newest = [];
        }

        Post(() =>
        {
            (_scanning, _scanAt) = (false, time.GetTimestamp());
            foreach (var (name, id) in newest)
            {
                if (_lanes.TryGetValue(name, out var lane) && lane is { HasBegun: true, HasGap: false } && id > lane.LastId && lane.MayAskFor(id))
                {
                    Fill(lane, toEnd: true);
                }
            }
        });
    }

    private void RefreshSymbols()
    {
        if (_refreshing || time.GetElapsedTime(_refreshAt) < _options.ScanInterval)
        {
            return;
        }

        _refreshing = true;
        Background(async () =>
        {
            List<BinanceSymbol>? listed = null;
            try
            {
                listed = await _rest.Symbols(_stop);
            }
            catch (BinanceRefusedException e)
            {
                Notice(e.Message);
            }

            Post(() =>
            {
                (_refreshing, _refreshAt) = (false, time.GetTimestamp());
                if (listed is { Count: > 0 })
                {
                    TakeSymbols(listed);
                }
            });
        });
    }

    private void TakeSymbols(List<BinanceSymbol> listed)
    {
        var before = _shards.Length;
        foreach (var symbol in listed)
        {
            if (symbol.IsTrading || !Matches(symbol))
            {
                _known[symbol.Name] = true;
            }

            if (Follows(symbol) && !_lanes.ContainsKey(symbol.Name))
            {
                AddLane(symbol);
                logger.LogInformation(1306, "Source {Source}: {Symbol} is new", source.Name, symbol.Name);
            }
        }

        foreach (var shard in _shards.AsSpan()[before..].ToArray())
        {
            Background(() => shard.Run(_stop));
        }

        // A symbol that is no longer listed: its klines stay as they are.
        var names = listed.Select(s => s.Name).ToHashSet(StringComparer.Ordinal);
        foreach (var lane in _lanes.Values.Where(l => !names.Contains(l.Name)).ToList())
        {
            lane.IsGone = true;
            lane.Shard.Remove(lane.Stream);
            _lanes.Remove(lane.Name);
            _waiting -= lane.Waiting.Count;
            _begun -= lane.HasBegun ? 1 : 0;
            _starting -= !lane.HasBegun || lane.IsFirstFill ? 1 : 0;
            _gaps -= lane is { HasGap: true, IsFirstFill: false } ? 1 : 0;
            _awaited.Remove(lane.Name);
            if (lane.IsFirstFill)
            {
                // What came is all there is.
                SayCaughtUp(lane);
            }

            logger.LogInformation(1307, "Source {Source}: {Symbol} is no longer listed", source.Name, lane.Name);
        }
    }

    private void Notice(string notice)
    {
        Volatile.Write(ref _notice, notice);
        logger.LogWarning(1308, "Source {Source}: {Notice}", source.Name, notice);
    }

    /// <param name="Trade">Without a symbol: none.</param>
    private readonly record struct Frame(BinanceShard Shard, Trade Trade, long LastId, long UpTo);
}
