using System.Buffers;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Archive;

namespace KlineOrleans.Grains.Tests;

/// <summary>A mint that goes on with other intervals than its state holds.</summary>
public class IntervalChangeTests
{
    // Monday, 00:00.
    private static readonly DateTimeOffset Monday = TradeMaker.Start.AddSeconds(90);

    private readonly MemoryGrainStorage _storage = new();
    private readonly MemoryKlineArchive _archive = new();

    [Fact]
    public void A_new_interval_stores_nothing_of_the_bucket_that_it_begins_in_and_everything_after_it()
    {
        var builder = new KlineBuilder(Of(KlineInterval.M1, KlineInterval.H1));
        for (var i = 0; i < 10; i++)
        {
            builder.Apply(Trade(i, i * 60));
        }

        builder = Reopen(builder, Of(KlineInterval.S30, KlineInterval.M1, KlineInterval.M30, KlineInterval.H1));
        for (var i = 10; i < 70; i++)
        {
            builder.Apply(Trade(i, i * 60));
        }

        builder.Advance(Monday.AddHours(3));
        var finals = new List<Kline>();
        builder.TakeUnarchived(finals);
        Assert.Equal([(30, 30L), (60, 10L)], Of(finals, KlineInterval.M30));
        Assert.Equal([(0, 60L), (60, 10L)], Of(finals, KlineInterval.H1));
        Assert.Equal(Enumerable.Range(0, 70).Select(m => (m, 1L)), Of(finals, KlineInterval.M1));
        Assert.Equal(Enumerable.Range(10, 60).Select(m => (m, 1L)), Of(finals, KlineInterval.S30));
    }

    [Fact]
    public void Klines_of_an_interval_that_is_gone_still_go_to_the_archive_and_once()
    {
        var builder = new KlineBuilder(Of(KlineInterval.M1, KlineInterval.M5, KlineInterval.H1));
        for (var i = 0; i < 12; i++)
        {
            builder.Apply(Trade(i, i * 60));
        }

        builder = Reopen(Reopen(builder, Of(KlineInterval.M1, KlineInterval.H1)), Of(KlineInterval.M1, KlineInterval.M5, KlineInterval.H1));
        var finals = new List<Kline>();
        builder.TakeUnarchived(finals);
        Assert.Equal([(0, 5L), (5, 5L)], Of(finals, KlineInterval.M5));
        Assert.Equal(finals.Count, builder.Unarchived);

        builder.ArchiveTaken();
        Assert.Equal(0, builder.Unarchived);
        finals.Clear();
        Reopen(builder, Of(KlineInterval.M1)).TakeUnarchived(finals);
        Assert.Empty(finals);
    }

    [Fact]
    public void A_late_trade_from_before_a_new_interval_makes_no_kline_of_it()
    {
        var builder = new KlineBuilder(Of(KlineInterval.M1, KlineInterval.H1));
        for (var i = 0; i < 10; i++)
        {
            builder.Apply(Trade(i, i * 60));
        }

        builder = Reopen(builder, Of(KlineInterval.M1, KlineInterval.M5, KlineInterval.H1));
        var late = Trade(50, 65) with { ReceivedTime = Monday.AddMinutes(9) };
        Assert.True(builder.NeedsHistory(late));
        builder.AddHistory([], builder.HistoryFrom(late), new Kline?[3]);
        Assert.Equal(ApplyResult.Applied, builder.Apply(late));

        builder.Advance(Monday.AddHours(2));
        var finals = new List<Kline>();
        builder.TakeUnarchived(finals);
        Assert.Empty(Of(finals, KlineInterval.M5));
        Assert.Equal([(0, 11L)], Of(finals, KlineInterval.H1));
        Assert.Contains((1, 2L), Of(finals, KlineInterval.M1));
    }

    [Fact]
    public async Task An_interval_that_comes_back_corrects_its_archived_klines()
    {
        await With(Of(KlineInterval.M1, KlineInterval.M5, KlineInterval.H1), async host =>
        {
            await Feed(host, [.. Enumerable.Range(0, 5).Select(i => Trade(i, i * 60)), Trade(6, 310)]);
            await host.Mint().Settle(FakeSources.Name, new SourceClock(Monday.AddSeconds(310), IsLive: false));
        });
        await With(Of(KlineInterval.M1, KlineInterval.H1), host => Feed(host, Trade(7, 320)));
        await With(Of(KlineInterval.M1, KlineInterval.M5, KlineInterval.H1), async host =>
        {
            Assert.Equal(Monday.AddMinutes(5), (await host.Mint().GetSnapshot()).CoveredFrom[(int)KlineInterval.M5]);
            await Feed(host, Trade(8, 10) with { ReceivedTime = Monday.AddSeconds(330) });
            await host.Mint().Settle(FakeSources.Name, new SourceClock(Monday.AddSeconds(330), IsLive: false));
        });

        var kline = Assert.Single(_archive.AllOf(TradeMaker.Symbol), k => k.Interval == KlineInterval.M5);
        Assert.Equal((6L, 1), (kline.TradeCount, kline.Revision));
    }

    [Fact]
    public void A_state_without_a_configured_source_goes_on_with_the_rules_it_was_written_with()
    {
        var rules = new KlineRules
        {
            Intervals = [KlineInterval.M1, KlineInterval.D1],
            Open = OpenPolicy.PreviousClose,
            Empty = EmptyPolicy.Flat,
            WicksIgnoreOpen = true,
            Grace = TimeSpan.FromSeconds(7),
            CorrectionWindow = TimeSpan.FromMinutes(3),
        };
        var builder = new KlineBuilder(rules);
        builder.Apply(Trade(0, 0));

        var read = Reopen(builder, null).Rules;

        Assert.Equal(rules.Intervals, read.Intervals);
        Assert.Equal(rules with { Intervals = read.Intervals }, read);
    }

    private static KlineRules Of(params KlineInterval[] intervals) => new() { Intervals = [.. intervals] };

    private static Trade Trade(int number, double seconds) => TradeMaker.Trade(number, Monday.AddSeconds(seconds), 1);

    /// <summary>Klines of one interval as the minute that each opens in and its trades.</summary>
    private static List<(int Minute, long Trades)> Of(List<Kline> klines, KlineInterval interval) =>
        [.. klines.Where(k => k.Interval == interval).Select(k => ((int)(k.OpenTime - Monday).TotalMinutes, k.TradeCount))];

    private static KlineBuilder Reopen(KlineBuilder builder, KlineRules? rules)
    {
        var output = new ArrayBufferWriter<byte>();
        builder.Write(new StateWriter(output));
        var reader = new StateReader(output.WrittenSpan);
        var next = KlineBuilder.Read(rules, ref reader);
        Assert.True(reader.AtEnd);
        return next;
    }

    private static Task<IngestResult> Feed(GrainHost host, params Trade[] trades) =>
        host.Mint().Ingest(new TradeBatch { Source = FakeSources.Name, Trades = [.. trades] });

    private async Task With(KlineRules rules, Func<GrainHost, Task> act)
    {
        await using var host = await GrainHost.Start(new FakeSources(rules, []), _storage, _archive, new ManualTimeProvider());
        await act(host);
    }
}
