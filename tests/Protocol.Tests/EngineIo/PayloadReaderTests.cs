using System.Buffers;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using KlineOrleans.Protocol.EngineIo;

namespace KlineOrleans.Protocol.Tests.EngineIo;

public sealed class PayloadReaderTests
{
    [Theory]
    [InlineData("4hello", "Message:hello")]
    [InlineData("4", "Message:")]
    [InlineData("2", "Ping:")]
    [InlineData("2probe", "Ping:probe")]
    [InlineData("4a\u001e4b\u001e4c", "Message:a Message:b Message:c")]
    [InlineData("4hello\u001ebAQIDBA==", "Message:hello Base64:AQIDBA==")]
    [InlineData("b", "Base64:")]
    [InlineData("1", "Close:")]
    [InlineData("5", "Upgrade:")]
    [InlineData("0{}\u001e6", "Open:{} Noop:")]
    [InlineData("4é€😀\u001e4ü", "Message:é€😀 Message:ü")]
    [InlineData("", "!EmptyPacket")]
    [InlineData("\u001e4a", "!EmptyPacket")]
    [InlineData("4a\u001e", "Message:a !EmptyPacket")]
    [InlineData("4a\u001e\u001e4b", "Message:a !EmptyPacket")]
    [InlineData("abc", "!UnknownType")]
    [InlineData("7", "!UnknownType")]
    [InlineData("/", "!UnknownType")]
    [InlineData("4a\u001ex", "Message:a !UnknownType")]
    [InlineData("bA", "!BadBase64")]
    [InlineData("bAQIDBA", "!BadBase64")]
    [InlineData("bAQ=DBA==", "!BadBase64")]
    [InlineData("b====", "!BadBase64")]
    [InlineData("bAQI-", "!BadBase64")]
    [InlineData("bAQ I", "!BadBase64")]
    public void Payload_is_read_the_same_wherever_it_is_cut(string body, string expected)
    {
        foreach (var cut in Segments.Cuts(Encoding.UTF8.GetBytes(body)))
            Assert.Equal(expected, Describe(cut));
    }

    [Fact]
    public void Text_that_is_not_utf8_is_refused_wherever_it_is_cut()
    {
        byte[][] bad = [[0xff], [0xc3], [0xe2, 0x82], [0xf0, 0x9f, 0x98], [0xed, 0xa0, 0x80], [0xc0, 0x80], [0x80], [0x41, 0xe2, 0x82, 0x41]];
        foreach (var bytes in bad)
        {
            foreach (var cut in Segments.Cuts([(byte)'4', .. bytes]))
                Assert.Equal("!BadText", Describe(cut));
        }
    }

    [Fact]
    public void Large_packet_is_read_whole()
    {
        var text = new string('x', 3_000_000);
        Assert.Equal(text.Length, Read(Segments.Whole("4" + text)).Single().Packet.Data.Length);
    }

    [Fact]
    public void Reader_says_end_again_and_again_after_the_last_packet_and_after_a_bad_one()
    {
        foreach (var body in (string[])["4a", "x"])
        {
            var reader = new PayloadReader(Segments.Whole(body));
            reader.Read(out _);
            Assert.Equal(EngineReadStatus.End, reader.Read(out _));
            Assert.Equal(EngineReadStatus.End, reader.Read(out _));
        }
    }

    [Fact]
    public void Decode_undoes_encode() => Prop.ForAll(
        ArbMap.Default.ArbFor<(NonNull<string> Text, byte[] Data, bool IsBinary)[]>(),
        packets =>
        {
            if (packets is null || packets.Length == 0)
                return true;

            var body = new ArrayBufferWriter<byte>();
            var expected = new List<string>();
            foreach (var (text, data, isBinary) in packets)
            {
                if (expected.Count > 0)
                    EnginePacketWriter.WriteSeparator(body);

                var clean = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text.Get.Replace("\u001e", "", StringComparison.Ordinal)));
                if (isBinary)
                    EnginePacketWriter.WriteBase64(body, data ?? []);
                else
                    EnginePacketWriter.Write(body, EnginePacketType.Message, Encoding.UTF8.GetBytes(clean));
                expected.Add(isBinary ? Convert.ToHexString(data ?? []) : clean);
            }

            foreach (var sequence in new[] { new ReadOnlySequence<byte>(body.WrittenMemory), Segments.Of(body.WrittenSpan.ToArray().Select(b => new[] { b })) })
            {
                var read = Read(sequence).Select(r => r.Packet.IsBase64 ? Convert.ToHexString(Decode(r.Packet.Data)) : r.Packet.Data.Text());
                if (!read.SequenceEqual(expected))
                    return false;
            }

            return true;
        }).QuickCheckThrowOnFailure();

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3071)]
    [InlineData(3072)]
    [InlineData(3073)]
    [InlineData(100_000)]
    public void Base64_of_any_length_comes_back(int length)
    {
        var data = new byte[length];
        new Random(length).NextBytes(data);
        var written = new ArrayBufferWriter<byte>();
        Base64Data.Write(written, data);
        Assert.Equal(Convert.ToBase64String(data), Encoding.ASCII.GetString(written.WrittenSpan));
        Assert.Equal(data, Decode(new ReadOnlySequence<byte>(written.WrittenMemory)));
        Assert.Equal(data, Decode(Segments.Of(written.WrittenSpan.ToArray().Chunk(7))));
    }

    [Fact]
    public void Writers_allocate_nothing()
    {
        var writer = new ArrayBufferWriter<byte>(1 << 16);
        var data = new byte[1000];
        Write();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
            Write();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Write()
        {
            writer.ResetWrittenCount();
            EnginePacketWriter.Write(writer, EnginePacketType.Message, data);
            EnginePacketWriter.WriteSeparator(writer);
            EnginePacketWriter.WriteBase64(writer, data);
        }
    }

    [Fact]
    public void Handshake_has_exactly_the_five_keys()
    {
        var writer = new ArrayBufferWriter<byte>();
        new Handshake("abc", CanUpgrade: true, 300, 200, 1_000_000).Write(writer);
        Assert.Equal("""0{"sid":"abc","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}""", Encoding.UTF8.GetString(writer.WrittenSpan));

        writer.ResetWrittenCount();
        new Handshake("a\"\\\n", CanUpgrade: false, 25_000, 60_000, 1).Write(writer);
        Assert.Equal("""0{"sid":"a\"\\\u000a","upgrades":[],"pingInterval":25000,"pingTimeout":60000,"maxPayload":1}""", Encoding.UTF8.GetString(writer.WrittenSpan));
    }

    private static byte[] Decode(ReadOnlySequence<byte> base64)
    {
        var data = new byte[Base64Data.DecodedLength(base64)];
        Assert.Equal(data.Length, Base64Data.Decode(base64, data));
        return data;
    }

    private static string Describe(ReadOnlySequence<byte> body) => string.Join(' ', Read(body).Select(r =>
        r.Status != EngineReadStatus.Ok ? "!" + r.Status : $"{(r.Packet.IsBase64 ? "Base64" : r.Packet.Type)}:{r.Packet.Data.Text()}"));

    private static List<(EngineReadStatus Status, EnginePacket Packet)> Read(ReadOnlySequence<byte> body)
    {
        var all = new List<(EngineReadStatus, EnginePacket)>();
        var reader = new PayloadReader(body);
        while (true)
        {
            var status = reader.Read(out var packet);
            if (status == EngineReadStatus.End)
                return all;
            all.Add((status, packet));
        }
    }
}
