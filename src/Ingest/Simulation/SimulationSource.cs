using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.CompilerServices;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Solana;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Ingest.Simulation;

/// <summary>A made-up market: frames of a <see cref="SimulatedChain"/> through the decoder of the real chain.</summary>
/// <remarks>
/// Makes up the past first (as much as configured, or what was missed since the checkpoint), then a slot every 400 ms. While it makes up the past its
/// clock is the chain's; once live it runs with ours. A restart goes on exactly: the same trades as if it had never stopped.
/// </remarks>
internal sealed class SimulationSource(SourceOptions source, TimeProvider timeProvider, ILogger<SimulationSource> logger) : ITradeSource
{
    private const string Version = "simulation1";
    private const int MaxChunkTrades = 2_048;
    private const int MaxChunkSlots = 256;

    // A slot this far behind is still the present: the distance is that of a busy moment, well inside the grace of a kline.
    private const int LiveSlots = 3;

    /// <summary>The longest absence that is made up for.</summary>
    internal static readonly TimeSpan MaxMissed = TimeSpan.FromHours(6);

    private readonly SimulationOptions _options = source.Simulation ?? throw new ArgumentException($"The source '{source.Name}' is no simulation.", nameof(source));
    private readonly SkipCounts _skipped = new();
    private readonly Lock _statusLock = new();
    private SourceState _state = SourceState.Starting;
    private DateTimeOffset _since = timeProvider.GetUtcNow();
    private string? _error;
    private long _trades;

    public SourceStatus GetStatus()
    {
        lock (_statusLock)
        {
            return new SourceStatus
            {
                Name = source.Name,
                Kind = nameof(SourceKind.Simulation),
                State = _state,
                Since = _since,
                Trades = Interlocked.Read(ref _trades),
                Skipped = _skipped.ToDictionary(),
                Error = _error,
                IsSimulated = true,
            };
        }
    }

    public async IAsyncEnumerable<SourceChunk> Read(string? checkpoint, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var chain = new SimulatedChain(_options.Seed, _options.Mints, _options.TradesPerSecond);
        var slot = Start(chain, checkpoint);
        var decoder = new SolanaTrades(source.Name, ProgramCatalog.Default, new EventTimes(chain, EventTimes.Genesis), _skipped);
        var trades = ImmutableArray.CreateBuilder<Trade>(MaxChunkTrades);
        var symbols = ImmutableArray.CreateBuilder<SymbolInfo>();
        var slotTrades = new List<Trade>();
        var slotSymbols = new List<SymbolInfo>();
        var events = new List<ChainEvent>();
        var slots = 0;
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var now = timeProvider.GetUtcNow();
            var behind = SimulatedChain.SlotAt(now) - slot;
            if (behind < 0)
            {
                var wait = SimulatedChain.TimeOf(slot) - now;
                await Task.Delay(wait > TimeSpan.FromMilliseconds(1) ? wait : TimeSpan.FromMilliseconds(1), timeProvider, cancellationToken);
                continue;
            }

            var isLive = behind <= LiveSlots;
            SetState(isLive ? SourceState.Live : SourceState.Backfilling);
            slotTrades.Clear();
            slotSymbols.Clear();
            chain.Run(slot, (frame, index) => decoder.Read(frame, index, slotTrades, slotSymbols, events: events));
            var clock = DateTimeOffset.FromUnixTimeSeconds(SimulatedChain.BlockSeconds(slot));
            foreach (var trade in slotTrades)
            {
                trades.Add(trade with { ReceivedTime = isLive ? now : clock });
            }

            symbols.AddRange(slotSymbols);
            Interlocked.Add(ref _trades, slotTrades.Count);
            slots++;
            if (isLive || trades.Count >= MaxChunkTrades || slots >= MaxChunkSlots)
            {
                yield return new SourceChunk(trades.DrainToImmutable(), Checkpoint(chain, slot), new SourceClock(clock, isLive)) { Symbols = symbols.DrainToImmutable(), Events = [.. events] };
                events.Clear();
                slots = 0;
            }

            slot++;
        }
    }

    private string Checkpoint(SimulatedChain chain, long slot) =>
        string.Create(CultureInfo.InvariantCulture, $"{Version}|{_options.Seed}|{slot}|{chain.SaveState()}");

    // The first slot to make.
    private long Start(SimulatedChain chain, string? checkpoint)
    {
        var now = timeProvider.GetUtcNow();
        var first = SimulatedChain.SlotAt(now - _options.History);
        if (checkpoint is null)
        {
            return first;
        }

        var parts = checkpoint.Split('|');
        if (parts.Length != 4 || parts[0] != Version
            || !long.TryParse(parts[1], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var seed)
            || !long.TryParse(parts[2], NumberStyles.None, CultureInfo.InvariantCulture, out var slot))
        {
            throw Unreadable(checkpoint);
        }

        if (seed != _options.Seed)
        {
            logger.LogWarning(1311, "Source {Source}: the saved market has seed {Saved}, the configured one {Seed}; starting a new one", source.Name, seed, _options.Seed);
            return first;
        }

        if (!chain.TryRestoreState(parts[3]))
        {
            throw Unreadable(checkpoint);
        }

        var earliest = SimulatedChain.SlotAt(now - MaxMissed);
        if (slot + 1 >= earliest)
        {
            return slot + 1;
        }

        var missed = earliest - slot - 1;
        _skipped.Add(SkipReason.MissedSlot, missed);
        var message = $"Away for {now - SimulatedChain.TimeOf(slot):d\\.hh\\:mm\\:ss}: {missed} slots were left out, more than {MaxMissed.TotalHours} hours are not made up.";
        lock (_statusLock)
        {
            _error = message;
        }

        logger.LogWarning(1312, "Source {Source}: {Message}", source.Name, message);
        return earliest;
    }

    private SourceException Unreadable(string checkpoint) => new($"The saved position of the source '{source.Name}' cannot be read: '{checkpoint}'.");

    private void SetState(SourceState state)
    {
        if (_state == state)
        {
            return;
        }

        lock (_statusLock)
        {
            (_state, _since) = (state, timeProvider.GetUtcNow());
        }
    }
}
