using System.Numerics;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web;

/// <summary>An update on its way to the rooms of its mint, with what was encoded of it so far. Thread safe.</summary>
internal sealed class FeedMessage
{
    private readonly Lock _lock = new();
    private readonly PayloadCache _payloads = new();
    private readonly int _solid;

    /// <param name="beforeEpoch">The position that the update follows on.</param>
    /// <param name="beforeSeq">Usually one less than the update's own; more less where a hole was healed by a snapshot.</param>
    public FeedMessage(KlineUpdate update, long beforeEpoch, long beforeSeq)
    {
        Update = update;
        BeforeEpoch = beforeEpoch;
        BeforeSeq = beforeSeq;
        foreach (ref readonly var kline in update.Klines.AsSpan())
        {
            var bit = 1 << (int)kline.Interval;
            Changed |= bit;
            if (kline.IsFinal || kline.Revision > 0)
            {
                _solid |= bit;
            }
        }
    }

    public KlineUpdate Update { get; }

    /// <summary>See <see cref="MintFeed.Id"/>.</summary>
    public uint SymbolId { get; init; }

    /// <summary>Whether trades are behind the update, and of which takers. Told by the feed, which knows the klines before it.</summary>
    public TakerSide Taker { get; init; }

    /// <summary>When the update came to this node, by the clock's ticks; 0 where that is not measured.</summary>
    public long Since { get; init; }

    public long BeforeEpoch { get; }

    public long BeforeSeq { get; }

    /// <summary>The intervals with changed klines (bit: the enum's number).</summary>
    public int Changed { get; }

    /// <summary>Whether it holds, in these intervals, a final kline or a correction: never replaced by what comes later.</summary>
    public bool IsSolid(int intervals) => (_solid & intervals) != 0;

    /// <summary>Whether whoever gets this, in <paramref name="intervals"/>, needs nothing of <paramref name="older"/> in <paramref name="olderIntervals"/> any more.</summary>
    public bool Covers(FeedMessage older, int olderIntervals, int intervals)
    {
        if ((olderIntervals & ~(Changed & intervals)) != 0)
        {
            return false;
        }

        foreach (ref readonly var kline in older.Update.Klines.AsSpan())
        {
            if ((olderIntervals & (1 << (int)kline.Interval)) != 0 && !Has(kline.Interval, kline.OpenTime))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The message in a wire format, encoded by the first who asks.</summary>
    public Payload Encode(WireFormat format, int intervals)
    {
        if (_payloads.Find(format, intervals) is { } payload)
        {
            return payload;
        }

        lock (_lock)
        {
            payload = _payloads.Find(format, intervals);
            if (payload is null)
            {
                payload = format.EncodeKlines(this, intervals);
                _payloads.Add(format, intervals, payload);
            }

            return payload;
        }
    }

    private bool Has(KlineInterval interval, DateTimeOffset openTime)
    {
        foreach (ref readonly var kline in Update.Klines.AsSpan())
        {
            if (kline.Interval == interval && kline.OpenTime == openTime)
            {
                return true;
            }
        }

        return false;
    }
}

/// <summary>The takers of an update's trades.</summary>
internal enum TakerSide : byte
{
    /// <summary>The update has no new trade, or it is not known: klines became final, or a lost update was made up for.</summary>
    None,

    Buyers,

    Sellers,

    Both,
}

/// <summary>A change in the state of a mint's source, for its followers. Thread safe.</summary>
/// <param name="State">live, stale, backfilling or closed.</param>
internal sealed record StatusMessage(string Symbol, string State, DateTimeOffset Since, string Source, bool IsSimulated);

/// <summary>Sets of intervals as bits.</summary>
internal static class IntervalBits
{
    public static int Of(IEnumerable<KlineInterval> intervals) => intervals.Aggregate(0, static (bits, i) => bits | (1 << (int)i));

    public static int Count(int bits) => BitOperations.PopCount((uint)bits);

    /// <summary>The intervals in the set, shortest first.</summary>
    public static IEnumerable<KlineInterval> In(int bits) => KlineIntervals.All.Where(i => (bits & (1 << (int)i)) != 0);
}
