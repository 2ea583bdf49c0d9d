using System.Collections.Immutable;
using KlineOrleans.Contracts;

namespace KlineOrleans.Grains.Tests;

/// <summary>What is late, and what a correction of order changes.</summary>
public class KlineBuilderCorrectionTests
{
    [Fact]
    public void A_trade_for_a_bucket_that_is_open_is_not_late()
    {
        var builder = new KlineBuilder(new KlineRules { Grace = TimeSpan.FromSeconds(2), CorrectionWindow = TimeSpan.Zero, Intervals = [KlineInterval.M1, KlineInterval.H1] });
        Assert.Equal(ApplyResult.Applied, builder.Apply(Trade(1, 10)));
        Assert.Equal(ApplyResult.Applied, builder.Apply(Trade(2, 9.9, received: 10)));
        Assert.Equal(ApplyResult.Applied, builder.Apply(Trade(3, 31)));
        Assert.Equal(ApplyResult.Applied, builder.Apply(Trade(4, 29, received: 31.9)));
        Assert.Equal(ApplyResult.Late, builder.Apply(Trade(5, 29, received: 32)));
    }

    [Fact]
    public void A_trade_later_than_the_window_counts_in_no_interval_once_its_shortest_bucket_is_final()
    {
        var builder = new KlineBuilder(new KlineRules());
        builder.Apply(Trade(1, 0));
        builder.Apply(Trade(2, 16 * 60));

        Assert.Equal(ApplyResult.Late, builder.Apply(Trade(3, 30, received: 16 * 60)));

        var held = ImmutableArray.CreateBuilder<Kline>();
        builder.CopyTo(held);
        Assert.All(held, k => Assert.Equal(k.Interval == KlineInterval.W1 || k.Interval >= KlineInterval.H1 ? k.TradeCount : 1, k.TradeCount));
        Assert.Equal(2, held.Where(k => k.Interval == KlineInterval.S1).Sum(k => k.TradeCount));
        Assert.Equal(2, held.Where(k => k.Interval == KlineInterval.D1).Sum(k => k.TradeCount));
    }

    [Fact]
    public void A_trade_of_an_open_hour_is_a_duplicate_however_long_ago_it_came()
    {
        var builder = new KlineBuilder(new KlineRules { Intervals = [KlineInterval.H1] });
        var first = OnChain(1, 90);
        builder.Apply(first);
        for (var i = 2; i < 50; i++)
        {
            builder.Apply(OnChain(i * 3, 90 + (i * 60)));
        }

        Assert.Equal(ApplyResult.Duplicate, builder.Apply(first));
    }

    [Fact]
    public void A_correction_of_order_reaches_the_open_of_the_kline_that_follows()
    {
        var builder = new KlineBuilder(new KlineRules { Intervals = [KlineInterval.S1], Open = OpenPolicy.PreviousClose });
        builder.Apply(InSlot(1_000, "b", 2));
        builder.Apply(InSlot(1_001, "a", 1));
        builder.Apply(Trade(1, 1) with { Order = new TradeOrder(new TradeId(9, "x"), 1) });
        var changes = ImmutableArray.CreateBuilder<Kline>();
        builder.TakeChanges(changes);
        changes.Clear();

        builder.SetOrder([InSlot(0, "a", 1), InSlot(1, "b", 2)]);
        builder.TakeChanges(changes);

        Assert.Contains(changes, k => k.OpenTime == TradeMaker.Start.AddSeconds(1) && k.Open.Value == 2);
    }

    [Fact]
    public void A_correction_of_order_at_one_price_reaches_the_archive()
    {
        var builder = new KlineBuilder(new KlineRules { Intervals = [KlineInterval.S1] });
        builder.Apply(InSlot(1_000, "b", 2));
        builder.Apply(InSlot(1_001, "a", 2));
        builder.Advance(TradeMaker.Start.AddSeconds(5));
        var finals = new List<Kline>();
        builder.TakeUnarchived(finals);

        builder.SetOrder([InSlot(0, "a", 2), InSlot(1, "b", 2)]);
        builder.ArchiveTaken();
        finals.Clear();
        builder.TakeUnarchived(finals);

        var kline = Assert.Single(finals);
        Assert.Equal(("a", "b", 1), (kline.First.Id.Signature, kline.Last.Id.Signature, kline.Revision));
    }

    [Fact]
    public void A_trade_from_the_future_does_not_keep_others_from_being_forgotten()
    {
        var recent = new RecentTrades();
        recent.TryAdd(new TradeId(1, "ahead"), 1_000_000);
        for (var i = 0; i < 10_000; i++)
        {
            recent.TryAdd(new TradeId(2, $"{i}"), i);
            recent.ForgetBefore(i - 100, i);
        }

        Assert.InRange(recent.Hashes, 1, 102);
        Assert.True(recent.Contains(new TradeId(1, "ahead")));
        Assert.True(recent.Contains(new TradeId(2, "9950")));
    }

    private static Trade Trade(int number, double seconds, double? received = null) =>
        TradeMaker.Trade(number, TradeMaker.Start.AddSeconds(seconds), 1, TradeMaker.Start.AddSeconds(received ?? seconds));

    private static Trade OnChain(int number, double seconds) => TradeMaker.Trade(number, TradeMaker.Start.AddSeconds(seconds), 1, onChain: true);

    private static Trade InSlot(int sequence, string signature, decimal price) =>
        TradeMaker.Trade(0, TradeMaker.Start, price) with { Order = new TradeOrder(new TradeId(7, signature), sequence) };
}
