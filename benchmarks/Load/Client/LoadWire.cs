using System.Globalization;
using System.Text;

namespace KlineOrleans.Benchmarks.Load;

/// <summary>What a message turned out to be.</summary>
internal enum MessageKind
{
    Other,

    /// <summary>Klines of a subscription.</summary>
    Update,

    /// <summary>The server took the connection: subscribe now.</summary>
    Ready,

    /// <summary>A subscription is confirmed.</summary>
    Subscribed,

    /// <summary>Wants <see cref="LoadWire.Answer"/>.</summary>
    Ping,

    /// <summary>A refusal.</summary>
    Error,
}

/// <summary>The little of a wire that a load client must know. No JSON is parsed: updates are recognised by how they begin.</summary>
internal abstract class LoadWire
{
    public static LoadWire Of(string name) => name switch
    {
        "raw" => new RawWire("/ws"),
        "binary" => new BinaryWire(),
        "socketio" => new SocketIoLoadWire(),
        "signalr" => new SignalRLoadWire(),
        _ => throw new ArgumentException($"--wire: '{name}' is not a wire. Allowed: raw, binary, socketio, signalr."),
    };

    public abstract string Path { get; }

    /// <summary>What is sent once the WebSocket is open; empty for nothing.</summary>
    public virtual byte[] First => [];

    public virtual byte[] Answer => [];

    /// <summary>Sent every 15 s; empty for nothing.</summary>
    public virtual byte[] KeepAlive => [];

    /// <summary>Whether one frame may hold several messages, each ended by 0x1e.</summary>
    public virtual bool HasRecords => false;

    /// <summary>The bytes before a message's time of encoding.</summary>
    public abstract byte[] SentAt { get; }

    public abstract byte[][] Subscribe(string symbol, string[] intervals);

    public abstract MessageKind Kind(ReadOnlySpan<byte> message);

    /// <summary>Position and the stamp of the trade's arrival, which the feed writes as its price.</summary>
    public virtual void Read(ReadOnlySpan<byte> message, out long seq, out long stamp)
    {
        var tail = message.Length > 96 ? message[^96..] : message;
        var at = tail.LastIndexOf("\"seq\":"u8);
        seq = at < 0 ? Number(message, "\"seq\":"u8) : Number(tail[(at + 6)..]);
        stamp = Number(message, "\"close\":"u8);
    }

    /// <summary>Whether a clock brought it, the end of a kline or the beginning of one without trades: how long the last trade is ago says nothing.</summary>
    public virtual bool IsOfClock(ReadOnlySpan<byte> message) => message.IndexOf("\"is_final\":true"u8) >= 0 || message.IndexOf("\"trade_count\":0,"u8) >= 0;

    /// <summary>The symbol's number, which its name ends with.</summary>
    public virtual int Symbol(ReadOnlySpan<byte> message)
    {
        var at = message.IndexOf("\"symbol\":\""u8) + 10;
        var end = message[at..].IndexOf((byte)'"') + at;
        return (int)Number(message[(end - 5)..end]);
    }

    /// <summary>The interval, as its bytes.</summary>
    public virtual ReadOnlySpan<byte> Interval(ReadOnlySpan<byte> message)
    {
        var at = message.IndexOf("\"interval\":\""u8) + 12;
        return message[at..(message[at..].IndexOf((byte)'"') + at)];
    }

    /// <summary>A whole text frame as a client sends it, with a mask of zeros.</summary>
    public static byte[] Frame(string text, byte opcode = 0x81)
    {
        var body = Encoding.UTF8.GetBytes(text);
        byte[] header = body.Length < 126
            ? [opcode, (byte)(0x80 | body.Length), 0, 0, 0, 0]
            : [opcode, 0x80 | 126, (byte)(body.Length >> 8), (byte)body.Length, 0, 0, 0, 0];
        return [.. header, .. body];
    }

    public static long Number(ReadOnlySpan<byte> message, ReadOnlySpan<byte> key)
    {
        var at = message.IndexOf(key);
        return at < 0 ? -1 : Number(message[(at + key.Length)..]);
    }

    public static long Number(ReadOnlySpan<byte> digits)
    {
        var value = 0L;
        foreach (var digit in digits)
        {
            if (digit is < (byte)'0' or > (byte)'9')
            {
                break;
            }

            value = (value * 10) + (digit - '0');
        }

        return value;
    }
}

internal class RawWire(string path) : LoadWire
{
    public override string Path => path;

    public override byte[] SentAt { get; } = "\"timestamp\":"u8.ToArray();

    public override byte[][] Subscribe(string symbol, string[] intervals) =>
        [.. intervals.Select(i => Frame($"{{\"msg_type\":\"subscribe\",\"symbol\":\"{symbol}\",\"interval\":\"{i}\",\"limit\":1}}"))];

    public override MessageKind Kind(ReadOnlySpan<byte> message) =>
        message.StartsWith("{\"type\":\"kline_data\""u8) ? MessageKind.Update
        : message.StartsWith("{\"type\":\"subscription_confirmed\""u8) ? MessageKind.Subscribed
        : message.StartsWith("{\"type\":\"connection_success\""u8) ? MessageKind.Ready
        : message.StartsWith("{\"type\":\"error\""u8) ? MessageKind.Error
        : MessageKind.Other;
}

/// <summary>/ws with format=binary (docs/wire/websocket.md): updates are binary messages, everything else is text.</summary>
internal sealed class BinaryWire() : RawWire("/ws?format=binary")
{
    public override MessageKind Kind(ReadOnlySpan<byte> message) =>
        message.Length > 0 && message[0] == 1 ? MessageKind.Update : base.Kind(message);

    public override void Read(ReadOnlySpan<byte> message, out long seq, out long stamp)
    {
        seq = System.Buffers.Binary.BinaryPrimitives.ReadInt64LittleEndian(message[16..]);
        stamp = (long)System.Buffers.Binary.BinaryPrimitives.ReadDoubleLittleEndian(message[72..]);
    }

    public override bool IsOfClock(ReadOnlySpan<byte> message) => (message[2] & 1) != 0 || System.Buffers.Binary.BinaryPrimitives.ReadUInt32LittleEndian(message[44..]) == 0;
}

internal sealed class SocketIoLoadWire : LoadWire
{
    public override string Path => "/socket.io/?EIO=4&transport=websocket";

    public override byte[] First { get; } = Frame("40");

    public override byte[] Answer { get; } = Frame("3");

    public override byte[] SentAt { get; } = "\"timestamp\":"u8.ToArray();

    public override byte[][] Subscribe(string symbol, string[] intervals) =>
        [.. intervals.Select(i => Frame($"42[\"subscribe\",{{\"symbol\":\"{symbol}\",\"interval\":\"{i}\",\"limit\":1}}]"))];

    public override MessageKind Kind(ReadOnlySpan<byte> message) =>
        message.StartsWith("42[\"kline_data\""u8) ? MessageKind.Update
        : message.SequenceEqual("2"u8) ? MessageKind.Ping
        : message.StartsWith("40{"u8) ? MessageKind.Ready
        : message.StartsWith("42[\"subscription_confirmed\""u8) ? MessageKind.Subscribed
        : message.StartsWith("42[\"error\""u8) || message.StartsWith("44"u8) ? MessageKind.Error
        : MessageKind.Other;
}

internal sealed class SignalRLoadWire : LoadWire
{
    public override string Path => "/hubs/kline";

    public override byte[] First { get; } = Frame("{\"protocol\":\"json\",\"version\":1}\u001e");

    public override byte[] KeepAlive { get; } = Frame("{\"type\":6}\u001e");

    public override bool HasRecords => true;

    public override byte[] SentAt { get; } = "\"sentAt\":"u8.ToArray();

    public override bool IsOfClock(ReadOnlySpan<byte> message) => message.IndexOf("\"isFinal\":true"u8) >= 0 || message.IndexOf("\"trades\":0,"u8) >= 0;

    public override byte[][] Subscribe(string symbol, string[] intervals) =>
        [Frame($"{{\"type\":1,\"invocationId\":\"1\",\"target\":\"Subscribe\",\"arguments\":[{{\"symbol\":\"{symbol}\",\"intervals\":[{string.Join(',', intervals.Select(i => $"\"{i}\""))}],\"limit\":1}}]}}\u001e")];

    public override MessageKind Kind(ReadOnlySpan<byte> message) =>
        message.StartsWith("{\"type\":1,\"target\":\"kline\""u8) ? MessageKind.Update
        : message.SequenceEqual("{}"u8) ? MessageKind.Ready
        : message.StartsWith("{\"type\":3"u8) ? (message.IndexOf("\"error\":"u8) >= 0 ? MessageKind.Error : MessageKind.Subscribed)
        : message.StartsWith("{\"type\":7"u8) ? MessageKind.Error
        : MessageKind.Other;
}

/// <summary>The names and intervals that a run uses.</summary>
internal static class LoadNames
{
    /// <summary>As long as a mint's name; ends with its number.</summary>
    public static string Symbol(int number) => string.Create(CultureInfo.InvariantCulture, $"LoadLoadLoadLoadLoadLoadLoadLoadLoad{number:00000}");
}
