using System.Net.WebSockets;
using System.Text;
using KlineOrleans.Web.Transports.Direct;

namespace KlineOrleans.Web.Tests.Transports;

/// <summary>What differs from the framework's transport, seen from outside.</summary>
public sealed class DirectConnectionTests
{
    private static readonly TimeSpan Safety = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData("/ws", "")]
    [InlineData("/ws/kline/live", "")]
    [InlineData("/socket.io/", "EIO=4&transport=websocket")]
    public async Task WebSocket_takes_its_connection_from_the_server_and_gives_it_back_closed(string path, string query)
    {
        await using var host = await WebHost.Start();
        using var client = new ClientWebSocket();
        await client.ConnectAsync(new UriBuilder(host.Address) { Scheme = "ws", Path = path, Query = query }.Uri, TestContext.Current.CancellationToken);
        await client.SendAsync(Encoding.UTF8.GetBytes(path == "/socket.io/" ? "40" : "nonsense"), WebSocketMessageType.Text, true, TestContext.Current.CancellationToken);
        var buffer = new byte[4_096];
        using var patience = new CancellationTokenSource(Safety);
        for (var i = 0; i < 2; i++)
        {
            if (path != "/ws/kline/live" || i == 0)
            {
                Assert.Equal(WebSocketMessageType.Text, (await client.ReceiveAsync(buffer.AsMemory(), patience.Token)).MessageType);
            }
        }

        Assert.Equal(1, ((DirectTransport)host.App.Services.GetService(typeof(DirectTransport))!).Taken);
        await client.CloseAsync(WebSocketCloseStatus.NormalClosure, null, patience.Token);
        Assert.True(SpinWait.SpinUntil(() => ((DirectTransport)host.App.Services.GetService(typeof(DirectTransport))!).Taken == 0, Safety));
    }

    [Fact]
    public async Task Stop_waits_for_connections_that_were_taken_and_tells_them_why()
    {
        var host = await WebHost.Start();
        using var client = await Klines.EventWire.Dial(host, "/ws");
        var buffer = new byte[4_096];
        using var patience = new CancellationTokenSource(Safety);
        await client.ReceiveAsync(buffer.AsMemory(), patience.Token);

        // A stop holds its caller up until every client has closed.
        var stop = Task.Run(() => host.DisposeAsync().AsTask(), patience.Token);
        var goodbye = await client.ReceiveAsync(buffer.AsMemory(), patience.Token);
        Assert.Contains("server_shutdown", Encoding.UTF8.GetString(buffer, 0, goodbye.Count), StringComparison.Ordinal);
        var read = await client.ReceiveAsync(buffer.AsMemory(), patience.Token);
        Assert.Equal(WebSocketMessageType.Close, read.MessageType);
        Assert.Equal(1001, (int?)client.CloseStatus);
        await client.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, patience.Token);
        await stop.WaitAsync(Safety, TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Stop_does_not_wait_for_ever_for_a_client_that_does_not_answer()
    {
        var host = await WebHost.Start();
        using var client = await Klines.EventWire.Dial(host, "/ws");
        var transport = (DirectTransport)host.App.Services.GetService(typeof(DirectTransport))!;
        Assert.True(SpinWait.SpinUntil(() => transport.Taken == 1, Safety));
        await host.DisposeAsync().AsTask().WaitAsync(Safety, TestContext.Current.CancellationToken);
        Assert.Equal(0, transport.Taken);
    }
}
