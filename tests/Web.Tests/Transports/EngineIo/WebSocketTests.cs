using System.Net.WebSockets;
using System.Text;
using KlineOrleans.Web.Transports.EngineIo;

namespace KlineOrleans.Web.Tests.Transports.EngineIo;

public sealed class WebSocketTests
{
    [Fact, Trait("Requirement", "E14 E15")]
    public async Task Text_and_binary_frames_are_echoed()
    {
        await using var host = await TransportHost.StartEngineAsync();
        using var socket = await host.OpenWebSocketAsync();
        await socket.SendAsync("4hello");
        Assert.Equal("4hello", await socket.ReadAsync());
        await socket.SendAsync([1, 2, 3, 4]);
        Assert.Equal("[01020304]", await socket.ReadAsync());
        await socket.SendAsync([]);
        Assert.Equal("[]", await socket.ReadAsync());
        await socket.SendAsync("bAQID");
        Assert.Equal("[010203]", await socket.ReadAsync());
    }

    [Theory, Trait("Requirement", "E16, empty frame, client ping")]
    [InlineData("abc", CloseReason.ParseError)]
    [InlineData("", CloseReason.ParseError)]
    [InlineData("7", CloseReason.ParseError)]
    [InlineData("b!", CloseReason.ParseError)]
    [InlineData("2", CloseReason.TransportError)]
    [InlineData("2probe", CloseReason.TransportError)]
    public async Task Bad_packet_closes_the_connection(string packet, CloseReason reason)
    {
        await using var host = await TransportHost.StartEngineAsync();
        using var socket = await host.OpenWebSocketAsync();
        await socket.SendAsync(packet);
        Assert.Equal("closed 1002", await socket.ReadAsync());
        Assert.Equal(reason, await host.Echo.ClosedAsync());
        Assert.Equal(0, host.Engine.KnownSessions);
    }

    [Fact, Trait("Requirement", "1009")]
    public async Task Message_above_the_bound_closes_with_1009_and_one_at_the_bound_does_not()
    {
        await using var host = await TransportHost.StartEngineAsync(o => o.MaxPayload = 100_000);
        using var socket = await host.OpenWebSocketAsync();
        var fits = "4" + new string('x', 99_999);
        await socket.SendAsync(fits);
        Assert.Equal(fits, await socket.ReadAsync());
        await socket.SendAsync(fits + "x");
        Assert.Equal("closed 1009", await socket.ReadAsync());
        Assert.Equal(CloseReason.TransportError, await host.Echo.ClosedAsync());
    }

    [Fact, Trait("Requirement", "fragments")]
    public async Task Fragmented_message_is_one_message_and_counts_as_a_whole()
    {
        await using var host = await TransportHost.StartEngineAsync(o => o.MaxPayload = 10_000);
        using var socket = await host.OpenWebSocketAsync();
        var bytes = Encoding.UTF8.GetBytes("4" + string.Concat(Enumerable.Repeat("é", 2000)));
        for (var i = 0; i < bytes.Length; i++)
            await socket.Socket.SendAsync(bytes.AsMemory(i, 1), WebSocketMessageType.Text, i == bytes.Length - 1, CancellationToken.None);
        Assert.Equal(Encoding.UTF8.GetString(bytes), await socket.ReadAsync());

        for (var i = 0; i < 3; i++)
            await socket.Socket.SendAsync(new byte[4000], WebSocketMessageType.Binary, false, CancellationToken.None);
        Assert.Equal("closed 1009", await socket.ReadAsync());
    }

    [Fact, Trait("Requirement", "E22 S13")]
    public async Task Close_packet_closes_the_connection()
    {
        await using var host = await TransportHost.StartEngineAsync();
        using var socket = await host.OpenWebSocketAsync();
        await socket.SendAsync("1");
        Assert.Equal("closed 1000", await socket.ReadAsync());
        Assert.Equal(CloseReason.TransportClose, await host.Echo.ClosedAsync());
    }

    [Fact]
    public async Task Client_that_closes_or_breaks_off_ends_its_session()
    {
        await using var host = await TransportHost.StartEngineAsync();
        using (var polite = await host.OpenWebSocketAsync())
        {
            await polite.Socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None);
            Assert.Equal(CloseReason.TransportClose, await host.Echo.ClosedAsync());
        }

        using var rude = await host.OpenWebSocketAsync();
        rude.Socket.Abort();
        Assert.Equal(CloseReason.TransportClose, await host.Echo.ClosedAsync());
        Assert.Equal(0, host.Engine.OpenSessions);
    }

    [Fact]
    public async Task Base64_is_sent_to_a_client_that_cannot_take_binary()
    {
        await using var host = await TransportHost.StartEngineAsync();
        using var socket = await host.ConnectAsync("EIO=4&transport=websocket&b64=1");
        await socket.ReadAsync();
        await socket.SendAsync("bAQID");
        Assert.Equal("bAQID", await socket.ReadAsync());
    }

    [Fact]
    public async Task Frame_with_a_gap_is_filled_for_each_session_on_either_transport()
    {
        await using var host = await TransportHost.StartEngineAsync();
        using var socket = await host.OpenWebSocketAsync();
        var onWebSocket = await host.Echo.OpenedAsync();
        var sid = await host.OpenAsync();
        var onPolling = await host.Echo.OpenedAsync();
        var frame = EngineIoFrame.EncodedText("4{\"id\":"u8.ToArray(), ",\"n\":1}"u8.ToArray());
        Assert.Equal(SendResult.Queued, onWebSocket.Send(frame, "\"a\""u8.ToArray()));
        Assert.Equal(SendResult.Queued, onPolling.Send(frame, "null"u8.ToArray()));
        Assert.Equal("4{\"id\":\"a\",\"n\":1}", await socket.ReadAsync());
        Assert.Equal("4{\"id\":null,\"n\":1}", (await host.PollAsync(sid)).Body);
    }

    [Fact]
    public async Task Stopping_server_closes_every_session_and_takes_no_more()
    {
        await using var host = await TransportHost.StartEngineAsync();
        using var socket = await host.OpenWebSocketAsync();
        var poll = host.PollAsync(await host.OpenAsync());
        host.Engine.Stop();
        Assert.Equal("closed 1001", await socket.ReadAsync());
        Assert.Equal(503, (await host.SendAsync(HttpMethod.Get, "EIO=4&transport=polling")).Code);
        Assert.True((await poll) is { Code: 200, Body: "1" } or { Code: 400 });
        Assert.Equal(CloseReason.ServerShutdown, await host.Echo.ClosedAsync());
    }
}
