using System.Collections.Concurrent;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;

namespace KlineOrleans.Benchmarks.Load;

/// <summary>What one writes first with ASP.NET: a WebSocket, a channel and a writer task for each connection; each message is encoded once.</summary>
internal static class KestrelPeer
{
    public static WebApplication Compose(int symbols)
    {
        var rooms = Enumerable.Range(0, symbols).Select(_ => new ConcurrentDictionary<Channel<byte[]>, byte>()).ToArray();
        var seqs = new long[symbols];
        var pacer = new Pacer((number, stamp) =>
        {
            var symbol = (int)(number % symbols);
            var text = Encoding.ASCII.GetBytes($"{{\"type\":\"kline_data\",\"data\":{PeerMessage.KlineData(LoadNames.Symbol(symbol), "m1", ++seqs[symbol], stamp)},\"timestamp\":{TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()}}}");
            foreach (var (member, _) in rooms[symbol])
            {
                member.Writer.TryWrite(text);
            }
        });
        var app = ServeCommand.NewBuilder().Build();
        app.UseWebSockets(new WebSocketOptions { KeepAliveInterval = TimeSpan.Zero });
        app.Map("/ws", async context =>
        {
            using var socket = await context.WebSockets.AcceptWebSocketAsync();
            var channel = Channel.CreateBounded<byte[]>(new BoundedChannelOptions(1_000) { SingleReader = true });
            var joined = new List<int>();
            var writing = Write(socket, channel.Reader);
            var buffer = new byte[1_024];
            try
            {
                while (true)
                {
                    var read = await socket.ReceiveAsync(buffer.AsMemory(), CancellationToken.None);
                    if (read.MessageType == WebSocketMessageType.Close)
                    {
                        break;
                    }

                    using var request = JsonDocument.Parse(buffer.AsMemory(0, read.Count));
                    var symbol = (int)LoadWire.Number(Encoding.ASCII.GetBytes(request.RootElement.GetProperty("symbol").GetString()![^5..]));
                    rooms[symbol][channel] = 0;
                    joined.Add(symbol);
                    channel.Writer.TryWrite("{\"type\":\"subscription_confirmed\"}"u8.ToArray());
                }
            }
            catch (WebSocketException)
            {
                // The client is gone.
            }

            joined.ForEach(symbol => rooms[symbol].TryRemove(channel, out _));
            channel.Writer.Complete();
            await writing;
        });
        ServeCommand.MapRate(app, pacer);
        return app;
    }

    private static async Task Write(WebSocket socket, ChannelReader<byte[]> messages)
    {
        try
        {
            await foreach (var message in messages.ReadAllAsync())
            {
                await socket.SendAsync(message, WebSocketMessageType.Text, endOfMessage: true, CancellationToken.None);
            }
        }
        catch (WebSocketException)
        {
            // The client is gone.
        }
    }
}
