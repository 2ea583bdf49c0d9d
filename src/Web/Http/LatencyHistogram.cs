using System.Numerics;

namespace KlineOrleans.Web;

/// <summary>Counts durations in buckets that grow with them, so that any percentile is known to within an eighth. Thread safe, lock-free, no allocation.</summary>
/// <remarks>From 1 microsecond to 17 minutes in 240 buckets: 8 to each doubling. What is longer counts as the longest.</remarks>
internal sealed class LatencyHistogram
{
    private const int Steps = 8;
    private const int StepBits = 3;
    private const int Doublings = 30;

    private readonly long[] _buckets = new long[Steps * Doublings];

    /// <summary>Counts a duration of so many.</summary>
    public void Record(TimeSpan duration, int count = 1) =>
        Interlocked.Add(ref _buckets[Bucket(duration.Ticks / TimeSpan.TicksPerMicrosecond)], count);

    public long Count
    {
        get
        {
            var count = 0L;
            for (var i = 0; i < _buckets.Length; i++)
            {
                count += Volatile.Read(ref _buckets[i]);
            }

            return count;
        }
    }

    /// <summary>The duration that the share <paramref name="quantile"/> (0 to 1) of all stays within; never less than the true one. Zero where nothing was counted.</summary>
    public TimeSpan Quantile(double quantile)
    {
        Span<long> counts = stackalloc long[_buckets.Length];
        var count = 0L;
        for (var i = 0; i < counts.Length; i++)
        {
            count += counts[i] = Volatile.Read(ref _buckets[i]);
        }

        var rank = Math.Max(1, (long)Math.Ceiling(count * quantile));
        var seen = 0L;
        for (var i = 0; i < counts.Length && count > 0; i++)
        {
            seen += counts[i];
            if (seen >= rank)
            {
                return TimeSpan.FromMicroseconds(Upper(i));
            }
        }

        return TimeSpan.Zero;
    }

    /// <summary>Below 8 each microsecond has its own bucket; above, the bucket is the place of the highest bit and the 3 bits after it.</summary>
    private static int Bucket(long microseconds)
    {
        if (microseconds < Steps)
        {
            return (int)Math.Max(0, microseconds);
        }

        var exponent = BitOperations.Log2((ulong)microseconds);
        var step = (int)(microseconds >> (exponent - StepBits)) & (Steps - 1);
        return Math.Min(((exponent - StepBits + 1) * Steps) + step, (Steps * Doublings) - 1);
    }

    private static long Upper(int bucket)
    {
        var exponent = bucket / Steps;
        var step = bucket % Steps;
        return exponent == 0 ? step + 1 : (long)(Steps + step + 1) << (exponent - 1);
    }
}
