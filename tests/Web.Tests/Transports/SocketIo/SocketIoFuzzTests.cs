using System.Globalization;
using System.Net.WebSockets;
using System.Text;
using KlineOrleans.Web.Transports.EngineIo;

namespace KlineOrleans.Web.Tests.Transports.SocketIo;

/// <summary>Whole requests and frames, generated and mutated: nothing answers 500 or throws, no session is left, and memory stays flat.</summary>
public sealed class SocketIoFuzzTests
{
    // A session lasts until its ping timeout if nobody ends it; the clock moves between batches.
    private const int Batch = 250;

    private static readonly string[] Seeds =
    [
        "40", "40{}", "40/custom,", "41", "42[\"message\",1,{\"a\":[true]}]", "421[\"message-with-ack\"]", "43" + "1[2]", "451-[\"message\",{\"_placeholder\":true,\"num\":0}]",
        "bAQID", "2", "2probe", "3", "5", "1", "4", "6", "0{}", "42/custom,[\"a\"]", "44{\"message\":\"x\"}",
    ];

    [Fact]
    public async Task Mutated_requests_and_frames_leave_no_session_and_get_no_500()
    {
        // The quick form. KLINE_FUZZ_SESSIONS=100000 runs as many sessions.
        var sessions = int.Parse(Environment.GetEnvironmentVariable("KLINE_FUZZ_SESSIONS") ?? "180", CultureInfo.InvariantCulture);
        await using var host = await TransportHost.StartSocketAsync(io =>
        {
            io.Namespace("/").On("message", (socket, e) => socket.EmitRaw("back", e.RawArguments.Span, [.. e.Attachments]))
                .On("message-with-ack", (_, e) => e.AckRaw(e.RawArguments.Span, [.. e.Attachments]));
            io.Namespace("/custom");
        });
        var random = new Random(7);
        var memory = new FlatMemory(sessions);
        for (var done = 0; done < sessions;)
        {
            for (var n = 0; n < Batch && done < sessions; n++, done++)
            {
                await ((done % 3) switch
                {
                    0 => PollAsync(host, random),
                    1 => FramesAsync(host, random),
                    _ => UpgradeAsync(host, random),
                });
            }

            // A client that hangs up is gone before the server has read to the end of what it sent; a session that begins or gets its pong while the clock moves would outlive it.
            await host.Requests.Idle().WaitAsync(TransportHost.Safety, TimeProvider.System);

            // What nobody closed goes at the ping timeout; what was closed may still be told so.
            host.Clock.Advance(TimeSpan.FromMinutes(1));
            Assert.Equal(0, host.Engine.OpenSessions);
            Assert.Equal(0, host.Engine.KnownSessions);
            memory.Look(done);
        }

        memory.Check($"{host.Engine.Statistics.Received:N0} messages, {host.Engine.Statistics.Upgraded:N0} upgrades");
        Assert.Empty(host.Requests.Failures);
        Assert.Empty(host.Log.Entries);
    }

    private static async Task PollAsync(TransportHost host, Random random)
    {
        var sid = await host.OpenAsync();
        for (var n = random.Next(1, 5); n > 0; n--)
        {
            var answer = await host.SendAsync(HttpMethod.Post, $"EIO=4&transport=polling&sid={sid}", Body(random));
            Assert.True(answer.Code is 200 or 400, $"{answer.Code}");
        }

        var query = Encoding.Latin1.GetString(Mutate(random, $"EIO=4&transport=polling&sid={sid}&b64=1"));
        var strange = await host.SendAsync(random.Next(2) == 0 ? HttpMethod.Put : HttpMethod.Options, Uri.EscapeDataString(query).Replace("%3D", "=", StringComparison.Ordinal).Replace("%26", "&", StringComparison.Ordinal));
        Assert.True(strange.Code is >= 400 and < 500, $"{strange.Code}");
    }

    private static async Task FramesAsync(TransportHost host, Random random)
    {
        using var socket = await host.ConnectAsync();
        await SendAsync(socket, random);
    }

    private static async Task UpgradeAsync(TransportHost host, Random random)
    {
        var sid = await host.OpenAsync();
        using var gone = new CancellationTokenSource();
        using var poll = new HttpRequestMessage(HttpMethod.Get, host.Query($"EIO=4&transport=polling&sid={sid}"));
        var polling = host.Http.SendAsync(poll, gone.Token);
        using (var socket = await host.ConnectAsync($"EIO=4&transport=websocket&sid={sid}"))
        {
            try
            {
                foreach (var text in random.Next(3) switch { 0 => ["5"], 1 => (string[])["2probe", "5"], _ => [] })
                    await socket.SendAsync(text);
            }
            catch (WebSocketException)
            {
                // As below.
            }

            var posted = await host.SendAsync(HttpMethod.Post, $"EIO=4&transport=polling&sid={sid}", Body(random));
            Assert.True(posted.Code is 200 or 400, $"{posted.Code}");
            await SendAsync(socket, random);
        }

        await gone.CancelAsync();
        try
        {
            using var answer = await polling;
            Assert.True((int)answer.StatusCode is 200 or 400, $"{answer.StatusCode}");
        }
        catch (OperationCanceledException)
        {
            // It was still open, and this ends its session.
        }
    }

    private static async Task SendAsync(Ws socket, Random random)
    {
        try
        {
            for (var n = random.Next(1, 8); n > 0; n--)
            {
                var bytes = Mutate(random, Seeds[random.Next(Seeds.Length)]);
                await socket.Socket.SendAsync(bytes, random.Next(5) == 0 ? WebSocketMessageType.Binary : WebSocketMessageType.Text, random.Next(8) != 0, CancellationToken.None);
            }
        }
        catch (WebSocketException)
        {
            // The server has closed already: as it should.
        }
    }

    private static ByteArrayContent Body(Random random) =>
        new(Mutate(random, string.Join('\u001e', Enumerable.Range(0, random.Next(1, 4)).Select(_ => Seeds[random.Next(Seeds.Length)]))));

    private static byte[] Mutate(Random random, string seed)
    {
        var bytes = Encoding.UTF8.GetBytes(seed).ToList();
        for (var n = random.Next(3); n > 0 && bytes.Count > 0; n--)
        {
            var at = random.Next(bytes.Count);
            if (random.Next(3) == 0)
                bytes.RemoveAt(at);
            else
                bytes[at] = (byte)random.Next(256);
        }

        return [.. bytes];
    }
}
