using KlineOrleans.Grains;

namespace KlineOrleans.Silo.Setup;

/// <summary>Gives the memory of grains that have left back to the system.</summary>
/// <remarks>
/// The collector looks at old objects when new ones need room. Grains leave when there is little to do, so that nothing would make it look, for hours.
/// Only after many have left, at most once a minute, and beside the running threads.
/// </remarks>
internal sealed class IdleMemory(GrainMetrics grains, TimeProvider time) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    /// <summary>Grains that have left since the last time at which another is worth its time: about 20 MB.</summary>
    private const int Worthwhile = 1_000;

    private long _left;

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
        return true;
    }
}
