using KlineOrleans.Grains;

namespace KlineOrleans.Silo.Setup;

/// <summary>Gives the memory of grains that have left back to the system.</summary>
/// <remarks>
/// The collector looks at old objects when new ones need room. Grains leave when there is little to do, so that nothing would make it look, for hours.
/// Only after many have left, at most once a minute, and beside the running threads. That leaves the collector with the room they had, for new objects, which after a
/// crowd has left is most of the memory. Once few leave any more it is given back too, which stops all threads for the time that what still lives takes to move:
/// about a millisecond for each megabyte. So only if that is much more than what lives, and once in a while.
/// </remarks>
internal sealed class IdleMemory(GrainMetrics grains, TimeProvider time) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    /// <summary>Grains that have left since the last time at which another is worth its time: about 20 MB.</summary>
    private const int Worthwhile = 1_000;

    /// <summary>Room that is not worth the stop.</summary>
    private const long LeastRoom = 128L << 20;

    /// <summary>Between two stops for room.</summary>
    private static readonly TimeSpan RoomInterval = TimeSpan.FromMinutes(30);

    private long _left;
    private bool _hasRoom;
    private long? _gaveRoom;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                if (IsDue(grains.Left))
                {
                    GC.Collect(2, GCCollectionMode.Forced, blocking: false);
                    continue;
                }

                var memory = GC.GetGCMemoryInfo(GCKind.Any);
                if (IsRoomDue(memory.HeapSizeBytes - memory.FragmentedBytes, memory.TotalCommittedBytes, time.GetTimestamp()))
                {
                    GC.Collect(2, GCCollectionMode.Aggressive, blocking: true, compacting: true);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The stop.
        }
    }

    /// <summary>Whether enough grains have left since the last time that this was true.</summary>
    /// <param name="left">Grains that have left so far.</param>
    internal bool IsDue(long left)
    {
        if (left - _left < Worthwhile)
        {
            return false;
        }

        _left = left;
        _hasRoom = true;
        return true;
    }

    /// <summary>Whether many grains have left, few do now, and what the collector keeps is worth a stop of all threads. Then it is not for a while.</summary>
    /// <param name="live">Bytes of objects.</param>
    /// <param name="committed">Bytes that the collector has from the system.</param>
    /// <param name="now">Timestamp.</param>
    internal bool IsRoomDue(long live, long committed, long now)
    {
        if (!_hasRoom || committed - live < Math.Max(LeastRoom, live) || (_gaveRoom is { } before && time.GetElapsedTime(before, now) < RoomInterval))
        {
            return false;
        }

        _hasRoom = false;
        _gaveRoom = now;
        return true;
    }
}
