using FsCheck;
using FsCheck.Fluent;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Grains.Tests;

/// <summary>A builder that begins with an exchange's klines ends with the klines of one that had every trade.</summary>
public class KlineSeedTests
{
    private static readonly TimeSpan Window = TimeSpan.FromMinutes(15);

    [Theory]
    [MemberData(nameof(KlineBuilderPropertyTests.Policies), MemberType = typeof(KlineBuilderPropertyTests))]
    public void Begun_with_klines_and_fed_the_rest_it_has_the_klines_of_all_trades(OpenPolicy open, EmptyPolicy empty, bool wicks) =>
        ForRandom(open, empty, wicks, (random, rules) =>
        {
            var (trades, from) = Market(random);
            var run = new BuilderRun(rules);
            SometimesHoldSomethingElse(random, run, trades);
            run.Begin(Opened(rules, VenueHistory.Of(TradeMaker.Symbol, trades, from)));
            Feed(random, run, TradeMaker.Delayed(random, [.. trades.Where(t => t.EventTime >= from)], TimeSpan.FromSeconds(random.Next(1, 60))));

            Check(rules, run, trades, from, []);
        });

    [Theory]
    [MemberData(nameof(KlineBuilderPropertyTests.Policies), MemberType = typeof(KlineBuilderPropertyTests))]
    public void A_bucket_whose_beginning_is_unknown_is_neither_told_nor_stored_and_the_others_are_whole(OpenPolicy open, EmptyPolicy empty, bool wicks) =>
        ForRandom(open, empty, wicks, (random, rules) =>
        {
            var (trades, from) = Market(random);

            // Not one in which nothing traded: of it everything is known. And one knows what the price was.
            KlineInterval[] unknown = [.. rules.Intervals.Where(i => i != rules.Intervals[^1] && trades.Any(t => t.EventTime < from && t.EventTime >= i.OpenTime(from)) && random.Next(2) == 0)];
            var run = new BuilderRun(rules);
            run.Begin(Opened(rules, VenueHistory.Of(TradeMaker.Symbol, trades, from, [.. unknown])));

            // In order, as a source with a past gives them: the close of a hidden kline is not kept for trades that come late.
            Feed(random, run, trades.Where(t => t.EventTime >= from));

            Check(rules, run, trades, from, unknown);
        });

    [Fact]
    public void Where_nothing_is_known_klines_begin_with_the_first_whole_bucket()
    {
        var from = TradeMaker.Start.AddSeconds(91);
        var trades = Enumerable.Range(0, 300).Select(i => TradeMaker.Trade(i, TradeMaker.Start.AddSeconds(i), 1 + (i % 7))).ToList();
        var run = new BuilderRun(new KlineRules());
        KlineInterval[] unknown = [.. KlineIntervals.All.Where(i => i.OpenTime(from) < from)];
        run.Begin(new SymbolKlines(TradeMaker.Symbol, []) { From = from, Unknown = [.. unknown] });
        Assert.Equal(11, unknown.Length);
        foreach (var trade in trades.Where(t => t.EventTime >= from))
        {
            run.Apply(trade);
        }

        Check(run.Builder.Rules, run, [.. trades.Where(t => t.EventTime >= from)], from, unknown);
    }

    [Fact]
    public void Trades_before_the_moment_and_trades_delivered_again_count_once()
    {
        var from = TradeMaker.Start.AddSeconds(90);
        var trades = Enumerable.Range(0, 180).Select(i => TradeMaker.Trade(i, TradeMaker.Start.AddSeconds(i), 1 + (i % 7))).ToList();
        var run = new BuilderRun(new KlineRules());
        run.Begin(VenueHistory.Of(TradeMaker.Symbol, trades, from));

        Assert.All(trades.Where(t => t.EventTime < from), t => Assert.Equal(ApplyResult.Duplicate, run.Apply(t)));
        Assert.All(trades.Where(t => t.EventTime >= from), t => Assert.Equal(ApplyResult.Applied, run.Apply(t)));
        Assert.All(trades, t => Assert.Equal(ApplyResult.Duplicate, run.Apply(t)));

        Check(run.Builder.Rules, run, trades, from, []);
    }

    [Fact]
    public void Beginning_again_takes_back_what_was_final_after_the_moment()
    {
        var from = TradeMaker.Start.AddSeconds(90);
        var trades = Enumerable.Range(0, 180).Select(i => TradeMaker.Trade(i, TradeMaker.Start.AddSeconds(i), 1 + (i % 7))).ToList();
        var history = VenueHistory.Of(TradeMaker.Symbol, trades, from);
        var (once, twice) = (new BuilderRun(new KlineRules()), new BuilderRun(new KlineRules()));
        once.Begin(history);
        twice.Begin(history);
        trades.Where(t => t.EventTime >= from).Take(60).ToList().ForEach(t => twice.Apply(t));
        twice.Save(restart: true);
        twice.Begin(history);
        foreach (var trade in trades.Where(t => t.EventTime >= from))
        {
            once.Apply(trade);
            Assert.Equal(ApplyResult.Applied, twice.Apply(trade));
        }

        once.Save(restart: false);
        twice.Save(restart: false);
        Assert.Equal(once.Archive.OrderBy(k => k.Key).Select(k => k.Value), twice.Archive.OrderBy(k => k.Key).Select(k => k.Value));
    }

    [Fact]
    public void A_kline_without_a_trade_since_the_moment_becomes_final_as_it_was()
    {
        var from = TradeMaker.Start.AddSeconds(90);
        var trades = Enumerable.Range(0, 80).Select(i => TradeMaker.Trade(i, TradeMaker.Start.AddSeconds(i), 1 + (i % 7))).ToList();
        var run = new BuilderRun(new KlineRules());
        run.Begin(VenueHistory.Of(TradeMaker.Symbol, trades, from));

        run.Builder.Advance(from.AddDays(8));
        run.Save(restart: false);

        Check(run.Builder.Rules, run, trades, from, []);
        Assert.All(run.Archive.Values, k => Assert.Equal(default, k.Last));
    }

    [Fact]
    public void A_state_written_before_builders_could_begin_from_klines_is_read()
    {
        // Version 1: no moment and no seeds.
        var output = new System.Buffers.ArrayBufferWriter<byte>();
        var writer = new StateWriter(output);
        writer.Write((byte)1);
        writer.Write(long.MinValue);
        writer.Write(0);
        writer.Write(0);
        writer.Write(0);
        var reader = new StateReader(output.WrittenSpan);

        var builder = KlineBuilder.Read(new KlineRules(), ref reader);

        Assert.True(reader.AtEnd);
        Assert.False(builder.IsCatchingUp);
        Assert.Equal(ApplyResult.Applied, builder.Apply(TradeMaker.Trade(0, TradeMaker.Start, 1)));
    }

    private static (List<Trade> Trades, DateTimeOffset From) Market(Random random)
    {
        var span = TimeSpan.FromMinutes(random.Next(2, 40));
        var trades = TradeMaker.InOrder(random, random.Next(1, 150), span, onChain: false);
        return (trades, TradeMaker.Start.AddSeconds(random.Next(1, (int)span.TotalSeconds)));
    }

    /// <summary>What was there before it begins must leave nothing behind.</summary>
    private static void SometimesHoldSomethingElse(Random random, BuilderRun run, List<Trade> trades)
    {
        if (random.Next(2) == 0)
        {
            foreach (var trade in trades.Where(_ => random.Next(3) > 0))
            {
                run.Apply(trade with { Price = new Price(trade.Price.Value * 1_000) });
            }
        }
    }

    private static void Feed(Random random, BuilderRun run, IEnumerable<Trade> trades)
    {
        foreach (var trade in trades)
        {
            Assert.Equal(ApplyResult.Applied, run.Apply(trade));
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
    }

    private static void Check(KlineRules rules, BuilderRun run, List<Trade> trades, DateTimeOffset from, KlineInterval[] unknown)
    {
        var clock = trades.Max(t => t.ReceivedTime) + TimeSpan.FromMinutes(2) + rules.Grace;
        clock = clock > from + rules.Grace ? clock : from + rules.Grace;
        run.Builder.Advance(clock);
        run.Publish();
        var klines = run.Klines().Values.ToList();
        foreach (var interval in rules.Intervals)
        {
            var hidden = unknown.Contains(interval) ? interval.OpenTime(from) : DateTimeOffset.MinValue;
            var all = KlineOracle.Build(rules, interval, trades, clock);
            var expected = all.Where(k => !k.IsFlat && k.OpenTime != hidden).ToList();
            var built = klines.Where(k => k.Interval == interval).OrderBy(k => k.OpenTime).ToList();
            Assert.Equal([], expected.Select(Values).Except(built.Select(Values)));
            Assert.Equal(expected.Select(Values), built.Select(Values));
            Assert.Equal(
                expected.Where(k => k.OpenTime >= from).Select(k => k with { Revision = 0 }),
                built.Where(k => k.OpenTime >= from).Select(k => k with { Revision = 0 }));
            Assert.DoesNotContain(run.Client.Values, k => k.Interval == interval && k.OpenTime == hidden);

            // Clients of the new epoch hear everything since.
            var heard = run.Client.Values.Where(k => k.Interval == interval).Select(Values).ToHashSet();
            Assert.Equal([], expected.Where(k => k.OpenTime >= from).Select(Values).Except(heard).Take(3));
            Assert.Equal([], heard.Except(all.Select(Values)).Take(3));
        }
    }

    /// <summary>A kline without what sums cannot tell: which trades were the first and last, and how many came as one.</summary>
    private static Kline Values(Kline kline) => kline with { First = default, Last = default, UpdateCount = 0, Revision = 0 };

    /// <summary>The past as the archive keeps it under the rules.</summary>
    private static SymbolKlines Opened(KlineRules rules, SymbolKlines history)
    {
        var archived = PastKlines.Of(history, rules, new Testing.Archive.MemoryKlineArchive());
        Assert.True(archived.IsCompleted);
        return history with { Klines = [.. archived.Result] };
    }

    private static readonly int Runs = int.TryParse(Environment.GetEnvironmentVariable("KLINE_RUNS"), out var runs) ? runs : 40;

    private static void ForRandom(OpenPolicy open, EmptyPolicy empty, bool wicks, Action<Random, KlineRules> check) =>
        Prop.ForAll(Gen.Choose(0, int.MaxValue).ToArbitrary(), seed =>
        {
            var random = new Random(seed);
            var rules = new KlineRules { Open = open, Empty = empty, WicksIgnoreOpen = wicks, CorrectionWindow = Window };
            check(random, random.Next(3) == 0 ? rules with { Intervals = [.. rules.Intervals.Where(_ => random.Next(2) == 0).DefaultIfEmpty(KlineInterval.M1)] } : rules);
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(Runs).WithQuietOnSuccess(true));
}
