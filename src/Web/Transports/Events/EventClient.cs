using System.Globalization;
using System.Text.Json;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web.Transports.Events;

/// <summary>Answers the requests of one client on an older wire (docs/wire/socketio.md, websocket.md), one after another, through its session.</summary>
/// <remarks>Calls must not overlap. Each answers null, or the error that the client was sent.</remarks>
internal sealed class EventClient(Client client, AccessGrant grant, EventFormats formats, EventServices services, ChainEventClient? chainEvents)
{
    // Beside the places of single intervals, whose numbers are their bits.
    private const int PricePlace = 1 << 30;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    public Client Client => client;

    public AccessGrant Grant => grant;

    /// <summary>What it follows of chain events; null where its wire has none.</summary>
    public ChainEventClient? ChainEvents => chainEvents;

    private LimitValues Limits => new(services.Hub.Options.History.Default, services.Hub.Options.History.Max, grant.SubscriptionLimit);

    /// <summary>subscribe: history, then a confirmation, then updates, for each interval in turn.</summary>
    public Task<ApiError?> Subscribe(JsonElement payload) => Guard(async () =>
    {
        if (!EventRequest.TryRead(payload, "{symbol, interval, subscription_id?, limit?, resume?}", out var request, out var error)
            || !request.TryText("symbol", "text", out var symbol, out error)
            || !request.TryIntervals(out var intervals, out error)
            || !request.TrySubscriptionId(out var id, out error)
            || !request.TryLimit(Limits.Default, Limits.Max, out var limit, out error)
            || !request.TryResume(out var resume, out error)
            || !request.TryResumeEvent(out var resumeEvent, out error))
        {
            return error;
        }

        error = grant.Check(symbol) ?? await services.Hub.Symbols.Check(symbol, CancellationToken.None);
        if (error is not null)
        {
            return error;
        }

        var added = intervals.Count(i => !client.IsFollowing(symbol!, 1 << (int)i));
        if (client.Subscriptions + added > Limits.Subscriptions)
        {
            return LimitReached();
        }

        foreach (var interval in intervals)
        {
            error = await SubscribeOne(symbol!, interval, id, limit, resume, resumeEvent);
            if (error is not null)
            {
                return error;
            }
        }

        return null;
    });

    /// <summary>unsubscribe: confirmed whether it was followed or not.</summary>
    public Task<ApiError?> Unsubscribe(JsonElement payload) => Guard(() =>
    {
        if (!EventRequest.TryRead(payload, "{symbol, interval, subscription_id?}", out var request, out var error)
            || !request.TryText("symbol", "text", out var symbol, out error)
            || !request.TryIntervals(out var intervals, out error)
            || !request.TrySubscriptionId(out var id, out error))
        {
            return Task.FromResult(error);
        }

        if (string.IsNullOrEmpty(symbol))
        {
            return Task.FromResult<ApiError?>(ApiError.Bad("symbol", symbol, "a symbol"));
        }

        foreach (var interval in intervals)
        {
            client.UnfollowPlace(symbol, 1 << (int)interval);
            LeaveEvents(symbol);
            Send(formats.Any.Event("unsubscribe_confirmed", (symbol, interval, id, formats.Any.RepeatsType), static (json, a) =>
            {
                json.WriteStartObject();
                WriteType(json, a.RepeatsType, "unsubscribe_confirmed");
                WritePair(json, a.symbol, a.interval, a.id);
                json.WriteBoolean("success", true);
                json.WriteEndObject();
            }));
        }

        return Task.FromResult<ApiError?>(null);
    });

    /// <summary>history: one answer for each interval.</summary>
    public Task<ApiError?> History(JsonElement payload) => Guard(async () =>
    {
        if (!EventRequest.TryRead(payload, "{symbol, interval, limit?, from?, to?, before?, order?}", out var request, out var error)
            || !request.TryText("symbol", "text", out var symbol, out error)
            || !request.TryIntervals(out var intervals, out error)
            || !request.TryLimit(Limits.Default, Limits.Max, out var limit, out error)
            || !request.TrySeconds("from", out var from, out error)
            || !request.TrySeconds("to", out var to, out error)
            || !request.TrySeconds("before", out var before, out error)
            || !request.TryOrder(out var newestFirst, out error))
        {
            return error;
        }

        var start = HistoryCursor.Of(from, to, before);
        if (start.From > start.To)
        {
            return ApiError.Bad("from", start.From?.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture), "a time not after 'to' and 'before'");
        }

        error = grant.Check(symbol) ?? await services.Hub.Symbols.Check(symbol, CancellationToken.None);
        if (error is not null)
        {
            return error;
        }

        foreach (var interval in intervals)
        {
            var view = await services.Hub.Views.Get(symbol!, interval);
            if (!view.Rules.Intervals.Contains(interval))
            {
                return NotBuilt(interval, view.Rules);
            }

            var page = await services.Hub.History.Read(view, start.Query(interval, limit), CancellationToken.None);
            await client.Session.SendAnswer(formats.Get(services.HasVolume(symbol!, view.Source)).History(symbol!, interval, page, newestFirst, view.Epoch, view.Seq));
        }

        return null;
    });

    /// <summary>subscribe_price: the price with every update that has trades.</summary>
    public Task<ApiError?> SubscribePrice(JsonElement payload, WireFormat format) => Guard(async () =>
    {
        if (!EventRequest.TryRead(payload, "{symbol}", out var request, out var error) || !request.TryText("symbol", "text", out var symbol, out error))
        {
            return error;
        }

        error = grant.Check(symbol) ?? await services.Hub.Symbols.Check(symbol, CancellationToken.None);
        if (error is not null)
        {
            return error;
        }

        var feed = await services.Hub.Feeds.Enter(symbol!);
        // The longest interval: every trade changes its newest kline, which rarely gives way to another.
        var longest = 1 << (int)feed.Rules.Intervals[^1];
        var followed = client.Follow(feed, longest, bits => new Follower(client.Session, symbol!, format, bits) { IsAlwaysAnswered = true }, null, 1, client.Session.RoomForMissed, PricePlace, cost: 1);
        if (followed is null)
        {
            services.Hub.Feeds.Leave(feed);
            return LimitReached();
        }

        client.Session.Release(followed.Value.Follower);
        return null;
    });

    public Task<ApiError?> UnsubscribePrice(JsonElement payload) => Guard(() =>
    {
        if (!EventRequest.TryRead(payload, "{symbol}", out var request, out var error) || !request.TryText("symbol", "text", out var symbol, out error))
        {
            return Task.FromResult(error);
        }

        if (string.IsNullOrEmpty(symbol))
        {
            return Task.FromResult<ApiError?>(ApiError.Bad("symbol", symbol, "a symbol"));
        }

        client.UnfollowPlace(symbol, PricePlace);
        return Task.FromResult<ApiError?>(null);
    });

    /// <summary>Answers whatever the request is, counts it against the client's rate, and tells the client what was wrong.</summary>
    public async Task<ApiError?> Guard(Func<Task<ApiError?>> answer)
    {
        ApiError? error;
        var limits = services.Hub.Options.Limits;
        if (!client.Rate.TryTake())
        {
            error = new ApiError(ApiErrorCode.RateLimit, string.Create(CultureInfo.InvariantCulture, $"More than {limits.MessagesPerSecond} requests a second. Wait, then try again."));
            if (client.Rate.Refused > limits.MessageBurst)
            {
                await Say(error);
                client.Close(DisconnectReason.RateLimit);
                return error;
            }
        }
        else
        {
            try
            {
                error = await answer();
            }
            catch (Exception e)
            {
                // The archive or the grain cannot answer now: not the client's mistake, and worth a retry.
                services.Log.LogWarning(1520, e, "A request on a socket could not be answered");
                error = ApiError.HistoryUnavailable;
            }
        }

        if (error is not null)
        {
            Send(formats.Any.Error(error));
        }

        return error;
    }

    /// <summary>Sends a last error, and waits a little for it to leave.</summary>
    private async Task Say(ApiError error)
    {
        try
        {
            await client.Session.SendAnswer(formats.Any.Error(error)).WaitAsync(Patience, services.Hub.Time);
        }
        catch (TimeoutException)
        {
            // It does not read what it is sent.
        }
    }

    public void Send(Payload payload) => client.Session.Send(payload);

    private async Task<ApiError?> SubscribeOne(string symbol, KlineInterval interval, ReadOnlyMemory<byte> id, int limit, (long Epoch, long Seq)? resume, long? resumeEvent)
    {
        var feed = await services.Hub.Feeds.Enter(symbol);
        var place = 1 << (int)interval;
        Follower? follower = null;
        try
        {
            if (!feed.Rules.Intervals.Contains(interval))
            {
                return NotBuilt(interval, feed.Rules);
            }

            var format = formats.Get(services.HasVolume(symbol, feed.Source));
            var followed = client.Follow(feed, place, bits => new Follower(client.Session, symbol, format, bits) { Middle = id, IsAlwaysAnswered = true }, resume, limit + 1, client.Session.RoomForMissed, place, cost: 1);
            if (followed is null)
            {
                return LimitReached();
            }

            var (made, attached) = followed.Value;
            follower = made;
            HistoryPage? page = null;
            (Payload? Page, IReadOnlyList<Payload> Missed, ChainEventFollower? Follower) events = default;
            try
            {
                if (attached.View is { } view)
                {
                    page = await services.Hub.History.Read(view, new HistoryQuery(interval, null, null, limit, Newest: true), CancellationToken.None);
                }

                if (chainEvents is not null)
                {
                    events = await chainEvents.Follow(symbol, resumeEvent, wantsPage: page is not null);
                }
            }
            catch
            {
                // Without its history the subscription did not happen.
                client.UnfollowPlace(symbol, place);
                LeaveEvents(symbol);
                throw;
            }

            if (page is { } history)
            {
                await client.Session.SendAnswer(format.History(symbol, interval, history, newestFirst: false, attached.Epoch, attached.Seq));
            }

            if (events.Page is not null)
            {
                await client.Session.SendAnswer(events.Page);
            }

            Send(format.Event("subscription_confirmed", (symbol, interval, id, attached.Recovered, format.RepeatsType, SymbolId: format.HasSymbolIds ? feed.Id : 0), static (json, a) =>
            {
                json.WriteStartObject();
                WriteType(json, a.RepeatsType, "subscription_confirmed");
                WritePair(json, a.symbol, a.interval, a.id);
                json.WriteBoolean("success", true);
                json.WriteString("message", "subscribed");
                json.WriteBoolean("recovered", a.Recovered);
                if (a.SymbolId != 0)
                {
                    json.WriteNumber("symbol_id", a.SymbolId);
                }

                json.WriteEndObject();
            }));
            foreach (var missed in events.Missed ?? [])
            {
                Send(missed);
            }

            events.Follower?.Release();
            client.Session.Release(made);
            return null;
        }
        finally
        {
            if (follower is null)
            {
                services.Hub.Feeds.Leave(feed);
            }
        }
    }

    private void LeaveEvents(string symbol)
    {
        if (chainEvents is not null && !KlineIntervals.All.Any(i => client.IsFollowing(symbol, 1 << (int)i)))
        {
            chainEvents.Unfollow(symbol);
        }
    }

    private ApiError LimitReached() =>
        new(ApiErrorCode.SubscriptionLimit, string.Create(CultureInfo.InvariantCulture, $"A client may follow {Limits.Subscriptions} pairs of symbol and interval; this one follows {client.Subscriptions}."));

    private static ApiError NotBuilt(KlineInterval interval, KlineRules rules) =>
        ApiError.Bad("interval", interval.Name(), "for this symbol " + string.Join(", ", rules.Intervals.Select(i => i.Name())));

    private static void WriteType(Utf8JsonWriter json, bool repeats, string type)
    {
        if (repeats)
        {
            json.WriteString("type", type);
        }
    }

    private static void WritePair(Utf8JsonWriter json, string symbol, KlineInterval interval, ReadOnlyMemory<byte> id)
    {
        json.WriteString("symbol", symbol);
        json.WriteString("interval", KlineJson.Name(interval));
        json.WritePropertyName("subscription_id");
        json.WriteRawValue(id.Span, skipInputValidation: true);
    }

    private readonly record struct LimitValues(int Default, int Max, int Subscriptions);
}

/// <summary>What the older wires need, made once. Thread safe.</summary>
internal sealed class EventServices(HubServices hub, WebCounters counters, ConnectionLimit connections, AccessRules access, CompatRules compat, ITradeSourceFactory sources, ChainEventFeeds chainEvents, ILogger<EventServices> log)
{
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(30);

    private readonly bool _hasExchange = sources.Sources.Any(s => !s.IsChain);
    private IReadOnlyList<string> _listed = [];
    private long _listedAt;

    public HubServices Hub => hub;

    public ConnectionLimit Connections => connections;

    public AccessRules Access => access;

    public ChainEventFeeds ChainEvents => chainEvents;

    public ILogger Log => log;

    /// <summary>The intervals that some source builds, shortest first.</summary>
    public IReadOnlyList<KlineInterval> Intervals { get; } = [.. sources.Sources.SelectMany(s => s.Rules.Intervals).Distinct().Order()];

    /// <summary>Whether a symbol's candles show their volume.</summary>
    /// <param name="source">Empty where the symbol has had no trade.</param>
    public bool HasVolume(string symbol, string source) =>
        compat.ShowsVolume(source) || (hub.Symbols.SourceOf(source) is null && symbol.Length is < 32 or > 44);

    /// <summary>A client for a new session. It leaves its rooms at once when its session ends, not when the transport notices.</summary>
    /// <param name="wire">As figures call it.</param>
    /// <param name="id">Names the client to operators; is no secret.</param>
    /// <param name="goodbye">See <see cref="Client.Goodbye"/>.</param>
    public Client NewClient(Session session, AccessGrant grant, string wire, string id, Func<Payload> goodbye)
    {
        var limits = hub.Options.Limits;
        var client = new Client(session, hub.Feeds, counters, grant.SubscriptionLimit, new RateLimit(limits.MessagesPerSecond, limits.MessageBurst, hub.Time), wire, id) { Goodbye = goodbye };
        access.EndWhenExpired(client, grant);
        _ = LeaveWhenEnded(client);
        return client;
    }

    /// <summary>The symbols of the exchanges, at most 1,000 of those first listed; a chain's are any mint and not listed here.</summary>
    public async ValueTask<IReadOnlyList<string>> SupportedSymbols()
    {
        if (!_hasExchange || (_listedAt != 0 && hub.Time.GetElapsedTime(_listedAt) < Fresh))
        {
            return _listed;
        }

        try
        {
            var found = await hub.Archive.ListSymbols("", null, 1_000);
            _listed = [.. found.Where(s => hub.Symbols.Source(s.Source) is { IsChain: false }).Select(s => s.Symbol)];
        }
        catch (ArchiveUnavailableException e)
        {
            log.LogWarning(1521, e, "The symbols cannot be listed; a greeting names those known before");
        }

        _listedAt = hub.Time.GetTimestamp();
        return _listed;
    }

    /// <summary>Writes the properties of <c>connection_success</c>.</summary>
    public void WriteGreeting(Utf8JsonWriter json, string id, AccessGrant grant, IReadOnlyList<string> symbols, bool camelCase)
    {
        json.WriteString(camelCase ? "clientId" : "client_id", id);
        json.WriteNumber(camelCase ? "serverTime" : "server_time", hub.Time.GetUtcNow().ToUnixTimeSeconds());
        json.WriteStartArray(camelCase ? "supportedSymbols" : "supported_symbols");
        foreach (var symbol in symbols)
        {
            if (grant.MaySee(symbol))
            {
                json.WriteStringValue(symbol);
            }
        }

        json.WriteEndArray();
        json.WriteStartArray(camelCase ? "supportedIntervals" : "supported_intervals");
        foreach (var interval in Intervals)
        {
            json.WriteStringValue(KlineJson.Name(interval));
        }

        json.WriteEndArray();
    }

    private async Task LeaveWhenEnded(Client client)
    {
        var reason = await client.Session.Ended;
        client.Close(reason);
        if (reason is DisconnectReason.SlowConsumer or DisconnectReason.RateLimit)
        {
            log.LogInformation(1522, "A {Wire} session ended: {Reason}", client.Wire, reason);
        }
    }
}
