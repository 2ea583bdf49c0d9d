using System.Globalization;
using System.Text;
using KlineOrleans.Web.Transports.EngineIo;

namespace KlineOrleans.Web.Tests.Transports.EngineIo;

public sealed class UpgradeTests
{
    [Fact, Trait("Requirement", "E23 S14")]
    public async Task Probe_is_answered_polls_end_and_the_session_moves()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        using var socket = await host.ConnectAsync($"EIO=4&transport=websocket&sid={sid}");
        await socket.SendAsync("2probe");
        Assert.Equal("3probe", await socket.ReadAsync());

        // Every poll, and not only the first.
        for (var i = 0; i < 3; i++)
            Assert.Equal("6", (await host.PollAsync(sid)).Body);
        await socket.SendAsync("5");
        await socket.SendAsync("4hello");
        Assert.Equal("4hello", await socket.ReadAsync());
        Assert.Equal(1, host.Engine.Statistics.Upgraded);
        Assert.True((await host.Echo.OpenedAsync()).IsWebSocket);
    }

    [Fact, Trait("Requirement", "polls end during an upgrade")]
    public async Task Poll_that_is_open_when_the_probe_comes_is_ended()
    {
        await using var host = await TransportHost.StartEngineAsync(o => o.UpgradePollTime = TimeSpan.FromMinutes(1));
        var sid = await host.OpenAsync();
        var poll = host.PollAsync(sid);
        // The post's answer shows nothing about the poll, so the probe may come first; then the minute must pass.
        using var socket = await host.ConnectAsync($"EIO=4&transport=websocket&sid={sid}");
        await socket.SendAsync("2probe");
        Assert.Equal("3probe", await socket.ReadAsync());
        var session = await host.Echo.OpenedAsync();
        session.Send(EngineIoFrame.Text("data"u8));
        Assert.Contains((await poll).Body, (string[])["6", "4data"]);
    }

    [Fact, Trait("Requirement", "E24 S15")]
    public async Task Poll_and_post_after_the_upgrade_are_refused_and_the_websocket_goes_on()
    {
        await using var host = await TransportHost.StartEngineAsync(o => o.UpgradePollTime = TimeSpan.FromMinutes(1));
        var sid = await host.OpenAsync();
        using var socket = await host.UpgradeAsync(sid);
        // At once: the poll may overtake the packet that ends the upgrade, and is then held until that comes.
        var poll = await host.PollAsync(sid);
        Assert.Equal((400, """{"code":3,"message":"Bad request"}"""), (poll.Code, poll.Body));
        Assert.Equal(400, (await host.PostAsync(sid, "4x")).Code);
        await socket.SendAsync("4hello");
        Assert.Equal("4hello", await socket.ReadAsync());
    }

    [Fact, Trait("Requirement", "E25 S16")]
    public async Task Second_websocket_is_closed_and_the_first_goes_on()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        using var socket = await host.UpgradeAsync(sid);
        await socket.SendAsync("4sync");
        Assert.Equal("4sync", await socket.ReadAsync());
        using var second = await host.ConnectAsync($"EIO=4&transport=websocket&sid={sid}");
        Assert.StartsWith("closed", await second.ReadAsync(), StringComparison.Ordinal);
        await socket.SendAsync("4hello");
        Assert.Equal("4hello", await socket.ReadAsync());
    }

    [Fact, Trait("Requirement", "second WS during an upgrade")]
    public async Task Second_websocket_during_an_upgrade_is_closed_and_the_upgrade_goes_on()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        using var first = await host.ConnectAsync($"EIO=4&transport=websocket&sid={sid}");
        await first.SendAsync("2probe");
        Assert.Equal("3probe", await first.ReadAsync());
        using var second = await host.ConnectAsync($"EIO=4&transport=websocket&sid={sid}");
        Assert.StartsWith("closed", await second.ReadAsync(), StringComparison.Ordinal);
        await first.SendAsync("5");
        await first.SendAsync("4hello");
        Assert.Equal("4hello", await first.ReadAsync());
    }

    [Theory, Trait("Requirement", "first packet of an upgrade")]
    [InlineData("4hello")]
    [InlineData("2")]
    [InlineData("abc")]
    [InlineData("")]
    public async Task Websocket_that_does_not_probe_is_closed_and_polling_lives_on(string packet)
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        using var socket = await host.ConnectAsync($"EIO=4&transport=websocket&sid={sid}");
        await socket.SendAsync(packet);
        Assert.StartsWith("closed", await socket.ReadAsync(), StringComparison.Ordinal);
        await host.PostAsync(sid, "4a");
        Assert.Equal("4a", (await host.PollAsync(sid)).Body);
    }

    [Fact, Trait("Requirement", "upgradeTimeout")]
    public async Task Unfinished_upgrade_ends_at_its_timeout_and_polling_lives_on()
    {
        await using var host = await TransportHost.StartEngineAsync(o =>
        {
            o.PingInterval = TimeSpan.FromMinutes(1);
            o.UpgradeTimeout = TimeSpan.FromSeconds(10);
        });
        var sid = await host.OpenAsync();
        using var socket = await host.ConnectAsync($"EIO=4&transport=websocket&sid={sid}");
        await socket.SendAsync("2probe");
        Assert.Equal("3probe", await socket.ReadAsync());
        host.Clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal("broken", await socket.ReadAsync());
        await host.PostAsync(sid, "4a");
        Assert.Equal("4a", (await host.PollAsync(sid)).Body);

        // And it may try again.
        using var again = await host.UpgradeAsync(sid);
        await again.SendAsync("4b");
        Assert.Equal("4b", await again.ReadAsync());
    }

    [Fact, Trait("Requirement", "failed upgrade loses nothing")]
    public async Task What_waits_is_not_lost_when_the_upgrade_breaks_off()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        var session = await host.Echo.OpenedAsync();
        using (var socket = await host.ConnectAsync($"EIO=4&transport=websocket&sid={sid}"))
        {
            await socket.SendAsync("2probe");
            Assert.Equal("3probe", await socket.ReadAsync());
            session.Send(EngineIoFrame.Text("kept"u8));
            socket.Socket.Abort();
        }

        Assert.Equal("4kept", (await host.PollAsync(sid)).Body);
        Assert.False(session.IsClosed);
    }

    [Fact, Trait("Requirement", "order through the upgrade")]
    public async Task Post_that_is_still_handled_comes_before_the_websocket()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var release = new TaskCompletionSource();
        var inside = new TaskCompletionSource();
        var seen = new List<string>();
        var done = new TaskCompletionSource();
        host.Echo.OnText = async (_, text) =>
        {
            if (text == "first")
            {
                inside.SetResult();
                await release.Task;
            }

            seen.Add(text);
            if (text == "third")
                done.SetResult();
        };
        var sid = await host.OpenAsync();
        var post = host.PostAsync(sid, "4first\u001e4second");
        await inside.Task.WaitAsync(TransportHost.Safety, TimeProvider.System);
        using var socket = await host.UpgradeAsync(sid);
        await socket.SendAsync("4third");
        release.SetResult();
        await post;
        await done.Task.WaitAsync(TransportHost.Safety, TimeProvider.System);
        Assert.Equal(["first", "second", "third"], seen);
    }

    [Fact, Trait("Requirement", "200 clients upgrade under load")]
    public async Task Two_hundred_clients_upgrade_under_load_and_lose_and_reorder_nothing()
    {
        const int clients = 200, messages = 300;
        await using var host = await TransportHost.StartEngineAsync(o => o.MaxQueuedFrames = messages);
        await Task.WhenAll(Enumerable.Range(0, clients).Select(_ => Task.Run(ClientAsync)));
        Assert.Equal(clients, host.Engine.Statistics.Upgraded);

        async Task ClientAsync()
        {
            var received = new List<int>();
            var answer = await host.SendAsync(HttpMethod.Get, "EIO=4&transport=polling");
            using var json = System.Text.Json.JsonDocument.Parse(answer.Body.AsMemory(1));
            var sid = json.RootElement.GetProperty("sid").GetString()!;
            var session = await host.Echo.OpenedAsync();

            // Sessions may be mixed up among the clients: each is fed all the same.
            var feed = Task.Run(async () =>
            {
                for (var i = 0; i < messages; i++)
                {
                    Assert.Equal(SendResult.Queued, session.Send(EngineIoFrame.Text(Encoding.ASCII.GetBytes(i.ToString(CultureInfo.InvariantCulture)))));
                    if (i % 3 == 0)
                        await Task.Yield();
                }
            });

            // As socket.io-client does: polls go on beside the probe, and end when it is answered.
            using var socket = await host.ConnectAsync($"EIO=4&transport=websocket&sid={sid}");
            await socket.SendAsync("2probe");
            var probe = socket.ReadAsync();
            do
            {
                Take((await host.PollAsync(sid)).Body);
            }
            while (!probe.IsCompleted);

            Assert.Equal("3probe", await probe);
            await socket.SendAsync("5");
            while (received.Count < messages)
                Take(await socket.ReadAsync());
            await feed;
            Assert.Equal(Enumerable.Range(0, messages), received);

            void Take(string body)
            {
                foreach (var packet in body.Split('\u001e'))
                {
                    if (packet != "6")
                        received.Add(int.Parse(packet.AsSpan(1), CultureInfo.InvariantCulture));
                }
            }
        }
    }
}
