using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using KlineOrleans.Contracts;

namespace KlineOrleans.Grains;

/// <summary>Writes the compact binary form of grain state: little endian, no padding, strings as length and UTF-8.</summary>
internal readonly ref struct StateWriter(IBufferWriter<byte> output)
{
    public void Write(byte value)
    {
        output.GetSpan(1)[0] = value;
        output.Advance(1);
    }

    public void Write(bool value) => Write(value ? (byte)1 : (byte)0);

    public void Write(int value)
    {
        BinaryPrimitives.WriteInt32LittleEndian(output.GetSpan(4), value);
        output.Advance(4);
    }

    public void Write(long value)
    {
        BinaryPrimitives.WriteInt64LittleEndian(output.GetSpan(8), value);
        output.Advance(8);
    }

    public void Write(ulong value)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(output.GetSpan(8), value);
        output.Advance(8);
    }

    public void Write(decimal value)
    {
        Span<int> parts = stackalloc int[4];
        decimal.GetBits(value, parts);
        foreach (var part in parts)
        {
            Write(part);
        }
    }

    public void Write(string? value)
    {
        if (value is null)
        {
            Write(-1);
            return;
        }

        var length = Encoding.UTF8.GetByteCount(value);
        Write(length);
        Encoding.UTF8.GetBytes(value, output.GetSpan(length));
        output.Advance(length);
    }

    public void Write(in TradeOrder order)
    {
        Write(order.Id.Position);
        Write(order.Id.Signature);
        Write(order.Id.Index);
        Write(order.Sequence);
    }

    public void Write(in Bucket bucket)
    {
        Write(bucket.Open);
        if (bucket.Open == Bucket.None)
        {
            return;
        }

        Write(bucket.UpdateCount);
        if (bucket.UpdateCount == 0)
        {
            return;
        }

        Write(bucket.FirstPrice);
        Write(bucket.High);
        Write(bucket.Low);
        Write(bucket.LastPrice);
        Write(bucket.BaseVolume);
        Write(bucket.QuoteVolume);
        Write(bucket.TakerBuyBaseVolume);
        Write(bucket.TakerBuyQuoteVolume);
        Write(bucket.TradeCount);
        Write(bucket.First);
        Write(bucket.Last);
    }
}

/// <summary>Reads what <see cref="StateWriter"/> wrote. Throws <see cref="InvalidDataException"/> where bytes are missing.</summary>
internal ref struct StateReader(ReadOnlySpan<byte> input)
{
    private ReadOnlySpan<byte> _rest = input;

    public readonly bool AtEnd => _rest.IsEmpty;

    public byte ReadByte() => Take(1)[0];

    public bool ReadBoolean() => ReadByte() != 0;

    public int ReadInt32() => BinaryPrimitives.ReadInt32LittleEndian(Take(4));

    public long ReadInt64() => BinaryPrimitives.ReadInt64LittleEndian(Take(8));

    public ulong ReadUInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(8));

    public decimal ReadDecimal() => new([ReadInt32(), ReadInt32(), ReadInt32(), ReadInt32()]);

    public string? ReadString()
    {
        var length = ReadInt32();
        return length < 0 ? null : Encoding.UTF8.GetString(Take(length));
    }

    public TradeOrder ReadOrder()
    {
        var position = ReadInt64();
        var signature = ReadString();
        var index = ReadInt32();
        return new TradeOrder(new TradeId(position, signature, index), ReadInt64());
    }

    public Bucket ReadBucket()
    {
        var bucket = new Bucket { Open = ReadInt64() };
        if (bucket.Open == Bucket.None)
        {
            return bucket;
        }

        bucket.UpdateCount = ReadInt32();
        if (bucket.UpdateCount == 0)
        {
            return bucket;
        }

        bucket.FirstPrice = ReadDecimal();
        bucket.High = ReadDecimal();
        bucket.Low = ReadDecimal();
        bucket.LastPrice = ReadDecimal();
        bucket.BaseVolume = ReadDecimal();
        bucket.QuoteVolume = ReadDecimal();
        bucket.TakerBuyBaseVolume = ReadDecimal();
        bucket.TakerBuyQuoteVolume = ReadDecimal();
        bucket.TradeCount = ReadInt64();
        bucket.First = ReadOrder();
        bucket.Last = ReadOrder();
        return bucket;
    }

    private ReadOnlySpan<byte> Take(int length)
    {
        if (length > _rest.Length)
        {
            throw new InvalidDataException($"Grain state ends early: {length} bytes wanted, {_rest.Length} left.");
        }

        var taken = _rest[..length];
        _rest = _rest[length..];
        return taken;
    }
}
