using System.Buffers;
using System.Text;
using BenchmarkDotNet.Attributes;
using KlineOrleans.Protocol.EngineIo;
using KlineOrleans.Protocol.SocketIo;

namespace KlineOrleans.Benchmarks.Micro;

/// <summary>
/// Reading a client's packet and writing an update. Writing is hot: once per update, namespace and encoding, whatever the number of subscribers; it must not allocate.
/// Reading is not (a client sends a few packets a second), but is what a hostile client can make us do.
/// </summary>
[MemoryDiagnoser]
public class ProtocolBenchmarks
{
    private static readonly byte[] Subscribe = Encoding.UTF8.GetBytes("2/kline,7[\"subscribe\",{\"symbol\":\"9BB6NFEcjBCtnNLFko2FqVQBq8HHM13kCyYcdQbgpump\",\"interval\":\"s1\",\"subscription_id\":\"abc\"}]");
    private static readonly byte[] Payload = Encoding.UTF8.GetBytes(string.Join('\u001e', Enumerable.Repeat("4" + Encoding.UTF8.GetString(Subscribe), 10)));
    private static readonly byte[] Candle = Encoding.UTF8.GetBytes(
        "{\"symbol\":\"9BB6NFEcjBCtnNLFko2FqVQBq8HHM13kCyYcdQbgpump\",\"interval\":\"s1\",\"data\":{\"time\":1767571200,\"open\":0.000028,\"high\":0.000029,\"low\":0.000028,\"close\":0.000029,\"volume\":0,\"is_final\":false},\"seq\":12}");

    private static readonly byte[] Binary = new byte[1024];
    private readonly ArrayBufferWriter<byte> _writer = new(1 << 16);
    private readonly SocketPacketReader _reader = new();

    [Benchmark]
    public SocketReadStatus ReadSubscribe() => _reader.Read(new ReadOnlySequence<byte>(Subscribe), out _);

    [Benchmark(OperationsPerInvoke = 10)]
    public int ReadPayloadOfTenPackets()
    {
        var reader = new PayloadReader(new ReadOnlySequence<byte>(Payload));
        var count = 0;
        while (reader.Read(out _) == EngineReadStatus.Ok)
            count++;
        return count;
    }

    [Benchmark]
    public int WriteEvent()
    {
        _writer.ResetWrittenCount();
        EnginePacketWriter.Write(_writer, EnginePacketType.Message, default);
        SocketPacketWriter.WriteEvent(_writer, "/kline"u8, null, "kline_data", Candle);
        return _writer.WrittenCount;
    }

    [Benchmark]
    public int WriteBase64OfOneKilobyte()
    {
        _writer.ResetWrittenCount();
        EnginePacketWriter.WriteBase64(_writer, Binary);
        return _writer.WrittenCount;
    }
}
