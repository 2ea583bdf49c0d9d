using System.Buffers;
using System.Buffers.Text;
using KlineOrleans.Protocol.Text;

namespace KlineOrleans.Protocol.EngineIo;

/// <summary>What a server tells a client that opens a session.</summary>
/// <param name="Sid">The session's secret id.</param>
/// <param name="CanUpgrade">Whether the client may move on to WebSocket.</param>
/// <param name="PingIntervalMilliseconds">Time from a pong to the next ping.</param>
/// <param name="PingTimeoutMilliseconds">Time a ping may wait for its pong.</param>
/// <param name="MaxPayload">The largest body or frame that the server takes, in bytes.</param>
public readonly record struct Handshake(string Sid, bool CanUpgrade, long PingIntervalMilliseconds, long PingTimeoutMilliseconds, long MaxPayload)
{
    /// <summary>Writes the open packet: <c>0</c> and a JSON object with exactly the five keys of protocol 4.</summary>
    public void Write(IBufferWriter<byte> writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.Write("0{\"sid\":"u8);
        JsonText.WriteString(writer, Sid);
        writer.Write(CanUpgrade ? ",\"upgrades\":[\"websocket\"],\"pingInterval\":"u8 : ",\"upgrades\":[],\"pingInterval\":"u8);
        WriteNumber(writer, PingIntervalMilliseconds);
        writer.Write(",\"pingTimeout\":"u8);
        WriteNumber(writer, PingTimeoutMilliseconds);
        writer.Write(",\"maxPayload\":"u8);
        WriteNumber(writer, MaxPayload);
        writer.Write("}"u8);
    }

    private static void WriteNumber(IBufferWriter<byte> writer, long number)
    {
        Utf8Formatter.TryFormat(number, writer.GetSpan(20), out var written);
        writer.Advance(written);
    }
}
