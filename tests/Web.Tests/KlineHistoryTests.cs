using KlineOrleans.Contracts;

namespace KlineOrleans.Web.Tests;

public sealed class KlineHistoryTests
{
    private const string Symbol = "S";
    private static readonly DateTimeOffset Start = TestKlines.Start;

    [Theory]
    [InlineData(EmptyPolicy.None)]
    [InlineData(EmptyPolicy.Flat)]
    public async Task Any_query_answers_what_a_plain_model_answers(EmptyPolicy empty)
    {
        for (var seed = 0; seed < 150; seed++)
        {
            var random = new Random(seed);
            var (archive, mint, interval) = await Market(random, empty);
            var history = new KlineHistory(archive);
            var view = KlineView.Of(mint.Snapshot());
            var model = Model(mint, interval);
            for (var i = 0; i < 25; i++)
            {
                DateTimeOffset? from = random.Next(3) == 0 ? null : Start.AddMilliseconds(random.Next(-40_000, 400_000));
                DateTimeOffset? to = random.Next(3) == 0 ? null : Start.AddMilliseconds(random.Next(-40_000, 400_000));
                var query = new HistoryQuery(interval, from, to, random.Next(1, 60), random.Next(2) == 0);
                var expected = model.Where(k => (from is null || k.OpenTime >= from) && (to is null || k.OpenTime < to)).ToList();
                var page = await history.Read(view, query, CancellationToken.None);
                var kept = query.Newest ? expected[Math.Max(0, expected.Count - query.Limit)..] : expected[..Math.Min(query.Limit, expected.Count)];
                Assert.Equal(kept, page.Klines);
                Assert.Equal(expected.Count > kept.Count, page.HasMore);
            }
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Pages_one_after_the_other_give_everything_once(bool newest)
    {
        for (var seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            var (archive, mint, interval) = await Market(random, random.Next(2) == 0 ? EmptyPolicy.None : EmptyPolicy.Flat);
            var history = new KlineHistory(archive);
            var view = KlineView.Of(mint.Snapshot());
            var query = new HistoryQuery(interval, null, null, random.Next(1, 20), newest);
            List<Kline> read = [];
            while (true)
            {
                var page = await history.Read(view, query, CancellationToken.None);
                read.InsertRange(newest ? 0 : read.Count, page.Klines);
                if (!page.HasMore)
                {
                    break;
                }

                query = newest ? query with { To = page.Klines[0].OpenTime } : query with { From = page.Klines[^1].EndTime };
            }

            Assert.Equal(Model(mint, interval), read);
        }
    }

    [Fact]
    public async Task Years_without_a_trade_are_not_read_to_fill_a_page()
    {
        var archive = new TestArchive();
        var mint = new TestMint(Symbol, new KlineRules { Empty = EmptyPolicy.Flat }, "test");
        List<Kline> old = [.. Enumerable.Range(0, 500).Select(i => TestKlines.Make(KlineInterval.S1, Start.AddSeconds(i), 1 + i, isFinal: true))];
        mint.Change(Start.AddYears(5), [.. old]);
        await mint.Archive(archive, KlineInterval.S1, Start.AddYears(5));

        var page = await new KlineHistory(archive).Read(KlineView.Of(mint.Snapshot()), new HistoryQuery(KlineInterval.S1, null, null, 1000, Newest: true), CancellationToken.None);

        Assert.Equal(1000, page.Klines.Count);
        Assert.True(page.HasMore);
        Assert.All(page.Klines, k => Assert.True(k.IsFlat && k.Close == old[^1].Close));
        Assert.Equal(Start.AddYears(5), page.Klines[^1].OpenTime);
        Assert.True(archive.KlinesRead < 10, $"{archive.KlinesRead} klines read");
    }

    [Fact]
    public async Task Flat_kline_is_final_from_its_end_and_the_grace_on()
    {
        foreach (var (seconds, isFinal) in new[] { (61.9, false), (62.0, true) })
        {
            var mint = new TestMint(Symbol, new KlineRules { Empty = EmptyPolicy.Flat, Grace = TimeSpan.FromSeconds(2) }, "test");
            mint.Change(Start.AddSeconds(seconds), TestKlines.Make(KlineInterval.S30, Start, 5, isFinal: true));
            var page = await new KlineHistory(new TestArchive()).Read(KlineView.Of(mint.Snapshot()), new HistoryQuery(KlineInterval.S30, null, null, 10, Newest: false), CancellationToken.None);
            Assert.Equal([true, isFinal, false], page.Klines.Select(k => k.IsFinal));
        }
    }

    [Fact]
    public async Task Mint_without_trades_has_no_klines()
    {
        foreach (var empty in new[] { EmptyPolicy.None, EmptyPolicy.Flat })
        {
            var mint = new TestMint(Symbol, new KlineRules { Empty = empty }, "test");
            var page = await new KlineHistory(new TestArchive()).Read(KlineView.Of(mint.Snapshot()), new HistoryQuery(KlineInterval.M1, null, null, 10, Newest: true), CancellationToken.None);
            Assert.Empty(page.Klines);
            Assert.False(page.HasMore);
        }
    }

    private static async Task<(TestArchive Archive, TestMint Mint, KlineInterval Interval)> Market(Random random, EmptyPolicy empty)
    {
        var archive = new TestArchive();
        var mint = new TestMint(Symbol, new KlineRules { Empty = empty }, "test");
        var interval = random.Next(2) == 0 ? KlineInterval.S1 : KlineInterval.S5;
        var length = interval.Length();
        var open = Start;
        for (var i = 0; i < random.Next(0, 80); i++)
        {
            open += length * (random.Next(4) == 0 ? random.Next(1, 12) : 1);
            mint.Change(open, TestKlines.Make(interval, open, 1 + i, 1 + random.Next(5), isFinal: true));
        }

        // The newest one forms; part of the past is archived, and some of that stands in the snapshot with a correction on top.
        mint.Change(open + (length * random.Next(0, 20)), TestKlines.Make(interval, open, 777, 3));
        if (random.Next(4) > 0)
        {
            await mint.Archive(archive, interval, Start + (length * random.Next(0, 100)));
        }

        return (archive, mint, interval);
    }

    private static List<Kline> Model(TestMint mint, KlineInterval interval)
    {
        var klines = mint.All.Where(k => k.Interval == interval).ToDictionary(k => k.OpenTime);
        if (mint.Rules.Empty == EmptyPolicy.None || klines.Count == 0)
        {
            return [.. klines.Values.OrderBy(k => k.OpenTime)];
        }

        List<Kline> all = [];
        var last = klines.Keys.Max() > mint.Clock ? klines.Keys.Max() : mint.Clock;
        for (var open = klines.Keys.Min(); open <= last; open += interval.Length())
        {
            all.Add(klines.TryGetValue(open, out var kline) ? kline : Kline.Flat(interval, open, all[^1].Close, mint.Clock >= open + interval.Length() + mint.Rules.Grace));
        }

        return all;
    }
}
