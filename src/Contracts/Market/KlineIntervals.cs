using System.Collections.Immutable;

namespace KlineOrleans.Contracts;

/// <summary>What is known of each <see cref="KlineInterval"/>: its length, its buckets, its names on the wire.</summary>
public static class KlineIntervals
{
    // 1970-01-05 is the first Monday of Unix time.
    private const long FirstMondaySeconds = 4 * 86_400;

    private static readonly long[] Lengths = [0, 1, 5, 15, 30, 60, 300, 900, 1_800, 3_600, 14_400, 86_400, 604_800];

    private static readonly string[] Names = ["", "s1", "s5", "s15", "s30", "m1", "m5", "m15", "m30", "h1", "h4", "d1", "w1"];

    private static readonly string[] ExchangeNames = ["", "1s", "5s", "15s", "30s", "1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"];

    /// <summary>Every interval, shortest first.</summary>
    public static ImmutableArray<KlineInterval> All { get; } =
        [KlineInterval.S1, KlineInterval.S5, KlineInterval.S15, KlineInterval.S30, KlineInterval.M1, KlineInterval.M5, KlineInterval.M15, KlineInterval.M30, KlineInterval.H1, KlineInterval.H4, KlineInterval.D1, KlineInterval.W1];

    /// <summary>How many values <see cref="KlineInterval"/> has, <see cref="KlineInterval.None"/> included: the size of a table by interval.</summary>
    public const int Count = 13;

    /// <summary>The bucket's length in seconds.</summary>
    public static long Seconds(this KlineInterval interval) => Lengths[(int)interval];

    /// <summary>The bucket's length.</summary>
    public static TimeSpan Length(this KlineInterval interval) => TimeSpan.FromSeconds(Lengths[(int)interval]);

    /// <summary>The open time, in Unix seconds, of the bucket that holds <paramref name="unixSeconds"/>.</summary>
    public static long OpenSeconds(this KlineInterval interval, long unixSeconds)
    {
        var length = Lengths[(int)interval];
        var shift = interval == KlineInterval.W1 ? FirstMondaySeconds : 0;
        var into = (unixSeconds - shift) % length;
        return unixSeconds - (into < 0 ? into + length : into);
    }

    /// <summary>The open time of the bucket that holds <paramref name="time"/>.</summary>
    public static DateTimeOffset OpenTime(this KlineInterval interval, DateTimeOffset time) =>
        DateTimeOffset.FromUnixTimeSeconds(OpenSeconds(interval, FloorSeconds(time)));

    /// <summary>The whole Unix seconds at or before <paramref name="time"/>.</summary>
    public static long FloorSeconds(DateTimeOffset time) =>
        Math.DivRem(time.UtcTicks - DateTimeOffset.UnixEpoch.Ticks, TimeSpan.TicksPerSecond, out var rest) - (rest < 0 ? 1 : 0);

    /// <summary>The name our clients use: <c>s1</c>, <c>m5</c>, <c>w1</c>.</summary>
    public static string Name(this KlineInterval interval) => Names[(int)interval];

    /// <summary>The name Binance uses: <c>1s</c>, <c>5m</c>, <c>1w</c>.</summary>
    public static string ExchangeName(this KlineInterval interval) => ExchangeNames[(int)interval];

    /// <summary>Reads either name; case counts, because <c>1m</c> and <c>1M</c> differ elsewhere.</summary>
    public static bool TryParse(ReadOnlySpan<char> name, out KlineInterval interval)
    {
        for (var i = 1; i < Count; i++)
        {
            if (name.SequenceEqual(Names[i]) || name.SequenceEqual(ExchangeNames[i]))
            {
                interval = (KlineInterval)i;
                return true;
            }
        }

        interval = KlineInterval.None;
        return false;
    }
}
