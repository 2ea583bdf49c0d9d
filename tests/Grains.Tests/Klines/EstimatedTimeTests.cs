using FsCheck;
using FsCheck.Fluent;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Grains.Tests;

/// <summary>Trades given with an estimated time and again with the right one end in the klines of the right times.</summary>
public class EstimatedTimeTests
{
    [Theory]
    [MemberData(nameof(KlineBuilderPropertyTests.Policies), MemberType = typeof(KlineBuilderPropertyTests))]
    public void Once_the_right_times_are_there_the_klines_are_those_of_the_right_times(OpenPolicy open, EmptyPolicy empty, bool wicks) =>
        Prop.ForAll(Gen.Choose(0, int.MaxValue).ToArbitrary(), seed =>
        {
            var random = new Random(seed);
            var rules = new KlineRules { Open = open, Empty = empty, WicksIgnoreOpen = wicks };
            rules = random.Next(3) == 0 ? rules with { Intervals = [.. rules.Intervals.Where(_ => random.Next(2) == 0).DefaultIfEmpty(KlineInterval.M1)] } : rules;
            var trades = TradeMaker.InOrder(random, random.Next(1, 120), TimeSpan.FromMinutes(random.Next(1, 30)), onChain: true);
            var deliveries = new List<Trade>();
            foreach (var trade in trades)
            {
                if (random.Next(3) > 0)
                {
                    deliveries.Add(trade with { ReceivedTime = trade.EventTime });
                    continue;
                }

                // In whole seconds, as block times are; then the right one, if it comes before the bucket's time is up.
                deliveries.Add(trade with { EventTime = trade.EventTime.AddSeconds(random.Next(9)), ReceivedTime = trade.EventTime, IsEventTimeEstimated = true });
                deliveries.Add(trade with { ReceivedTime = trade.EventTime.AddSeconds(random.Next(50)) });
            }

            var run = new BuilderRun(rules);
            foreach (var trade in deliveries.OrderBy(t => t.ReceivedTime))
            {
                Assert.Equal(ApplyResult.Applied, run.Apply(trade));
                if (random.Next(4) == 0)
                {
                    Assert.Equal(ApplyResult.Duplicate, run.Apply(trade));
                }

                switch (random.Next(10))
                {
                    case 0:
                        run.Publish();
                        break;
                    case 1:
                        run.Save(restart: random.Next(2) == 0);
                        break;
                    default:
                        break;
                }
            }

            var clock = deliveries.Max(t => t.ReceivedTime) + TimeSpan.FromMinutes(3);
            run.Builder.Advance(clock);
            run.Publish();
            var klines = run.Klines().Values;
            foreach (var interval in rules.Intervals)
            {
                var expected = KlineOracle.Build(rules, interval, trades, clock).Where(k => !k.IsFlat).ToList();
                var built = klines.Where(k => k.Interval == interval).OrderBy(k => k.OpenTime).Select(k => k with { Revision = 0 }).ToList();
                Assert.Equal([], expected.Except(built).Take(2));
                Assert.Equal(expected, built);
                Assert.Equal([], expected.Except(run.Client.Values.Select(k => k with { Revision = 0 })).Take(2));
            }
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(Runs).WithQuietOnSuccess(true));

    [Fact]
    public void A_bucket_waits_a_while_for_the_right_time_and_the_correction_after_it_changes_both_klines()
    {
        var run = new BuilderRun(new KlineRules { Intervals = [KlineInterval.S5] });
        var start = TradeMaker.Start;
        run.Apply(Chain(0, start, 1));
        run.Apply(Chain(2, start.AddSeconds(6), 3));
        var estimate = Chain(4, start.AddSeconds(4), 9) with { EventTime = start.AddSeconds(7), ReceivedTime = start.AddSeconds(7), IsEventTimeEstimated = true };
        run.Apply(estimate);

        run.Builder.Advance(start + KlineBuilder.EstimateHold);
        run.Save(restart: false);
        Assert.Equal([start], run.Archive.Values.Select(k => k.OpenTime));
        run.Builder.Advance(start.AddSeconds(7) + KlineBuilder.EstimateHold);
        run.Save(restart: true);
        Assert.Equal(9, run.Archive[(KlineInterval.S5, start.AddSeconds(5))].Close.Value);

        Assert.Equal(ApplyResult.Applied, run.Apply(Chain(4, start.AddSeconds(4), 9) with { ReceivedTime = start.AddSeconds(40) + KlineBuilder.EstimateHold }));
        run.Save(restart: false);

        var (first, second) = (run.Archive[(KlineInterval.S5, start)], run.Archive[(KlineInterval.S5, start.AddSeconds(5))]);
        Assert.Equal((9m, 9m, 2, 1), (first.Close.Value, first.High.Value, first.UpdateCount, first.Revision));
        Assert.Equal((3m, 3m, 1, 1), (second.Close.Value, second.High.Value, second.UpdateCount, second.Revision));
    }

    [Fact]
    public void A_kline_that_held_nothing_else_vanishes_unless_it_is_stored()
    {
        foreach (var isStored in (ReadOnlySpan<bool>)[false, true])
        {
            var run = new BuilderRun(new KlineRules { Intervals = [KlineInterval.S5] });
            var start = TradeMaker.Start;
            run.Apply(Chain(0, start, 1));
            run.Apply(Chain(2, start.AddSeconds(4), 9) with { EventTime = start.AddSeconds(7), ReceivedTime = start.AddSeconds(7), IsEventTimeEstimated = true });
            run.Builder.Advance(start.AddSeconds(30) + (isStored ? KlineBuilder.EstimateHold : TimeSpan.Zero));
            run.Save(restart: false);

            Assert.Equal(isStored ? ApplyResult.Duplicate : ApplyResult.Applied, run.Apply(Chain(2, start.AddSeconds(4), 9) with { ReceivedTime = start.AddSeconds(35) + KlineBuilder.EstimateHold }));
            run.Builder.Advance(start.AddSeconds(60) + KlineBuilder.EstimateHold);
            run.Save(restart: false);

            Assert.Equal(isStored ? [1, 1] : [2], run.Klines().Values.OrderBy(k => k.OpenTime).Select(k => k.UpdateCount));
        }
    }

    [Fact]
    public void An_estimate_that_is_never_corrected_stays()
    {
        var run = new BuilderRun(new KlineRules());
        var start = TradeMaker.Start.AddHours(1);
        var estimate = Chain(0, start, 9) with { IsEventTimeEstimated = true };
        run.Apply(estimate);
        run.Builder.Advance(start.AddMinutes(20));
        run.Save(restart: true);
        run.Apply(Chain(2, start.AddMinutes(20), 3));
        run.Builder.Advance(start.AddMinutes(40));
        run.Save(restart: false);

        Assert.Equal((9m, 3m, 2), run.Klines().Values.Where(k => k.Interval == KlineInterval.H4).Select(k => (k.High.Value, k.Low.Value, k.UpdateCount)).First());
        Assert.Equal(9, run.Archive[(KlineInterval.S1, start)].Close.Value);
    }

    private static Trade Chain(int number, DateTimeOffset time, decimal price) => TradeMaker.Trade(number, time, price, onChain: true);

    private static readonly int Runs = int.TryParse(Environment.GetEnvironmentVariable("KLINE_RUNS"), out var runs) ? runs : 40;
}
