namespace KlineOrleans.Ingest.Solana;

/// <summary>The chain's block times. One user at a time.</summary>
public interface IBlockTimes
{
    /// <summary>The block time of a slot, in Unix seconds; false if it is not known.</summary>
    bool TryGet(long slot, out long seconds);
}

/// <summary>Block times that were read from a recording. Holds the newest <see cref="Capacity"/>, so that what it knows fits a checkpoint. One user at a time.</summary>
internal sealed class RecordedBlockTimes : IBlockTimes
{
    public const int Capacity = 32;

    private readonly Queue<(long Slot, long Seconds)> _times = new(Capacity);

    public IEnumerable<(long Slot, long Seconds)> All => _times;

    public void Add(long slot, long seconds)
    {
        if (TryGet(slot, out var known) && known == seconds)
        {
            return;
        }

        if (_times.Count == Capacity)
        {
            _times.Dequeue();
        }

        _times.Enqueue((slot, seconds));
    }

    public bool TryGet(long slot, out long seconds)
    {
        var found = false;
        seconds = 0;
        foreach (var time in _times)
        {
            if (time.Slot == slot)
            {
                // The newest word on a slot is the last one.
                (found, seconds) = (true, time.Seconds);
            }
        }

        return found;
    }
}

/// <summary>When an event happened: the slot's block time, else what the event itself says, else an estimate. One user at a time.</summary>
/// <param name="blockTimes">Where block times come from.</param>
/// <param name="anchor">When slot 0 was, for an estimate as long as no time of any slot is known.</param>
internal sealed class EventTimes(IBlockTimes blockTimes, DateTimeOffset anchor)
{
    /// <summary>The genesis of the main network.</summary>
    public static readonly DateTimeOffset Genesis = new(2020, 3, 16, 14, 29, 0, TimeSpan.Zero);

    private static readonly TimeSpan SlotLength = TimeSpan.FromMilliseconds(400);

    private (long Slot, long Seconds)? _newest;

    /// <summary>The newest slot whose time is known, and its Unix seconds: what an estimate is counted from.</summary>
    public (long Slot, long Seconds)? Newest => _newest;

    /// <summary>Goes on from what <see cref="Newest"/> said.</summary>
    public void Restore((long Slot, long Seconds)? newest) => _newest = newest;

    /// <summary>Learns the time of a slot.</summary>
    public void Learn(long slot, long seconds)
    {
        if (_newest is not { } newest || slot >= newest.Slot)
        {
            _newest = (slot, seconds);
        }
    }

    /// <param name="ownSeconds">The Unix second of which the event says that it happened then; 0 if it does not say.</param>
    public DateTimeOffset Resolve(long slot, long ownSeconds, out bool isEstimated)
    {
        isEstimated = false;
        if (blockTimes.TryGet(slot, out var seconds))
        {
            Learn(slot, seconds);
            return DateTimeOffset.FromUnixTimeSeconds(seconds);
        }

        if (ownSeconds > 0)
        {
            Learn(slot, ownSeconds);
            return DateTimeOffset.FromUnixTimeSeconds(ownSeconds);
        }

        isEstimated = true;
        var estimate = _newest is { } newest
            ? DateTimeOffset.FromUnixTimeSeconds(newest.Seconds) + (SlotLength * (slot - newest.Slot))
            : anchor + (SlotLength * slot);
        return estimate > DateTimeOffset.UnixEpoch ? estimate : DateTimeOffset.UnixEpoch;
    }
}
