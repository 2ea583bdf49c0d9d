using System.Collections.Immutable;
using System.Globalization;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Web.Tests;

public sealed class UpdateRingTests
{
    private static readonly decimal[] Values = [0, 1, 1.0m, 1.00m, 0.1234567890123456789012345678m, 79228162514264337593543950335m, 1e-28m, 12_345_678_901_234_567_890.5m, 4_294_967_296m, 100];
    private static readonly string?[] Signatures = [null, "", "5h6xBEauJ3PK6SWCZ1PGjBvj8vDdWG3KpwATGy1ARAXFSDwt8GFXM7W5Ncn16wmqokgpiKRLuS83KUxyZyv2sUYv", "é\ud83d\ude00"];

    [Fact]
    public void Every_bit_of_packed_klines_comes_back()
    {
        var random = new Random(1);
        for (var run = 0; run < 2_000; run++)
        {
            var klines = Make(random, random.Next(20));
            var bytes = new byte[PackedKlines.Longest(klines.AsSpan())];
            var length = PackedKlines.Write(bytes, klines.AsSpan());
            var read = PackedKlines.Read(bytes.AsSpan(0, length), klines.Length);
            Assert.Equal(klines, read);

            // Equal decimals can differ in their text.
            Assert.Equal(klines.Select(Text), read.Select(Text));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(512)]
    public void Ring_gives_the_newest_updates_after_a_position_whatever_their_size(int most)
    {
        var random = new Random(most);
        var ring = new UpdateRing("S", most);
        List<FeedMessage> all = [];
        for (var seq = 1; seq <= 1_500; seq++)
        {
            // Mostly alike, some empty, now and then one that is much larger than the rest.
            var count = random.Next(100) switch { 0 => 300, < 10 => 0, _ => random.Next(15) };
            var message = new FeedMessage(
                new KlineUpdate { Symbol = "S", Epoch = 5, Seq = seq, EventTime = TestKlines.Start.AddTicks(seq), ReceivedTime = TestKlines.Start.AddTicks(-seq), Klines = Make(random, count) }, 5, seq - 1)
            { SymbolId = 3, Taker = (TakerSide)random.Next(4) };
            ring.Add(message);
            all.Add(message);
            if (random.Next(10) == 0)
            {
                ring.ForgetRead();
            }

            // A look at each tenth.
            if (seq % 10 != 0 && seq > 20)
            {
                continue;
            }

            var kept = Math.Min(all.Count, most);
            var back = random.Next(kept) + 1;
            var found = ring.After((5, seq - back), int.MaxValue);
            Assert.NotNull(found);
            Assert.Equal(all[^back..].Select(Describe), found.Select(Describe));
            Assert.Same(found[0], ring.After((5, seq - back), back)![0]);
            Assert.Null(ring.After((5, seq - back), back - 1));
            Assert.Null(ring.After((4, seq - back), int.MaxValue));
            Assert.Null(ring.After((5, seq - kept - 1), int.MaxValue));
            Assert.Null(ring.After((5, seq), int.MaxValue));
        }
    }

    [Fact]
    public void Update_of_all_intervals_takes_a_fraction_of_what_its_klines_do()
    {
        var ring = new UpdateRing("S", 512);
        for (var seq = 1; seq <= 2_000; seq++)
        {
            var price = new Price(100_000 + (seq * 0.01m));
            ring.Add(new FeedMessage(
                new KlineUpdate
                {
                    Symbol = "S",
                    Epoch = 1,
                    Seq = seq,
                    EventTime = TestKlines.Start,
                    ReceivedTime = TestKlines.Start,
                    Klines = [.. KlineIntervals.All.Select((interval, i) => new Kline
                    {
                        Interval = interval,
                        OpenTime = TestKlines.Start,
                        Open = new Price(99_000 + i),
                        High = new Price(200_000 + i),
                        Low = new Price(90_000 - i),
                        Close = price,
                        BaseVolume = seq * (i + 1) * 1.5m,
                        QuoteVolume = seq * (i + 1) * 150_000.25m,
                        TradeCount = seq * (i + 1),
                        UpdateCount = seq * (i + 1),
                        TradeHigh = new Price(200_000 + i),
                        TradeLow = new Price(90_000 - i),
                        FirstPrice = new Price(99_000 + i),
                        First = new TradeOrder(new TradeId(7_000_000_000_000 + i)),
                        Last = new TradeOrder(new TradeId(7_000_000_000_000 + (seq * 13))),
                    })],
                },
                1,
                seq - 1));
        }

        // Twelve klines of some 300 bytes, 512 times, are 1.8 MB; a ring has up to twice the room that it needs.
        Assert.InRange(ring.Room, 1, 1_100_000);
    }

    [Fact]
    public void Room_for_an_update_of_very_many_klines_is_given_back_once_it_has_left()
    {
        var random = new Random(3);
        var ring = new UpdateRing("S", 32);
        FeedMessage Message(int seq, int count) => new(new KlineUpdate { Symbol = "S", Epoch = 1, Seq = seq, EventTime = TestKlines.Start, ReceivedTime = TestKlines.Start, Klines = Make(random, count) }, 1, seq - 1);
        for (var seq = 1; seq <= 64; seq++)
        {
            ring.Add(Message(seq, 3));
        }

        var usual = ring.Room;
        ring.Add(Message(65, 12_000));
        Assert.True(ring.Room > usual * 10);
        for (var seq = 66; seq <= 66 + 64; seq++)
        {
            ring.Add(Message(seq, 3));
        }

        Assert.InRange(ring.Room, 1, usual * 4);
    }

    [Fact]
    public void Packed_klines_know_every_field_there_is()
    {
        // Who adds a field packs it too, and counts it here.
        Assert.Equal((19, 2, 3, 6), (Fields<Kline>(), Fields<TradeOrder>(), Fields<TradeId>(), Fields<KlineUpdate>()));

        static int Fields<T>() => typeof(T).GetProperties().Count(p => p.IsDefined(typeof(Orleans.IdAttribute), false));
    }

    private static ImmutableArray<Kline> Make(Random random, int count)
    {
        decimal Value() => Values[random.Next(Values.Length)] * (random.Next(50) == 0 ? -1 : 1);
        Price Any() => Math.Abs(Value()) is var value and > 0 ? new Price(value) : default;
        TradeOrder Order() => new(new TradeId(random.NextInt64(), Signatures[random.Next(Signatures.Length)], random.Next()), random.NextInt64(-5, long.MaxValue));
        var klines = ImmutableArray.CreateBuilder<Kline>();
        var (first, last) = (Order(), Order());
        for (var i = 0; i < count; i++)
        {
            klines.Add(new Kline
            {
                Interval = KlineIntervals.All[random.Next(KlineIntervals.All.Length)],
                OpenTime = new DateTimeOffset(random.NextInt64(0, DateTimeOffset.MaxValue.Ticks), TimeSpan.Zero),
                Open = Any(),
                High = Any(),
                Low = Any(),
                Close = Any(),
                BaseVolume = Value(),
                QuoteVolume = Value(),
                TakerBuyBaseVolume = Value(),
                TakerBuyQuoteVolume = Value(),
                TradeCount = random.NextInt64(),
                First = random.Next(3) == 0 ? Order() : first,
                Last = random.Next(3) == 0 ? default : last,
                TradeHigh = Any(),
                TradeLow = Any(),
                FirstPrice = Any(),
                UpdateCount = random.Next(),
                Revision = random.Next(3) == 0 ? random.Next() : 0,
                IsFinal = random.Next(2) == 0,
            });
        }

        return klines.ToImmutable();
    }

    private static string Text(Kline kline) => string.Create(CultureInfo.InvariantCulture, $"{kline.Open.Value} {kline.High.Value} {kline.Low.Value} {kline.Close.Value} {kline.BaseVolume} {kline.QuoteVolume} {kline.TakerBuyBaseVolume} {kline.TakerBuyQuoteVolume} {kline.TradeHigh.Value} {kline.TradeLow.Value} {kline.FirstPrice.Value}");

    private static string Describe(FeedMessage message) => string.Create(
        CultureInfo.InvariantCulture,
        $"{message.Update.Symbol} {message.SymbolId} {message.BeforeEpoch} {message.BeforeSeq} {message.Update.Epoch} {message.Update.Seq} {message.Update.EventTime:O} {message.Update.ReceivedTime:O} {message.Taker} {message.Since} {message.Changed} {string.Join('|', message.Update.Klines)}");
}
