using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Text;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web;

/// <summary>Klines in as few bytes as are quickly found: what a kline shares with the one before it is not written again. In memory only: the layout is nobody's business.</summary>
/// <remarks>Every bit comes back, the scale of each decimal included; of an open time, the moment.</remarks>
internal static class PackedKlines
{
    private const int Open = 1 << 0;
    private const int High = 1 << 1;
    private const int Low = 1 << 2;
    private const int Close = 1 << 3;
    private const int BaseVolume = 1 << 4;
    private const int QuoteVolume = 1 << 5;
    private const int TakerBuyBaseVolume = 1 << 6;
    private const int TakerBuyQuoteVolume = 1 << 7;
    private const int TradeCount = 1 << 8;
    private const int First = 1 << 9;
    private const int Last = 1 << 10;
    private const int TradeHigh = 1 << 11;
    private const int TradeLow = 1 << 12;
    private const int FirstPrice = 1 << 13;
    private const int UpdateCount = 1 << 14;
    private const int Revision = 1 << 15;
    private const int Final = 1 << 16;
    private const int IntervalAt = 24;

    private const int LongestNumber = 10;
    private const int LongestDecimal = 1 + LongestNumber + LongestNumber;
    private const int LongestKline = sizeof(int) + LongestNumber + (11 * LongestDecimal) + (3 * LongestNumber) + (2 * 4 * LongestNumber);

    private const byte Negative = 0x80;
    private const byte HasHigh = 0x40;

    /// <summary>At most so many bytes.</summary>
    public static int Longest(ReadOnlySpan<Kline> klines)
    {
        var length = klines.Length * LongestKline;
        foreach (ref readonly var kline in klines)
        {
            length += ((kline.First.Id.Signature?.Length ?? 0) + (kline.Last.Id.Signature?.Length ?? 0)) * 3;
        }

        return length;
    }

    /// <returns>Bytes written.</returns>
    public static int Write(Span<byte> buffer, ReadOnlySpan<Kline> klines)
    {
        var writer = new Writer(buffer);
        var before = default(Kline);
        foreach (ref readonly var kline in klines)
        {
            // Prices of the trades are most often those of the kline, all else those of the interval before.
            var differs =
                (Same(kline.Open.Value, before.Open.Value) ? 0 : Open)
                | (Same(kline.High.Value, before.High.Value) ? 0 : High)
                | (Same(kline.Low.Value, before.Low.Value) ? 0 : Low)
                | (Same(kline.Close.Value, before.Close.Value) ? 0 : Close)
                | (Same(kline.BaseVolume, before.BaseVolume) ? 0 : BaseVolume)
                | (Same(kline.QuoteVolume, before.QuoteVolume) ? 0 : QuoteVolume)
                | (Same(kline.TakerBuyBaseVolume, before.TakerBuyBaseVolume) ? 0 : TakerBuyBaseVolume)
                | (Same(kline.TakerBuyQuoteVolume, before.TakerBuyQuoteVolume) ? 0 : TakerBuyQuoteVolume)
                | (kline.TradeCount == before.TradeCount ? 0 : TradeCount)
                | (kline.First == before.First ? 0 : First)
                | (kline.Last == before.Last ? 0 : Last)
                | (Same(kline.TradeHigh.Value, kline.High.Value) ? 0 : TradeHigh)
                | (Same(kline.TradeLow.Value, kline.Low.Value) ? 0 : TradeLow)
                | (Same(kline.FirstPrice.Value, kline.Open.Value) ? 0 : FirstPrice)
                | (kline.UpdateCount == before.UpdateCount ? 0 : UpdateCount)
                | (kline.Revision == before.Revision ? 0 : Revision)
                | (kline.IsFinal ? Final : 0);
            writer.Int32(differs | ((int)kline.Interval << IntervalAt));
            writer.Number((ulong)kline.OpenTime.UtcTicks);
            writer.Decimal(kline.Open.Value, differs & Open);
            writer.Decimal(kline.High.Value, differs & High);
            writer.Decimal(kline.Low.Value, differs & Low);
            writer.Decimal(kline.Close.Value, differs & Close);
            writer.Decimal(kline.BaseVolume, differs & BaseVolume);
            writer.Decimal(kline.QuoteVolume, differs & QuoteVolume);
            writer.Decimal(kline.TakerBuyBaseVolume, differs & TakerBuyBaseVolume);
            writer.Decimal(kline.TakerBuyQuoteVolume, differs & TakerBuyQuoteVolume);
            writer.Number((ulong)kline.TradeCount, differs & TradeCount);
            writer.Order(kline.First, differs & First);
            writer.Order(kline.Last, differs & Last);
            writer.Decimal(kline.TradeHigh.Value, differs & TradeHigh);
            writer.Decimal(kline.TradeLow.Value, differs & TradeLow);
            writer.Decimal(kline.FirstPrice.Value, differs & FirstPrice);
            writer.Number((ulong)kline.UpdateCount, differs & UpdateCount);
            writer.Number((ulong)kline.Revision, differs & Revision);
            before = kline;
        }

        return writer.Length;
    }

    /// <param name="count">How many were written.</param>
    public static ImmutableArray<Kline> Read(ReadOnlySpan<byte> bytes, int count)
    {
        var reader = new Reader(bytes);
        var klines = ImmutableArray.CreateBuilder<Kline>(count);
        var before = default(Kline);
        for (var i = 0; i < count; i++)
        {
            var header = reader.Int32();
            var openTime = new DateTimeOffset((long)reader.Number(), TimeSpan.Zero);
            var open = reader.Price(before.Open, header & Open);
            var high = reader.Price(before.High, header & High);
            var low = reader.Price(before.Low, header & Low);
            before = new Kline
            {
                Interval = (KlineInterval)(header >>> IntervalAt),
                OpenTime = openTime,
                Open = open,
                High = high,
                Low = low,
                Close = reader.Price(before.Close, header & Close),
                BaseVolume = reader.Decimal(before.BaseVolume, header & BaseVolume),
                QuoteVolume = reader.Decimal(before.QuoteVolume, header & QuoteVolume),
                TakerBuyBaseVolume = reader.Decimal(before.TakerBuyBaseVolume, header & TakerBuyBaseVolume),
                TakerBuyQuoteVolume = reader.Decimal(before.TakerBuyQuoteVolume, header & TakerBuyQuoteVolume),
                TradeCount = (long)reader.Number((ulong)before.TradeCount, header & TradeCount),
                First = reader.Order(before.First, header & First),
                Last = reader.Order(before.Last, header & Last),
                TradeHigh = reader.Price(high, header & TradeHigh),
                TradeLow = reader.Price(low, header & TradeLow),
                FirstPrice = reader.Price(open, header & FirstPrice),
                UpdateCount = (int)reader.Number((ulong)before.UpdateCount, header & UpdateCount),
                Revision = (int)reader.Number((ulong)before.Revision, header & Revision),
                IsFinal = (header & Final) != 0,
            };
            klines.Add(before);
        }

        return klines.MoveToImmutable();
    }

    // To the bit: 1.0 and 1.00 are equal, and not the same text.
    private static bool Same(decimal a, decimal b) => Unsafe.BitCast<decimal, UInt128>(a) == Unsafe.BitCast<decimal, UInt128>(b);

    private ref struct Writer(Span<byte> buffer)
    {
        private readonly Span<byte> _buffer = buffer;

        public int Length { get; private set; }

        public void Int32(int value)
        {
            BinaryPrimitives.WriteInt32LittleEndian(_buffer[Length..], value);
            Length += sizeof(int);
        }

        public void Number(ulong value, int isWritten = 1)
        {
            if (isWritten == 0)
            {
                return;
            }

            while (value >= 0x80)
            {
                _buffer[Length++] = (byte)(value | 0x80);
                value >>= 7;
            }

            _buffer[Length++] = (byte)value;
        }

        public void Decimal(decimal value, int isWritten)
        {
            if (isWritten == 0)
            {
                return;
            }

            Span<int> bits = stackalloc int[4];
            decimal.GetBits(value, bits);
            _buffer[Length++] = (byte)((bits[3] >> 16) | (bits[3] < 0 ? Negative : 0) | (bits[2] != 0 ? HasHigh : 0));
            Number((uint)bits[0] | ((ulong)(uint)bits[1] << 32));
            if (bits[2] != 0)
            {
                Number((uint)bits[2]);
            }
        }

        public void Order(in TradeOrder order, int isWritten)
        {
            if (isWritten == 0)
            {
                return;
            }

            Number((ulong)order.Id.Position);
            Number((ulong)order.Id.Index);
            Number((ulong)order.Sequence);

            // 0 is no signature, and one more than its length else.
            if (order.Id.Signature is not { } signature)
            {
                Number(0);
                return;
            }

            Number((ulong)Encoding.UTF8.GetByteCount(signature) + 1);
            Length += Encoding.UTF8.GetBytes(signature, _buffer[Length..]);
        }
    }

    private ref struct Reader(ReadOnlySpan<byte> bytes)
    {
        private ReadOnlySpan<byte> _rest = bytes;

        public int Int32()
        {
            var value = BinaryPrimitives.ReadInt32LittleEndian(_rest);
            _rest = _rest[sizeof(int)..];
            return value;
        }

        public ulong Number()
        {
            var value = 0UL;
            for (var at = 0; ; at++)
            {
                value |= (ulong)(_rest[at] & 0x7F) << (7 * at);
                if (_rest[at] < 0x80)
                {
                    _rest = _rest[(at + 1)..];
                    return value;
                }
            }
        }

        public ulong Number(ulong before, int isWritten) => isWritten == 0 ? before : Number();

        public decimal Decimal(decimal before, int isWritten)
        {
            if (isWritten == 0)
            {
                return before;
            }

            var head = _rest[0];
            _rest = _rest[1..];
            var low = Number();
            var high = (head & HasHigh) != 0 ? (int)Number() : 0;
            return new decimal((int)low, (int)(low >> 32), high, (head & Negative) != 0, (byte)(head & ~(Negative | HasHigh)));
        }

        public Price Price(Price before, int isWritten)
        {
            if (isWritten == 0)
            {
                return before;
            }

            var value = Decimal(0, 1);
            return value == 0 ? default : new Price(value);
        }

        public TradeOrder Order(TradeOrder before, int isWritten)
        {
            if (isWritten == 0)
            {
                return before;
            }

            var (position, index, sequence, length) = ((long)Number(), (int)Number(), (long)Number(), (int)Number());
            string? signature = null;
            if (length > 0)
            {
                signature = Encoding.UTF8.GetString(_rest[..(length - 1)]);
                _rest = _rest[(length - 1)..];
            }

            return new TradeOrder(new TradeId(position, signature, index), sequence);
        }
    }
}
