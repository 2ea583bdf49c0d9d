using System.Buffers;
using System.Globalization;
using System.Text;
using KlineOrleans.Protocol.EngineIo;
using KlineOrleans.Protocol.SocketIo;

namespace KlineOrleans.Protocol.Tests;

/// <summary>Mutated packets: whatever the bytes, a reader answers a status, and where they are cut makes no difference.</summary>
public sealed class FuzzTests
{
    private static readonly byte[][] Seeds = Array.ConvertAll<string, byte[]>(
        [
            "4hello\u001ebAQIDBA==\u001e2probe\u001e3\u001e1\u001e5\u001e6", "0{\"sid\":\"x\"}", "b", "40", "40{\"token\":\"123\"}", "40/custom,{\"a\":[1]}", "41/custom",
            "42[\"message\",1,\"2\",{\"3\":[true]}]", "42/kline,456[\"subscribe\",{\"symbol\":\"é€😀\",\"interval\":[\"s1\",\"m5\"]}]", "43456[1,\"2\"]",
            "452-[\"message\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]", "462-789[{\"_placeholder\":true,\"num\":0},[{\"num\":1,\"_placeholder\":true}]]",
            "451-[\"m\",{\"\\ud800\\u0063\":true,\"num\":0}]", "44{\"message\":\"no\"}", "42[\"\\ud800\\u0063\",1e308,-0.0,null]", "4" + "2[" + new string('[', 20), "42[\"connect\"]",
        ],
        Encoding.UTF8.GetBytes);

    [Fact]
    public void Readers_survive_what_is_generated_and_mutated_wherever_it_is_cut()
    {
        // The quick form. KLINE_FUZZ=10000000 runs ten million.
        var count = int.Parse(Environment.GetEnvironmentVariable("KLINE_FUZZ") ?? "20000", CultureInfo.InvariantCulture);
        const int Lanes = 4;
        long accepted = 0, reads = 0, warm = 0;
        Parallel.For(0, Lanes, lane =>
        {
            var random = new Random(20260105 + lane);
            long taken = 0, read = 0;
            for (var i = 0; i < count / Lanes; i++)
            {
                if (lane == 0 && i == count / Lanes / 10)
                    warm = GC.GetTotalMemory(forceFullCollection: true);

                var bytes = Mutate(random, i % 3 == 0 ? Generate(random) : Seeds[random.Next(Seeds.Length)]);
                var whole = Run(new ReadOnlySequence<byte>(bytes), ref taken);
                for (var cut = 0; cut <= bytes.Length; cut++)
                    Same(bytes, whole, Segments.Of([bytes[..cut], bytes[cut..]]), $"cut at {cut}", ref taken);
                if (i % 16 == 0)
                    Same(bytes, whole, Segments.Of([.. bytes.SelectMany(static b => new byte[][] { [b], [] })]), "one byte per segment", ref taken);
                read += bytes.Length + 2;
            }

            Interlocked.Add(ref accepted, taken);
            Interlocked.Add(ref reads, read);
        });

        var grown = GC.GetTotalMemory(forceFullCollection: true) - warm;
        TestContext.Current.TestOutputHelper?.WriteLine($"{count:N0} inputs, {reads:N0} readings of them whole and cut, {accepted:N0} packets accepted; memory {warm:N0} bytes after a tenth, {grown:+#,0;-#,0;0} at the end");

        // Otherwise the mutations were too wild to reach anything.
        Assert.InRange(accepted, count / 20, long.MaxValue);
        Assert.InRange(grown, long.MinValue, 4 << 20);

        static void Same(byte[] bytes, string whole, ReadOnlySequence<byte> parts, string how, ref long taken)
        {
            var found = Run(parts, ref taken);
            Assert.True(whole == found, $"{how}: {Convert.ToHexString(bytes)}: {whole} but {found}");
        }
    }

    /// <summary>A payload of packets that are mostly right.</summary>
    private static byte[] Generate(Random random)
    {
        var text = new StringBuilder();
        for (var n = random.Next(1, 4); n > 0; n--)
        {
            if (text.Length > 0)
                text.Append('\u001e');
            switch (random.Next(8))
            {
                case 0:
                    text.Append('b').Append(Convert.ToBase64String(Enumerable.Range(0, random.Next(9)).Select(_ => (byte)random.Next(256)).ToArray()));
                    break;
                case 1:
                    text.Append(random.Next(7)).Append(random.Next(3) == 0 ? "probe" : "");
                    break;
                default:
                    var type = random.Next(7);
                    var attachments = random.Next(3);
                    text.Append('4').Append(type).Append(type >= 5 ? $"{attachments}-" : "").Append(((string[])["", "/kline,", "/é,", "/a"])[random.Next(4)]);
                    if (random.Next(3) == 0)
                        text.Append(random.NextInt64(random.Next(2) == 0 ? 100 : long.MaxValue));
                    Value(text, random, type is 2 or 3 or 5 or 6 ? 0 : 1, 0);
                    break;
            }
        }

        return Encoding.UTF8.GetBytes(text.ToString());
    }

    private static void Value(StringBuilder text, Random random, int kind, int depth)
    {
        switch (kind)
        {
            case 0:
                text.Append('[');
                for (var i = random.Next(4); i >= 0; i--)
                {
                    Value(text, random, random.Next(depth > 3 ? 2 : 0, 8), depth + 1);
                    text.Append(i > 0 ? "," : "");
                }

                text.Append(']');
                break;
            case 1:
                text.Append("{\"k\":");
                Value(text, random, random.Next(depth > 3 ? 2 : 0, 8), depth + 1);
                text.Append('}');
                break;
            case 2:
                text.Append("{\"_placeholder\":true,\"num\":").Append(random.Next(-1, 4)).Append('}');
                break;
            default:
                text.Append(((string[])["\"message\"", "\"é€😀\"", "1", "-0.5e-3", "true", "null", "\"\\u0041\\n\"", " 7 "])[random.Next(8)]);
                break;
        }
    }

    private static string Run(ReadOnlySequence<byte> bytes, ref long accepted)
    {
        var seen = new StringBuilder();
        var reader = new PayloadReader(bytes);
        var packets = new SocketPacketReader();
        var assembler = new BinaryPacketAssembler(100);
        EngineReadStatus status;
        while ((status = reader.Read(out var packet)) == EngineReadStatus.Ok)
        {
            if (packet.IsBase64)
            {
                var data = new byte[Base64Data.DecodedLength(packet.Data)];
                Assert.Equal(data.Length, Base64Data.Decode(packet.Data, data));
                seen.Append('b').Append(data.Length).Append((int)assembler.Add(new ReadOnlySequence<byte>(data)));
            }
            else if (packet.Type == EnginePacketType.Message)
            {
                var read = packets.Read(packet.Data, out var socket);
                seen.Append('s').Append((int)read);
                if (read != SocketReadStatus.Ok)
                    continue;

                accepted++;
                seen.Append(socket.AckId).Append(',').Append(socket.Namespace.Length).Append(',').Append(socket.Payload.Length).Append((int)assembler.Start(socket));
                var payload = socket.Payload.ToArray();
                if (socket.Type is SocketPacketType.Event or SocketPacketType.BinaryEvent && EventPayload.TryRead(payload, out var name, out var arguments))
                    seen.Append(name.Length).Append(arguments);
                if (payload is [(byte)'[', ..])
                {
                    var items = new List<Range>();
                    EventPayload.ReadItems(payload, items);
                    foreach (var item in items)
                        seen.Append(EventPayload.TryReadPlaceholder(payload.AsSpan(item), out var number) ? number : -1);
                }
            }
        }

        return seen.Append((int)status).ToString();
    }

    private static byte[] Mutate(Random random, byte[] seed)
    {
        var bytes = new List<byte>(seed);
        for (var mutations = random.Next(4); mutations >= 0 && bytes.Count > 0; mutations--)
        {
            var at = random.Next(bytes.Count);
            switch (random.Next(7))
            {
                case 0:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 1:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 2:
                    bytes.RemoveAt(at);
                    break;
                case 3:
                    bytes.Insert(at, "0123456789[]{}\",:-/bt\\"u8[random.Next(22)]);
                    break;
                case 4:
                    bytes.RemoveRange(at, random.Next(bytes.Count - at));
                    break;
                case 5:
                    bytes.InsertRange(at, bytes.GetRange(at, random.Next(Math.Min(bytes.Count - at, 30))));
                    break;
                default:
                    var other = Seeds[random.Next(Seeds.Length)];
                    bytes.InsertRange(at, other[random.Next(other.Length)..]);
                    break;
            }
        }

        return [.. bytes];
    }
}
