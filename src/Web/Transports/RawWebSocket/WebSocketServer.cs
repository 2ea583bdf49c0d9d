using System.Net.WebSockets;
using System.Text.Json;
using KlineOrleans.Web.Transports.Direct;
using KlineOrleans.Web.Transports.EngineIo;
using KlineOrleans.Web.Transports.Events;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace KlineOrleans.Web.Transports.RawWebSocket;

/// <summary>The WebSockets without another protocol on top: /ws and /ws/kline/live (docs/wire/websocket.md). Thread safe.</summary>
internal sealed class WebSocketServer : IDisposable
{
    /// <summary>How long a connection may take to close.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly EventServices _services;
    private readonly EventFormats _formats;
    private readonly EventFormats _binary;
    private readonly LiveFormat[] _live = [new(false, false), new(false, true), new(true, false), new(true, true)];
    private readonly bool _deflate;
    private int _opened;

    public WebSocketServer(EventServices services, TimeProvider time)
    {
        _services = services;
        Time = time;
        Deadlines = new DeadlineQueue(time);
        var options = services.Hub.Options;
        PingInterval = Deadlines.Ticks(options.Ping.Interval);
        PingTimeout = Deadlines.Ticks(options.Ping.Timeout);
        MessageBytes = options.Limits.MessageBytes;
        _deflate = options.Sockets.Deflate;
        _formats = new EventFormats(new WebSocketEventFormat(hasVolume: false, time), new WebSocketEventFormat(hasVolume: true, time));
        _binary = new EventFormats(new BinaryEventFormat(hasVolume: false, time), new BinaryEventFormat(hasVolume: true, time));
    }

    public TimeProvider Time { get; }

    /// <summary>The pings of all connections behind one timer.</summary>
    public DeadlineQueue Deadlines { get; }

    public long PingInterval { get; }

    public long PingTimeout { get; }

    /// <summary>When a new connection gets its first ping: sooner than later ones, and spread, or thousands that came at once would be asked, and answer, at once ever after.</summary>
    /// <remarks>Multiples of the golden ratio lie about as far from each other as they can.</remarks>
    public long FirstPing(long now)
    {
        var part = unchecked((uint)Interlocked.Increment(ref _opened) * 2_654_435_769) / (double)uint.MaxValue;
        return now + (long)(PingInterval * (0.5 + (0.5 * part)));
    }

    public int MessageBytes { get; }

    /// <summary>The format of /ws/kline/live.</summary>
    public LiveFormat Live(bool hasSymbol, bool hasVolume) => _live[(hasSymbol ? 2 : 0) + (hasVolume ? 1 : 0)];

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.Map("/ws", (RequestDelegate)ServeEvents).Needs(AccessLevel.Client, rateLimited: false);
        routes.Map("/ws/kline/live", (RequestDelegate)(context => Serve(context, "live", RunLive, LiveFormat.Shutdown))).Needs(AccessLevel.Client, rateLimited: false);
    }

    public void Dispose() => Deadlines.Dispose();

    /// <summary>How a connection is closed: a status that the client sees, and a sentence.</summary>
    /// <remarks>The application's own statuses are 3000 above an error's code, so 4006 is the server's "come back later".</remarks>
    public static (int Status, string Sentence) StatusOf(DisconnectReason reason) => reason switch
    {
        DisconnectReason.SlowConsumer => (3_000 + (int)ApiErrorCode.Busy, "SlowConsumer: too much waited for this client. Come back and resume."),
        DisconnectReason.RateLimit => (3_000 + (int)ApiErrorCode.RateLimit, "RateLimit: too many requests. Come back later."),
        DisconnectReason.Busy => (3_000 + (int)ApiErrorCode.Busy, "Busy: the server holds as many clients as it may. Come back later."),
        DisconnectReason.Expired => (3_000 + (int)ApiErrorCode.NotAuthorised, "Expired: the token has expired. Come back with a new one."),
        DisconnectReason.ServerShutdown => ((int)WebSocketCloseStatus.EndpointUnavailable, "ServerShutdown: the server stops. Come back and resume."),
        DisconnectReason.PingTimeout => ((int)WebSocketCloseStatus.PolicyViolation, "PingTimeout: no answer to a ping came in time."),
        _ => ((int)WebSocketCloseStatus.NormalClosure, ""),
    };

    private Task ServeEvents(HttpContext context)
    {
        var format = context.Request.Query["format"].ToString();
        return format switch
        {
            "" or "json" => Serve(context, "websocket", (connection, client, grant) => RunEvents(connection, client, grant, _formats), _formats.Any.Shutdown),
            "binary" => Serve(context, "websocket", (connection, client, grant) => RunEvents(connection, client, grant, _binary), _binary.Any.Shutdown),
            _ => ApiError.Bad("format", format, "json, binary").Write(context),
        };
    }

    private async Task Serve(HttpContext context, string wire, Func<WebSocketConnection, Client, AccessGrant, Task> run, Func<Payload> goodbye)
    {
        if (!context.WebSockets.IsWebSocketRequest)
        {
            context.Response.Headers.Upgrade = "websocket";
            await Problem.Write(context, StatusCodes.Status426UpgradeRequired, "This address speaks WebSocket only.");
            return;
        }

        var access = _services.Access.Authenticate(context);
        if (!access.IsAllowed)
        {
            await access.Error.Write(context);
            return;
        }

        var place = _services.Connections.TryEnter(context.Connection.RemoteIpAddress);
        if (place is null)
        {
            await Problem.Write(context, StatusCodes.Status503ServiceUnavailable, "The server holds as many clients as it may. Come back later.", new ApiError(ApiErrorCode.Busy, "Busy"));
            return;
        }

        var deflate = _deflate && Offers(context.Request, out _);
        try
        {
            var direct = DirectTransport.ConnectionOf(context);
            var stream = await WebSocketHandshake.Accept(context, deflate);
            var grant = access.Grant;
            if (direct is null)
            {
                await Run(new WebSocketConnection(stream, context.Abort, null, this, deflate));
            }
            else
            {
                // From here on the connection needs nothing of the request, which ends.
                var taken = place;
                place = null;
                direct.TakeOver(async () =>
                {
                    using (taken)
                    {
                        await Run(new WebSocketConnection(new DirectStream(direct), direct.Abort, direct.Socket, this, deflate));
                    }
                });
            }

            Task Run(WebSocketConnection connection) => RunSession(connection, wire, grant, run, goodbye);
        }
        finally
        {
            place?.Dispose();
        }
    }

    private async Task RunSession(WebSocketConnection wire, string name, AccessGrant grant, Func<WebSocketConnection, Client, AccessGrant, Task> run, Func<Payload> goodbye)
    {
        await using var connection = wire;
        var session = new Session(_services.Hub.Feeds.NextLane(), connection, _services.Hub.OutboxLimits, Time);
        connection.Session = session;
        var client = _services.NewClient(session, grant, name, EngineIoServer.NewId(), goodbye);
        connection.Start();
        try
        {
            await run(connection, client, grant);
        }
        finally
        {
            client.Close(DisconnectReason.ClientClosed);
        }
    }

    private async Task RunEvents(WebSocketConnection connection, Client client, AccessGrant grant, EventFormats formats)
    {
        var symbols = await _services.SupportedSymbols();
        client.Session.Send(new Payload(HubJson.Make((_services, client.Id, grant, symbols), static (json, a) =>
        {
            json.WriteStartObject();
            json.WriteString("type", "connection_success");
            a._services.WriteGreeting(json, a.Id, a.grant, a.symbols, camelCase: false);
            json.WriteEndObject();
        })));
        var events = new EventClient(client, grant, formats, _services, null);
        await connection.Read(message => Handle(events, message));
    }

    private Task Handle(EventClient events, ReadOnlyMemory<byte> message)
    {
        if (!EventRequest.TryParse(message, _services.Hub.Options.Limits.JsonDepth, out var document, out var error))
        {
            return events.Guard(() => Task.FromResult(error));
        }

        return Answer(document!);

        async Task Answer(JsonDocument json)
        {
            using (json)
            {
                var payload = json.RootElement;
                const string Shape = "{msg_type, ...}";
                const string Types = "subscribe, unsubscribe, history, ping";
                var type = "";
                if (!EventRequest.TryRead(payload, Shape, out var request, out var wrong) || !request.TryText("msg_type", Types, out type, out wrong))
                {
                    await events.Guard(() => Task.FromResult(wrong));
                    return;
                }

                await (type switch
                {
                    "subscribe" or "subscribe_kline" => events.Subscribe(payload),
                    "unsubscribe" or "unsubscribe_kline" => events.Unsubscribe(payload),
                    "history" or "get_history" => events.History(payload),
                    "ping" => events.Guard(() =>
                    {
                        events.Send(_formats.Any.Event("pong", Time, static (json, time) =>
                        {
                            json.WriteStartObject();
                            json.WriteNumber("server_time", time.GetUtcNow().ToUnixTimeSeconds());
                            json.WriteEndObject();
                        }));
                        return Task.FromResult<ApiError?>(null);
                    }),
                    _ => events.Guard(() => Task.FromResult<ApiError?>(ApiError.Bad("msg_type", type, Types))),
                });
            }
        }
    }

    private async Task RunLive(WebSocketConnection connection, Client client, AccessGrant grant)
    {
        var live = new LiveClient(client, grant, this, _services);
        await connection.Read(live.Handle);
    }

    /// <summary>Whether the client offers permessage-deflate.</summary>
    private static bool Offers(HttpRequest request, out string? offer)
    {
        offer = request.Headers.SecWebSocketExtensions.ToString();
        return offer.Split(',').Any(e => e.Split(';')[0].Trim().Equals("permessage-deflate", StringComparison.OrdinalIgnoreCase));
    }
}
