using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Ingest.Replay;

/// <summary>Plays a recording from a file. Its clock is the newest event time read so far, at any speed.</summary>
/// <remarks>
/// With a loop every further pass is later by the fewest whole minutes that cover the recording, and its positions (slots, aggregate ids) are larger by
/// the span of positions, so that no id and no time comes twice.
/// </remarks>
internal sealed class ReplaySource(SourceOptions source, TimeProvider timeProvider, ILogger<ReplaySource> logger) : ITradeSource
{
    private const int MaxChunkTrades = 2_048;
    private const int MaxChunkLines = 8_192;
    private const int HeadLength = 4_096;
    private const int LoggedBrokenLines = 5;

    // How often the clock moves between two lines of a paced recording.
    private static readonly TimeSpan TickLength = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan ShortestWait = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan LogPause = TimeSpan.FromSeconds(10);
    private static readonly DateTimeOffset LastPassStart = new(9000, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly ReplayOptions _options = source.Replay ?? throw new ArgumentException($"The source '{source.Name}' is not a replay.", nameof(source));
    private readonly SkipCounts _skipped = new();
    private readonly Lock _statusLock = new();
    private SourceState _state = SourceState.Starting;
    private DateTimeOffset _since = timeProvider.GetUtcNow();
    private string? _error;
    private double _progress;
    private long _trades;
    private long _brokenLines;
    private long _unloggedBrokenLines;
    private long? _lastLogged;

    public SourceStatus GetStatus()
    {
        lock (_statusLock)
        {
            return new SourceStatus
            {
                Name = source.Name,
                Kind = nameof(SourceKind.Replay),
                State = _state,
                Since = _since,
                Trades = Interlocked.Read(ref _trades),
                Skipped = _skipped.ToDictionary(),
                Error = _error,
                Progress = _progress,
            };
        }
    }

    public async IAsyncEnumerable<SourceChunk> Read(string? checkpoint, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var head = await ReadHead(cancellationToken);
        var position = Restore(checkpoint, head);
        var (clock, pass, range) = (position?.Clock ?? default, position?.Pass ?? 0, position?.Range ?? RecordingRange.Empty);
        SetState(SourceState.Replaying);

        var trades = ImmutableArray.CreateBuilder<Trade>(MaxChunkTrades);
        var symbols = ImmutableArray.CreateBuilder<SymbolInfo>();
        var lineTrades = new List<Trade>();
        var lineSymbols = new List<SymbolInfo>();
        var events = ImmutableArray.CreateBuilder<ChainEvent>();
        var lineEvents = new List<ChainEvent>();
        var pace = new Pace(_options.Speed, timeProvider);
        while (true)
        {
            await using var recording = await Open(position, cancellationToken);
            var identity = new Identity(_options, head);
            var lines = 0;
            string Checkpoint() => new ReplayCheckpoint(identity.At(recording.Offset), recording.Offset, recording.LineNumber, clock, pass, range, recording.SaveState()).ToString();
            SourceChunk Chunk(string at)
            {
                var chunk = new SourceChunk(trades.DrainToImmutable(), at, new SourceClock(clock, IsLive: false)) { Symbols = symbols.DrainToImmutable(), Events = events.DrainToImmutable() };
                lines = 0;
                return chunk;
            }

            // Decoding looks ahead: a restart from before the newest line must not know of it.
            var before = pace.IsOn ? Checkpoint() : "";
            while (await recording.Read(cancellationToken))
            {
                lineTrades.Clear();
                lineSymbols.Clear();
                lineEvents.Clear();
                if (recording.Decode(lineTrades, lineSymbols, lineEvents) is { } error)
                {
                    Report(recording.LineNumber, error);
                }

                var (lineClock, lineRange) = (clock, range);
                foreach (ref var trade in System.Runtime.InteropServices.CollectionsMarshal.AsSpan(lineTrades))
                {
                    if (pass == 0)
                    {
                        lineRange = lineRange.With(trade.EventTime.UtcTicks, trade.Order.Id.Position);
                    }
                    else
                    {
                        trade = Shifted(trade, pass, range);
                    }

                    lineClock = trade.EventTime > lineClock ? trade.EventTime : lineClock;
                    trade = trade with { ReceivedTime = lineClock };
                }

                if (pace.IsOn && lineClock > clock)
                {
                    if (pace.Remaining(clock, lineClock) > TimeSpan.Zero)
                    {
                        if (lines > 0)
                        {
                            yield return Chunk(before);
                        }

                        while (pace.Remaining(clock, lineClock) is { } remaining && remaining > TimeSpan.Zero)
                        {
                            // Less than a millisecond would be no wait at all, and a loop that spins.
                            var wait = remaining < TickLength ? remaining : TickLength;
                            await Task.Delay(wait > ShortestWait ? wait : ShortestWait, timeProvider, cancellationToken);
                            var now = pace.Clock(lineClock);
                            if (now < lineClock)
                            {
                                yield return new SourceChunk([], before, new SourceClock(now, IsLive: false));
                            }
                        }
                    }
                }

                (clock, range) = (lineClock, lineRange);
                trades.AddRange(lineTrades);
                if (pass == 0)
                {
                    symbols.AddRange(lineSymbols);
                    events.AddRange(lineEvents);
                }
                else
                {
                    foreach (var e in lineEvents)
                    {
                        events.Add(e with { EventTime = e.EventTime.AddTicks(range.PassTicks * pass), Order = Shifted(e.Order, pass, range) });
                    }
                }

                Interlocked.Add(ref _trades, lineTrades.Count);
                lines++;
                if (pace.IsOn)
                {
                    before = Checkpoint();
                }

                if (trades.Count >= MaxChunkTrades || lines >= MaxChunkLines)
                {
                    SetProgress(recording.Progress);
                    yield return Chunk(pace.IsOn ? before : Checkpoint());
                }
            }

            SetProgress(1);
            if (lines > 0)
            {
                yield return Chunk(Checkpoint());
            }

            if (!_options.Loop || range.IsEmpty || clock.AddTicks(range.PassTicks) > LastPassStart)
            {
                break;
            }

            pass++;
            position = null;
        }

        SetState(SourceState.Ended);
    }

    private static Trade Shifted(in Trade trade, long pass, RecordingRange range) => trade with
    {
        EventTime = trade.EventTime.AddTicks(range.PassTicks * pass),
        Order = Shifted(trade.Order, pass, range),
    };

    private static TradeOrder Shifted(in TradeOrder order, long pass, RecordingRange range)
    {
        var id = order.Id;
        return new TradeOrder(new TradeId(id.Position + (range.PassPositions * pass), id.Signature, id.Index), order.Sequence);
    }

    private ReplayCheckpoint? Restore(string? checkpoint, byte[] head)
    {
        if (checkpoint is null)
        {
            return null;
        }

        var position = ReplayCheckpoint.TryParse(checkpoint) ?? throw new SourceException($"The saved position of the source '{source.Name}' cannot be read: '{checkpoint}'.");
        if (!new Identity(_options, head).Matches(position.Identity))
        {
            logger.LogWarning(1309, "Source {Source}: the saved position belongs to another recording than {Path}; reading from the beginning", source.Name, _options.Path);
            return null;
        }

        return position;
    }

    private async Task<byte[]> ReadHead(CancellationToken cancellationToken)
    {
        await using var file = OpenFile();
        var head = new byte[HeadLength];
        var length = await file.ReadAtLeastAsync(head, HeadLength, throwOnEndOfStream: false, cancellationToken);
        return head[..length];
    }

    private FileStream OpenFile()
    {
        try
        {
            return new FileStream(_options.Path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0, useAsync: false);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Failed($"The recording '{_options.Path}' of the source '{source.Name}' cannot be read: {e.Message}", e);
        }
    }

    private async Task<IRecording> Open(ReplayCheckpoint? position, CancellationToken cancellationToken)
    {
        var file = OpenFile();
        try
        {
            if (_options.Format == RecordingFormat.SpinPetEventsJson)
            {
                if (file.Length > SpinPetEventsRecording.MaxLength)
                {
                    throw Failed($"The recording '{_options.Path}' has {file.Length} bytes; SpinPetEventsJson is sorted in memory and may have {SpinPetEventsRecording.MaxLength}.");
                }

                return await SpinPetEventsRecording.Load(new LineReader(file, 0, 0), source.Name, _options.PriceScale, position?.Offset ?? 0, _skipped, cancellationToken);
            }

            if (position is not null)
            {
                if (position.Offset > file.Length)
                {
                    throw Failed($"The recording '{_options.Path}' has {file.Length} bytes, but {position.Offset} were read of it before: it was cut.");
                }

                file.Position = position.Offset;
            }

            IRecordingFormat format = _options.Format switch
            {
                RecordingFormat.SolanaLogs => new SolanaLogsFormat(source.Name, _options.Programs, _options.Anchor, _skipped),
                RecordingFormat.BinanceAggTradesCsv => new BinanceAggTradesCsvFormat(_options.Symbol, _skipped),
                RecordingFormat.BinanceFrames => new BinanceFramesFormat(_skipped),
                _ => throw new ArgumentOutOfRangeException(nameof(position), _options.Format, "No such format."),
            };
            if (position is not null && !format.TryRestoreState(position.FormatState))
            {
                throw Failed($"The saved position of the source '{source.Name}' cannot be read: '{position}'.");
            }

            return new LineRecording(new LineReader(file, position?.Offset ?? 0, position?.Lines ?? 0), format, _skipped, file.Length);
        }
        catch
        {
            await file.DisposeAsync();
            throw;
        }
    }

    private void Report(long line, string error)
    {
        var count = ++_brokenLines;
        lock (_statusLock)
        {
            _error = $"{_options.Path}:{line}: {error}";
        }

        var now = timeProvider.GetTimestamp();
        if (count > LoggedBrokenLines && _lastLogged is { } last && timeProvider.GetElapsedTime(last, now) < LogPause)
        {
            _unloggedBrokenLines++;
            return;
        }

        _lastLogged = now;
        logger.LogWarning(1310, "Source {Source}: {Path}:{Line}: {Error} ({Count} lines so far, {Unlogged} of them not logged)", source.Name, _options.Path, line, error, count, _unloggedBrokenLines);
    }

    private SourceException Failed(string message, Exception? inner = null)
    {
        lock (_statusLock)
        {
            (_state, _since, _error) = (SourceState.Failed, timeProvider.GetUtcNow(), message);
        }

        return inner is null ? new SourceException(message) : new SourceException(message, inner);
    }

    private void SetState(SourceState state)
    {
        lock (_statusLock)
        {
            (_state, _since) = (state, timeProvider.GetUtcNow());
        }
    }

    private void SetProgress(double progress)
    {
        lock (_statusLock)
        {
            _progress = progress;
        }
    }

    // What a recording is known by: its format, and its first bytes as far as they were read, so that a file that grows stays the same.
    private sealed class Identity(ReplayOptions options, byte[] head)
    {
        private string _text = "";
        private int _length = -1;

        public string At(long offset)
        {
            var length = options.Format == RecordingFormat.SpinPetEventsJson ? head.Length : (int)Math.Min(head.Length, offset);
            if (length != _length)
            {
                (_length, _text) = (length, Text(length));
            }

            return _text;
        }

        public bool Matches(string identity)
        {
            var colon = identity.IndexOf(':', StringComparison.Ordinal);
            return colon > 0 && int.TryParse(identity.AsSpan(0, colon), NumberStyles.None, CultureInfo.InvariantCulture, out var length) && length <= head.Length && Text(length) == identity;
        }

        private string Text(int length)
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            hash.AppendData(Encoding.UTF8.GetBytes($"{options.Format} {options.Symbol} "));
            hash.AppendData(head, 0, length);
            return string.Create(CultureInfo.InvariantCulture, $"{length}:{Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 8))}");
        }
    }

    // Which moment of the recording it is, told by our clock.
    private sealed class Pace(double speed, TimeProvider timeProvider)
    {
        // Ten thousand years: as good as for ever, and still a time span.
        private const double MaxTicks = 3_650_000d * TimeSpan.TicksPerDay;

        private (long Timestamp, DateTimeOffset Clock)? _start;

        public bool IsOn => speed > 0;

        /// <summary>How long until the recording reaches <paramref name="next"/>; it starts at <paramref name="clock"/>, or at its first line.</summary>
        public TimeSpan Remaining(DateTimeOffset clock, DateTimeOffset next)
        {
            _start ??= (timeProvider.GetTimestamp(), clock == default ? next : clock);
            var due = Math.Min((next - _start.Value.Clock).Ticks / speed, MaxTicks);
            return TimeSpan.FromTicks((long)due) - timeProvider.GetElapsedTime(_start.Value.Timestamp);
        }

        /// <summary>The recording's moment, at most <paramref name="limit"/>.</summary>
        public DateTimeOffset Clock(DateTimeOffset limit)
        {
            var passed = timeProvider.GetElapsedTime(_start!.Value.Timestamp).Ticks * speed;
            return passed < (limit - _start.Value.Clock).Ticks ? _start.Value.Clock.AddTicks((long)passed) : limit;
        }
    }
}
