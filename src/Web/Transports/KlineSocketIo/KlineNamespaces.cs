using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Web.Transports.EngineIo;
using KlineOrleans.Web.Transports.Events;
using KlineOrleans.Web.Transports.SocketIo;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace KlineOrleans.Web.Transports.KlineSocketIo;

/// <summary>The namespaces <c>/</c>, <c>/kline</c> and <c>/ws/kline</c> of Socket.IO (docs/wire/socketio.md). Thread safe.</summary>
internal sealed class KlineNamespaces(EventServices services, NewSymbols newSymbols, TimeProvider time)
{
    public const string Path = "/socket.io";

    // The session's own bound is the one that counts; a transport carries three namespaces, and answers to requests besides.
    private const int TransportShare = 4;

    /// <summary>Maps /socket.io.</summary>
    public void Map(IEndpointRouteBuilder routes) => routes.MapSocketIo(Path, io =>
    {
        var options = services.Hub.Options;
        io.MaxJsonDepth = Math.Min(63, options.Limits.JsonDepth);
        io.Json = JsonSerializerOptions.Web;
        io.Engine.PingInterval = options.Ping.Interval;
        io.Engine.PingTimeout = options.Ping.Timeout;
        io.Engine.MaxPayload = options.Limits.MessageBytes;
        io.Engine.MaxQueuedFrames = (int)Math.Min(int.MaxValue, (long)options.Outbox.Messages * TransportShare);
        io.Engine.MaxQueuedBytes = Math.Max(8L << 20, (long)options.Outbox.Bytes * TransportShare);
        io.Engine.PerMessageDeflate = options.Sockets.Deflate;

        // Counted with the clients of all wires, by Admit.
        io.Engine.MaxSessions = int.MaxValue;
        io.Engine.MaxSessionsPerAddress = int.MaxValue;
        io.Engine.Admit = Admit;
        foreach (var origin in options.AllowedOrigins)
        {
            io.Engine.AllowedOrigins.Add(origin);
        }

        io.Engine.AllowCredentials = options.AllowedOrigins.Count > 0 && !options.AllowedOrigins.Contains("*");
        Describe(io.Namespace("/"), hasChainEvents: false, camelCase: false);
        Describe(io.Namespace("/kline"), hasChainEvents: true, camelCase: false);
        var third = io.Namespace("/ws/kline");
        Describe(third, hasChainEvents: false, camelCase: true);
        DescribePrices(third);
    });

    private ValueTask<EngineIoAdmission> Admit(HttpContext context) => ValueTask.FromResult(
        services.Connections.TryEnter(context.Connection.RemoteIpAddress) is { } place
            ? EngineIoAdmission.Accept(new Admission(place, services.Access.Authenticate(context)))
            : EngineIoAdmission.Refuse($"{(int)ApiErrorCode.Busy}: The server holds as many clients as it may. Come back later."));

    /// <summary>A client shows its key or token with the request that opens its session, or with each namespace: <c>auth: {token}</c>, which a page can do without a query.</summary>
    private SocketIoRefusal? Authenticate(SocketIoSocket socket)
    {
        var access = ((Admission)socket.Session.Tag!).Access;
        if (!access.IsAllowed)
        {
            access = services.Access.Authenticate(Credential(socket.Auth));
        }

        socket.State = access.Grant;
        return access.IsAllowed ? null : new SocketIoRefusal(access.Error.ToString(), HubJson.Make(access.Error, static (json, error) =>
        {
            json.WriteStartObject();
            EventFormat.WriteError(json, error);
            json.WriteEndObject();
        }));
    }

    private static string? Credential(ReadOnlyMemory<byte> auth)
    {
        if (auth.IsEmpty)
        {
            return null;
        }

        using var json = JsonDocument.Parse(auth);
        return EventRequest.TryRead(json.RootElement, "", out var request, out _)
            && (request.TryText("token", "", out var token, out _) & request.TryText(AccessRules.QueryKey, "", out var other, out _)) ? token ?? other : null;
    }

    /// <summary>What a session carries: its place among the connections, which it gives back when it ends, and whose it is.</summary>
    private sealed class Admission(IDisposable place, AccessResult access) : IDisposable
    {
        public AccessResult Access => access;

        public void Dispose() => place.Dispose();
    }

    private void Describe(SocketIoNamespace ns, bool hasChainEvents, bool camelCase)
    {
        var formats = new EventFormats(new SocketIoEventFormat(ns.Name, hasVolume: false, time), new SocketIoEventFormat(ns.Name, hasVolume: true, time));
        if (hasChainEvents)
        {
            // The one namespace that has them: encoded once for all its clients.
            services.ChainEvents.Encode = e => formats.Any.Event("event_data", e, static (json, e) => ChainEventJson.WriteItem(json, e));
        }

        ns.Use(socket => ValueTask.FromResult(Authenticate(socket)));
        ns.OnConnect(async socket =>
        {
            var grant = (AccessGrant)socket.State!;
            var session = new Session(services.Hub.Feeds.NextLane(), new SocketIoWire(socket), services.Hub.OutboxLimits, time);
            var client = services.NewClient(session, grant, "socketio", socket.Id, formats.Any.Shutdown);
            socket.State = new EventClient(client, grant, formats, services, hasChainEvents ? new ChainEventClient(client, formats, services.ChainEvents) : null);
            var symbols = await services.SupportedSymbols();
            session.Send(formats.Any.Event("connection_success", (services, socket.Id, grant, symbols, camelCase), static (json, a) =>
            {
                json.WriteStartObject();
                a.services.WriteGreeting(json, a.Id, a.grant, a.symbols, a.camelCase);
                json.WriteEndObject();
            }));
        });
        ns.OnDisconnect((socket, _) =>
        {
            if (socket.State is EventClient events)
            {
                newSymbols.Remove(events.Client.Session);
                events.ChainEvents?.Dispose();
                events.Client.Close(DisconnectReason.ClientClosed);
            }
        });
        foreach (var name in (ReadOnlySpan<string>)["subscribe", "subscribe_kline"])
        {
            On(ns, name, static (events, payload) => events.Subscribe(payload));
        }

        foreach (var name in (ReadOnlySpan<string>)["unsubscribe", "unsubscribe_kline"])
        {
            On(ns, name, static (events, payload) => events.Unsubscribe(payload));
        }

        foreach (var name in (ReadOnlySpan<string>)["history", "get_history"])
        {
            On(ns, name, static (events, payload) => events.History(payload));
        }
    }

    private void DescribePrices(SocketIoNamespace ns)
    {
        var prices = new PriceFormat(ns.Name);
        On(ns, "subscribe_price", (events, payload) => events.SubscribePrice(payload, prices));
        On(ns, "unsubscribe_price", static (events, payload) => events.UnsubscribePrice(payload));
        newSymbols.Encode = symbol => new SocketIoPayload([SocketIoPacket.Event(ns.Name, "token_created", Token(symbol))]);
        On(ns, "subscribe_tokens", (events, _) => events.Guard(async () =>
        {
            await newSymbols.Add(events.Client.Session, events.Grant);
            return null;
        }));
        On(ns, "unsubscribe_tokens", (events, _) => events.Guard(() =>
        {
            newSymbols.Remove(events.Client.Session);
            return Task.FromResult<ApiError?>(null);
        }));
    }

    private ReadOnlySpan<byte> Token(SymbolInfo symbol) => HubJson.Make((symbol, time), static (json, a) =>
    {
        json.WriteStartObject();
        json.WriteString("symbol", a.symbol.Symbol);
        json.WriteString("name", a.symbol.Name);
        json.WriteString("source", a.symbol.Source);
        json.WriteNumber("listed_time", a.symbol.ListedTime.ToUnixTimeMilliseconds());
        json.WriteNumber("timestamp", a.time.GetUtcNow().ToUnixTimeMilliseconds());
        json.WriteEndObject();
    }).Span;

    private static void On(SocketIoNamespace ns, string name, Func<EventClient, JsonElement, Task<ApiError?>> answer) => ns.On(name, async (socket, e) =>
    {
        if (socket.State is not EventClient events)
        {
            return;
        }

        // Valid JSON, and not too deep: the transport has checked it.
        using var payload = JsonDocument.Parse(e.Raw(0));
        var error = await answer(events, payload.RootElement);
        if (e.WantsAck)
        {
            e.AckRaw(HubJson.Make(error, static (json, error) =>
            {
                json.WriteStartObject();
                json.WriteBoolean("success", error is null);
                if (error is not null)
                {
                    EventFormat.WriteError(json, error);
                }

                json.WriteEndObject();
            }).Span);
        }
    });
}
