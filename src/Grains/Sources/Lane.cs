using System.Collections.Immutable;
using KlineOrleans.Contracts;

namespace KlineOrleans.Grains;

internal enum BatchKind
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
/// <param name="Before">The source's clock before the chunk of its first trade.</param>
/// <param name="History">Of <see cref="BatchKind.Begin"/> only.</param>
internal readonly record struct Batch(ImmutableArray<Trade> Trades, long Oldest, BatchKind Kind, SourceClock Before, SymbolKlines? History);

/// <summary>One mint's trades on their way from a <see cref="SourcePump"/>, whose lock guards it.</summary>
/// <param name="mostTrades">The most trades in one call to the grain. A correction of order may be longer: it is not cut within a slot.</param>
internal sealed class Lane(string symbol, IKlineGrain grain, int mostTrades)
{
    private readonly Queue<Batch> _earlier = new();
    private readonly ImmutableArray<Trade>.Builder _waiting = ImmutableArray.CreateBuilder<Trade>();
    private BatchKind _waitingKind;
    private long _waitingChunk;
    private long _oldestWaiting;
    private SourceClock _beforeWaiting;
    private long _oldestOnTheWay;
    private SourceClock _beforeOnTheWay;

    // Calls that the grain has taken, and how many of them a save has covered that began after them.
    private long _delivered;
    private long _saved;

    public string Symbol => symbol;

    public IKlineGrain Grain => grain;

    /// <summary>The activation that took what is not saved.</summary>
    public long Activation { get; private set; }

    /// <summary>For <see cref="TradeBatch.Activation"/>.</summary>
    public long Required => IsUnsaved ? Activation : 0;

    /// <summary>The grain took trades that no save has covered since.</summary>
    public bool IsUnsaved => _saved < _delivered;

    /// <summary>For <see cref="Saved"/>: what a save that begins now will cover.</summary>
    public long Delivered => _delivered;

    public bool IsAbandoned { get; set; }

    /// <summary>Why the grain does not take what was sent to it; null: it does.</summary>
    public string? Error { get; set; }

    /// <summary>When trades last came, by the pump's count of checkpoints.</summary>
    public long LastUse { get; set; }

    /// <summary>Number of the oldest trade not taken by the grain; the largest number if there is none.</summary>
    public long OldestUndelivered => _oldestOnTheWay != 0 ? _oldestOnTheWay : _earlier.TryPeek(out var earlier) ? earlier.Oldest : _waiting.Count > 0 ? _oldestWaiting : long.MaxValue;

    /// <summary>The source's clock up to which the grain has everything, while a trade is on its way: that before the oldest one's chunk. False: none is.</summary>
    public bool TryGetClock(out SourceClock clock)
    {
        clock = _oldestOnTheWay != 0 ? _beforeOnTheWay : _earlier.TryPeek(out var earlier) ? earlier.Before : _beforeWaiting;
        return OldestUndelivered != long.MaxValue;
    }

    public void Add(in Trade trade, long number, BatchKind kind, long chunk, SourceClock before)
    {
        // A correction of order is a batch of its own, and so is each chunk's: a later one of the same slot is not a part of the first.
        if (_waiting.Count > 0 && (kind != _waitingKind || (kind == BatchKind.Trades ? _waiting.Count >= mostTrades : chunk != _waitingChunk)))
        {
            EndBatch();
        }

        if (_waiting.Count == 0)
        {
            (_oldestWaiting, _waitingKind, _waitingChunk, _beforeWaiting) = (number, kind, chunk, before);
        }

        _waiting.Add(trade);
    }

    /// <summary>Adds what is not a trade, at its place among them.</summary>
    public void Add(BatchKind kind, SymbolKlines? history, long number, SourceClock before)
    {
        EndBatch();
        _earlier.Enqueue(new Batch([], number, kind, before, history));
    }

    public bool TryTake(out Batch batch)
    {
        if (!_earlier.TryDequeue(out batch))
        {
            if (_waiting.Count == 0)
            {
                return false;
            }

            batch = TakeWaiting();
        }

        (_oldestOnTheWay, _beforeOnTheWay) = (batch.Oldest, batch.Before);
        return true;
    }

    /// <summary>The grain took what was on its way. False: another activation did than the one that has what is not saved, which is lost.</summary>
    public bool Took(long activation)
    {
        if (IsUnsaved && Activation != activation)
        {
            return false;
        }

        Activation = activation;
        _delivered++;
        PassBy();
        return true;
    }

    /// <summary>What was on its way needs no grain any more: it was refused for good, or is durable already.</summary>
    public void PassBy()
    {
        _oldestOnTheWay = 0;
        Error = null;
    }

    /// <summary>A save has covered what <see cref="Delivered"/> said when it began.</summary>
    public void Saved(long delivered) => _saved = Math.Max(_saved, delivered);

    private void EndBatch()
    {
        if (_waiting.Count > 0)
        {
            _earlier.Enqueue(TakeWaiting());
        }
    }

    private Batch TakeWaiting() => new(_waiting.DrainToImmutable(), _oldestWaiting, _waitingKind, _beforeWaiting, null);
}
