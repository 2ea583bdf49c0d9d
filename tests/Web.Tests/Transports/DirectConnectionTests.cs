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
    public async Task Requests_memory_is_free_while_its_websocket_lasts(string path, string query)
    {
        await using var host = await WebHost.Start();
        using var client = new ClientWebSocket();
        await client.ConnectAsync(new UriBuilder(host.Address) { Scheme = "ws", Path = path, Query = query }.Uri, TestContext.Current.CancellationToken);
        var server = host.App.Services.GetService(typeof(Microsoft.AspNetCore.Hosting.Server.IServer))!;
        Assert.NotNull(server);

        // The server knows no request any more, and the WebSocket goes on.
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
        using var client = await Transports.Klines.EventWire.Dial(host, "/ws");
        var buffer = new byte[4_096];
        using var patience = new CancellationTokenSource(Safety);
        await client.ReceiveAsync(buffer.AsMemory(), patience.Token);
        var stop = host.DisposeAsync().AsTask();
        var read = await client.ReceiveAsync(buffer.AsMemory(), patience.Token);
        Assert.Equal(WebSocketMessageType.Close, read.MessageType);
        Assert.Equal(1001, (int?)client.CloseStatus);
        await client.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, patience.Token);
        await stop.WaitAsync(Safety, TestContext.Current.CancellationToken);
    }

    [Fact]
    public void Limit_of_open_files_is_read_where_the_system_says_it()
    {
        var file = Path.GetTempFileName();
        File.WriteAllText(file, "Limit                     Soft Limit           Hard Limit           Units     \nMax processes             5                    5                    processes \nMax open files            20000                20000                files     \n");
        Assert.Equal(20_000, OpenFileLimit.Read(file));
        File.WriteAllText(file, "Max open files            unlimited            unlimited            files     \n");
        Assert.Null(OpenFileLimit.Read(file));
        File.Delete(file);
        Assert.Null(OpenFileLimit.Read(file));
    }
}
