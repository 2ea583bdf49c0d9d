using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Web.Tests.Transports.Klines;

namespace KlineOrleans.Web.Tests;

/// <summary>Corrections of final klines reach clients on every wire, in their place among the other updates (docs/wire/corrections.md).</summary>
public class CorrectionTests
{
    private const string Symbol = WebHost.Mint;
    private static readonly DateTimeOffset Start = TestKlines.Start;

    [Fact]
    public async Task Hub_tells_a_correction_with_its_revision_beside_the_newest_kline()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        await using var client = await HubClient.Connect(host);
        await client.Result("Subscribe", $$"""{"symbol":"{{Symbol}}","intervals":["s1","m1"],"maxRate":0.01}""");
        Deliver(host, mint);

        // Neither the rate nor conflation touches finals and corrections.
        Check(await client.Next("kline"), [("s1", 0, true, 0), ("s1", 2, false, 0), ("m1", 0, false, 0)]);
        Check(await client.Next("kline"), [("s1", 0, true, 1), ("s1", 2, false, 0), ("m1", 0, false, 0)]);
        Check(await client.Next("kline"), [("s1", 1, true, 1), ("m1", 0, false, 0)]);
    }

    [Fact]
    public async Task Stream_tells_a_correction_with_its_revision()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        await using var client = await HubClient.Connect(host);
        await client.SendText($$"""{"type":4,"invocationId":"s","target":"Klines","arguments":["{{Symbol}}","s1",null]}""");
        await client.NextOf("s");
        Deliver(host, mint);
        Check((await client.NextOf("s")).GetProperty("item"), [("s1", 0, true, 0), ("s1", 2, false, 0)]);
        Check((await client.NextOf("s")).GetProperty("item"), [("s1", 0, true, 1), ("s1", 2, false, 0)]);
        Check((await client.NextOf("s")).GetProperty("item"), [("s1", 1, true, 1)]);
    }

    [Theory]
    [MemberData(nameof(EventWire.All), MemberType = typeof(EventWire))]
    public async Task Older_wires_call_it_a_correction(string wire)
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        await using var client = await EventWire.Connect(host, wire);
        await client.Subscribe($$"""{"symbol":"{{Symbol}}","interval":"s1"}""");
        Deliver(host, mint);
        foreach (var (type, second, revision) in new[] { ("final", 0, 0), ("realtime", 2, 0), ("correction", 0, 1), ("realtime", 2, 0), ("correction", 1, 1) })
        {
            var candle = (await client.Next("kline_data")).GetProperty("data");
            Assert.Equal(type, candle.GetProperty("update_type").GetString());
            Assert.Equal(Start.ToUnixTimeSeconds() + second, candle.GetProperty("time").GetInt64());
            Assert.Equal(revision, candle.GetProperty("revision").GetInt32());
        }
    }

    [Fact]
    public async Task Live_wire_sends_the_final_kline_again()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        await using var client = await LiveWire.Connect(host);
        await client.Ask($$"""{"subscribe":"{{Symbol}}"}""");
        Deliver(host, mint);
        (string, int, bool)[][] expected = [[("s1", 0, true), ("s1", 2, false), ("m1", 0, false)], [("s1", 0, true), ("s1", 2, false), ("m1", 0, false)], [("s1", 1, true), ("m1", 0, false)]];
        foreach (var update in expected)
        {
            Assert.Equal(update, (await client.Json()).EnumerateArray().Select(k => (k.GetProperty("period").GetString()!, Second(k.GetProperty("open_time")), k.GetProperty("is_final").GetBoolean())));
        }
    }

    [Fact]
    public async Task Client_that_comes_back_gets_the_corrections_it_missed()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(Symbol);
        await using (var first = await HubClient.Connect(host))
        {
            await first.Result("Subscribe", $$"""{"symbol":"{{Symbol}}","intervals":["s1"]}""");
        }

        Deliver(host, mint);
        await using var client = await HubClient.Connect(host);
        var answer = await client.Result("Subscribe", $$"""{"symbol":"{{Symbol}}","intervals":["s1"],"resume":{"epoch":1,"seq":0} }""");
        Assert.True(answer.GetProperty("recovered").GetBoolean());
        Check(await client.Next("kline"), [("s1", 0, true, 0), ("s1", 2, false, 0)]);
        Check(await client.Next("kline"), [("s1", 0, true, 1), ("s1", 2, false, 0)]);
        Check(await client.Next("kline"), [("s1", 1, true, 1)]);
    }

    /// <summary>A kline becomes final; a late trade corrects it; another makes a kline in a bucket that had none.</summary>
    private static void Deliver(WebHost host, TestMint mint)
    {
        var minute = TestKlines.Make(KlineInterval.M1, Start, 1);
        host.Cluster.Deliver(mint.Change(Start.AddSeconds(2), S1(0, 1, isFinal: true), S1(2, 1), minute));
        host.Cluster.Deliver(mint.Change(Start.AddSeconds(2), S1(0, 2, isFinal: true, revision: 1), S1(2, 1), minute with { UpdateCount = 2 }));
        host.Cluster.Deliver(mint.Change(Start.AddSeconds(2), S1(1, 1, isFinal: true, revision: 1), minute with { UpdateCount = 3 }));

        static Kline S1(int second, int updates, bool isFinal = false, int revision = 0) => TestKlines.Make(KlineInterval.S1, Start.AddSeconds(second), 1, updates, isFinal, revision);
    }

    private static void Check(JsonElement update, (string, int, bool, int)[] expected) =>
        Assert.Equal(expected, update.GetProperty("klines").EnumerateArray().Select(k => (k.GetProperty("interval").GetString()!, Second(k.GetProperty("openTime")), k.GetProperty("isFinal").GetBoolean(), k.GetProperty("revision").GetInt32())));

    private static int Second(JsonElement milliseconds) => (int)((milliseconds.GetInt64() - Start.ToUnixTimeMilliseconds()) / 1_000);
}
