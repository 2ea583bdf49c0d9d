using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using KlineOrleans.Contracts;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace KlineOrleans.Web;

/// <summary>TradingView's Universal Data Feed: a chart that speaks it needs no code of ours. Errors are 200 with <c>{"s": "error", "errmsg": ...}</c>, as its clients expect.</summary>
/// <remarks>Times are Unix seconds; <c>from</c> is included, <c>to</c> is not; with <c>countback</c>, <c>from</c> does not count. Volume is base volume.</remarks>
internal sealed class UdfRoutes(RouteAnswers answers, KlineViews views, KlineHistory history, SymbolDirectory symbols, SourceMonitor monitor, TimeProvider time)
{
    /// <summary>The most bars of an answer. The library asks again for what is older.</summary>
    public const int MostBars = 5_000;

    private const int DefaultFound = 30;
    private const int MostFound = 1_000;

    // Numbers of JavaScript count exactly to 9.007e15.
    private const int MostDecimals = 15;
    private const int SignificantDigits = 6;

    private static readonly ImmutableArray<string> Resolutions = ["", "1S", "5S", "15S", "30S", "1", "5", "15", "30", "60", "240", "1D", "1W"];

    private static readonly FrozenDictionary<string, KlineInterval> ByResolution = Aliases().ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);

    public static string Allowed { get; } = string.Join(", ", Resolutions.Skip(1));

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/udf/config", answers.Guard(GetConfig)).Needs(AccessLevel.Client).WithMetadata(new RouteDoc("udfConfig", "UDF", "What this feed can do", "UdfConfig"));
        routes.MapGet("/udf/time", answers.Guard(GetTime)).Needs(AccessLevel.Client).WithMetadata(new RouteDoc("udfTime", "UDF", "The server's time in Unix seconds", "text/plain"));
        routes.MapGet("/udf/symbols", answers.Guard(GetSymbol)).Needs(AccessLevel.Client).WithMetadata(
            new RouteDoc("udfSymbol", "UDF", "What a chart must know of a symbol", "UdfSymbol") { Parameters = [Doc.Query("symbol", "The symbol, or SOURCE:SYMBOL.", required: true)] });
        routes.MapGet("/udf/search", answers.Guard(Search)).Needs(AccessLevel.Client).WithMetadata(
            new RouteDoc("udfSearch", "UDF", "Symbols by part of their name", "UdfFound")
            {
                Parameters = [Doc.Query("query", "Part of the name."), Doc.Query("type", "crypto, or empty for all."), Doc.Query("exchange", "A source's name, or empty for all."), Doc.Number("limit", 1, MostFound, DefaultFound)],
            });
        routes.MapGet("/udf/history", answers.Guard(GetHistory)).Needs(AccessLevel.Client).WithMetadata(
            new RouteDoc("udfHistory", "UDF", "Bars of a symbol", "UdfBars")
            {
                Parameters =
                [
                    Doc.Query("symbol", "The symbol, or SOURCE:SYMBOL.", required: true),
                    Doc.Query("resolution", "One of " + Allowed + ", or D, W, S.", required: true),
                    Doc.Number("from", long.MinValue, long.MaxValue, null, "Unix seconds, included."),
                    Doc.Number("to", long.MinValue, long.MaxValue, null, "Unix seconds, not included. Default: now."),
                    Doc.Number("countback", 1, int.MaxValue, null, "How many bars before to; then from does not count."),
                ],
            });
    }

    private Task<ApiError?> GetConfig(HttpContext context) => RouteAnswers.Ok(context, monitor.Sources, static (json, sources) =>
    {
        json.WriteStartObject();
        json.WriteBoolean("supports_search", true);
        json.WriteBoolean("supports_group_request", false);
        json.WriteBoolean("supports_marks", false);
        json.WriteBoolean("supports_timescale_marks", false);
        json.WriteBoolean("supports_time", true);
        WriteResolutions(json, "supported_resolutions", KlineIntervals.All.Where(i => sources.Any(s => s.Rules.Intervals.Contains(i))));
        json.WriteStartArray("exchanges");
        WriteChoice(json, "All", "");
        foreach (var source in sources)
        {
            WriteChoice(json, source.IsSimulated ? source.Name + " (simulated)" : source.Name, source.Name);
        }

        json.WriteEndArray();
        json.WriteStartArray("symbols_types");
        WriteChoice(json, "All", "");
        WriteChoice(json, "Crypto", "crypto");
        json.WriteEndArray();
        json.WriteEndObject();

        static void WriteChoice(Utf8JsonWriter json, string name, string value)
        {
            json.WriteStartObject();
            json.WriteString("value", value);
            json.WriteString("name", name);
            json.WriteString("desc", name);
            json.WriteEndObject();
        }
    });

    private Task<ApiError?> GetTime(HttpContext context) => RouteAnswers.Text(context, time.GetUtcNow().ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture));

    private async Task<ApiError?> GetSymbol(HttpContext context)
    {
        var symbol = Plain(context.Request.Query["symbol"].ToString());
        if (AccessGrant.Of(context)!.Check(symbol) is { } refusal)
        {
            return refusal;
        }

        if (await symbols.Check(symbol, context.RequestAborted) is not null)
        {
            return await Refuse(context, "unknown_symbol");
        }

        var info = await symbols.Find(symbol, context.RequestAborted);
        var smallest = symbols.SourceOf(info?.Source ?? "")?.Rules.Intervals[0] ?? KlineInterval.S1;
        var view = await views.Get(symbol, smallest);
        smallest = view.Rules.Intervals[0];
        var newest = await history.Read(view, new HistoryQuery(smallest, null, null, 1, Newest: true), context.RequestAborted);
        var source = symbols.SourceOf(info?.Source ?? view.Source);
        var scale = PriceScale(newest.Klines.Count == 0 ? null : newest.Klines[0].Close.Value);
        return await RouteAnswers.Ok(context, (symbol, info, source, scale, view.Rules.Intervals), static (json, a) =>
        {
            var exchange = a.source?.Name ?? "";
            json.WriteStartObject();
            json.WriteString("name", a.symbol);
            json.WriteString("full_name", a.symbol);
            json.WriteString("ticker", a.symbol);
            json.WriteString("description", (a.info?.Name ?? a.symbol) + (a.source is { IsSimulated: true } ? " (simulated)" : ""));
            json.WriteString("type", "crypto");
            json.WriteString("session", "24x7");
            json.WriteString("timezone", "Etc/UTC");
            json.WriteString("exchange", exchange);
            json.WriteString("listed_exchange", exchange);
            json.WriteString("format", "price");
            json.WriteNumber("minmov", 1);
            json.WriteNumber("minmov2", 0);
            json.WriteNumber("pricescale", a.scale);
            json.WriteString("visible_plots_set", "ohlcv");
            json.WriteNumber("volume_precision", 2);
            json.WriteString("data_status", "streaming");
            WriteUnit(json, "seconds", "has_seconds", a.Intervals, 1, KlineInterval.S1, KlineInterval.S30);
            WriteUnit(json, "intraday", "has_intraday", a.Intervals, 60, KlineInterval.M1, KlineInterval.H4);
            WriteUnit(json, "daily", "has_daily", a.Intervals, 86_400, KlineInterval.D1, KlineInterval.D1);
            WriteUnit(json, "weekly", "has_weekly_and_monthly", a.Intervals, 604_800, KlineInterval.W1, KlineInterval.W1);
            WriteResolutions(json, "supported_resolutions", a.Intervals);
            json.WriteEndObject();
        });

        // The library builds other resolutions from these multiples; only what is there may be named.
        static void WriteUnit(Utf8JsonWriter json, string unit, string has, ImmutableArray<KlineInterval> intervals, long seconds, KlineInterval first, KlineInterval last)
        {
            var multiples = intervals.Where(i => i >= first && i <= last).Select(i => (i.Seconds() / seconds).ToString(CultureInfo.InvariantCulture)).ToList();
            json.WriteBoolean(has, multiples.Count > 0);
            json.WriteStartArray(unit + "_multipliers");
            multiples.ForEach(json.WriteStringValue);
            json.WriteEndArray();
        }
    }

    private async Task<ApiError?> Search(HttpContext context)
    {
        var query = context.Request.Query;
        if (!RequestReader.TryQuery(query, "query", out var text, out var error)
            || !RequestReader.TryQuery(query, "type", out var type, out error)
            || !RequestReader.TryQuery(query, "exchange", out var exchange, out error)
            || !RequestReader.TryQuery(query, "limit", out var limitText, out error)
            || !RequestReader.TryLimit(limitText, DefaultFound, MostFound, out var limit, out error))
        {
            return await Refuse(context, error!.Sentence);
        }

        if (text?.Length > KlineRoutes.LongestQuery)
        {
            return await Refuse(context, ApiError.Bad("query", text, string.Create(CultureInfo.InvariantCulture, $"at most {KlineRoutes.LongestQuery} characters")).Sentence);
        }

        // A source that is named may have few of many symbols: at most so many are looked at for it.
        List<SymbolInfo> found = [];
        SymbolInfo? after = null;
        for (var step = 0; step < 10 && found.Count < limit && type is null or "crypto"; step++)
        {
            var page = await symbols.List(AccessGrant.Of(context)!, text ?? "", after, MostFound, context.RequestAborted);
            found.AddRange(page.Where(s => exchange is null || s.Source == exchange).Take(limit - found.Count));
            if (page.Count < MostFound)
            {
                break;
            }

            after = page[^1];
        }

        return await RouteAnswers.Ok(context, (found, symbols), static (json, a) =>
        {
            json.WriteStartArray();
            foreach (var symbol in a.found)
            {
                json.WriteStartObject();
                json.WriteString("symbol", symbol.Symbol);
                json.WriteString("full_name", symbol.Symbol);
                json.WriteString("ticker", symbol.Symbol);
                json.WriteString("description", symbol.Name + (a.symbols.Source(symbol.Source) is { IsSimulated: true } ? " (simulated)" : ""));
                json.WriteString("exchange", symbol.Source);
                json.WriteString("type", "crypto");
                json.WriteEndObject();
            }

            json.WriteEndArray();
        });
    }

    private async Task<ApiError?> GetHistory(HttpContext context)
    {
        var query = context.Request.Query;
        var symbol = Plain(query["symbol"].ToString());
        if (!ByResolution.TryGetValue(query["resolution"].ToString(), out var interval))
        {
            return await Refuse(context, ApiError.Bad("resolution", query["resolution"].ToString(), Allowed).Sentence);
        }

        if (!TrySeconds(query, "from", out var from, out var error) || !TrySeconds(query, "to", out var to, out error) || !TryCount(query, out var countback, out error))
        {
            return await Refuse(context, error!.Sentence);
        }

        if (countback is null && from is null)
        {
            return await Refuse(context, ApiError.Bad("from", null, "Unix seconds, or countback").Sentence);
        }

        if (AccessGrant.Of(context)!.Check(symbol) is { } refusal)
        {
            return refusal;
        }

        if (await symbols.Check(symbol, context.RequestAborted) is not null)
        {
            return await Refuse(context, "unknown_symbol");
        }

        var view = await views.Get(symbol, interval);
        if (!view.Rules.Intervals.Contains(interval))
        {
            return await Refuse(context, ApiError.Bad("resolution", query["resolution"].ToString(), "for this symbol " + string.Join(", ", view.Rules.Intervals.Select(i => Resolutions[(int)i]))).Sentence);
        }

        if (countback is { } count)
        {
            var page = await history.Read(view, new HistoryQuery(interval, null, to, Math.Min(count, MostBars), Newest: true), context.RequestAborted);
            return page.Klines.Count > 0 ? await Bars(context, page.Klines) : await NoData(context, null);
        }

        if (to is { } end && end <= from!.Value)
        {
            return await NoData(context, null);
        }

        var found = await history.Read(view, new HistoryQuery(interval, from, to, MostBars, Newest: true), context.RequestAborted);
        if (found.Klines.Count > 0)
        {
            return await Bars(context, found.Klines);
        }

        // Nothing in the range: the newest bar before it tells the chart where to look on.
        var before = await history.Read(view, new HistoryQuery(interval, null, from, 1, Newest: true), context.RequestAborted);
        return await NoData(context, before.Klines.Count == 0 ? null : before.Klines[0].OpenTime.ToUnixTimeSeconds());
    }

    private static Task<ApiError?> Bars(HttpContext context, IReadOnlyList<Kline> klines) => RouteAnswers.Ok(context, klines, static (json, klines) =>
    {
        json.WriteStartObject();
        json.WriteString("s", "ok");
        Write(json, "t", klines, static k => k.OpenTime.ToUnixTimeSeconds());
        Write(json, "o", klines, static k => KlineJson.ToDouble(k.Open.Value));
        Write(json, "h", klines, static k => KlineJson.ToDouble(k.High.Value));
        Write(json, "l", klines, static k => KlineJson.ToDouble(k.Low.Value));
        Write(json, "c", klines, static k => KlineJson.ToDouble(k.Close.Value));
        Write(json, "v", klines, static k => KlineJson.ToDouble(k.BaseVolume));
        json.WriteEndObject();

        static void Write(Utf8JsonWriter json, string name, IReadOnlyList<Kline> klines, Func<Kline, double> value)
        {
            json.WriteStartArray(name);
            for (var i = 0; i < klines.Count; i++)
            {
                json.WriteNumberValue(value(klines[i]));
            }

            json.WriteEndArray();
        }
    });

    private static Task<ApiError?> NoData(HttpContext context, long? nextSeconds) => RouteAnswers.Ok(context, nextSeconds, static (json, next) =>
    {
        json.WriteStartObject();
        json.WriteString("s", "no_data");
        if (next is { } seconds)
        {
            json.WriteNumber("nextTime", seconds);
        }

        json.WriteEndObject();
    });

    private static Task<ApiError?> Refuse(HttpContext context, string sentence) => RouteAnswers.Ok(context, sentence, static (json, sentence) =>
    {
        json.WriteStartObject();
        json.WriteString("s", "error");
        json.WriteString("errmsg", sentence);
        json.WriteEndObject();
    });

    /// <summary>The symbol without the source's name before it, as in <c>binance:XRPETH</c>.</summary>
    private string Plain(string symbol)
    {
        var colon = symbol.IndexOf(':', StringComparison.Ordinal);
        return colon > 0 && symbols.Source(symbol[..colon]) is not null ? symbol[(colon + 1)..] : symbol;
    }

    /// <summary>The power of ten that shows six digits of the price, and no less than cents.</summary>
    internal static long PriceScale(decimal? price)
    {
        var decimals = 2;
        if (price is { } value && value > 0)
        {
            // The place of the first digit: 0 for 1 to 10, -1 for 0.1 to 1.
            decimals = Math.Clamp(SignificantDigits - 1 - (int)Math.Floor(Math.Log10((double)value)), 2, MostDecimals);
        }
        else
        {
            decimals = 8;
        }

        return (long)Math.Pow(10, decimals);
    }

    private static void WriteResolutions(Utf8JsonWriter json, string name, IEnumerable<KlineInterval> intervals)
    {
        json.WriteStartArray(name);
        foreach (var interval in intervals)
        {
            json.WriteStringValue(Resolutions[(int)interval]);
        }

        json.WriteEndArray();
    }

    /// <summary>A time that may lie anywhere: charts ask from far before 1970 when they want everything.</summary>
    private static bool TrySeconds(IQueryCollection query, string key, out DateTimeOffset? time, out ApiError? error)
    {
        time = null;
        if (!RequestReader.TryQuery(query, key, out var text, out error) || text is null)
        {
            return error is null;
        }

        if (!double.TryParse(text, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds) || !double.IsFinite(seconds))
        {
            error = ApiError.Bad(key, text, "Unix seconds");
            return false;
        }

        time = DateTimeOffset.FromUnixTimeSeconds((long)Math.Clamp(Math.Floor(seconds), -62_135_596_800d, 253_402_300_799d));
        return true;
    }

    private static bool TryCount(IQueryCollection query, out int? count, out ApiError? error)
    {
        count = null;
        if (!RequestReader.TryQuery(query, "countback", out var text, out error) || text is null)
        {
            return error is null;
        }

        if (!int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) || number < 0)
        {
            error = ApiError.Bad("countback", text, "0 and more");
            return false;
        }

        // The library sends 0 where it means none.
        count = number == 0 ? null : number;
        return true;
    }

    private static IEnumerable<KeyValuePair<string, KlineInterval>> Aliases()
    {
        foreach (var interval in KlineIntervals.All)
        {
            yield return new(Resolutions[(int)interval], interval);
        }

        yield return new("S", KlineInterval.S1);
        yield return new("D", KlineInterval.D1);
        yield return new("W", KlineInterval.W1);
    }
}
