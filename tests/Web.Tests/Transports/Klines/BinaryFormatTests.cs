using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Web.Tests.Transports.Klines;

/// <summary>/ws?format=binary: the same update in both formats, read by the offsets of the decoder that clients are given.</summary>
public sealed partial class BinaryFormatTests
{
    private static readonly DateTimeOffset Start = TestKlines.Start;

    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 0)]
    [InlineData(true, 3)]
    public async Task Binary_update_says_what_the_json_update_says(bool isFinal, int revision)
    {
        await using var host = await WebHost.Start(time: new ManualTimeProvider());
        var mint = host.Cluster.Mint(WebHost.Mint);
        mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start.AddMinutes(-1), 1, 3, isFinal: true));
        using var binary = await Subscribe(host, "format=binary");
        using var json = await Subscribe(host, "format=json");
        var confirmed = await Until(binary, "subscription_confirmed");
        Assert.False((await Until(json, "subscription_confirmed")).TryGetProperty("symbol_id", out _));
        host.Cluster.Deliver(mint.Change(Start.AddSeconds(5), TestKlines.Make(KlineInterval.M1, Start, 1.0625m, 7, isFinal, revision)));

        var message = await Receive(binary);
        Assert.Equal(WebSocketMessageType.Binary, message.Type);
        Assert.Equal(96, message.Bytes.Length);
        var expected = await Until(json, "kline_data");
        var read = Decoder(message.Bytes);
        Assert.Equal(1, message.Bytes[0]);
        Assert.Equal(KlineInterval.M1, (KlineInterval)message.Bytes[1]);
        Assert.Equal(isFinal ? 1 : 0, message.Bytes[2]);
        Assert.Equal(confirmed.GetProperty("symbol_id").GetUInt32(), read["symbol_id"]);
        foreach (var name in (string[])["timestamp", "epoch", "seq"])
        {
            Assert.Equal(expected.GetProperty(name).GetDouble(), read[name]);
        }

        var candle = expected.GetProperty("data");
        foreach (var name in (string[])["time", "open", "high", "low", "close", "update_count", "base_volume", "quote_volume", "trade_count", "revision"])
        {
            Assert.Equal(candle.GetProperty(name).GetDouble(), read[name]);
        }
    }

    [Fact]
    public async Task Final_kline_and_its_successor_come_as_two_messages()
    {
        await using var host = await WebHost.Start();
        var mint = host.Cluster.Mint(WebHost.Mint);
        mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1, 1));
        using var client = await Subscribe(host, "format=binary");
        await Until(client, "subscription_confirmed");
        host.Cluster.Deliver(mint.Change(Start.AddMinutes(1), TestKlines.Make(KlineInterval.M1, Start, 1, 2, isFinal: true), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 2, 1)));
        Assert.Equal(1, (await Receive(client)).Bytes[2]);
        Assert.Equal(0, (await Receive(client)).Bytes[2]);
    }

    [Fact]
    public async Task Binary_works_with_compression()
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:Sockets:Deflate"] = "true" });
        var mint = host.Cluster.Mint(WebHost.Mint);
        mint.Change(Start, TestKlines.Make(KlineInterval.M1, Start, 1, 1));
        using var client = await Subscribe(host, "format=binary", deflate: true);
        await Until(client, "subscription_confirmed");
        host.Cluster.Deliver(mint.Change(Start.AddSeconds(1), TestKlines.Make(KlineInterval.M1, Start, 2, 2)));
        var message = await Receive(client);
        Assert.Equal(WebSocketMessageType.Binary, message.Type);
        Assert.Equal(2, Decoder(message.Bytes)["update_count"]);
    }

    [Fact]
    public async Task Unknown_format_is_refused()
    {
        await using var host = await WebHost.Start();
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri("/ws?format=xml", UriKind.Relative));
        using var answer = await host.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Contains("json, binary", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    /// <summary>Reads as docs/wire/kline-binary.ts does: by its names, types and offsets.</summary>
    private static Dictionary<string, double> Decoder(byte[] message)
    {
        var source = File.ReadAllText(Path.Combine(Root(), "docs", "wire", "kline-binary.ts"));
        var fields = Field().Matches(source);
        Assert.True(fields.Count >= 14);
        var read = new Dictionary<string, double>(StringComparer.Ordinal);
        foreach (Match field in fields)
        {
            var bytes = message.AsSpan(int.Parse(field.Groups["offset"].ValueSpan, CultureInfo.InvariantCulture));
            read[field.Groups["name"].Value] = field.Groups["type"].Value switch
            {
                "Uint8" => bytes[0],
                "Uint32" => BinaryPrimitives.ReadUInt32LittleEndian(bytes),
                "BigInt64" => BinaryPrimitives.ReadInt64LittleEndian(bytes),
                "Float64" => BinaryPrimitives.ReadDoubleLittleEndian(bytes),
                var type => throw new InvalidOperationException(type),
            };
        }

        return read;
    }

    private static async Task<ClientWebSocket> Subscribe(WebHost host, string query, bool deflate = false)
    {
        var client = await EventWire.Dial(host, "/ws", query, deflate: deflate);
        await client.SendAsync(Encoding.UTF8.GetBytes($$"""{"msg_type":"subscribe","symbol":"{{WebHost.Mint}}","interval":"m1","subscription_id":"x"}"""), WebSocketMessageType.Text, true, CancellationToken.None);
        return client;
    }

    private static async Task<JsonElement> Until(ClientWebSocket client, string type)
    {
        while (true)
        {
            var (kind, bytes) = await Receive(client);
            Assert.Equal(WebSocketMessageType.Text, kind);
            using var json = JsonDocument.Parse(bytes);
            if (json.RootElement.GetProperty("type").GetString() == type)
            {
                return json.RootElement.GetProperty("data").Clone();
            }
        }
    }

    private static async Task<(WebSocketMessageType Type, byte[] Bytes)> Receive(ClientWebSocket client)
    {
        using var patience = new CancellationTokenSource(EventWire.Patience);
        var buffer = new byte[65_536];
        var length = 0;
        while (true)
        {
            var read = await client.ReceiveAsync(buffer.AsMemory(length), patience.Token);
            length += read.Count;
            if (read.EndOfMessage)
            {
                return (read.MessageType, buffer[..length]);
            }
        }
    }

    private static string Root()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "KlineOrleans.sln")))
        {
            folder = Path.GetDirectoryName(folder)!;
        }

        return folder;
    }

    [GeneratedRegex(@"(?<name>\w+)(:| =) (Number\()?view\.get(?<type>\w+)\((?<offset>\d+)", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1_000)]
    private static partial Regex Field();
}
