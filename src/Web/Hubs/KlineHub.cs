using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;
using KlineOrleans.Contracts;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web;

/// <summary>The SignalR hub of docs/wire: klines live and as history. Refusals are HubExceptions "CODE: sentence".</summary>
/// <remarks>
/// Requests are read by hand from JSON, so that every wrong one is answered with what was wrong rather than with SignalR's "an error on the server".
/// Updates do not pass through here: each connection's session writes them (see <see cref="KlineConnections"/>).
/// </remarks>
internal sealed class KlineHub(HubServices services, ILogger<KlineHub> log) : Hub
{
    /// <summary>Follows a symbol: request {symbol, intervals, limit?, resume?, maxRate?, exact?}.</summary>
    public Task<HubJson> Subscribe(JsonElement request) => Guard(async () =>
    {
        var client = Client;
        var read = Read(request);
        var symbol = read.Text("symbol", "text");
        var intervals = read.Intervals();
        var limit = Limit(read.Text("limit", "a number"));
        var resume = read.Resume();
        var minTicks = (long)(read.MinGap().TotalSeconds * services.Time.TimestampFrequency);
        var exact = Exact(read.Text("exact", "true or false"));
        if (intervals == 0)
        {
            throw HubRequest.Refuse(ApiError.Bad("intervals", null, "an array of " + string.Join(", ", KlineIntervals.All.Select(i => i.Name()))));
        }

        await Check(symbol);
        var format = services.Formats.Get(exact);
        var feed = await services.Feeds.Enter(symbol!);
        var isKept = false;
        try
        {
            CheckIntervals(feed.Rules, intervals);
            var followed = client.Follow(feed, intervals, all => new Follower(client.Session, symbol!, format, all, minTicks), resume, limit + 1, client.Session.RoomForMissed)
                ?? throw HubRequest.Refuse(new ApiError(ApiErrorCode.SubscriptionLimit, string.Create(CultureInfo.InvariantCulture, $"A client may follow {Grant.SubscriptionLimit} pairs of symbol and interval; this one follows {client.Subscriptions}.")));
            isKept = true;
            var (follower, attached) = followed;
            await client.Session.Settled();
            var pages = await Histories(attached, follower.Intervals, limit, symbol!, client, follower);
            var status = services.Feeds.Status(feed);
            follower.HeldSince = services.Time.GetTimestamp();
            var json = HubJson.Make((symbol, attached, pages, status, exact), static (json, a) => WriteStart(json, a.symbol!, a.attached, a.pages, a.status, a.exact));
            return new HubJson(json, () =>
            {
                client.Session.Release(follower);
                client.Session.Send(format.EncodeStatus(status));
            });
        }
        finally
        {
            if (!isKept)
            {
                services.Feeds.Leave(feed);
            }
        }
    });

    /// <summary>Stops following: request {symbol, intervals?}; without intervals, all of the symbol. Harmless to repeat.</summary>
    public Task<HubJson> Unsubscribe(JsonElement request) => Guard(async () =>
    {
        var read = Read(request);
        var symbol = read.Text("symbol", "text");
        var intervals = read.Intervals();
        if (string.IsNullOrEmpty(symbol))
        {
            throw HubRequest.Refuse(ApiError.Bad("symbol", null, "a symbol that is followed"));
        }

        var client = Client;
        client.Unfollow(symbol, intervals, static (old, left) => new Follower(old.Session, old.Symbol, old.Format, left, old.MinTicks));
        await client.Session.Settled();
        return new HubJson(HubJson.Make(symbol, static (json, symbol) =>
        {
            json.WriteStartObject();
            json.WriteString("symbol", symbol);
            json.WriteEndObject();
        }));
    });

    /// <summary>Klines of the past: request {symbol, interval, from?, to?, before?, limit?, exact?, cursor?}, as GET /api/v1/klines.</summary>
    public Task<HubJson> History(JsonElement request) => Guard(async () =>
    {
        var read = Read(request);
        var symbol = read.Text("symbol", "text");
        var limit = Limit(read.Text("limit", "a number"));
        var exact = Exact(read.Text("exact", "true or false"));
        var cursor = read.Text("cursor", "a cursor of an earlier answer");
        if (!RequestReader.TryInterval(read.Text("interval", "the name of an interval"), out var interval, out var error)
            || !RequestReader.TryTime("from", read.Text("from", "a number"), out var from, out error)
            || !RequestReader.TryTime("to", read.Text("to", "a number"), out var to, out error)
            || !RequestReader.TryTime("before", read.Text("before", "a number"), out var before, out error))
        {
            throw HubRequest.Refuse(error!);
        }

        var start = HistoryCursor.Of(from, to, before);
        if (cursor is not null && !HistoryCursor.TryDecode(cursor, out start, out error))
        {
            throw HubRequest.Refuse(error!);
        }

        if (start.From > start.To)
        {
            throw HubRequest.Refuse(ApiError.Bad("from", start.From?.ToUnixTimeMilliseconds().ToString(CultureInfo.InvariantCulture), "a time not after 'to' and 'before'"));
        }

        await Check(symbol);
        var view = await services.Views.Get(symbol!, interval);
        CheckIntervals(view.Rules, 1 << (int)interval);
        var page = await services.History.Read(view, start.Query(interval, limit), Context.ConnectionAborted);
        return new HubJson(HubJson.Make((symbol, interval, page, Next: start.Next(page), exact), static (json, a) =>
        {
            json.WriteStartObject();
            json.WriteString("symbol", a.symbol);
            json.WriteString("interval", KlineJson.Name(a.interval));
            json.WritePropertyName("klines");
            KlineJson.WriteArray(json, a.page.Klines, a.exact);
            json.WriteString("next", a.Next);
            json.WriteEndObject();
        }));
    });

    /// <summary>Symbols whose name contains <paramref name="query"/>: {symbols: [...]}, at most <paramref name="limit"/> (1 to 1,000; null: 100).</summary>
    public Task<HubJson> Symbols(JsonElement query, JsonElement limit) => Guard(async () =>
    {
        var text = HubRequest.TextOf(query, "query", "text") ?? "";
        if (text.Length > KlineRoutes.LongestQuery)
        {
            throw HubRequest.Refuse(ApiError.Bad("query", text, string.Create(CultureInfo.InvariantCulture, $"at most {KlineRoutes.LongestQuery} characters")));
        }

        if (!RequestReader.TryLimit(HubRequest.TextOf(limit, "limit", "a number"), 100, 1_000, out var most, out var error))
        {
            throw HubRequest.Refuse(error!);
        }

        var found = await services.Symbols.List(Grant, text, null, most, Context.ConnectionAborted);
        return new HubJson(HubJson.Make((found, services.Symbols), static (json, a) =>
        {
            json.WriteStartObject();
            json.WritePropertyName("symbols");
            SymbolJson.WriteArray(json, a.found, a.Symbols);
            json.WriteEndObject();
        }));
    });

    /// <summary>Klines of one symbol and interval as a stream: first the answer of <see cref="Subscribe"/>, then messages as the client method <c>kline</c> gets.</summary>
    /// <param name="resume">The last position seen, or null.</param>
    public async IAsyncEnumerable<HubJson> Klines(JsonElement symbol, JsonElement interval, JsonElement resume, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var client = Client;
        // A client reads all its calls from one connection: one that does not keep up with a stream does not keep up.
        var wire = new StreamWire(() => client.Close(DisconnectReason.SlowConsumer));
        var session = new Session(services.Feeds.NextLane(), wire, services.OutboxLimits, services.Time);
        MintFeed? feed = null;
        Follower? follower = null;
        var isCounted = false;
        try
        {
            // An iterator cannot yield inside a try with a catch: what can fail is done here, in one piece.
            var first = await Guard(async () =>
            {
                var name = HubRequest.TextOf(symbol, "symbol", "text");
                if (!RequestReader.TryInterval(HubRequest.TextOf(interval, "interval", "the name of an interval"), out var wanted, out var error))
                {
                    throw HubRequest.Refuse(error!);
                }

                var position = HubRequest.ResumeOf(resume);
                await Check(name);
                if (!client.TryTake())
                {
                    throw HubRequest.Refuse(new ApiError(ApiErrorCode.SubscriptionLimit, string.Create(CultureInfo.InvariantCulture, $"A client may follow {Grant.SubscriptionLimit} pairs of symbol and interval.")));
                }

                isCounted = true;
                feed = await services.Feeds.Enter(name!);
                CheckIntervals(feed.Rules, 1 << (int)wanted);
                var made = new Follower(session, name!, services.Formats.Get(exact: false), 1 << (int)wanted);
                follower = made;
                var limit = services.Options.History.Default;
                var attached = feed.Attach(made, null, position, limit + 1, session.RoomForMissed);
                var pages = await ReadHistories(attached, made.Intervals, limit);
                return new HubJson(HubJson.Make((name, attached, pages, Status: services.Feeds.Status(feed)), static (json, a) => WriteStart(json, a.name!, a.attached, a.pages, a.Status, exact: false)));
            });
            yield return first;
            session.Release(follower!);
            while (await wire.Next(cancellationToken) is { } item)
            {
                yield return item;
            }
        }
        finally
        {
            if (follower is not null)
            {
                feed!.Detach(follower);
            }

            if (feed is not null)
            {
                services.Feeds.Leave(feed);
            }

            if (isCounted)
            {
                client.GiveBack();
            }

            session.End(DisconnectReason.ClientClosed);
        }
    }

    private Client Client => (Client)(Context.Items[KlineConnections.ClientKey] ?? throw new HubException($"{(int)ApiErrorCode.Busy}: The connection closes."));

    private HubRequest Read(JsonElement request) => new(request, services.Options.Limits.JsonDepth);

    private int Limit(string? text) =>
        RequestReader.TryLimit(text, services.Options.History.Default, services.Options.History.Max, out var limit, out var error) ? limit : throw HubRequest.Refuse(error!);

    private static bool Exact(string? text) =>
        RequestReader.TryFlag("exact", text, out var exact, out var error) ? exact : throw HubRequest.Refuse(error!);

    private AccessGrant Grant => (AccessGrant)(Context.Items[KlineConnections.GrantKey] ?? throw new HubException($"{(int)ApiErrorCode.NotAuthorised}: The connection closes."));

    private async Task Check(string? symbol)
    {
        if ((Grant.Check(symbol) ?? await services.Symbols.Check(symbol, Context.ConnectionAborted)) is { } error)
        {
            throw HubRequest.Refuse(error);
        }
    }

    private static void CheckIntervals(KlineRules rules, int intervals)
    {
        var wrong = intervals & ~IntervalBits.Of(rules.Intervals);
        if (wrong != 0)
        {
            throw HubRequest.Refuse(ApiError.Bad("interval", IntervalBits.In(wrong).First().Name(), "for this symbol " + string.Join(", ", rules.Intervals.Select(i => i.Name()))));
        }
    }

    private async Task<List<(KlineInterval Interval, IReadOnlyList<Kline> Klines)>> Histories(Attached attached, int intervals, int limit, string symbol, Client client, Follower follower)
    {
        try
        {
            return await ReadHistories(attached, intervals, limit);
        }
        catch
        {
            // Without its history the subscription did not happen.
            client.Unfollow(symbol, 0, static (old, _) => old);
            Abandon(follower);
            throw;
        }

        static void Abandon(Follower follower) => follower.IsOver = true;
    }

    private async Task<List<(KlineInterval Interval, IReadOnlyList<Kline> Klines)>> ReadHistories(Attached attached, int intervals, int limit)
    {
        List<(KlineInterval, IReadOnlyList<Kline>)> pages = [];
        if (attached.View is { } view)
        {
            foreach (var interval in IntervalBits.In(intervals))
            {
                var page = await services.History.Read(view, new HistoryQuery(interval, null, null, limit, Newest: true), Context.ConnectionAborted);
                pages.Add((interval, page.Klines));
            }
        }

        return pages;
    }

    private static void WriteStart(Utf8JsonWriter json, string symbol, Attached attached, List<(KlineInterval Interval, IReadOnlyList<Kline> Klines)> pages, StatusMessage status, bool exact)
    {
        json.WriteStartObject();
        json.WriteString("symbol", symbol);
        SignalRFormat.WritePosition(json, attached.Epoch, attached.Seq);
        json.WriteBoolean("recovered", attached.Recovered);
        SignalRFormat.WriteState(json, status);
        json.WriteStartObject("klines");
        foreach (var (interval, klines) in pages)
        {
            json.WritePropertyName(KlineJson.Name(interval));
            KlineJson.WriteArray(json, klines, exact);
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }

    /// <summary>Every failure as "CODE: sentence", and not more requests than are allowed.</summary>
    private async Task<HubJson> Guard(Func<Task<HubJson>> answer)
    {
        var rate = Client.Rate;
        if (!rate.TryTake())
        {
            if (rate.Refused > services.Options.Limits.MessageBurst)
            {
                Client.Close(DisconnectReason.RateLimit);
            }

            throw HubRequest.Refuse(new ApiError(ApiErrorCode.RateLimit, string.Create(CultureInfo.InvariantCulture, $"More than {services.Options.Limits.MessagesPerSecond} requests a second. Wait, then try again.")));
        }

        try
        {
            return await answer();
        }
        catch (HubException)
        {
            throw;
        }
        catch (OperationCanceledException) when (Context.ConnectionAborted.IsCancellationRequested)
        {
            throw;
        }
        catch (Exception e)
        {
            log.LogWarning(1504, e, "A request to the hub could not be answered");
            throw HubRequest.Refuse(ApiError.HistoryUnavailable);
        }
    }
}

/// <summary>What the hub needs, made once.</summary>
internal sealed class HubServices(MintFeeds feeds, KlineViews views, KlineHistory history, SymbolDirectory symbols, IKlineArchive archive, SignalRFormats formats, IOptions<WebOptions> options, TimeProvider time)
{
    public MintFeeds Feeds => feeds;

    public KlineViews Views => views;

    public KlineHistory History => history;

    public SymbolDirectory Symbols => symbols;

    public IKlineArchive Archive => archive;

    public SignalRFormats Formats => formats;

    public WebOptions Options => options.Value;

    public TimeProvider Time => time;

    public OutboxLimits OutboxLimits { get; } = new(options.Value.Outbox.Bytes, options.Value.Outbox.Messages, options.Value.Outbox.Conflate);
}
