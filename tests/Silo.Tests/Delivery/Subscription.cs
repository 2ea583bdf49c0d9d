using System.Globalization;
using KlineOrleans.Testing.Clients;

namespace KlineOrleans.Silo.Tests.Delivery;

/// <summary>What one subscription got, from its start to its end, and whether that is what it should have got.</summary>
/// <param name="start">The position that its updates follow on; null on a wire without positions.</param>
/// <param name="history">What it was told of the past; null where it resumed.</param>
internal sealed class Subscription(Wire wire, string symbol, IReadOnlyCollection<string> intervals, WirePosition? start, IReadOnlyList<WireKline>? history, int limit)
{
    private readonly WirePosition? _start = start;
    private readonly List<(long Seq, WireKline Kline)> _received = [];
    private readonly HashSet<string> _intervals = [.. intervals];
    private readonly List<IReadOnlyList<WireKline>> _messages = [];
    private HashSet<string>? _left;

    public string Symbol => symbol;

    /// <summary>The intervals that are followed now.</summary>
    public IReadOnlyCollection<string> Intervals => _left ?? _intervals;

    /// <summary>The last position it was told.</summary>
    public WirePosition? Position { get; private set; } = start;

    public int Count => _received.Count;

    /// <summary>Klines that could be compared with nothing but their place, in the last <see cref="Check"/>.</summary>
    public int Unwitnessed { get; private set; }

    /// <summary>The number of the last update it got.</summary>
    public long Last => Position?.Seq ?? 0;

    public void Take(WireMessage message)
    {
        foreach (var kline in message.Klines)
        {
            _received.Add((message.Seq, kline));
        }

        if (_start is null)
        {
            _messages.Add(message.Klines);
        }
        else
        {
            Position = new WirePosition(message.Epoch, message.Seq);
        }
    }

    /// <summary>From some moment before now on, fewer intervals are followed.</summary>
    public void Narrow(IReadOnlyCollection<string> left) => _left = [.. left];

    /// <summary>What is wrong, in words; null if nothing is.</summary>
    /// <param name="isOpen">It was never ended: everything that happened must have come.</param>
    public string? Check(Story story, bool isOpen)
    {
        Unwitnessed = 0;
        if (_start is null)
        {
            return CheckMessages(story, isOpen);
        }

        var (before, updates) = story.Read();
        List<(long Seq, bool IsLast, bool IsKept, WireKline Kline)> expected = [];
        foreach (var (seq, klines) in updates)
        {
            if (_start is { } position && seq <= position.Seq)
            {
                continue;
            }

            var mine = klines.Where(k => _intervals.Contains(k.Interval)).ToList();
            var isSolid = mine.Exists(IsSolid);
            for (var i = 0; i < mine.Count; i++)
            {
                expected.Add((seq, i == mine.Count - 1, isSolid && IsSolid(mine[i]), mine[i]));
            }
        }

        if (history is not null && CheckHistory(story, before, updates) is { } wrong)
        {
            return wrong;
        }

        var next = 0;
        Dictionary<(string, long), (int At, WireKline Kline)> newest = [];
        List<int> skipped = [];
        foreach (var (seq, kline) in _received)
        {
            var at = next;
            while (at < expected.Count && !Matches(expected[at], seq, kline))
            {
                at++;
            }

            if (at == expected.Count && !IsSolid(kline) && (story.Lacks(seq) || story.Lacks(seq + 1)) && (next == 0 || seq >= expected[next - 1].Seq))
            {
                // Left out for the witness, and not for this one. It must be in its place all the same.
                Unwitnessed++;
                at = next;
                while (at < expected.Count && expected[at].Seq < seq)
                {
                    at++;
                }

                skipped.AddRange(Enumerable.Range(next, at - next));
                newest[(kline.Interval, kline.OpenTime)] = (at, kline);
                next = at;
                continue;
            }

            if (at == expected.Count && next > 0 && !IsSolid(kline) && story.Lacks(seq) && seq == expected[next - 1].Seq - 1 && Same(expected[next - 1].Kline, kline))
            {
                // The one before it was left out for the witness, and looks like the first part of the next, which this is.
                Unwitnessed++;
                continue;
            }

            if (at == expected.Count)
            {
                var known = expected.FindIndex(e => Same(e.Kline, kline));
                return (known < 0 ? $"got {kline} at {seq}, which never was" : $"got {kline} at {seq} twice or too late: after {expected[next - 1].Kline} at {expected[next - 1].Seq}") + Context(expected, next);
            }

            skipped.AddRange(Enumerable.Range(next, at - next));
            newest[(kline.Interval, kline.OpenTime)] = (at, kline);
            next = at + 1;
        }

        if (isOpen)
        {
            skipped.AddRange(Enumerable.Range(next, expected.Count - next));
        }

        foreach (var at in skipped)
        {
            var (seq, _, isKept, kline) = expected[at];
            if (_left is not null && !_left.Contains(kline.Interval))
            {
                continue;
            }

            // A forming kline may give way to a newer version of it, or one that is the same, and to nothing else.
            if (isKept || !newest.TryGetValue((kline.Interval, kline.OpenTime), out var later) || (later.At < at && !Same(kline, later.Kline)))
            {
                return $"did not get {kline} of {seq}{(isOpen ? ", and the end has come" : $" before {_received[^1].Kline} of {_received[^1].Seq}")}{Context(expected, at)}";
            }
        }

        return null;
    }

    /// <summary>The same where no message has a position, but each is an update as a whole. It begins with the first that is known.</summary>
    private string? CheckMessages(Story story, bool isOpen)
    {
        var updates = story.Read().Updates;
        var next = 0;
        var hasBegun = false;
        Dictionary<(string, long), (int At, WireKline Kline)> newest = [];
        List<int> skipped = [];
        List<WireKline> unplaced = [];
        foreach (var message in _messages)
        {
            var at = next;
            while (at < updates.Length && !Same(updates[at].Klines, message))
            {
                at++;
            }

            if (at == updates.Length)
            {
                if (message.Any(k => k.IsFinal) || !story.Lacks(0))
                {
                    return $"got {string.Join(", ", message.Select(k => Short(0, k)))}, which never was or came twice or too late: after {(next == 0 ? "nothing" : string.Join(", ", updates[next - 1].Klines.Select(k => Short(updates[next - 1].Seq, k))))}";
                }

                // Left out for the witness, and not for this one. Its place is somewhere before the next.
                Unwitnessed += message.Count;
                unplaced.AddRange(message);
                continue;
            }

            if (hasBegun)
            {
                skipped.AddRange(Enumerable.Range(next, at - next));
            }

            hasBegun = true;
            foreach (var kline in unplaced.Concat(message))
            {
                newest[(kline.Interval, kline.OpenTime)] = (at, kline);
            }

            unplaced.Clear();
            next = at + 1;
        }

        if (isOpen && hasBegun)
        {
            skipped.AddRange(Enumerable.Range(next, updates.Length - next));
        }

        foreach (var at in skipped)
        {
            foreach (var kline in updates[at].Klines)
            {
                if (updates[at].Klines.Any(IsSolid) || !newest.TryGetValue((kline.Interval, kline.OpenTime), out var later) || (later.At < at && !Same(kline, later.Kline)))
                {
                    return $"did not get {string.Join(", ", updates[at].Klines.Select(k => Short(updates[at].Seq, k)))}{(isOpen ? ", and the end has come" : "")}";
                }
            }
        }

        return null;
    }

    private static bool Same(IReadOnlyList<WireKline> full, IReadOnlyList<WireKline> klines) =>
        full.Count == klines.Count && full.Zip(klines).All(pair => Same(pair.First, pair.Second));

    private string Context(List<(long Seq, bool IsLast, bool IsKept, WireKline Kline)> expected, int at) =>
        $"\n    began at {_start}, got ..., {string.Join(", ", _received.TakeLast(12).Select(r => Short(r.Seq, r.Kline)))}" +
        $"\n    should have got ..., {string.Join(", ", expected.Skip(Math.Max(0, at - 8)).Take(16).Select(e => Short(e.Seq, e.Kline)))}";

    private static string Short(long seq, WireKline kline) => string.Create(CultureInfo.InvariantCulture, $"{seq}: {kline.Interval} {kline.OpenTime / 1_000 % 1_000} {kline.Volume}{(kline.IsFinal ? $" final r{kline.Revision}" : "")}");

    private static bool IsSolid(WireKline kline) => kline.IsFinal || kline.Revision > 0;

    private bool Matches((long Seq, bool IsLast, bool IsKept, WireKline Kline) expected, long seq, WireKline kline) =>
        Same(expected.Kline, kline) && wire switch
        {
            Wire.Live => true,
            Wire.Hub => expected.Seq == seq,
            _ => expected.Seq == (expected.IsLast ? seq : seq + 1),
        };

    private static bool Same(WireKline full, WireKline kline) => kline.Revision < 0 ? full with { Revision = -1 } == kline : full == kline;

    private string? CheckHistory(Story story, IReadOnlyList<WireKline> before, (long Seq, IReadOnlyList<WireKline> Klines)[] updates)
    {
        foreach (var interval in _intervals)
        {
            SortedDictionary<long, List<WireKline>> versions = [];
            foreach (var kline in before.Where(k => k.Interval == interval))
            {
                versions[kline.OpenTime] = [kline];
            }

            foreach (var (seq, klines) in updates)
            {
                foreach (var kline in klines.Where(k => k.Interval == interval))
                {
                    if (seq <= _start!.Value.Seq)
                    {
                        versions[kline.OpenTime] = [kline];
                    }
                    else if (versions.TryGetValue(kline.OpenTime, out var later))
                    {
                        // The archive may know a correction already that comes as an update too.
                        later.Add(kline);
                    }
                }
            }

            var got = history!.Where(k => k.Interval == interval).ToDictionary(k => k.OpenTime);

            // A bucket that the clock has come to and no trade yet is shown flat; nobody was told of it. It takes the place of the oldest.
            var newest = versions.Count == 0 ? default : versions.Last().Value[0];
            var begun = got.Values.Where(k => k.OpenTime > newest.OpenTime).ToList();
            if (!story.Lacks(0) && begun.Find(k => k is not { Volume: 0, IsFinal: false } || k.High != k.Low || k.Close != newest.Close) is { Interval: not null } wrong)
            {
                return $"the history at {_start!.Value.Seq} has {wrong}, of which nobody was told; before it {newest}";
            }

            var wanted = versions.Skip(Math.Max(0, versions.Count + begun.Count - limit)).ToList();

            // A bucket that the witness was left out of takes the place of the oldest.
            var oldest = got.Count >= limit && story.Lacks(0) ? got.Keys.Min() : long.MinValue;
            foreach (var (time, allowed) in wanted.Where(w => w.Key >= oldest))
            {
                if (!got.TryGetValue(time, out var kline))
                {
                    return $"the history at {_start!.Value.Seq} lacks {interval} {time}: it has {string.Join(' ', got.Keys.Order())}; wanted {string.Join(' ', wanted.Select(w => $"{w.Key}{(w.Value[0].IsFinal ? "" : "*")}"))}; the witness lacks something: {story.Lacks(0)}";
                }

                if (!allowed.Exists(a => Same(a, kline)) && (IsSolid(kline) || !story.Lacks(_start!.Value.Seq)))
                {
                    return $"the history at {_start!.Value.Seq} has {kline}, and should have {allowed[0]}";
                }
            }
        }

        return null;
    }
}
