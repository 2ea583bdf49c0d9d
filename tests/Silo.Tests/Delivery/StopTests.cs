using System.Globalization;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Clients;

namespace KlineOrleans.Silo.Tests.Delivery;

/// <summary>A server that is asked to stop tells its clients on every wire, saves, and is gone within 10 s, whatever they do.</summary>
public class StopTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    [Fact]
    public async Task Clients_of_every_wire_are_told_and_closed_to_come_back()
    {
        using var folder = new TemporaryFolder();
        using var http = new HttpClient(new SocketsHttpHandler());
        await using var server = await Start(folder, speed: 1, seconds: 60);
        List<(Wire Wire, KlineClient Client, Task<List<WireMessage>> Reading)> clients = [];
        foreach (var wire in Enum.GetValues<Wire>())
        {
            // One that follows something, and one that only is there: with polling, a request that waits.
            for (var i = 0; i < 2; i++)
            {
                var client = await KlineClient.Connect(wire, server.Address, http);
                if (i == 0)
                {
                    await client.Subscribe("SYM000USDT", ["s1"]);
                }

                clients.Add((wire, client, ReadToEnd(client)));
            }
        }

        // Everybody is there and gets something.

        await server.WaitFor("/health", h => h.GetProperty("subscriptions").GetInt32() >= 5);
        var started = TimeProvider.System.GetTimestamp();
        Assert.Equal(0, await server.Terminate());
        var took = TimeProvider.System.GetElapsedTime(started);
        foreach (var (wire, client, reading) in clients)
        {
            var messages = await reading.WaitAsync(TimeSpan.FromSeconds(10));
            Assert.Contains(messages, m => m.Kind == WireMessageKind.Shutdown);
            var after = messages.SkipWhile(m => m.Kind != WireMessageKind.Shutdown).Skip(1).ToList();
            switch (wire)
            {
                case Wire.Hub:
                    // A close message that lets clients come back by themselves. What SignalR says after it no client hears any more.
                    var close = after[0];
                    Assert.Equal(WireMessageKind.Close, close.Kind);
                    Assert.Contains("1006: ServerShutdown", close.Text, StringComparison.Ordinal);
                    Assert.Contains("\"allowReconnect\":true", close.Text, StringComparison.Ordinal);
                    break;
                case Wire.Polling:
                    Assert.Empty(after);
                    Assert.Equal("close", client.Link.CloseReason);
                    break;
                default:
                    Assert.Empty(after);
                    Assert.Equal(1001, client.Link.CloseStatus);
                    Assert.StartsWith("ServerShutdown", client.Link.CloseReason, StringComparison.Ordinal);
                    break;
            }

            await client.DisposeAsync();
        }

        output.WriteLine($"stopped after {took.TotalSeconds:0.0} s");
        Assert.True(took < TimeSpan.FromSeconds(5), $"{took}\n{server.Output}");
    }

    [Fact]
    public async Task Server_stops_in_time_and_saved_though_clients_do_not_read_and_a_replay_runs_at_full_speed()
    {
        using var folder = new TemporaryFolder();
        using var http = new HttpClient(new SocketsHttpHandler());
        List<KlineClient> clients = [];
        string first;
        TimeSpan took;
        long read;
        await using (var server = await Start(folder, speed: 0, seconds: 300))
        {
            foreach (var wire in Enum.GetValues<Wire>())
            {
                // Small buffers: what is not read is soon felt. The polling client never polls again.
                var client = await KlineClient.Connect(wire, server.Address, http, new LinkOptions { ReceiveBuffer = 4_096 });
                await client.Subscribe("SYM000USDT", ["s1"]);
                clients.Add(client);
            }

            // A request whose body never comes, and an answer that nobody reads.
            using var half = new System.Net.Sockets.TcpClient();
            await half.ConnectAsync("127.0.0.1", server.Address.Port);
            await half.GetStream().WriteAsync("POST /socket.io/?EIO=4&transport=polling&sid=none HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"u8.ToArray());

            var status = await server.WaitFor("/health", h => h.GetProperty("sources")[0].GetProperty("trades").GetInt64() > 50_000);
            Assert.Equal("replaying", status.GetProperty("sources")[0].GetProperty("state").GetString());
            var started = TimeProvider.System.GetTimestamp();
            var code = await server.Terminate();
            took = TimeProvider.System.GetElapsedTime(started);
            first = server.Output;
            Assert.True(code == 0, first);
        }

        foreach (var client in clients)
        {
            await client.DisposeAsync();
        }

        // Nothing waits until it is given up: saving has most of the time for itself.
        Assert.True(took < Longest, $"{took}\n{first}");
        Assert.DoesNotContain("not deactivated in the time", first, StringComparison.Ordinal);
        await using var again = await Start(folder, speed: 0, seconds: 0);
        var end = await again.WaitForEnd();
        read = end.GetProperty("sources")[0].GetProperty("trades").GetInt64();
        output.WriteLine(first);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"stopped after {took.TotalSeconds:0.0} s; {read} trades left to read"));

        // What was taken before was saved: nothing is read twice, nothing is left out.
        Assert.Equal(0, end.GetProperty("sources")[0].GetProperty("duplicates").GetInt64());
        Assert.InRange(read, 1, 600_000 - 50_000);
        var klines = await again.GetKlines("SYM000USDT", "d1", TradeRecording.Start.ToUnixTimeMilliseconds(), TradeRecording.Start.AddDays(1).ToUnixTimeMilliseconds());
        Assert.Equal(6_000, Assert.Single(klines).GetProperty("trades").GetInt64());
    }

    private static async Task<ServerProcess> Start(TemporaryFolder folder, int speed, int seconds)
    {
        if (seconds > 0)
        {
            TradeRecording.Write(folder["trades.jsonl"], TradeRecording.Symbols(100), 2_000, TimeSpan.FromSeconds(seconds), seed: 1);
        }

        return await ServerProcess.Start(
            "--Kline:Sources:0:Kind", "Replay",
            "--Kline:Sources:0:Format", "BinanceFrames",
            "--Kline:Sources:0:Path", folder["trades.jsonl"],
            "--Kline:Sources:0:Speed", speed.ToString(CultureInfo.InvariantCulture),
            "--Kline:Storage:Path", folder["kline.db"]);
    }

    private static async Task<List<WireMessage>> ReadToEnd(KlineClient client)
    {
        List<WireMessage> messages = [];
        while (await client.Read() is { } message)
        {
            messages.Add(message);
        }

        return messages;
    }
}
