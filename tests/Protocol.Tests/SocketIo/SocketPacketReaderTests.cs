using System.Buffers;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using KlineOrleans.Protocol.SocketIo;

namespace KlineOrleans.Protocol.Tests.SocketIo;

public sealed class SocketPacketReaderTests
{
    private static readonly SocketPacketReader Reader = new();

    [Theory]
    [InlineData("0", "Connect / -")]
    [InlineData("0{\"token\":\"123\"}", "Connect / - {\"token\":\"123\"}")]
    [InlineData("0/custom,", "Connect /custom -")]
    [InlineData("0/custom", "Connect /custom -")]
    [InlineData("0/,{}", "Connect / - {}")]
    [InlineData("0/custom,{\"a\":[1]}", "Connect /custom - {\"a\":[1]}")]
    [InlineData("0/custom?x=1,", "Connect /custom?x=1 -")]
    [InlineData("1", "Disconnect / -")]
    [InlineData("1/custom", "Disconnect /custom -")]
    [InlineData("1/custom,", "Disconnect /custom -")]
    [InlineData("2[\"message\",1,\"2\",{\"3\":[true]}]", "Event / - [\"message\",1,\"2\",{\"3\":[true]}]")]
    [InlineData("2[1]", "Event / - [1]")]
    [InlineData("2456[\"a\"]", "Event / 456 [\"a\"]")]
    [InlineData("2/kline,18446744073709551615[\"a\"]", "Event /kline 18446744073709551615 [\"a\"]")]
    [InlineData("3456[]", "Ack / 456 []")]
    [InlineData("3/ünï,0[{\"a\":1}]", "Ack /ünï 0 [{\"a\":1}]")]
    [InlineData("4{\"message\":\"no\"}", "ConnectError / - {\"message\":\"no\"}")]
    [InlineData("51-[\"a\",{\"_placeholder\":true,\"num\":0}]", "BinaryEvent+1 / - [\"a\",{\"_placeholder\":true,\"num\":0}]")]
    [InlineData("510-/k,7[\"a\",[[{\"num\":9,\"_placeholder\":true}]]]", "BinaryEvent+10 /k 7 [\"a\",[[{\"num\":9,\"_placeholder\":true}]]]")]
    [InlineData("62-789[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]", "BinaryAck+2 / 789 [{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]")]
    [InlineData("51-[\"a\",{\"_placeholder\":false,\"num\":7},{\"num\":\"x\"}]", "BinaryEvent+1 / - [\"a\",{\"_placeholder\":false,\"num\":7},{\"num\":\"x\"}]")]
    [InlineData("2[\"a\",{\"_placeholder\":true,\"num\":9}]", "Event / - [\"a\",{\"_placeholder\":true,\"num\":9}]")]
    [InlineData("2[\"é€😀\"]", "Event / - [\"é€😀\"]")]
    [InlineData("", "!Empty")]
    [InlineData("a", "!UnknownType")]
    [InlineData("7", "!UnknownType")]
    [InlineData("abc", "!UnknownType")]
    [InlineData("-1", "!UnknownType")]
    [InlineData("5[\"a\"]", "!BadAttachmentCount")]
    [InlineData("5-[\"a\"]", "!BadAttachmentCount")]
    [InlineData("50-[\"a\"]", "!BadAttachmentCount")]
    [InlineData("5-1-[\"a\"]", "!BadAttachmentCount")]
    [InlineData("511-[\"a\"]", "!BadAttachmentCount")]
    [InlineData("51[\"a\"]", "!BadAttachmentCount")]
    [InlineData("51", "!BadAttachmentCount")]
    [InlineData("599999999999999999999-[\"a\"]", "!BadAttachmentCount")]
    [InlineData("51e1-[\"a\"]", "!BadAttachmentCount")]
    [InlineData("218446744073709551616[\"a\"]", "!BadAckId")]
    [InlineData("299999999999999999999999[\"a\"]", "!BadAckId")]
    [InlineData("3[]", "!BadAckId")]
    [InlineData("61-[]", "!BadAckId")]
    [InlineData("012{}", "!BadAckId")]
    [InlineData("15", "!BadAckId")]
    [InlineData("2abc[\"a\"]", "!BadJson")]
    [InlineData("2-1[\"a\"]", "!BadJson")]
    [InlineData("2[\"a\"", "!BadJson")]
    [InlineData("2[\"a\"]x", "!BadJson")]
    [InlineData("2[\"a\"][\"b\"]", "!BadJson")]
    [InlineData("2[\"a\",]", "!BadJson")]
    [InlineData("2[\"a\",NaN]", "!BadJson")]
    [InlineData("2['a']", "!BadJson")]
    [InlineData("2[\"a\"/**/]", "!BadJson")]
    [InlineData("2", "!BadShape")]
    [InlineData("25", "!BadShape")]
    [InlineData("2{}", "!BadShape")]
    [InlineData("2[]", "!BadShape")]
    [InlineData("2\"a\"", "!BadShape")]
    [InlineData("2null", "!BadShape")]
    [InlineData("2[null]", "!BadShape")]
    [InlineData("2[{}]", "!BadShape")]
    [InlineData("2[[\"a\"]]", "!BadShape")]
    [InlineData("2[true]", "!BadShape")]
    [InlineData("31{}", "!BadShape")]
    [InlineData("31", "!BadShape")]
    [InlineData("0[]", "!BadShape")]
    [InlineData("0\"a\"", "!BadShape")]
    [InlineData("0null", "!BadShape")]
    [InlineData("1{}", "!BadShape")]
    [InlineData("1/custom,[]", "!BadShape")]
    [InlineData("4", "!BadShape")]
    [InlineData("2[\"connect\"]", "!ReservedEvent")]
    [InlineData("2[\"connect_error\",1]", "!ReservedEvent")]
    [InlineData("2[\"disconnect\"]", "!ReservedEvent")]
    [InlineData("2[\"disconnecting\"]", "!ReservedEvent")]
    [InlineData("2[\"newListener\"]", "!ReservedEvent")]
    [InlineData("2[\"removeListener\"]", "!ReservedEvent")]
    [InlineData("2[\"\\u0063onnect\"]", "!ReservedEvent")]
    [InlineData("51-[\"disconnect\"]", "!ReservedEvent")]
    [InlineData("51-[\"a\",{\"_placeholder\":true,\"num\":1}]", "!BadPlaceholder")]
    [InlineData("51-[\"a\",{\"_placeholder\":true,\"num\":-1}]", "!BadPlaceholder")]
    [InlineData("51-[\"a\",{\"_placeholder\":true,\"num\":\"splice\"}]", "!BadPlaceholder")]
    [InlineData("51-[\"a\",{\"_placeholder\":true,\"num\":0.5}]", "!BadPlaceholder")]
    [InlineData("51-[\"a\",{\"_placeholder\":true}]", "!BadPlaceholder")]
    [InlineData("51-[\"a\",{\"_placeholder\":true,\"num\":{\"num\":0}}]", "!BadPlaceholder")]
    [InlineData("51-[\"a\",{\"x\":[{\"y\":{\"_placeholder\":true,\"num\":2}}]}]", "!BadPlaceholder")]
    [InlineData("51-[\"a\",{\"num\":0},{\"_placeholder\":true}]", "!BadPlaceholder")]
    public void Packet_is_read_the_same_wherever_it_is_cut(string text, string expected)
    {
        foreach (var cut in Segments.Cuts(Encoding.UTF8.GetBytes(text)))
            Assert.Equal(expected, Describe(cut));
    }

    [Fact]
    public void Every_beginning_of_a_packet_gives_a_status_and_never_an_exception()
    {
        var packet = Encoding.UTF8.GetBytes("52-/kline,789[\"message\",{\"_placeholder\":true,\"num\":0},[1.5e3,\"\\u00e9é\",null,{\"_placeholder\":true,\"num\":1}]]");
        for (var length = 0; length < packet.Length; length++)
        {
            foreach (var cut in Segments.Cuts(packet[..length]))
                Assert.StartsWith("!", Describe(cut), StringComparison.Ordinal);
        }

        Assert.StartsWith("BinaryEvent+2", Describe(new ReadOnlySequence<byte>(packet)), StringComparison.Ordinal);
    }

    [Fact]
    public void Nesting_up_to_the_bound_is_read_and_one_more_is_refused()
    {
        Assert.Equal(SocketReadStatus.Ok, Read("2[\"a\"," + new string('[', 15) + new string(']', 15) + "]"));
        Assert.Equal(SocketReadStatus.BadJson, Read("2[\"a\"," + new string('[', 16) + new string(']', 16) + "]"));
        Assert.Equal(SocketReadStatus.BadJson, Read("2[\"a\"," + new string('[', 100_000)));
    }

    [Fact]
    public void Namespace_above_the_bound_is_refused()
    {
        Assert.Equal(SocketReadStatus.Ok, Read("0/" + new string('n', SocketPacketReader.MaxNamespaceLength - 1)));
        Assert.Equal(SocketReadStatus.BadNamespace, Read("0/" + new string('n', SocketPacketReader.MaxNamespaceLength)));
        Assert.Equal(SocketReadStatus.BadNamespace, Read("0/" + new string('n', 1_000_000) + ","));
    }

    [Fact]
    public void Large_event_is_read_whole()
    {
        var text = "2[\"a\",\"" + new string('x', 2_000_000) + "\"]";
        Assert.Equal(SocketReadStatus.Ok, Reader.Read(Segments.Whole(text), out var packet));
        Assert.Equal(text.Length - 1, packet.Payload.Length);
    }

    [Fact]
    public void Text_that_is_not_utf8_is_refused()
    {
        foreach (var cut in Segments.Cuts([.. "2[\"a"u8, 0xff, .. "\"]"u8]))
            Assert.Equal("!BadJson", Describe(cut));
        foreach (var cut in Segments.Cuts([.. "0/"u8, 0xe2, 0x82, .. ","u8]))
            Assert.Equal("!BadJson", Describe(cut));
    }

    [Theory]
    [InlineData("[\"a\"]", "a", "")]
    [InlineData("[\"a\" ]", "a", "")]
    [InlineData("[ \"a\" , 1 , {\"b\":[ ]} ]", "a", "1 , {\"b\":[ ]} ")]
    [InlineData("[7,\"x\"]", "7", "\"x\"")]
    [InlineData("[\"a\",[1,[2]],\"]\"]", "a", "[1,[2]],\"]\"")]
    [InlineData("[\"\\u0061\\n\",null]", "a\n", "null")]
    public void Event_payload_gives_name_and_arguments(string json, string name, string arguments)
    {
        var payload = Encoding.UTF8.GetBytes(json);
        Assert.True(EventPayload.TryRead(payload, out var readName, out var range));
        Assert.Equal(name, readName);
        Assert.Equal(arguments, Encoding.UTF8.GetString(payload[range]));
    }

    [Fact]
    public void Event_name_with_half_a_surrogate_pair_is_a_status()
    {
        Assert.False(EventPayload.TryRead("[\"\\ud800\"]"u8, out _, out _));
        Assert.Contains(Read("2[\"\\ud800\"]"), (SocketReadStatus[])[SocketReadStatus.Ok, SocketReadStatus.BadJson]);
    }

    [Fact]
    public void Placeholder_with_half_a_surrogate_pair_in_a_name_is_none() =>
        Assert.False(EventPayload.TryReadPlaceholder("{\"\\ud800\\u0063\":true,\"num\":0}"u8, out _));

    [Fact]
    public void Items_of_an_array_are_slices_of_its_text()
    {
        var payload = Encoding.UTF8.GetBytes("[\"a\", 1.0 ,{\"b\":[1,2]},[],null,\"x,y\"]");
        var items = new List<Range>();
        EventPayload.ReadItems(payload, items);
        Assert.Equal(["\"a\"", "1.0", "{\"b\":[1,2]}", "[]", "null", "\"x,y\""], items.Select(i => Encoding.UTF8.GetString(payload[i])));
    }

    [Fact]
    public void Decode_undoes_encode() => Prop.ForAll(
        ArbMap.Default.ArbFor<(NonNull<string> Name, NonNull<string> Namespace, ulong? Id, int[] Numbers, byte Attachments)>(),
        sample =>
        {
            var name = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes("e" + sample.Name.Get));
            var ns = sample.Namespace.Get.Length == 0 ? "" : "/" + Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(sample.Namespace.Get.Replace(",", "", StringComparison.Ordinal)));
            ns = ns.Length > 60 ? "/long" : ns == "/" ? "" : ns;
            var attachments = sample.Attachments % 11;
            var arguments = string.Join(',', [
                .. (sample.Numbers ?? []).Select(n => n.ToString(System.Globalization.CultureInfo.InvariantCulture)),
                .. Enumerable.Range(0, attachments).Select(n => $"{{\"_placeholder\":true,\"num\":{n}}}")]);

            var written = new ArrayBufferWriter<byte>();
            SocketPacketWriter.WriteEvent(written, Encoding.UTF8.GetBytes(ns), sample.Id, name, Encoding.UTF8.GetBytes(arguments), attachments);
            foreach (var sequence in new[] { new ReadOnlySequence<byte>(written.WrittenMemory), Segments.Of(written.WrittenSpan.ToArray().Select(b => new[] { b })) })
            {
                if (Reader.Read(sequence, out var packet) != SocketReadStatus.Ok ||
                    packet.Namespace.Text() != ns || packet.AckId != sample.Id || packet.Attachments != attachments ||
                    packet.Type != (attachments == 0 ? SocketPacketType.Event : SocketPacketType.BinaryEvent))
                    return false;

                var payload = packet.Payload.ToArray();
                if (!EventPayload.TryRead(payload, out var readName, out var range) || readName != name || Encoding.UTF8.GetString(payload[range]) != arguments)
                    return false;
            }

            return true;
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Writers_write_what_the_reference_server_writes()
    {
        var written = new ArrayBufferWriter<byte>();
        SocketPacketWriter.WriteConnect(written, "/custom"u8, "abc");
        Assert.Equal("0/custom,{\"sid\":\"abc\"}", Take());
        SocketPacketWriter.WriteConnect(written, default, "abc");
        Assert.Equal("0{\"sid\":\"abc\"}", Take());
        SocketPacketWriter.WriteConnectError(written, "/random"u8, "Invalid namespace", default);
        Assert.Equal("4/random,{\"message\":\"Invalid namespace\"}", Take());
        SocketPacketWriter.WriteConnectError(written, "/"u8, "no \"way\" \u0001 \ud800é😀", "[1]"u8);
        Assert.Equal("4{\"message\":\"no \\\"way\\\" \\u0001 \ufffdé😀\",\"data\":[1]}", Take());
        SocketPacketWriter.WriteDisconnect(written, "/custom"u8);
        Assert.Equal("1/custom,", Take());
        SocketPacketWriter.WriteEvent(written, "/custom"u8, 12, "a", "1,2"u8, 2);
        Assert.Equal("52-/custom,12[\"a\",1,2]", Take());
        SocketPacketWriter.WriteEvent(written, default, null, "a", default);
        Assert.Equal("2[\"a\"]", Take());
        SocketPacketWriter.WriteAck(written, default, 456, "1,\"2\""u8);
        Assert.Equal("3456[1,\"2\"]", Take());
        SocketPacketWriter.WriteAck(written, "/k"u8, ulong.MaxValue, default, 10);
        Assert.Equal("610-/k,18446744073709551615[]", Take());

        string Take()
        {
            var text = Encoding.UTF8.GetString(written.WrittenSpan);
            written.ResetWrittenCount();
            return text;
        }
    }

    [Fact]
    public void Writers_allocate_nothing()
    {
        var writer = new ArrayBufferWriter<byte>(1 << 16);
        Write();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
            Write();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Write()
        {
            writer.ResetWrittenCount();
            SocketPacketWriter.WriteEvent(writer, "/kline"u8, 12, "kline_data", "{\"symbol\":\"é\"}"u8);
            SocketPacketWriter.WriteConnectError(writer, "/kline"u8, "Invalid \"namespace\"", default);
            SocketPacketWriter.WriteAck(writer, default, 456, "1"u8, 3);
        }
    }

    private static SocketReadStatus Read(string text) => Reader.Read(Segments.Whole(text), out _);

    private static string Describe(ReadOnlySequence<byte> text)
    {
        var status = Reader.Read(text, out var packet);
        if (status != SocketReadStatus.Ok)
            return "!" + status;

        var attachments = packet.Attachments > 0 ? $"+{packet.Attachments}" : "";
        var ns = packet.Namespace.IsEmpty ? "/" : packet.Namespace.Text();
        return $"{packet.Type}{attachments} {ns} {packet.AckId?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "-"} {packet.Payload.Text()}".TrimEnd();
    }
}
