using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web;

/// <summary>The connections of the hub: gives each its session. Thread safe.</summary>
/// <remarks>
/// SignalR's own fan-out (groups, Clients.All) waits for nobody and buffers for a slow connection without bound. Here each connection has one writer, which
/// waits for the connection, and an outbox with an end.
/// </remarks>
internal sealed class KlineConnections(HubServices services, AccessRules access, WebCounters counters, ConnectionLimit limit, IOptions<WebOptions> options, TimeProvider time, ILogger<KlineConnections> log, ILogger<DefaultHubLifetimeManager<KlineHub>> baseLog)
    : DefaultHubLifetimeManager<KlineHub>(baseLog)
{
    /// <summary>Where a connection keeps its <see cref="Client"/>.</summary>
    public static readonly object ClientKey = new();

    /// <summary>Where a connection keeps its <see cref="AccessGrant"/>.</summary>
    public static readonly object GrantKey = new();

    public override async Task OnConnectedAsync(HubConnectionContext connection)
    {
        await base.OnConnectedAsync(connection);
        var limits = options.Value.Limits;
        var context = connection.GetHttpContext();
        var granted = context is null ? access.Authenticate(credential: null) : access.Authenticate(context);
        var wire = new SignalRWire(connection, time);
        var session = new Session(services.Feeds.NextLane(), wire, services.OutboxLimits, time);
        var client = new Client(session, services.Feeds, counters, granted.Grant?.SubscriptionLimit ?? 0, new RateLimit(limits.MessagesPerSecond, limits.MessageBurst, time), "signalr", connection.ConnectionId[..Math.Min(8, connection.ConnectionId.Length)]) { Goodbye = Goodbye };
        connection.Items[ClientKey] = client;
        connection.Items[GrantKey] = granted.Grant;

        var place = limit.TryEnter(context?.Connection.RemoteIpAddress);
        connection.Items[typeof(ConnectionLimit)] = place;
        if (place is null)
        {
            client.Close(DisconnectReason.Busy);
        }
        else if (granted.IsAllowed)
        {
            access.EndWhenExpired(client, granted.Grant);
        }
        else
        {
            // The endpoint has asked before; here only a token that expired in between.
            client.Close(DisconnectReason.Expired);
        }

        _ = Watch(client);
    }

    private Payload Goodbye() => services.Formats.Get(exact: false).EncodeStatus(new StatusMessage("", "shutdown", time.GetUtcNow(), "", IsSimulated: false));

    public override async Task OnDisconnectedAsync(HubConnectionContext connection)
    {
        if (connection.Items.Remove(ClientKey, out var value) && value is Client client)
        {
            client.Close(DisconnectReason.ClientClosed);
            (connection.Items[typeof(ConnectionLimit)] as IDisposable)?.Dispose();
        }

        await base.OnDisconnectedAsync(connection);
    }

    /// <summary>A session that ends by itself leaves its rooms at once, not when the transport notices.</summary>
    private async Task Watch(Client client)
    {
        var reason = await client.Session.Ended;
        client.Close(reason);
        if (reason is DisconnectReason.SlowConsumer or DisconnectReason.RateLimit)
        {
            log.LogInformation(1503, "A session ended: {Reason}", reason);
        }
    }
}
