using System.Buffers.Binary;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web.Transports.RawWebSocket;

/// <summary>/ws with <c>format=binary</c>: updates as binary messages of 96 bytes (docs/wire/websocket.md), everything else as text. Thread safe.</summary>
internal sealed class BinaryEventFormat(bool hasVolume, TimeProvider time) : WebSocketEventFormat(hasVolume, time)
{
    public override bool HasSymbolIds => true;

    protected override Payload EncodeKlineData(FeedMessage message, int intervals, bool hasVolume)
    {
        var now = Time.GetUtcNow().ToUnixTimeMilliseconds();
        var bytes = new byte[Count(message.Update, intervals) * BinaryKline.Length];
        var at = 0;
        foreach (ref readonly var kline in message.Update.Klines.AsSpan())
        {
            if ((intervals & (1 << (int)kline.Interval)) != 0)
            {
                // As in JSON: all but the update's last message carry the position before it, so that a client that is cut off between two of them misses none.
                var isLast = at + BinaryKline.Length == bytes.Length;
                BinaryKline.Write(bytes.AsSpan(at), message.SymbolId, isLast ? message.Update.Epoch : message.BeforeEpoch, isLast ? message.Update.Seq : message.BeforeSeq, kline, hasVolume, now);
                at += BinaryKline.Length;
            }
        }

        return new BinaryPayload(bytes);
    }
}

/// <summary>Binary messages of klines, one after another. Immutable.</summary>
internal sealed class BinaryPayload(byte[] klines) : Payload(klines)
{
    /// <summary>Messages in it.</summary>
    public int Count => klines.Length / BinaryKline.Length;

    public ReadOnlyMemory<byte> Message(int index) => klines.AsMemory(index * BinaryKline.Length, BinaryKline.Length);

    public override int LongestFrames(int middle) => Length + (Count * WebSocketFrame.LongestHeader);

    public override int WriteFrames(Span<byte> buffer, ReadOnlySpan<byte> middle)
    {
        var length = 0;
        for (var i = 0; i < Count; i++)
        {
            length += WebSocketFrame.WriteBinary(buffer[length..], Message(i).Span);
        }

        return length;
    }
}

/// <summary>One kline of an update in 96 bytes, little-endian. The layout is a promise to clients: what is added goes behind, under a new first byte if it must change.</summary>
internal static class BinaryKline
{
    public const int Length = 96;

    private const byte Kind = 1;
    private const byte Final = 1;
    private const byte ShowsVolume = 2;

    public static void Write(Span<byte> bytes, uint symbolId, long epoch, long seq, in Kline kline, bool hasVolume, long now)
    {
        bytes[0] = Kind;
        bytes[1] = (byte)kline.Interval;
        bytes[2] = (byte)((kline.IsFinal ? Final : 0) | (hasVolume ? ShowsVolume : 0));
        bytes[3] = 0;
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[4..], symbolId);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[8..], epoch);
        BinaryPrimitives.WriteInt64LittleEndian(bytes[16..], seq);
        BinaryPrimitives.WriteDoubleLittleEndian(bytes[24..], now);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[32..], (uint)kline.OpenTime.ToUnixTimeSeconds());
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[36..], (uint)kline.UpdateCount);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[40..], (uint)kline.Revision);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[44..], (uint)Math.Min(kline.TradeCount, uint.MaxValue));
        BinaryPrimitives.WriteDoubleLittleEndian(bytes[48..], KlineJson.ToDouble(kline.Open.Value));
        BinaryPrimitives.WriteDoubleLittleEndian(bytes[56..], KlineJson.ToDouble(kline.High.Value));
        BinaryPrimitives.WriteDoubleLittleEndian(bytes[64..], KlineJson.ToDouble(kline.Low.Value));
        BinaryPrimitives.WriteDoubleLittleEndian(bytes[72..], KlineJson.ToDouble(kline.Close.Value));
        BinaryPrimitives.WriteDoubleLittleEndian(bytes[80..], KlineJson.ToDouble(kline.BaseVolume));
        BinaryPrimitives.WriteDoubleLittleEndian(bytes[88..], KlineJson.ToDouble(kline.QuoteVolume));
    }
}
