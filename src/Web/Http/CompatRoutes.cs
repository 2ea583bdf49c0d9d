using System.Globalization;
using System.Text.Json;
using KlineOrleans.Contracts;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace KlineOrleans.Web;

/// <summary>The routes of the public server, in its shapes (docs/wire): envelope <c>{success, data, message}</c>, snake_case, times in Unix seconds.</summary>
/// <remarks>As there, a value that fails validation answers 200 with success false and empty data; one that is missing, or no number where one belongs, answers 400 in plain text.</remarks>
internal sealed class CompatRoutes(RouteAnswers answers, CompatRules compat, KlineViews views, KlineHistory history, SymbolDirectory symbols, SourceMonitor monitor, IChainEventStore events, TimeProvider time)
{
    public const int DefaultLimit = 50;
    public const int MaxLimit = 1_000;

    /// <summary>How deep pages go: beyond it the keyset cursor of /api/v1 is the way, whose cost does not grow with depth.</summary>
    public const int Deepest = 50_000;

    // A total up to this is always exact; beyond it only on pages that reach the end.
    private const int CountedAhead = 2_000;

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/kline", answers.Guard(GetKlines)).Needs(AccessLevel.Client).WithMetadata(
            new RouteDoc("getKlinePage", "Public server", "Klines of a mint, newest first, in the public server's shape", "KlinePage")
            {
                Parameters = [Doc.Query("mint", "The mint address, or an exchange's symbol.", required: true), Doc.Interval("query"), Doc.Page, Doc.PageLimit, Doc.Choice("order_by", "time_desc", "time_desc", "time_asc")],
            });
        routes.MapGet("/api/mints", answers.Guard(GetMints)).Needs(AccessLevel.Client).WithMetadata(
            new RouteDoc("getMints", "Public server", "Mints by listing, by page or cursor", "MintPage")
            {
                Parameters = [Doc.Page, Doc.PageLimit, Doc.Choice("sort_by", "slot_desc", "slot_desc", "slot_asc"), Doc.Query("cursor", "next_cursor of an earlier answer; wins over page.")],
            });
        routes.MapGet("/api/events", answers.Guard(GetEvents)).Needs(AccessLevel.Client).WithMetadata(
            new RouteDoc("getEvents", "Public server", "Chain events of a mint, whole, newest slot first", "EventPage")
            {
                Parameters = [Doc.Query("mint", "The mint address.", required: true), Doc.Page, Doc.PageLimit, Doc.Choice("order_by", "slot_desc", "slot_desc", "slot_asc")],
            });
        routes.MapGet("/api/events/status", answers.Guard(GetEventStatus)).Needs(AccessLevel.Client).WithMetadata(
            new RouteDoc("getEventStatus", "Public server", "How the sources are", "EventStatus"));
        routes.MapGet("/api/time", answers.Guard(GetTime)).Needs(AccessLevel.Client).WithMetadata(
            new RouteDoc("getTime", "Public server", "The server's time", "ServerTime")
            {
                Parameters = [Doc.Query("format", "How to write utc and local: " + StrfTime.Allowed + ".")],
            });
    }

    private async Task<ApiError?> GetKlines(HttpContext context)
    {
        var query = context.Request.Query;
        if (Missing(query, "mint", "interval") is { } missing
            || !Paging(query, out var page, out var limit, out missing))
        {
            return await RouteAnswers.Text(context, missing!, StatusCodes.Status400BadRequest);
        }

        string? mint = query["mint"], intervalText = query["interval"], order = query["order_by"];
        if (CheckPaging(page, limit) is { } wrong
            || !IsChoice("order_by", ref order, "time_desc", "time_asc", out wrong))
        {
            return await KlineFailure(context, wrong!);
        }

        if (!RequestReader.TryInterval(intervalText, out var interval, out var error))
        {
            return await KlineFailure(context, error!.Sentence);
        }

        if (AccessGrant.Of(context)!.Check(mint) is { } refusal)
        {
            return refusal;
        }

        error = await symbols.Check(mint, context.RequestAborted);
        if (error is not null)
        {
            return await KlineFailure(context, error.Sentence);
        }

        var view = await views.Get(mint!, interval);
        if (!view.Rules.Intervals.Contains(interval))
        {
            return await KlineFailure(context, ApiError.Bad("interval", intervalText, "for this symbol " + string.Join(", ", view.Rules.Intervals.Select(i => i.Name()))).Sentence);
        }

        var isNewest = order == "time_desc";
        var skip = (page - 1) * limit;
        var read = await history.Read(view, new HistoryQuery(interval, null, null, Math.Max(skip + limit, CountedAhead), isNewest), context.RequestAborted);
        var klines = isNewest ? read.Klines.Reverse() : read.Klines;
        var answer = (
            Klines: klines.Skip(skip).Take(limit),
            Total: read.HasMore ? (int?)null : read.Klines.Count,
            HasNext: read.HasMore || read.Klines.Count > skip + limit,
            Shows: compat.ShowsVolume(view.Source));
        return await RouteAnswers.Ok(context, (answer, page, limit, interval, mint), static (json, a) => Envelope(json, a, null, static (json, a) =>
        {
            json.WriteStartArray("klines");
            foreach (var kline in a.answer.Klines)
            {
                CompatRules.WriteCandle(json, kline, a.answer.Shows, withType: false);
            }

            json.WriteEndArray();
            WritePaging(json, a.answer.Total, a.page, a.limit, a.answer.HasNext);
            json.WriteString("interval", KlineJson.Name(a.interval));
            json.WriteString("mint_account", a.mint);
        }));
    }

    private static Task<ApiError?> KlineFailure(HttpContext context, string message) => Failure(context, message, static json =>
    {
        json.WriteStartArray("klines");
        json.WriteEndArray();
        WritePaging(json, 0, 0, 0, hasNext: false);
        json.WriteString("interval", "");
        json.WriteString("mint_account", "");
    });

    private async Task<ApiError?> GetMints(HttpContext context)
    {
        var query = context.Request.Query;
        if (!Paging(query, out var page, out var limit, out var malformed))
        {
            return await RouteAnswers.Text(context, malformed!, StatusCodes.Status400BadRequest);
        }

        string? order = query["sort_by"], cursor = query["cursor"];
        if (CheckPaging(page, limit) is { } wrong || !IsChoice("sort_by", ref order, "slot_desc", "slot_asc", out wrong))
        {
            return await MintFailure(context, wrong!);
        }

        SymbolInfo? after = null;
        if (!string.IsNullOrEmpty(cursor) && !SymbolCursor.TryDecode(cursor, out after, out var error))
        {
            return await MintFailure(context, error!.Sentence);
        }

        // Without a cursor, pages are counted from the start: the index is walked there, a bounded way.
        var grant = AccessGrant.Of(context)!;
        var isNewest = order == "slot_desc";
        var left = after is null ? (page - 1) * limit : 0;
        var isOver = false;
        while (left > 0 && !isOver)
        {
            var step = await symbols.List(grant, "", after, Math.Min(left, MaxLimit), context.RequestAborted, isNewest);
            left -= step.Count;
            isOver = step.Count == 0;
            after = isOver ? after : step[^1];
        }

        IReadOnlyList<SymbolInfo> found = isOver ? [] : await symbols.List(grant, "", after, Math.Min(limit, MaxLimit), context.RequestAborted, isNewest);
        var more = found.Count == limit && (await symbols.List(grant, "", found[^1], 1, context.RequestAborted, isNewest)).Count > 0;
        var next = more ? SymbolCursor.Encode(found[^1]) : null;
        return await RouteAnswers.Ok(context, (found, page, limit, next, order, HasPrevious: page > 1 || !string.IsNullOrEmpty(cursor)), static (json, a) => Envelope(json, a, null, static (json, a) =>
        {
            json.WriteStartArray("mints");
            foreach (var symbol in a.found)
            {
                json.WriteStringValue(symbol.Symbol);
            }

            json.WriteEndArray();
            json.WriteNull("total");
            json.WriteNumber("page", a.page);
            json.WriteNumber("limit", a.limit);
            json.WriteBoolean("has_next", a.next is not null);
            json.WriteBoolean("has_prev", a.HasPrevious);
            json.WriteString("next_cursor", a.next);
            json.WriteString("sort_by", a.order);
        }));
    }

    private static Task<ApiError?> MintFailure(HttpContext context, string message) => Failure(context, message, static json =>
    {
        json.WriteStartArray("mints");
        json.WriteEndArray();
        json.WriteNull("total");
        json.WriteNumber("page", 0);
        json.WriteNumber("limit", 0);
        json.WriteBoolean("has_next", false);
        json.WriteBoolean("has_prev", false);
        json.WriteNull("next_cursor");
        json.WriteString("sort_by", "");
    });

    private async Task<ApiError?> GetEvents(HttpContext context)
    {
        var query = context.Request.Query;
        if (Missing(query, "mint") is { } missing || !Paging(query, out var page, out var limit, out missing))
        {
            return await RouteAnswers.Text(context, missing!, StatusCodes.Status400BadRequest);
        }

        string? mint = query["mint"], order = query["order_by"];
        if (CheckPaging(page, limit) is { } wrong || !IsChoice("order_by", ref order, "slot_desc", "slot_asc", out wrong))
        {
            return await EventFailure(context, wrong!);
        }

        if (AccessGrant.Of(context)!.Check(mint) is { } refusal)
        {
            return refusal;
        }

        if (await symbols.Check(mint, context.RequestAborted) is { } error)
        {
            return await EventFailure(context, error.Sentence);
        }

        // Pages are counted from the start: the index is walked there, a way bounded by what is kept of a mint.
        var isNewest = order == "slot_desc";
        var count = await events.Count(mint!, context.RequestAborted);
        var left = (int)Math.Min((long)(page - 1) * limit, Deepest);
        TradeOrder? after = null;
        var isOver = left >= count.Kept;
        while (left > 0 && !isOver)
        {
            var step = await events.Read(mint!, new ChainEventRange(after, isNewest, Math.Min(left, MaxLimit)), context.RequestAborted);
            left -= step.Count;
            isOver = step.Count == 0;
            after = isOver ? after : step[^1].Event.Order;
        }

        var found = isOver ? [] : await events.Read(mint!, new ChainEventRange(after, isNewest, limit), context.RequestAborted);
        var message = events.KeepsEvents ? null : "This server is set to keep no chain events, so the page is empty; their trades are in the klines.";
        return await RouteAnswers.Ok(context, (page, limit, found, count.Kept, message), static (json, a) => Envelope(json, a, a.message, static (json, a) =>
        {
            json.WriteStartArray("events");
            foreach (var e in a.found)
            {
                ChainEventJson.Write(json, e.Event);
            }

            json.WriteEndArray();
            WritePaging(json, (int)a.Kept, a.page, a.limit, (long)a.page * a.limit < a.Kept);
        }));
    }

    private static Task<ApiError?> EventFailure(HttpContext context, string message) => Failure(context, message, static json =>
    {
        json.WriteStartArray("events");
        json.WriteEndArray();
        WritePaging(json, 0, 0, 0, hasNext: false);
    });

    private Task<ApiError?> GetEventStatus(HttpContext context)
    {
        var statuses = monitor.Statuses;
        return RouteAnswers.Ok(context, (statuses, monitor.Sources), static (json, a) => Envelope(json, a, null, static (json, a) =>
        {
            var known = a.statuses.Where(s => s is not null).Select(s => s!).ToList();
            var newest = known.Max(s => s.LastEventTime);
            json.WriteBoolean("is_running", known.Exists(s => SourceStates.FeedState(s.State) is "live" or "backfilling"));
            if (newest is { } time)
            {
                json.WriteString("last_event_time", time.UtcDateTime);
            }
            else
            {
                json.WriteNull("last_event_time");
            }

            json.WriteNumber("total_events_processed", known.Sum(s => s.Events));
            json.WriteString("connection_status", known.Exists(s => SourceStates.FeedState(s.State) == "live") ? "connected" : known.Exists(s => s.State is SourceState.Starting or SourceState.Backfilling) ? "connecting" : "disconnected");

            // Programs are a source's own settings, of which a server may have several: their names are in sources.
            json.WriteString("program_id", "");
            json.WriteStartArray("sources");
            for (var i = 0; i < a.Sources.Length; i++)
            {
                json.WriteStartObject();
                json.WriteString("name", a.Sources[i].Name);
                json.WriteString("kind", a.Sources[i].Kind);
                json.WriteBoolean("simulated", a.Sources[i].IsSimulated);
                json.WriteString("state", SourceStates.Name(a.statuses[i]?.State ?? SourceState.Starting));
                json.WriteNumber("trades", a.statuses[i]?.Trades ?? 0);
                json.WriteNumber("events", a.statuses[i]?.Events ?? 0);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }));
    }

    private async Task<ApiError?> GetTime(HttpContext context)
    {
        if (!RequestReader.TryQuery(context.Request.Query, "format", out var format, out var error))
        {
            return error;
        }

        var used = format ?? "%Y-%m-%d %H:%M:%S";
        var now = time.GetUtcNow();
        if (!StrfTime.TryFormat(now, used, out var utc) || !StrfTime.TryFormat(time.GetLocalNow(), used, out var local))
        {
            return await Failure(context, ApiError.Bad("format", format, StrfTime.Allowed).Sentence, static json => WriteTime(json, 0, "", "", "", ""));
        }

        return await RouteAnswers.Ok(context, (now, utc, local, used), static (json, a) => Envelope(json, a, null, static (json, a) =>
            WriteTime(json, a.now.ToUnixTimeSeconds(), a.utc, a.local, a.now.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture), a.used)));

        static void WriteTime(Utf8JsonWriter json, long timestamp, string utc, string local, string iso, string format)
        {
            json.WriteNumber("timestamp", timestamp);
            json.WriteString("utc", utc);
            json.WriteString("local", local);
            json.WriteString("iso8601", iso);
            json.WriteString("format", format);
        }
    }

    /// <summary>Writes a successful answer.</summary>
    public static void Envelope<T>(Utf8JsonWriter json, T argument, string? message, Action<Utf8JsonWriter, T> writeData)
    {
        json.WriteStartObject();
        json.WriteBoolean("success", true);
        json.WriteStartObject("data");
        writeData(json, argument);
        json.WriteEndObject();
        json.WriteString("message", message ?? "Operation successful");
        json.WriteEndObject();
    }

    private static Task<ApiError?> Failure(HttpContext context, string message, Action<Utf8JsonWriter> writeData) =>
        RouteAnswers.Ok(context, (message, writeData), static (json, a) =>
        {
            json.WriteStartObject();
            json.WriteBoolean("success", false);
            json.WriteStartObject("data");
            a.writeData(json);
            json.WriteEndObject();
            json.WriteString("message", a.message);
            json.WriteEndObject();
        });

    private static void WritePaging(Utf8JsonWriter json, int? total, int page, int limit, bool hasNext)
    {
        if (total is { } count)
        {
            json.WriteNumber("total", count);
        }
        else
        {
            json.WriteNull("total");
        }

        json.WriteNumber("page", page);
        json.WriteNumber("limit", limit);
        json.WriteBoolean("has_next", hasNext);
        json.WriteBoolean("has_prev", page > 1);
    }

    private static string? Missing(IQueryCollection query, params ReadOnlySpan<string> keys)
    {
        foreach (var key in keys)
        {
            if (!query.TryGetValue(key, out var values) || values.Count == 0)
            {
                return $"Failed to deserialize query string: missing field `{key}`";
            }

            if (values.Count > 1)
            {
                return $"Failed to deserialize query string: duplicate field `{key}`";
            }
        }

        return null;
    }

    private static bool Paging(IQueryCollection query, out int page, out int limit, out string? error)
    {
        limit = DefaultLimit;
        return Number(query, "page", 1, out page, out error) && Number(query, "limit", DefaultLimit, out limit, out error);

        static bool Number(IQueryCollection query, string key, int byDefault, out int value, out string? error)
        {
            error = null;
            value = byDefault;
            if (!query.TryGetValue(key, out var values) || values.Count == 0)
            {
                return true;
            }

            if (values.Count == 1 && int.TryParse(values[0], NumberStyles.None, CultureInfo.InvariantCulture, out value))
            {
                return true;
            }

            error = $"Failed to deserialize query string: {key}: not a whole number";
            return false;
        }
    }

    private static string? CheckPaging(int page, int limit) =>
        page < 1 ? ApiError.Bad("page", Text(page), "1 and more").Sentence
        : limit is < 1 or > MaxLimit ? ApiError.Bad("limit", Text(limit), $"1 to {Text(MaxLimit)}").Sentence
        : (long)page * limit > Deepest ? ApiError.Bad("page", Text(page), $"pages up to the {Text(Deepest)}th item; further ones by cursor, or /api/v1").Sentence
        : null;

    private static bool IsChoice(string key, ref string? value, string byDefault, string other, out string? error)
    {
        error = null;
        value = string.IsNullOrEmpty(value) ? byDefault : value;
        if (value == byDefault || value == other)
        {
            return true;
        }

        error = ApiError.Bad(key, value, $"{byDefault}, {other}").Sentence;
        return false;
    }

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
