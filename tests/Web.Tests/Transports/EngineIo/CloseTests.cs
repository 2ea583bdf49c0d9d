using KlineOrleans.Web.Transports.EngineIo;

namespace KlineOrleans.Web.Tests.Transports.EngineIo;

public sealed class CloseTests
{
    [Fact, Trait("Requirement", "E21 S12")]
    public async Task Close_packet_ends_the_pending_poll_with_a_noop_and_the_session()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        // Both at once: on this server the POST may well be the first.
        var poll = host.PollAsync(sid);
        var post = host.PostAsync(sid, "1");
        Assert.Equal("ok", (await post).Body);
        Assert.Equal("6", (await poll).Body);
        Assert.Equal(400, (await host.PollAsync(sid)).Code);
        Assert.Equal(CloseReason.TransportClose, await host.Echo.ClosedAsync());
    }

    [Fact, Trait("Requirement", "close race")]
    public async Task Poll_that_the_close_has_overtaken_is_answered_once()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        await host.PostAsync(sid, "1");
        Assert.Equal(400, (await host.PostAsync(sid, "4a")).Code);
        Assert.Equal("6", (await host.PollAsync(sid)).Body);
        Assert.Equal(400, (await host.PollAsync(sid)).Code);
        Assert.Equal(0, host.Engine.KnownSessions);
    }

    [Fact, Trait("Requirement", "close race")]
    public async Task Closed_session_that_nobody_asks_for_is_forgotten()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        await host.PostAsync(sid, "1");
        Assert.Equal(1, host.Engine.KnownSessions);
        host.Clock.Advance(TimeSpan.FromMilliseconds(200));
        Assert.Equal(0, host.Engine.KnownSessions);
        Assert.Equal(400, (await host.PollAsync(sid)).Code);
    }

    [Fact, Trait("Requirement", "server-side close")]
    public async Task Server_close_delivers_what_waits_and_then_the_close()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        var session = await host.Echo.OpenedAsync();
        session.Send(EngineIoFrame.Text("last"u8));
        session.Close();
        Assert.Equal(SendResult.Closed, session.Send(EngineIoFrame.Text("late"u8)));
        Assert.Equal("4last\u001e1", (await host.PollAsync(sid)).Body);
        Assert.Equal(400, (await host.PollAsync(sid)).Code);

        using var socket = await host.OpenWebSocketAsync();
        session = await host.Echo.OpenedAsync();
        for (var i = 0; i < 100; i++)
            session.Send(EngineIoFrame.Text("x"u8));
        session.Close();
        for (var i = 0; i < 100; i++)
            Assert.Equal("4x", await socket.ReadAsync());
        Assert.Equal("closed 1000", await socket.ReadAsync());
    }

    [Fact, Trait("Requirement", "server-side close")]
    public async Task Server_close_ends_a_pending_poll_with_a_close()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        var session = await host.Echo.OpenedAsync();
        var poll = host.PollAsync(sid);
        session.Close();
        Assert.Equal("1", (await poll).Body);
    }

    [Fact]
    public async Task WebSocket_whose_client_does_not_answer_the_close_is_cut_off()
    {
        await using var host = await TransportHost.StartEngineAsync();
        using var socket = await host.OpenWebSocketAsync();
        var session = await host.Echo.OpenedAsync();
        session.Close();
        await host.Echo.ClosedAsync();
        host.Clock.Advance(TimeSpan.FromSeconds(5));
        // The client has read nothing yet; it finds the close, or a broken connection, but the server no longer waits.
        Assert.True(await socket.ReadAsync() is "closed 1000" or "broken");
        Assert.Equal(0, host.Engine.OpenSessions);
    }

    [Fact]
    public async Task Handler_that_throws_ends_its_session_and_no_request_gets_a_500()
    {
        await using var host = await TransportHost.StartEngineAsync();
        host.Echo.OnText = (_, _) => throw new InvalidOperationException("on purpose");
        var sid = await host.OpenAsync();
        Assert.Equal(200, (await host.PostAsync(sid, "4a")).Code);
        Assert.Equal(CloseReason.ForcedClose, await host.Echo.ClosedAsync());
        Assert.Equal(400, (await host.PollAsync(sid)).Code);

        using var socket = await host.OpenWebSocketAsync();
        await socket.SendAsync("4a");
        Assert.Equal("closed 1011", await socket.ReadAsync());
        Assert.Equal(0, host.Engine.OpenSessions);
    }

    [Fact, Trait("Requirement", "slow consumer")]
    public async Task Session_whose_queue_is_full_is_closed()
    {
        await using var host = await TransportHost.StartEngineAsync(o => o.MaxQueuedFrames = 3);
        var sid = await host.OpenAsync();
        var session = await host.Echo.OpenedAsync();
        for (var i = 0; i < 3; i++)
            Assert.Equal(SendResult.Queued, session.Send(EngineIoFrame.Text("x"u8)));
        Assert.Equal(SendResult.Closed, session.Send(EngineIoFrame.Text("x"u8)));
        Assert.Equal(CloseReason.SlowConsumer, await host.Echo.ClosedAsync());
        Assert.Equal(1, host.Engine.Statistics.Closed(CloseReason.SlowConsumer));
        Assert.Equal(400, (await host.PollAsync(sid)).Code);
    }

    [Fact, Trait("Requirement", "slow consumer")]
    public async Task Queue_is_bounded_in_bytes_but_one_large_frame_always_fits()
    {
        await using var host = await TransportHost.StartEngineAsync(o =>
        {
            o.MaxQueuedBytes = 100;
            o.OnOverflow = (_, frame) => frame.Length > 50 ? OverflowAction.Drop : OverflowAction.Queue;
        });
        var sid = await host.OpenAsync();
        var session = await host.Echo.OpenedAsync();
        Assert.Equal(SendResult.Queued, session.Send(EngineIoFrame.Text(new byte[500])));
        Assert.Equal(SendResult.Dropped, session.Send(EngineIoFrame.Text(new byte[500])));
        Assert.Equal(SendResult.Queued, session.Send(EngineIoFrame.Text("vip"u8)));
        Assert.Equal((2, 505L), (session.QueuedFrames, session.QueuedBytes));
        Assert.Equal(1, host.Engine.Statistics.Dropped);
        Assert.EndsWith("4vip", (await host.PollAsync(sid)).Body, StringComparison.Ordinal);
        Assert.Equal((0, 0L), (session.QueuedFrames, session.QueuedBytes));
    }

    [Fact, Trait("Requirement", "conflation")]
    public async Task Newer_frame_of_a_key_takes_the_older_ones_place_at_the_end()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var sid = await host.OpenAsync();
        var session = await host.Echo.OpenedAsync();
        session.Send(EngineIoFrame.Text("a1"u8), default, "a");
        session.Send(EngineIoFrame.Text("b1"u8), default, "b");
        session.Send(EngineIoFrame.Text("final"u8));
        Assert.Equal(SendResult.Conflated, session.Send(EngineIoFrame.Text("a2"u8), default, "a"));
        Assert.Equal("4b1\u001e4final\u001e4a2", (await host.PollAsync(sid)).Body);
        Assert.Equal(1, host.Engine.Statistics.Conflated);
    }
}
