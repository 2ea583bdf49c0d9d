using System.Collections.Immutable;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web;

/// <summary>Which klines of a history to answer.</summary>
/// <param name="From">The first open time; null: from the first kline.</param>
/// <param name="To">Open times before this one; null: to the newest.</param>
/// <param name="Limit">At least 1.</param>
/// <param name="Newest">Where more match: true keeps the newest, false the oldest.</param>
internal readonly record struct HistoryQuery(KlineInterval Interval, DateTimeOffset? From, DateTimeOffset? To, int Limit, bool Newest);

/// <summary>A part of a history, oldest first.</summary>
/// <param name="HasMore">The query matches more klines: older ones if the newest were kept, else newer ones.</param>
internal readonly record struct HistoryPage(IReadOnlyList<Kline> Klines, bool HasMore);

/// <summary>History in one shape, whoever asks: final klines from the archive, the newest from the grain, flat ones derived. Thread safe.</summary>
/// <remarks>
/// A flat kline stands for a bucket without a trade between two klines, or between the newest kline and the clock; never before the first kline
/// of all. What is read is bounded by the limit, not by how long nothing was traded: the klines of the answer's own range and the one before it.
/// </remarks>
internal sealed class KlineHistory(IKlineArchive archive)
{
    /// <summary>The klines that match, with <paramref name="view"/> for what the archive does not have yet.</summary>
    /// <param name="view">Taken before this call; its klines win over the archive's.</param>
    /// <exception cref="ArchiveUnavailableException">The archive cannot be read now.</exception>
    public async Task<HistoryPage> Read(KlineView view, HistoryQuery query, CancellationToken cancellationToken)
    {
        using var span = WebTraces.Source.StartActivity("kline.history");
        try
        {
            var page = await (view.Rules.Empty == EmptyPolicy.Flat ? ReadFilled(view, query, cancellationToken) : ReadStored(view, query, cancellationToken));
            span?.SetTag("kline.interval", query.Interval.Name()).SetTag("kline.klines", page.Klines.Count);
            return page;
        }
        catch (Exception error)
        {
            span?.SetStatus(System.Diagnostics.ActivityStatusCode.Error, error.Message);
            throw;
        }
    }

    private async Task<HistoryPage> ReadStored(KlineView view, HistoryQuery query, CancellationToken cancellationToken)
    {
        var klines = await Merge(view, query.Interval, query.From, query.To, query.Limit + 1, query.Newest, cancellationToken);
        if (klines.Count <= query.Limit)
        {
            return new HistoryPage(klines, HasMore: false);
        }

        klines.RemoveAt(query.Newest ? 0 : klines.Count - 1);
        return new HistoryPage(klines, HasMore: true);
    }

    private async Task<HistoryPage> ReadFilled(KlineView view, HistoryQuery query, CancellationToken cancellationToken)
    {
        var interval = query.Interval;
        var length = interval.Seconds();
        var newest = await Merge(view, interval, from: null, to: null, 1, newest: true, cancellationToken);
        if (newest.Count == 0)
        {
            return new HistoryPage([], HasMore: false);
        }

        // The last bucket there is, and the last and first that may be answered. All in Unix seconds, which cannot overflow.
        var end = Math.Max(Seconds(newest[0].OpenTime), interval.OpenSeconds(KlineIntervals.FloorSeconds(view.Clock)));
        var last = query.To is { } to ? Math.Min(end, Ceiling(interval, to) - length) : end;
        var first = query.From is { } from ? Ceiling(interval, from) : long.MinValue;
        if (last < first)
        {
            return new HistoryPage([], HasMore: false);
        }

        if (query.Newest)
        {
            var start = Math.Max(first, last - ((query.Limit - 1) * length));
            var before = await Merge(view, interval, from: null, Time(start), 1, newest: true, cancellationToken);
            var klines = await Merge(view, interval, Time(start), Time(last + length), query.Limit, newest: false, cancellationToken);
            var page = Fill(view, interval, before.Count == 0 ? null : before[0], klines, start, last, query.Limit);
            return new HistoryPage(page, before.Count > 0 && start > first);
        }
        else
        {
            IReadOnlyList<Kline> before = first == long.MinValue ? [] : await Merge(view, interval, from: null, Time(first), 1, newest: true, cancellationToken);
            var klines = await Merge(view, interval, first == long.MinValue ? null : Time(first), Time(last + length), query.Limit, newest: false, cancellationToken);
            var page = Fill(view, interval, before.Count == 0 ? null : before[0], klines, first, last, query.Limit);
            return new HistoryPage(page, page.Count > 0 && Seconds(page[^1].OpenTime) < last);
        }
    }

    /// <summary>Every bucket from <paramref name="first"/> to <paramref name="last"/>, both included, from the first kline on.</summary>
    private static List<Kline> Fill(KlineView view, KlineInterval interval, Kline? before, List<Kline> klines, long first, long last, int limit)
    {
        List<Kline> page = [];
        if (before is null)
        {
            if (klines.Count == 0)
            {
                return page;
            }

            first = Seconds(klines[0].OpenTime);
        }

        var close = before?.Close ?? default;
        var length = interval.Seconds();
        var next = 0;
        for (var open = first; open <= last && page.Count < limit; open += length)
        {
            if (next < klines.Count && Seconds(klines[next].OpenTime) == open)
            {
                close = klines[next].Close;
                page.Add(klines[next++]);
            }
            else
            {
                page.Add(Flat(view.Rules, view.Clock, interval, open, close));
            }
        }

        return page;
    }

    /// <summary>The flat kline of a bucket, final as the clock says.</summary>
    public static Kline Flat(KlineRules rules, DateTimeOffset clock, KlineInterval interval, long openSeconds, Price close)
    {
        var open = Time(openSeconds);
        return Kline.Flat(interval, open, close, isFinal: clock - rules.Grace >= open + interval.Length());
    }

    /// <summary>Klines of the archive and the view together, the view's winning, oldest first.</summary>
    private async Task<List<Kline>> Merge(KlineView view, KlineInterval interval, DateTimeOffset? from, DateTimeOffset? to, int limit, bool newest, CancellationToken cancellationToken)
    {
        var covered = KlineView.Covered(view.CoveredFrom, interval);
        var archiveTo = to is { } end && end < covered ? end : covered;
        List<Kline> merged = [];
        var own = view.Klines[(int)interval];

        // Oldest from at or after the covered time, or newest when the view alone fills the answer: nothing to read.
        var ownFull = newest && Matching(own, Max(from, covered), to) >= limit;
        if (!ownFull && archiveTo > DateTimeOffset.MinValue && (from is null || from < archiveTo))
        {
            DateTimeOffset? bound = archiveTo == DateTimeOffset.MaxValue ? null : archiveTo;
            merged.AddRange(await archive.Read(view.Symbol, interval, new KlineRange(from, bound, limit, newest), cancellationToken));
        }

        if (own.Length > 0)
        {
            merged = Union(merged, own, from, to);
        }

        if (merged.Count > limit)
        {
            if (newest)
            {
                merged.RemoveRange(0, merged.Count - limit);
            }
            else
            {
                merged.RemoveRange(limit, merged.Count - limit);
            }
        }

        return merged;
    }

    private static int Matching(ImmutableArray<Kline> klines, DateTimeOffset from, DateTimeOffset? to)
    {
        var count = 0;
        for (var i = klines.Length - 1; i >= 0 && klines[i].OpenTime >= from; i--)
        {
            count += to is null || klines[i].OpenTime < to ? 1 : 0;
        }

        return count;
    }

    private static List<Kline> Union(List<Kline> archived, ImmutableArray<Kline> own, DateTimeOffset? from, DateTimeOffset? to)
    {
        List<Kline> result = new(archived.Count + own.Length);
        var i = 0;
        foreach (var kline in own)
        {
            if (kline.OpenTime < from || kline.OpenTime >= to)
            {
                continue;
            }

            while (i < archived.Count && archived[i].OpenTime < kline.OpenTime)
            {
                result.Add(archived[i++]);
            }

            if (i < archived.Count && archived[i].OpenTime == kline.OpenTime)
            {
                i++;
            }

            result.Add(kline);
        }

        result.AddRange(archived.Skip(i));
        return result;
    }

    private static DateTimeOffset Max(DateTimeOffset? a, DateTimeOffset b) => a is { } value && value > b ? value : b;

    private static long Seconds(DateTimeOffset time) => time.ToUnixTimeSeconds();

    private static DateTimeOffset Time(long seconds) => DateTimeOffset.FromUnixTimeSeconds(Math.Clamp(seconds, -62_135_596_800, 253_402_300_799));

    /// <summary>The first open time at or after <paramref name="time"/>.</summary>
    private static long Ceiling(KlineInterval interval, DateTimeOffset time)
    {
        var open = interval.OpenSeconds(KlineIntervals.FloorSeconds(time));
        return Time(open) < time ? open + interval.Seconds() : open;
    }
}
