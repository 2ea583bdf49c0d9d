using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using KlineOrleans.Web.Transports.SocketIo;

namespace KlineOrleans.Interop.Tests;

/// <summary>A chat: an application that has nothing of ours but the Socket.IO server. docs/wire/socketio-server.md shows it.</summary>
internal static class ChatServer
{
    public static async Task<WebApplication> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();

        // The page shows what is between these lines.
        // <example>
        app.MapSocketIo("/socket.io", io =>
        {
            io.Engine.AllowedOrigins.Add("https://chat.example");
            var chat = io.Namespace("/chat");

            // Who comes in: the client's auth: {name}.
            chat.Use(socket =>
            {
                socket.State = System.Text.Json.JsonDocument.Parse(socket.Auth.IsEmpty ? "{}"u8.ToArray() : socket.Auth).RootElement.TryGetProperty("name", out var name) ? name.ToString() : null;
                return ValueTask.FromResult(socket.State is null ? new SocketIoRefusal("A name is needed", """{"code":401}"""u8.ToArray()) : null);
            });
            chat.OnConnect(socket => socket.Emit("welcome", new { socket.Id, Sockets = chat.Count }));

            // An event, and its acknowledgement if the client asks for one.
            chat.On("join", (socket, e) =>
            {
                if (!e.TryGet<string>(0, out var room))
                {
                    e.Ack(new { Ok = false, Why = "A room's name is needed" });
                    return;
                }

                socket.Join(room!);
                chat.Emit("joined", new { Room = room, Name = socket.State }, room, except: socket);
                e.Ack(new { Ok = true, Members = chat.Room(room!).Count });
            });
            chat.On("leave", (socket, e) => e.Ack(e.TryGet<string>(0, out var room) && socket.Leave(room!)));
            chat.On("say", (socket, e) =>
            {
                if (e.TryGet<string>(0, out var room) && e.TryGet<string>(1, out var text))
                    chat.Emit("said", new { Room = room, Name = socket.State, Text = text }, room);
            });

            // Binary data: its place in the arguments is a placeholder.
            chat.On("picture", (_, e) =>
            {
                if (e.TryGet<string>(0, out var room) && e.TryGetBinary(1, out var data))
                    chat.EmitRaw("picture", """{"_placeholder":true,"num":0}"""u8, [data], room);
            });

            // A question to a client, whose answer is waited for.
            chat.On("ask-all", async (socket, e) =>
            {
                var answers = await Task.WhenAll(chat.Sockets.Where(other => other != socket).Select(async other =>
                    (await other.EmitWithAckAsync("question", e.RawArguments, TimeSpan.FromSeconds(5))).RawArguments.ToArray()));
                e.AckRaw([.. "["u8, .. answers.SelectMany((a, i) => i == 0 ? a : [(byte)',', .. a]), .. "]"u8]);
            });
            chat.OnDisconnect((socket, reason) => chat.Emit("left", new { Name = socket.State, Why = reason.ToText() }));
        });
        // </example>

        await app.StartAsync();
        return app;
    }
}
