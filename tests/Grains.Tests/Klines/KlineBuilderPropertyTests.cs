using FsCheck;
using FsCheck.Fluent;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Grains.Tests;

/// <summary>The laws of klines, on random trades: whatever the order, the repeats, the saves and the restarts, the klines are those of the rules.</summary>
public class KlineBuilderPropertyTests
{
    private static readonly TimeSpan Window = TimeSpan.FromMinutes(15);

    public static TheoryData<OpenPolicy, EmptyPolicy, bool> Policies => new()
    {
        { OpenPolicy.FirstTrade, EmptyPolicy.None, false },
        { OpenPolicy.FirstTrade, EmptyPolicy.Flat, false },
        { OpenPolicy.PreviousClose, EmptyPolicy.None, false },
        { OpenPolicy.PreviousClose, EmptyPolicy.None, true },
        { OpenPolicy.PreviousClose, EmptyPolicy.Flat, false },
    };

    [Theory]
    [MemberData(nameof(Policies))]
    public void Klines_of_trades_in_order_are_those_of_the_rules(OpenPolicy open, EmptyPolicy empty, bool wicks) =>
        ForRandom(Rules(open, empty, wicks), (random, rules) =>
        {
            var trades = TradeMaker.InOrder(random, random.Next(1, 120), TimeSpan.FromMinutes(random.Next(1, 40)), random.Next(2) == 0);
            var run = new BuilderRun(rules);
            foreach (var trade in trades)
            {
                Assert.Equal(ApplyResult.Applied, run.Apply(trade));
            }

            CheckAll(rules, run, trades);
        });

    [Theory]
    [MemberData(nameof(Policies))]
    public void Any_order_within_the_window_gives_the_same_klines(OpenPolicy open, EmptyPolicy empty, bool wicks) =>
        ForRandom(Rules(open, empty, wicks), (random, rules) =>
        {
            var inOrder = TradeMaker.InOrder(random, random.Next(1, 150), TimeSpan.FromMinutes(random.Next(1, 40)), random.Next(2) == 0);
            var trades = TradeMaker.Delayed(random, inOrder, TimeSpan.FromSeconds(random.Next(1, (int)Window.TotalSeconds)));
            var run = new BuilderRun(rules);
            foreach (var trade in trades)
            {
                Assert.Equal(ApplyResult.Applied, run.Apply(trade));
                SometimesDoSomething(random, run);
            }

            CheckAll(rules, run, trades);
        });

    [Theory]
    [MemberData(nameof(Policies))]
    public void Trades_delivered_again_change_nothing(OpenPolicy open, EmptyPolicy empty, bool wicks) =>
        ForRandom(Rules(open, empty, wicks), (random, rules) =>
        {
            var inOrder = TradeMaker.InOrder(random, random.Next(2, 100), TimeSpan.FromMinutes(random.Next(1, 14)), random.Next(2) == 0);
            var trades = TradeMaker.Delayed(random, inOrder, TimeSpan.FromSeconds(30));
            var run = new BuilderRun(rules);
            for (var i = 0; i < trades.Count; i++)
            {
                Assert.Equal(ApplyResult.Applied, run.Apply(trades[i]));
                var again = trades[random.Next(i + 1)] with { ReceivedTime = trades[i].ReceivedTime };
                Assert.Equal(ApplyResult.Duplicate, run.Apply(again));
                SometimesDoSomething(random, run);
            }

            CheckAll(rules, run, trades);
        });

    [Theory]
    [MemberData(nameof(Policies))]
    public void Low_is_at_most_open_and_close_and_high_at_least(OpenPolicy open, EmptyPolicy empty, bool wicks) =>
        ForRandom(Rules(open, empty, wicks), (random, rules) =>
        {
            var trades = TradeMaker.InOrder(random, random.Next(1, 100), TimeSpan.FromMinutes(random.Next(1, 40)), false);
            var run = new BuilderRun(rules);
            foreach (var trade in TradeMaker.Delayed(random, trades, TimeSpan.FromMinutes(5)))
            {
                run.Apply(trade);
                foreach (var kline in run.Publish())
                {
                    Assert.True(kline.Low <= kline.Close && kline.Close <= kline.High);
                    if (!rules.WicksIgnoreOpen)
                    {
                        Assert.True(kline.Low <= kline.Open && kline.Open <= kline.High);
                    }
                }
            }
        });

    [Fact]
    public void Short_klines_rolled_up_are_the_long_ones() =>
        ForRandom(Rules(OpenPolicy.FirstTrade, EmptyPolicy.None, false), (random, rules) =>
        {
            var trades = TradeMaker.InOrder(random, random.Next(1, 150), TimeSpan.FromMinutes(random.Next(1, 90)), true);
            var run = new BuilderRun(rules);
            foreach (var trade in TradeMaker.Delayed(random, trades, TimeSpan.FromMinutes(1)))
            {
                run.Apply(trade);
                SometimesDoSomething(random, run);
            }

            var klines = run.Klines().Values;
            foreach (var (shorter, longer) in rules.Intervals.Zip(rules.Intervals.Skip(1)))
            {
                var parts = klines.Where(k => k.Interval == shorter).GroupBy(k => longer.OpenTime(k.OpenTime)).ToDictionary(g => g.Key, g => g.OrderBy(k => k.OpenTime).ToList());
                var whole = klines.Where(k => k.Interval == longer).ToList();
                Assert.Equal(parts.Count, whole.Count);
                foreach (var kline in whole)
                {
                    var of = parts[kline.OpenTime];
                    Assert.Equal(of[0].Open, kline.Open);
                    Assert.Equal(of[^1].Close, kline.Close);
                    Assert.Equal(of.Max(k => k.High), kline.High);
                    Assert.Equal(of.Min(k => k.Low), kline.Low);
                    Assert.Equal(of.Sum(k => k.BaseVolume), kline.BaseVolume);
                    Assert.Equal(of.Sum(k => k.QuoteVolume), kline.QuoteVolume);
                    Assert.Equal(of.Sum(k => k.TakerBuyBaseVolume), kline.TakerBuyBaseVolume);
                    Assert.Equal(of.Sum(k => k.TakerBuyQuoteVolume), kline.TakerBuyQuoteVolume);
                    Assert.Equal(of.Sum(k => k.TradeCount), kline.TradeCount);
                    Assert.Equal(of.Sum(k => k.UpdateCount), kline.UpdateCount);
                    Assert.Equal(of[0].First, kline.First);
                    Assert.Equal(of[^1].Last, kline.Last);
                }
            }
        });

    [Theory]
    [MemberData(nameof(Policies))]
    public void Cutting_into_batches_saves_and_restarts_changes_nothing_not_even_revisions(OpenPolicy open, EmptyPolicy empty, bool wicks) =>
        ForRandom(Rules(open, empty, wicks), (random, rules) =>
        {
            var inOrder = TradeMaker.InOrder(random, random.Next(1, 120), TimeSpan.FromMinutes(random.Next(1, 40)), random.Next(2) == 0);
            var trades = TradeMaker.Delayed(random, inOrder, TimeSpan.FromSeconds(random.Next(1, (int)Window.TotalSeconds)));
            var plain = new BuilderRun(rules);
            var eventful = new BuilderRun(rules);
            foreach (var trade in trades)
            {
                plain.Apply(trade);
                eventful.Apply(trade);
                SometimesDoSomething(random, eventful);
            }

            var end = trades.Max(t => t.ReceivedTime) + TimeSpan.FromDays(8);
            plain.Builder.Advance(end);
            eventful.Builder.Advance(end);
            plain.Save(restart: false);
            eventful.Save(restart: false);
            Assert.Equal(
                plain.Archive.OrderBy(k => k.Key).Select(k => k.Value),
                eventful.Archive.OrderBy(k => k.Key).Select(k => k.Value));
        });

    private static KlineRules Rules(OpenPolicy open, EmptyPolicy empty, bool wicks) => new() { Open = open, Empty = empty, WicksIgnoreOpen = wicks, CorrectionWindow = Window };

    // How many random runs a law is held against; many more with KLINE_RUNS.
    private static readonly int Runs = int.TryParse(Environment.GetEnvironmentVariable("KLINE_RUNS"), out var runs) ? runs : 40;

    private static void ForRandom(KlineRules rules, Action<Random, KlineRules> check) =>
        Prop.ForAll(Gen.Choose(0, int.MaxValue).ToArbitrary(), seed =>
        {
            // Some runs with a few intervals only: the nesting must not depend on having all.
            var random = new Random(seed);
            var some = random.Next(3) == 0 ? rules with { Intervals = [.. rules.Intervals.Where(_ => random.Next(2) == 0).DefaultIfEmpty(KlineInterval.M1)] } : rules;
            check(random, some);
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(Runs).WithQuietOnSuccess(true));

    private static void SometimesDoSomething(Random random, BuilderRun run)
    {
        switch (random.Next(12))
        {
            case 0:
            case 1:
                run.Publish();
                break;
            case 2:
                run.Save(restart: false);
                break;
            case 3:
                run.Save(restart: true);
                break;
        }
    }

    private static void CheckAll(KlineRules rules, BuilderRun run, IReadOnlyList<Trade> trades)
    {
        var clock = trades.Max(t => t.ReceivedTime);

        // Over longer spans there may have been a silence of more flat klines than are announced, which a late trade then cut in two.
        var isShort = clock - trades.Min(t => t.EventTime) < TimeSpan.FromSeconds(KlineBuilder.MostFlatKlines - 100);
        CheckAt(clock);

        // Later the clock alone makes everything final.
        clock = clock + rules.Grace + TimeSpan.FromMinutes(1);
        run.Builder.Advance(clock);
        CheckAt(clock);

        void CheckAt(DateTimeOffset at)
        {
            run.Publish();
            var klines = run.Klines();
            foreach (var interval in rules.Intervals)
            {
                var expected = KlineOracle.Build(rules, interval, trades, at);
                var built = klines.Values.Where(k => k.Interval == interval).OrderBy(k => k.OpenTime).Select(k => k with { Revision = 0 });
                Assert.Equal(expected.Where(k => !k.IsFlat), built);

                // What clients heard: every kline with trades; flat ones may lag by the grace while they form, and only a thousand are told after a silence.
                var heard = run.Client.Values.Where(k => k.Interval == interval).Select(k => k with { Revision = 0 }).ToHashSet();
                var told = expected.Where(k => !k.IsFlat || (k.IsFinal && isShort)).ToList();
                Assert.Equal([], told.Except(heard).Take(3));
                Assert.Equal([], heard.Except(expected).Take(3));
            }
        }
    }
}
