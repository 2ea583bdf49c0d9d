using System.Buffers;
using System.Collections.Immutable;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Grains.Tests;

/// <summary>
/// A builder, its state and an archive as the grain uses them, with late trades and corrections of order: the klines are those of the chain, clients heard what is stored, and a
/// run that crashes between any two writes stores the same.
/// </summary>
public class KlineBuilderCrashTests
{
    private static readonly int Runs = int.TryParse(Environment.GetEnvironmentVariable("KLINE_RUNS"), out var runs) ? runs : 12;

    [Fact]
    public void With_corrections_of_order_the_archive_is_the_chains_and_the_same_after_any_crash()
    {
        for (var seed = 0; seed < Runs; seed++)
        {
            Check(seed);
        }
    }

    private static void Check(int seed)
    {
        var random = new Random(seed);
        var rules = new KlineRules
        {
            Open = (OpenPolicy)random.Next(2),
            Empty = (EmptyPolicy)random.Next(2),
            WicksIgnoreOpen = random.Next(3) == 0,
            CorrectionWindow = TimeSpan.FromMinutes(random.Next(1, 16)),
        };
        if (random.Next(3) == 0)
        {
            rules = rules with { Intervals = [.. rules.Intervals.Where(_ => random.Next(2) == 0).DefaultIfEmpty(KlineInterval.M1)] };
        }

        var slots = Slots(random);
        var events = Events(random, slots, rules.CorrectionWindow / 3);
        var end = TradeMaker.Start.AddDays(9);

        var plain = new Run(rules);
        foreach (var some in events)
        {
            plain.Do(some);
        }

        plain.End(end);
        foreach (var interval in rules.Intervals)
        {
            var expected = KlineOracle.Build(rules, interval, slots.SelectMany(s => s), end).Where(k => !k.IsFlat).Select(Values);
            var stored = plain.Archive.Values.Where(k => k.Interval == interval).OrderBy(k => k.OpenTime).ToList();
            Assert.Equal(expected, stored.Select(Values));
            Assert.All(stored, k => Assert.Equal(k, plain.Client[(k.Interval, k.OpenTime)]));
        }

        var crashed = new Run(rules);
        var (checkpoint, savedAt, stage) = (0, 0, -1);
        for (int i = 0, crashes = 0; i < events.Count;)
        {
            crashed.Do(events[i++]);
            switch (random.Next(10))
            {
                case 0 when stage < 0:
                    crashed.BeginSave();
                    (savedAt, stage) = (i, 0);
                    break;
                case 1 or 2 or 3 when stage >= 0:
                    stage = crashed.GoOnSaving(stage);
                    checkpoint = stage < 0 ? savedAt : checkpoint;
                    break;
                case 4 when crashes < 5:
                    crashes++;
                    stage = -1;
                    crashed.Crash();
                    i = checkpoint;
                    break;
            }
        }

        while (stage >= 0)
        {
            stage = crashed.GoOnSaving(stage);
        }

        crashed.End(end);
        Assert.Equal(plain.Archive.OrderBy(k => k.Key).Select(k => k.Value), crashed.Archive.OrderBy(k => k.Key).Select(k => k.Value));
    }

    private static List<List<Trade>> Slots(Random random)
    {
        var slots = new List<List<Trade>>();
        var (now, id) = (TradeMaker.Start, 0);
        for (var count = random.Next(1, 50); count > 0; count--)
        {
            now = now.AddSeconds(random.Next(4) == 0 ? random.Next(0, 200) : random.Next(0, 3));
            var slot = new List<Trade>();
            for (var i = random.Next(1, 5); i > 0; i--, id++)
            {
                slot.Add(TradeMaker.Trade(id, now, random.Next(1, 12), amount: random.Next(1, 5)) with { Order = new TradeOrder(new TradeId(1_000 + slots.Count, $"s{random.Next(1_000):000}-{id}"), slot.Count) });
            }

            slots.Add(slot);
        }

        return slots;
    }

    /// <summary>What a source gives: trades in the order of arrival, some late, one of a slot perhaps not at all; then each slot's correction; the clock now and then.</summary>
    private static List<(Trade[] Trades, bool IsOrder, DateTimeOffset Clock)> Events(Random random, List<List<Trade>> slots, TimeSpan delay)
    {
        var arrivals = new List<(DateTimeOffset At, Trade[] Trades, bool IsOrder)>();
        foreach (var slot in slots)
        {
            var at = slot[0].EventTime;
            var missed = random.Next(4) == 0 ? random.Next(slot.Count) : -1;
            foreach (var (place, trade) in slot.OrderBy(_ => random.Next()).Index().Where(t => t.Index != missed))
            {
                arrivals.Add((random.Next(4) == 0 ? at.AddTicks(random.NextInt64(delay.Ticks)) : at, [trade with { Order = new TradeOrder(trade.Order.Id, 1_000 + place) }], false));
            }

            arrivals.Add((at + delay + TimeSpan.FromTicks(random.NextInt64(delay.Ticks)), [.. slot], true));
        }

        var events = new List<(Trade[], bool, DateTimeOffset)>();
        foreach (var (at, trades, isOrder) in arrivals.OrderBy(a => a.At))
        {
            events.Add(([.. trades.Select(t => t with { ReceivedTime = at })], isOrder, at));
            if (random.Next(6) == 0)
            {
                events.Add(([], false, at));
            }
        }

        return events;
    }

    /// <summary>A kline without its revision: how often it was corrected depends on what came when.</summary>
    private static Kline Values(Kline kline) => kline with { Revision = 0 };

    private sealed class Run(KlineRules rules)
    {
        private readonly List<Kline> _pending = [];
        private KlineBuilder _builder = new(rules);
        private byte[]? _payload;
        private byte[]? _state;

        public Dictionary<(KlineInterval, DateTimeOffset), Kline> Archive { get; } = [];

        public Dictionary<(KlineInterval, DateTimeOffset), Kline> Client { get; } = [];

        public void Do((Trade[] Trades, bool IsOrder, DateTimeOffset Clock) some)
        {
            _builder.Advance(some.Clock);
            foreach (var trade in some.Trades)
            {
                if (_builder.NeedsHistory(trade))
                {
                    AddHistory(trade);
                }

                _builder.Apply(trade);
            }

            if (some.IsOrder)
            {
                if (_builder.LacksHistory(some.Trades[0]))
                {
                    AddHistory(some.Trades[0]);
                }

                _builder.SetOrder(some.Trades);
            }

            Publish();
        }

        public void BeginSave()
        {
            _pending.Clear();
            _builder.TakeUnarchived(_pending);
            var output = new ArrayBufferWriter<byte>();
            _builder.Write(new StateWriter(output));
            _payload = output.WrittenSpan.ToArray();
        }

        /// <summary>The next write of a save; -1 after the last.</summary>
        public int GoOnSaving(int stage)
        {
            switch (stage)
            {
                case 0:
                    _state = _payload;
                    return 1;
                case 1:
                    foreach (var kline in _pending)
                    {
                        Archive[(kline.Interval, kline.OpenTime)] = kline;
                    }

                    return 2;
                default:
                    _builder.ArchiveTaken();
                    return -1;
            }
        }

        public void End(DateTimeOffset clock)
        {
            _builder.Advance(clock);
            Publish();
            BeginSave();
            for (var stage = 0; stage >= 0;)
            {
                stage = GoOnSaving(stage);
            }
        }

        public void Crash()
        {
            if (_state is null)
            {
                _builder = new KlineBuilder(rules);
                return;
            }

            var reader = new StateReader(_state);
            _builder = KlineBuilder.Read(rules, ref reader);
        }

        private void Publish()
        {
            var changes = ImmutableArray.CreateBuilder<Kline>();
            _builder.TakeChanges(changes);
            foreach (var kline in changes)
            {
                Client[(kline.Interval, kline.OpenTime)] = kline;
            }
        }

        private void AddHistory(Trade trade)
        {
            var from = _builder.HistoryFrom(trade);
            _builder.AddHistory(
                [.. Archive.Values.Where(k => k.EndTime > from).OrderBy(k => k.Interval).ThenBy(k => k.OpenTime)],
                from,
                [.. rules.Intervals.Select(i => Archive.Values.Where(k => k.Interval == i && k.OpenTime < i.OpenTime(from)).OrderBy(k => k.OpenTime).Select(k => (Kline?)k).LastOrDefault())]);
        }
    }
}
