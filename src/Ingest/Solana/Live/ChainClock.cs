using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>The chain's time up to which everything was heard: told by block times and slots, never by our wall clock, and never running back. One user at a time.</summary>
internal sealed class ChainClock(TimeProvider time)
{
    private const int Capacity = 512;

    private static readonly TimeSpan SlotLength = TimeSpan.FromMilliseconds(400);

    // Slots are counted on this far from a known block time; without one the clock stands.
    private static readonly TimeSpan MaxEstimate = TimeSpan.FromMinutes(1);

    private readonly Queue<(long Slot, long Seconds)> _known = new(Capacity);
    private DateTimeOffset _base;
    private DateTimeOffset _newest;
    private long _at;
    private long _slot = -1;

    /// <summary>Whether it says anything.</summary>
    public bool IsKnown => _newest != default;

    /// <summary>Learns the block time of a slot, in Unix seconds.</summary>
    public void Learn(long slot, long seconds)
    {
        if (_known.Count == Capacity)
        {
            _known.Dequeue();
        }

        _known.Enqueue((slot, seconds));
        if (_slot >= slot)
        {
            Reach(_slot, isNew: false);
        }
    }

    /// <summary>Everything up to this slot was heard.</summary>
    public void Reach(long slot)
    {
        _slot = slot;
        Reach(slot, isNew: true);
    }

    /// <summary>Its time now. It runs on from slot to slot while <paramref name="isLive"/>, as far as a reader of the chunk lets it.</summary>
    public DateTimeOffset Now(bool isLive)
    {
        if (_base == default)
        {
            return _newest;
        }

        var now = _base;
        if (isLive)
        {
            var elapsed = time.GetElapsedTime(_at);
            now += elapsed < SourceClock.RunsOn ? elapsed : SourceClock.RunsOn;
        }

        return _newest = now > _newest ? now : _newest;
    }

    private void Reach(long slot, bool isNew)
    {
        (long Slot, long Seconds)? nearest = null;
        foreach (var known in _known)
        {
            if (known.Slot <= slot && (nearest is null || known.Slot >= nearest.Value.Slot))
            {
                nearest = known;
            }
        }

        if (nearest is not { } from)
        {
            return;
        }

        var ahead = SlotLength * Math.Min(slot - from.Slot, MaxEstimate / SlotLength);
        var reached = DateTimeOffset.FromUnixTimeSeconds(from.Seconds) + ahead;
        if (reached > _base)
        {
            _base = reached;
            _at = time.GetTimestamp();
        }
        else if (isNew)
        {
            // The estimate was ahead: the time stands until the slots have caught up.
            _at = time.GetTimestamp();
        }

        _newest = _base > _newest ? _base : _newest;
    }
}
