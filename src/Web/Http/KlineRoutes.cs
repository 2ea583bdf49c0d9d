using System.Globalization;
using System.Text.Json;
using KlineOrleans.Contracts;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web;

/// <summary>History and symbols over HTTP: <c>/api/v1</c> (docs/wire).</summary>
internal sealed class KlineRoutes(KlineViews views, KlineHistory history, SymbolDirectory symbols, RouteAnswers answers, IOptions<WebOptions> options)
{
    public const int LongestQuery = 100;
    private static readonly JsonWriterOptions Json = new() { SkipValidation = true };

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/api/v1/klines/{symbol}/{interval}", answers.Guard(GetKlines)).Needs(AccessLevel.Client).WithMetadata(
            new RouteDoc("getKlines", "Klines", "Klines of a symbol, oldest first, forming ones included", "Klines")
            {
                Parameters =
                [
                    Doc.Path("symbol", "The mint address, or an exchange's symbol."),
                    Doc.Interval("path"),
                    Doc.Milliseconds("from", "Open times from here on, Unix milliseconds. Without it, the newest klines."),
                    Doc.Milliseconds("to", "Open times before this one, Unix milliseconds."),
                    Doc.Milliseconds("before", "The newest klines with open times before this one, Unix milliseconds."),
                    Doc.Number("limit", 1, options.Value.History.Max, options.Value.History.Default),
                    Doc.Exact,
                    Doc.Query("cursor", "next of an earlier answer; wins over from, to and before."),
                ],
            });
        routes.MapGet("/api/v1/symbols", answers.Guard(GetSymbols)).Needs(AccessLevel.Client).WithMetadata(
            new RouteDoc("getSymbols", "Klines", "Symbols by listing time", "Symbols")
            {
                Parameters = [Doc.Query("query", "Part of the symbol or its name."), Doc.Number("limit", 1, 1_000, 100), Doc.Query("cursor", "next of an earlier answer.")],
            });
    }

    private async Task<ApiError?> GetKlines(HttpContext context)
    {
        var symbol = context.Request.RouteValues["symbol"] as string;
        var query = context.Request.Query;
        var limits = options.Value.History;
        if (!RequestReader.TryInterval(context.Request.RouteValues["interval"] as string, out var interval, out var error)
            || !RequestReader.TryQuery(query, "from", out var fromText, out error)
            || !RequestReader.TryTime("from", fromText, out var from, out error)
            || !RequestReader.TryQuery(query, "to", out var toText, out error)
            || !RequestReader.TryTime("to", toText, out var to, out error)
            || !RequestReader.TryQuery(query, "before", out var beforeText, out error)
            || !RequestReader.TryTime("before", beforeText, out var before, out error)
            || !RequestReader.TryQuery(query, "limit", out var limitText, out error)
            || !RequestReader.TryLimit(limitText, limits.Default, limits.Max, out var limit, out error)
            || !RequestReader.TryQuery(query, "exact", out var exactText, out error)
            || !RequestReader.TryFlag("exact", exactText, out var exact, out error)
            || !RequestReader.TryQuery(query, "cursor", out var cursorText, out error))
        {
            return error;
        }

        var start = HistoryCursor.Of(from, to, before);
        if (cursorText is not null && !HistoryCursor.TryDecode(cursorText, out start, out error))
        {
            return error;
        }

        if (start.From > start.To)
        {
            return ApiError.Bad("from", fromText ?? "cursor", "a time not after 'to' and 'before'");
        }

        error = AccessGrant.Of(context)!.Check(symbol) ?? await symbols.Check(symbol, context.RequestAborted);
        if (error is not null)
        {
            return error;
        }

        var view = await views.Get(symbol!, interval);
        if (!view.Rules.Intervals.Contains(interval))
        {
            return ApiError.Bad("interval", interval.Name(), "for this symbol " + string.Join(", ", view.Rules.Intervals.Select(i => i.Name())));
        }

        var page = await history.Read(view, start.Query(interval, limit), context.RequestAborted);
        var next = start.Next(page);

        var response = context.Response;
        var tag = Tag(page.Klines, exact, next);
        response.Headers.ETag = tag;
        response.Headers.CacheControl = "no-cache";
        if (Matches(context.Request.Headers.IfNoneMatch.ToString(), tag))
        {
            response.StatusCode = StatusCodes.Status304NotModified;
            return null;
        }

        response.ContentType = "application/json; charset=utf-8";
        using (var json = new Utf8JsonWriter(response.BodyWriter, Json))
        {
            json.WriteStartObject();
            json.WriteString("symbol", symbol);
            json.WriteString("interval", KlineJson.Name(interval));
            json.WritePropertyName("klines");
            KlineJson.WriteArray(json, page.Klines, exact);
            json.WriteString("next", next);
            json.WriteEndObject();
        }

        await response.BodyWriter.FlushAsync(context.RequestAborted);
        return null;
    }

    private async Task<ApiError?> GetSymbols(HttpContext context)
    {
        var query = context.Request.Query;
        if (!RequestReader.TryQuery(query, "query", out var text, out var error)
            || !RequestReader.TryQuery(query, "limit", out var limitText, out error)
            || !RequestReader.TryLimit(limitText, 100, 1_000, out var limit, out error)
            || !RequestReader.TryQuery(query, "cursor", out var cursorText, out error))
        {
            return error;
        }

        if (text?.Length > LongestQuery)
        {
            return ApiError.Bad("query", text, string.Create(CultureInfo.InvariantCulture, $"at most {LongestQuery} characters"));
        }

        SymbolInfo? after = null;
        if (cursorText is not null && !SymbolCursor.TryDecode(cursorText, out after, out error))
        {
            return error;
        }

        var found = await symbols.List(AccessGrant.Of(context)!, text ?? "", after, limit, context.RequestAborted);
        var response = context.Response;
        response.ContentType = "application/json; charset=utf-8";
        response.Headers.CacheControl = "no-cache";
        using (var json = new Utf8JsonWriter(response.BodyWriter, Json))
        {
            json.WriteStartObject();
            json.WritePropertyName("symbols");
            SymbolJson.WriteArray(json, found, symbols);
            json.WriteString("next", found.Count < limit ? null : SymbolCursor.Encode(found[^1]));
            json.WriteEndObject();
        }

        await response.BodyWriter.FlushAsync(context.RequestAborted);
        return null;
    }

    private static bool Matches(string header, string tag)
    {
        if (header.Length == 0)
        {
            return false;
        }

        foreach (var part in header.Split(',', StringSplitOptions.TrimEntries))
        {
            if (part == "*" || (part.StartsWith("W/", StringComparison.Ordinal) ? part[2..] : part) == tag)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Names the content without writing it: whatever can change in a kline is in it (FNV-1a over 64-bit words, twice).</summary>
    private static string Tag(IReadOnlyList<Kline> klines, bool exact, string? next)
    {
        var a = 14_695_981_039_346_656_037UL;
        var b = 0x9E37_79B9_7F4A_7C15UL;
        Add(exact ? 1UL : 0UL);
        foreach (var c in next ?? "")
        {
            Add(c);
        }

        Span<int> bits = stackalloc int[4];
        foreach (var kline in klines)
        {
            Add((ulong)kline.OpenTime.UtcTicks);
            Add(((ulong)(uint)kline.UpdateCount << 32) | ((ulong)(uint)kline.Revision << 1) | (kline.IsFinal ? 1UL : 0UL));
            Decimal(kline.Open.Value, bits);
            Decimal(kline.High.Value, bits);
            Decimal(kline.Low.Value, bits);
            Decimal(kline.Close.Value, bits);
            Decimal(kline.BaseVolume, bits);
            Decimal(kline.QuoteVolume, bits);
        }

        return string.Create(CultureInfo.InvariantCulture, $"\"{a:x16}{b:x16}\"");

        void Decimal(decimal value, Span<int> parts)
        {
            decimal.GetBits(value, parts);
            Add(((ulong)(uint)parts[0] << 32) | (uint)parts[1]);
            Add(((ulong)(uint)parts[2] << 32) | (uint)parts[3]);
        }

        void Add(ulong word)
        {
            a = (a ^ word) * 1_099_511_628_211UL;
            b = ulong.RotateLeft(b ^ word, 29) * 0xBF58_476D_1CE4_E5B9UL;
        }
    }
}

/// <summary>Symbols as JSON.</summary>
internal static class SymbolJson
{
    public static void WriteArray(Utf8JsonWriter json, IReadOnlyList<SymbolInfo> found, SymbolDirectory directory)
    {
        json.WriteStartArray();
        foreach (var symbol in found)
        {
            var source = directory.Source(symbol.Source);
            json.WriteStartObject();
            json.WriteString("symbol", symbol.Symbol);
            json.WriteString("name", symbol.Name);
            json.WriteString("source", symbol.Source);
            json.WriteBoolean("simulated", source?.IsSimulated ?? false);
            json.WriteNumber("listedTime", symbol.ListedTime.ToUnixTimeMilliseconds());
            json.WriteStartArray("intervals");
            foreach (var interval in source?.Rules.Intervals ?? KlineIntervals.All)
            {
                json.WriteStringValue(KlineJson.Name(interval));
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
