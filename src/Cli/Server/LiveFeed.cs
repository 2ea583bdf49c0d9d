using System.Net.WebSockets;
using System.Runtime.CompilerServices;
using System.Text.Json;
using KlineOrleans.Contracts;

namespace KlineOrleans.Cli;

/// <summary>Tells when klines of a symbol and interval changed, over the server's raw WebSocket (docs/wire/websocket.md). Reconnects for ever.</summary>
internal sealed class LiveFeed(KlineServer server, string symbol, KlineInterval interval, TimeProvider time)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(15);

    /// <summary>An item for each change: the open time of the kline that changed, or null when the connection is there (again) or lost.</summary>
    /// <exception cref="Failure">The server refuses for good.</exception>
    public async IAsyncEnumerable<Change> Read([EnumeratorCancellation] CancellationToken stop)
    {
        var pause = FirstPause;
        while (true)
        {
            using var socket = new ClientWebSocket();
            var connected = false;
            string? lost = null;
            try
            {
                await socket.ConnectAsync(Address(), stop);
                var request = JsonSerializer.SerializeToUtf8Bytes(new { msg_type = "subscribe", symbol, interval = interval.Name(), limit = 1 });
                await socket.SendAsync(request, WebSocketMessageType.Text, endOfMessage: true, stop);
            }
            catch (WebSocketException error)
            {
                lost = error.Message;
            }

            while (lost is null)
            {
                JsonDocument? message = null;
                try
                {
                    message = await Receive(socket, stop);
                    lost = message is null ? socket.CloseStatusDescription ?? "the server closed the connection" : null;
                }
                catch (WebSocketException error)
                {
                    lost = error.Message;
                }

                using (message)
                {
                    switch (message?.RootElement.GetProperty("type").GetString())
                    {
                        case "subscription_confirmed":
                            connected = true;
                            pause = FirstPause;
                            yield return new Change(null, null);
                            break;
                        case "kline_data":
                            yield return new Change(DateTimeOffset.FromUnixTimeSeconds(message.RootElement.GetProperty("data").GetProperty("data").GetProperty("time").GetInt64()), null);
                            break;
                        case "error" when !connected:
                            throw new Failure($"{server.Address} refuses: {message.RootElement.GetProperty("message").GetString()}");
                    }
                }
            }

            yield return new Change(null, lost);
            await Task.Delay(pause, time, stop);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    private Uri Address()
    {
        var builder = new UriBuilder(new Uri(server.Address, "ws")) { Scheme = server.Address.Scheme == Uri.UriSchemeHttps ? Uri.UriSchemeWss : Uri.UriSchemeWs };
        if (!string.IsNullOrEmpty(server.Token))
        {
            builder.Query = "access_token=" + Uri.EscapeDataString(server.Token);
        }

        return builder.Uri;
    }

    private static async Task<JsonDocument?> Receive(ClientWebSocket socket, CancellationToken stop)
    {
        using var buffer = new MemoryStream();
        var part = new byte[16 * 1024];
        while (true)
        {
            var result = await socket.ReceiveAsync(part.AsMemory(), stop);
            if (result.MessageType == WebSocketMessageType.Close)
            {
                return null;
            }

            buffer.Write(part, 0, result.Count);
            if (result.EndOfMessage)
            {
                buffer.Position = 0;
                return JsonDocument.Parse(buffer);
            }
        }
    }

    /// <param name="OpenTime">The kline that changed; null where the connection did.</param>
    /// <param name="Lost">Why the connection was lost; null when it is there.</param>
    public readonly record struct Change(DateTimeOffset? OpenTime, string? Lost);
}
