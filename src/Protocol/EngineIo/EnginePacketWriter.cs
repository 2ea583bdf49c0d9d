using System.Buffers;

namespace KlineOrleans.Protocol.EngineIo;

/// <summary>Writes Engine.IO packets in their text form. Allocates nothing.</summary>
public static class EnginePacketWriter
{
    /// <summary>The first byte of a message: what the application writes after it is its own.</summary>
    public const byte MessagePrefix = (byte)'4';

    /// <summary>The first byte of a binary message in its text form.</summary>
    public const byte Base64Prefix = (byte)'b';

    /// <summary>The packet without data, as in a heartbeat (<c>2</c>) or a close (<c>1</c>).</summary>
    public static ReadOnlyMemory<byte> Bare(EnginePacketType type) => BarePackets.AsMemory((int)type, 1);

    private static readonly byte[] BarePackets = "0123456"u8.ToArray();

    /// <summary>Writes a packet with text. <paramref name="data"/> must be UTF-8.</summary>
    public static void Write(IBufferWriter<byte> writer, EnginePacketType type, ReadOnlySpan<byte> data)
    {
        ArgumentNullException.ThrowIfNull(writer);
        var span = writer.GetSpan(1);
        span[0] = (byte)('0' + (byte)type);
        writer.Advance(1);
        writer.Write(data);
    }

    /// <summary>Writes a binary message in its text form: <c>b</c>, then base64.</summary>
    public static void WriteBase64(IBufferWriter<byte> writer, ReadOnlySpan<byte> data)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.GetSpan(1)[0] = Base64Prefix;
        writer.Advance(1);
        Base64Data.Write(writer, data);
    }

    /// <summary>Writes what stands between two packets of one polling payload.</summary>
    public static void WriteSeparator(IBufferWriter<byte> writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.GetSpan(1)[0] = PayloadReader.Separator;
        writer.Advance(1);
    }
}
