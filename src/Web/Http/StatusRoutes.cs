using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web;

/// <summary>Figures of this node's clients over HTTP (docs/wire).</summary>
internal sealed class StatusRoutes(RouteAnswers answers, WebCounters counters, MintFeeds feeds, IOptions<WebOptions> options, TimeProvider time)
{
    private const int MostTopMints = 10;

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/kline/status", answers.Guard(GetStatus)).Needs(AccessLevel.Client).WithMetadata(
            new RouteDoc("getKlineStatus", "Figures", "Whether the kline service runs, and its limits", "KlineStatus"));
        routes.MapGet("/api/kline/stats", answers.Guard(GetStats)).Needs(AccessLevel.Client).WithMetadata(
            new RouteDoc("getKlineStats", "Figures", "Connections, subscriptions and followed mints", "KlineStats"));
        routes.MapGet("/api/ws/metrics", answers.Guard(GetMetrics)).Needs(AccessLevel.Client).WithMetadata(
            new RouteDoc("getSocketMetrics", "Figures", "Messages sent, failed and conflated, and how long updates take", "SocketMetrics"));
        routes.MapGet("/api/kline/subscriptions", answers.Guard(GetSubscriptions)).Needs(AccessLevel.Operator).WithMetadata(
            new RouteDoc("getKlineSubscriptions", "Figures", "Every client and room of this node. For operators", "KlineSubscriptions"));
    }

    private Task<ApiError?> GetStatus(HttpContext context) => RouteAnswers.Ok(context, this, static (json, a) => CompatRoutes.Envelope(json, a, null, static (json, a) =>
    {
        var web = a.Options;
        json.WriteBoolean("enabled", true);
        json.WriteString("service_status", "running");
        json.WriteStartObject("stats");
        json.WriteNumber("active_connections", a.Counters.Connections);
        json.WriteNumber("total_subscriptions", a.Counters.Subscriptions);
        json.WriteNumber("monitored_mints", a.Feeds.Count);
        json.WriteStartObject("config");
        json.WriteNumber("connection_timeout", (long)web.Ping.Timeout.TotalSeconds);
        json.WriteNumber("max_subscriptions_per_client", web.Limits.SubscriptionsPerClient);
        json.WriteNumber("ping_interval", (long)web.Ping.Interval.TotalSeconds);
        json.WriteNumber("ping_timeout", (long)web.Ping.Timeout.TotalSeconds);
        json.WriteEndObject();
        json.WriteEndObject();
    }));

    private Task<ApiError?> GetStats(HttpContext context) => RouteAnswers.Ok(context, (Routes: this, Names: Names(context)), static (json, a) => CompatRoutes.Envelope(json, a, null, static (json, a) => a.Routes.WriteStats(json, a.Names)));

    private Task<ApiError?> GetMetrics(HttpContext context) =>
        RouteAnswers.Ok(context, (Routes: this, Context: context), static (json, a) => CompatRoutes.Envelope(json, a, null, static (json, a) => a.Routes.WriteMetrics(json, a.Context)));

    private Task<ApiError?> GetSubscriptions(HttpContext context) => RouteAnswers.Ok(context, this, static (json, a) => CompatRoutes.Envelope(json, a, null, static (json, a) =>
    {
        // Mint and interval of each room, with the ids of those in it.
        SortedDictionary<(string Mint, int Interval), List<string>> rooms = new(Comparer<(string Mint, int Interval)>.Create(static (a, b) =>
            string.CompareOrdinal(a.Mint, b.Mint) is var byMint && byMint != 0 ? byMint : a.Interval.CompareTo(b.Interval)));
        var clients = a.Counters.Clients.Select(c => (Client: c, c.Followed)).ToList();
        json.WriteNumber("timestamp", a.Time.GetUtcNow().ToUnixTimeSeconds());
        json.WriteNumber("total_connections", clients.Count);
        json.WriteStartArray("clients");
        foreach (var (client, followed) in clients)
        {
            json.WriteStartObject();
            json.WriteString("socket_id", client.Id);
            json.WriteString("wire", client.Wire);
            json.WriteStartArray("subscriptions");
            foreach (var (symbol, intervals) in followed)
            {
                foreach (var interval in IntervalBits.In(intervals))
                {
                    json.WriteStartObject();
                    json.WriteString("symbol", symbol);
                    json.WriteString("interval", KlineJson.Name(interval));
                    json.WriteEndObject();
                    if (!rooms.TryGetValue((symbol, (int)interval), out var ids))
                    {
                        rooms[(symbol, (int)interval)] = ids = [];
                    }

                    ids.Add(client.Id);
                }
            }

            json.WriteEndArray();
            json.WriteNumber("subscription_count", client.Subscriptions);
            json.WriteNumber("connection_duration_seconds", (long)client.Session.Age.TotalSeconds);
            json.WriteNumber("last_activity_seconds_ago", (long)client.Rate.Idle.TotalSeconds);
            json.WriteStartObject("message_stats");
            json.WriteNumber("total_messages_sent", client.Session.Sent);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumber("total_rooms", rooms.Count);
        json.WriteStartArray("rooms");
        foreach (var ((mint, interval), ids) in rooms)
        {
            var name = KlineJson.Name((Contracts.KlineInterval)interval).ToString();
            json.WriteStartObject();
            json.WriteString("room_name", $"kline:{mint}:{name}");
            json.WriteString("mint", mint);
            json.WriteString("interval", name);
            json.WriteNumber("subscriber_count", ids.Count);
            json.WriteStartArray("subscribers");
            foreach (var id in ids)
            {
                json.WriteStringValue(id);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }));

    /// <summary>Writes the properties of what <c>/api/ws/metrics</c> answers to the caller.</summary>
    public void WriteMetrics(Utf8JsonWriter json, HttpContext context)
    {
        WriteStats(json, Names(context));
        json.WriteStartObject("messages");
        json.WriteNumber("sent", counters.Sent);
        json.WriteNumber("sent_bytes", counters.SentBytes);
        json.WriteNumber("failed", counters.Failed);
        json.WriteNumber("conflated", counters.Conflated);
        json.WriteEndObject();
        json.WriteStartObject("sessions_ended");
        foreach (var reason in Enum.GetValues<DisconnectReason>())
        {
            if (reason != DisconnectReason.None)
            {
                json.WriteNumber(JsonNamingPolicy.SnakeCaseLower.ConvertName(reason.ToString()), counters.Ended(reason));
            }
        }

        json.WriteEndObject();
        json.WriteNumber("closed_as_slow", counters.Ended(DisconnectReason.SlowConsumer));
        json.WriteStartObject("latency_ms");
        json.WriteNumber("count", counters.Latency.Count);
        foreach (var (name, quantile) in ((string, double)[])[("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999), ("max", 1)])
        {
            json.WriteNumber(name, counters.Latency.Quantile(quantile).TotalMilliseconds);
        }

        json.WriteEndObject();
    }

    private void WriteStats(Utf8JsonWriter json, IReadOnlyList<(string Symbol, int Clients)> top)
    {
        json.WriteNumber("active_connections", Counters.Connections);
        json.WriteStartObject("connections_by_wire");
        foreach (var wire in Counters.Clients.GroupBy(c => c.Wire, StringComparer.Ordinal).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            json.WriteNumber(wire.Key, wire.Count());
        }

        json.WriteEndObject();
        json.WriteNumber("total_subscriptions", Counters.Subscriptions);
        json.WriteNumber("monitored_mints", Feeds.Count);
        json.WriteStartArray("top_mints");
        foreach (var (symbol, clients) in top)
        {
            json.WriteStartObject();
            json.WriteString("mint", symbol);
            json.WriteNumber("clients", clients);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    /// <summary>The most followed mints, of those that the caller may see.</summary>
    private IReadOnlyList<(string Symbol, int Clients)> Names(HttpContext context)
    {
        // An operator who is known by the place he calls from has no grant.
        var grant = AccessGrant.Of(context);
        return grant?.Symbols is null ? Feeds.Top(MostTopMints) : [.. Feeds.Top(int.MaxValue).Where(t => grant.MaySee(t.Symbol)).Take(MostTopMints)];
    }

    private WebCounters Counters => counters;

    private MintFeeds Feeds => feeds;

    private WebOptions Options => options.Value;

    private TimeProvider Time => time;
}
