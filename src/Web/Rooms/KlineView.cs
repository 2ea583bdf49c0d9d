using System.Collections.Immutable;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web;

/// <summary>A mint's newest klines at one position, as a reader of history needs them: a grain's snapshot, or what a feed holds now. Immutable.</summary>
/// <param name="Epoch">See <see cref="KlineUpdate.Epoch"/>.</param>
/// <param name="Seq">Every update up to this one is in it, none after.</param>
/// <param name="Clock">The clock that makes the mint's klines final.</param>
/// <param name="Source">The source's name; empty where no trade was ever seen.</param>
/// <param name="Klines">By interval (index: the enum's number): klines by open time, no flat ones. May hold only the intervals that were asked for.</param>
/// <param name="CoveredFrom">By interval: from here on <paramref name="Klines"/> is complete; what is older and not in it stands in the archive.</param>
internal sealed record KlineView(
    string Symbol,
    long Epoch,
    long Seq,
    DateTimeOffset Clock,
    string Source,
    KlineRules Rules,
    ImmutableArray<ImmutableArray<Kline>> Klines,
    ImmutableArray<DateTimeOffset> CoveredFrom)
{
    public static KlineView Of(KlineSnapshot snapshot)
    {
        var builders = new List<Kline>?[KlineIntervals.Count];
        foreach (var kline in snapshot.Klines)
        {
            if (!kline.IsFlat)
            {
                (builders[(int)kline.Interval] ??= []).Add(kline);
            }
        }

        var klines = ImmutableArray.CreateBuilder<ImmutableArray<Kline>>(KlineIntervals.Count);
        foreach (var builder in builders)
        {
            builder?.Sort(static (a, b) => a.OpenTime.CompareTo(b.OpenTime));
            klines.Add(builder is null ? [] : [.. builder]);
        }

        return new KlineView(snapshot.Symbol, snapshot.Epoch, snapshot.Seq, snapshot.Clock, snapshot.Source, snapshot.Rules, klines.MoveToImmutable(), snapshot.CoveredFrom);
    }

    /// <summary>From which open time on nothing need be read from the archive.</summary>
    public static DateTimeOffset Covered(ImmutableArray<DateTimeOffset> coveredFrom, KlineInterval interval) =>
        coveredFrom.IsDefault || (int)interval >= coveredFrom.Length ? DateTimeOffset.MaxValue : coveredFrom[(int)interval];
}
