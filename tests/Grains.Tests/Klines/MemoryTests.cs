using KlineOrleans.Contracts;

namespace KlineOrleans.Grains.Tests;

/// <summary>What a mint keeps in memory.</summary>
public class MemoryTests
{
    [Fact]
    public void Builder_with_one_forming_kline_in_each_of_twelve_intervals_takes_at_most_8_KB()
    {
        var rules = new KlineRules();
        Assert.Equal(12, rules.Intervals.Length);
        var first = Of(rules, 1);

        var before = GC.GetAllocatedBytesForCurrentThread();
        var builder = Of(rules, 2);
        var taken = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.InRange(taken, 1, 8_192);
        Assert.Equal(first.Clock, builder.Clock);
    }

    [Fact]
    public void Ring_that_needed_less_than_a_quarter_of_its_room_gives_the_rest_back_and_keeps_its_items()
    {
        var ring = new Ring<int>();
        for (var i = 0; i < 100; i++)
        {
            ring.Add() = i;
        }

        Assert.Equal(128, ring.Capacity);
        while (ring.Count > 3)
        {
            ring.RemoveFirst();
        }

        ring.Trim();
        Assert.Equal(128, ring.Capacity);
        ring.Trim();
        Assert.Equal(4, ring.Capacity);
        Assert.Equal([97, 98, 99], Enumerable.Range(0, ring.Count).Select(i => ring[i]));

        for (var i = 100; i < 110; i++)
        {
            ring.Add() = i;
        }

        Assert.Equal(Enumerable.Range(97, 13), Enumerable.Range(0, ring.Count).Select(i => ring[i]));
    }

    [Fact]
    public void Ring_with_as_many_items_between_each_two_trims_keeps_its_room()
    {
        var ring = new Ring<int>();
        for (var round = 0; round < 10; round++)
        {
            for (var i = 0; i < 5; i++)
            {
                ring.Add() = i;
            }

            while (ring.Count > 0)
            {
                ring.RemoveFirst();
            }

            ring.Trim();
            Assert.Equal(8, ring.Capacity);
        }
    }

    [Fact]
    public void Chain_ids_within_the_window_are_known_after_the_room_of_a_burst_was_given_back()
    {
        var recent = new RecentTrades();
        for (var i = 0; i < 10_000; i++)
        {
            Assert.True(recent.TryAdd(new TradeId(i, "burst", i), eventSeconds: 1));
        }

        Assert.True(recent.TryAdd(new TradeId(20_000, "later", 0), eventSeconds: 50));
        recent.ForgetBefore(eventSeconds: 40, clockSeconds: 60);
        recent.ForgetBefore(eventSeconds: 41, clockSeconds: 61);

        Assert.Equal(1, recent.Hashes);
        Assert.InRange(recent.Room, 1, 256);
        Assert.True(recent.Contains(new TradeId(20_000, "later", 0)));
        Assert.False(recent.Contains(new TradeId(1, "burst", 1)));
    }

    private static KlineBuilder Of(KlineRules rules, int id)
    {
        var builder = new KlineBuilder(rules);
        builder.Apply(TradeMaker.Trade(id, TradeMaker.Start, 1));
        return builder;
    }
}
