using System.Buffers;
using System.Net.WebSockets;
using System.Text;
using KlineOrleans.Web.Transports.EngineIo;
using KlineOrleans.Web.Transports.SocketIo;

namespace KlineOrleans.Interop.ConformanceHost;

/// <summary>The test servers of the Engine.IO 4 and Socket.IO 5 conformance suites, both on one port of the loopback interface.</summary>
public static class ConformanceServer
{
    /// <summary>Starts the servers and warms them up: the suites measure gaps of 5 ms, which a first compilation would eat.</summary>
    /// <param name="port">0 for any free one.</param>
    /// <param name="pingInterval">What the suites expect is 300 ms; real clients get a calmer one.</param>
    public static async Task<WebApplication> StartAsync(int port, TimeSpan? pingInterval = null, TimeSpan? pingTimeout = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls($"http://127.0.0.1:{port}");
        var app = builder.Build();
        app.MapEngineIo("/engine.io/", new Echo(), Configure);
        app.MapSocketIo("/socket.io/", io =>
        {
            Configure(io.Engine);
            io.ConnectTimeout = pingInterval is null ? TimeSpan.FromSeconds(1) : TimeSpan.FromSeconds(45);
            io.Namespace("/")
                .OnConnect(SendAuth)
                .On("message", (socket, e) => socket.EmitRaw("message-back", e.RawArguments.Span, [.. e.Attachments]))
                .On("message-with-ack", (socket, e) => e.AckRaw(e.RawArguments.Span, [.. e.Attachments]))
                .On("ask-me", async (socket, e) =>
                {
                    var answer = await socket.EmitWithAckAsync("question", e.RawArguments, TimeSpan.FromSeconds(10));
                    socket.EmitRaw("answered", answer.RawArguments.Span, [.. answer.Attachments]);
                })
                .On("drop-me", (socket, _) => socket.Session.Close());
            io.Namespace("/custom").OnConnect(SendAuth);
            io.Namespace("/refused").Use(_ => ValueTask.FromResult<SocketIoRefusal?>(new SocketIoRefusal("Not today", "{\"retry\":false}"u8.ToArray())));
        });

        await app.StartAsync();
        await WarmUpAsync(app.Urls.First());
        return app;

        void Configure(EngineIoOptions options)
        {
            options.PingInterval = pingInterval ?? TimeSpan.FromMilliseconds(300);
            options.PingTimeout = pingTimeout ?? TimeSpan.FromMilliseconds(200);
            options.MaxPayload = 1_000_000;
            // All clients come from this machine.
            options.MaxSessionsPerAddress = options.MaxSessions;
            options.AllowedOrigins.Add("*");
        }
    }

    private static void SendAuth(SocketIoSocket socket) => socket.EmitRaw("auth", socket.Auth.IsEmpty ? "{}"u8 : socket.Auth.Span);

    private static async Task WarmUpAsync(string url)
    {
        using var client = new HttpClient();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20), TimeProvider.System);
        var token = patience.Token;
        foreach (var path in (string[])["/engine.io/", "/socket.io/"])
        {
            var polling = $"{url}{path}?EIO=4&transport=polling";
            for (var i = 0; i < 12; i++)
            {
                var session = $"{polling}&sid={await SidAsync(polling)}";
                var upgrade = new ClientWebSocket();
                using (upgrade)
                {
                    await client.GetAsync(new Uri(polling + "&sid=unknown"), token);
                    if (path == "/engine.io/")
                    {
                        await client.PostAsync(new Uri(session), new StringContent("4hello\u001ebAQIDBA=="), token);
                        await client.GetAsync(new Uri(session), token);
                    }

                    await upgrade.ConnectAsync(new Uri(session.Replace("http:", "ws:", StringComparison.Ordinal).Replace("polling", "websocket", StringComparison.Ordinal)), token);
                    await ExchangeAsync(upgrade, "2probe", token);
                    await client.GetAsync(new Uri(session), token);
                    await upgrade.SendAsync("5"u8.ToArray(), WebSocketMessageType.Text, true, token);
                    await ExchangeAsync(upgrade, path == "/engine.io/" ? "4hello" : "40", token);
                    if (path != "/engine.io/")
                        await ExchangeAsync(upgrade, "42456[\"message-with-ack\",1]", token);
                    await client.GetAsync(new Uri(session), token);
                    await upgrade.SendAsync("1"u8.ToArray(), WebSocketMessageType.Text, true, token);
                }

                var closed = $"{polling}&sid={await SidAsync(polling)}";
                var poll = client.GetAsync(new Uri(closed), token);
                await client.PostAsync(new Uri(closed), new StringContent("1"), token);
                await poll;
                await client.GetAsync(new Uri(closed), token);

                var twice = $"{polling}&sid={await SidAsync(polling)}";
                var first = client.GetAsync(new Uri(twice), token);
                var second = client.GetAsync(new Uri(twice), token);
                await Task.WhenAll(first, second);
            }
        }

        async Task<string> SidAsync(string polling)
        {
            var body = await client.GetStringAsync(new Uri(polling), token);
            using var json = System.Text.Json.JsonDocument.Parse(body.AsMemory(1));
            return json.RootElement.GetProperty("sid").GetString()!;
        }
    }

    private static async Task ExchangeAsync(ClientWebSocket socket, string message, CancellationToken token)
    {
        await socket.SendAsync(Encoding.UTF8.GetBytes(message), WebSocketMessageType.Text, true, token);
        await socket.ReceiveAsync(new byte[4096], token);
    }

    private sealed class Echo : IEngineIoHandler
    {
        public void OnOpen(EngineIoSession session)
        {
        }

        public ValueTask OnTextAsync(EngineIoSession session, ReadOnlySequence<byte> message)
        {
            session.Send(EngineIoFrame.Text(message.ToArray()));
            return ValueTask.CompletedTask;
        }

        public ValueTask OnBinaryAsync(EngineIoSession session, ReadOnlySequence<byte> data)
        {
            session.Send(EngineIoFrame.Binary(data.ToArray()));
            return ValueTask.CompletedTask;
        }

        public void OnClose(EngineIoSession session, CloseReason reason)
        {
        }
    }
}
