using System.Numerics;

namespace KlineOrleans.Benchmarks.Load;

/// <summary>Counts microseconds in buckets of a sixteenth of their size. Not thread safe; add them up with <see cref="Add"/>.</summary>
internal sealed class Histogram
{
    private const int StepBits = 4;
    private const int Steps = 1 << StepBits;
    private readonly long[] _buckets = new long[Steps * 32];

    public long Count { get; private set; }

    public void Record(long microseconds)
    {
        Count++;
        if (microseconds < Steps)
        {
            _buckets[Math.Max(0, microseconds)]++;
            return;
        }

        var exponent = BitOperations.Log2((ulong)microseconds);
        var step = (int)(microseconds >> (exponent - StepBits)) & (Steps - 1);
        _buckets[Math.Min(((exponent - StepBits + 1) * Steps) + step, _buckets.Length - 1)]++;
    }

    public void Add(Histogram other)
    {
        Count += other.Count;
        for (var i = 0; i < _buckets.Length; i++)
        {
            _buckets[i] += other._buckets[i];
        }
    }

    public void Clear()
    {
        Count = 0;
        Array.Clear(_buckets);
    }

    /// <summary>Milliseconds within which the share stays.</summary>
    public double Quantile(double share)
    {
        var rank = Math.Max(1, (long)Math.Ceiling(Count * share));
        var seen = 0L;
        for (var i = 0; i < _buckets.Length; i++)
        {
            seen += _buckets[i];
            if (seen >= rank && Count > 0)
            {
                var exponent = i / Steps;
                var step = i % Steps;
                return (exponent == 0 ? step + 1 : (long)(Steps + step + 1) << (exponent - 1)) / 1000.0;
            }
        }

        return 0;
    }
}
