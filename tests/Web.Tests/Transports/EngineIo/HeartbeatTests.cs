using KlineOrleans.Web.Transports.EngineIo;

namespace KlineOrleans.Web.Tests.Transports.EngineIo;

public sealed class HeartbeatTests
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan Timeout = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan Tick = TimeSpan.FromTicks(1);

    [Fact, Trait("Requirement", "E17 S8")]
    public async Task Polling_client_is_pinged_one_interval_after_each_pong()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        for (var i = 0; i < 3; i++)
        {
            var poll = host.PollAsync(sid);
            host.Clock.Advance(Interval);
            Assert.Equal("2", (await poll).Body);
            host.Clock.Advance(TimeSpan.FromMilliseconds(100));
            Assert.Equal(200, (await host.PostAsync(sid, "3")).Code);
        }
    }

    [Fact, Trait("Requirement", "E18 S9")]
    public async Task Silent_polling_client_is_gone_exactly_at_interval_plus_timeout()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var alive = await host.OpenAsync();
        host.Clock.Advance(Interval + Timeout - Tick);
        Assert.Equal("2", (await host.PollAsync(alive)).Body);
        host.Clock.Advance(Tick);
        Assert.Equal((400, """{"code":1,"message":"Session ID unknown"}"""), ((await host.PollAsync(alive)) is var a ? (a.Code, a.Body) : default));
        Assert.Equal(CloseReason.PingTimeout, await host.Echo.ClosedAsync());
        Assert.Equal(0, host.Engine.KnownSessions);
    }

    [Fact, Trait("Requirement", "E19 S10")]
    public async Task WebSocket_client_is_pinged_and_lives_while_it_answers()
    {
        await using var host = await TransportHost.StartEngineAsync();
        using var socket = await host.OpenWebSocketAsync();
        for (var i = 0; i < 5; i++)
        {
            host.Clock.Advance(Interval);
            Assert.Equal("2", await socket.ReadAsync());
            await socket.SendAsync("3");
            await socket.SendAsync("4done");
            Assert.Equal("4done", await socket.ReadAsync());
        }
    }

    [Fact, Trait("Requirement", "E20 S11")]
    public async Task Silent_websocket_client_is_closed()
    {
        await using var host = await TransportHost.StartEngineAsync();
        using var socket = await host.OpenWebSocketAsync();
        host.Clock.Advance(Interval);
        Assert.Equal("2", await socket.ReadAsync());
        host.Clock.Advance(Timeout);
        Assert.Equal("closed 1000", await socket.ReadAsync());
        Assert.Equal(CloseReason.PingTimeout, await host.Echo.ClosedAsync());
    }

    [Fact]
    public async Task Long_timeout_and_short_interval_still_ping_at_every_interval()
    {
        await using var host = await TransportHost.StartEngineAsync(o => o.PingTimeout = TimeSpan.FromSeconds(60));
        using var socket = await host.OpenWebSocketAsync();
        for (var i = 0; i < 4; i++)
        {
            host.Clock.Advance(TimeSpan.FromMilliseconds(300));
            Assert.Equal("2", await socket.ReadAsync());
            await socket.SendAsync("3");
            await socket.SendAsync("4done");
            Assert.Equal("4done", await socket.ReadAsync());
        }
    }

    [Fact, Trait("Requirement", "pings bypass the queue")]
    public async Task Ping_goes_before_what_waits()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        await host.PostAsync(sid, "4a\u001e4b");
        host.Clock.Advance(Interval);
        Assert.Equal("2\u001e4a\u001e4b", (await host.PollAsync(sid)).Body);
    }

    [Fact, Trait("Requirement", ".NET orphans")]
    public async Task Orphans_of_a_client_that_only_shakes_hands_cost_no_timer_and_go_at_the_ping_timeout()
    {
        await using var host = await TransportHost.StartEngineAsync();
        for (var i = 0; i < 50; i++)
            await host.OpenAsync();
        Assert.Equal(50, host.Engine.OpenSessions);
        Assert.InRange(host.Clock.ArmedTimers, 1, 1);
        host.Clock.Advance(Interval + Timeout);
        Assert.Equal(0, host.Engine.OpenSessions);
        Assert.Equal(0, host.Engine.KnownSessions);
        Assert.Equal(0, host.Engine.Deadlines.Count);
    }
}
