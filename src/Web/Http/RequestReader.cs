using System.Globalization;
using System.Text;
using KlineOrleans.Contracts;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;

namespace KlineOrleans.Web;

/// <summary>Reads the values of requests, the same on every wire. Each answers false and an error that names the value and what is allowed.</summary>
internal static class RequestReader
{
    private const long MinMilliseconds = -62_135_596_800_000;
    private const long MaxMilliseconds = 253_402_300_799_999;

    private static readonly string IntervalsAllowed = string.Join(", ", KlineIntervals.All.Select(i => i.Name())) + " (or 1s to 1w)";

    /// <summary>The value of a query key that may come once; null if it does not come.</summary>
    public static bool TryQuery(IQueryCollection query, string key, out string? value, out ApiError? error)
    {
        value = null;
        error = null;
        if (!query.TryGetValue(key, out var values) || values.Count == 0)
        {
            return true;
        }

        if (values.Count > 1)
        {
            error = ApiError.Bad(key, values.ToString(), "one value");
            return false;
        }

        value = string.IsNullOrEmpty(values[0]) ? null : values[0];
        return true;
    }

    public static bool TryInterval(string? text, out KlineInterval interval, out ApiError? error)
    {
        if (KlineIntervals.TryParse(text, out interval))
        {
            error = null;
            return true;
        }

        error = ApiError.Bad("interval", text, IntervalsAllowed);
        return false;
    }

    /// <summary>A limit from 1 to <paramref name="max"/>.</summary>
    public static bool TryLimit(string? text, int byDefault, int max, out int limit, out ApiError? error)
    {
        error = null;
        limit = Math.Min(byDefault, max);
        if (text is null)
        {
            return true;
        }

        if (int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out limit) && limit >= 1 && limit <= max)
        {
            return true;
        }

        error = ApiError.Bad("limit", text, string.Create(CultureInfo.InvariantCulture, $"1 to {max}"));
        return false;
    }

    /// <summary>A time in Unix milliseconds.</summary>
    public static bool TryTime(string key, string? text, out DateTimeOffset? time, out ApiError? error)
    {
        time = null;
        error = null;
        if (text is null)
        {
            return true;
        }

        if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var milliseconds) && milliseconds is >= MinMilliseconds and <= MaxMilliseconds)
        {
            time = DateTimeOffset.FromUnixTimeMilliseconds(milliseconds);
            return true;
        }

        error = ApiError.Bad(key, text, "Unix milliseconds, years 1 to 9999");
        return false;
    }

    public static bool TryFlag(string key, string? text, out bool flag, out ApiError? error)
    {
        error = null;
        flag = text is "true" or "1" or "True";
        if (flag || text is null or "false" or "0" or "False")
        {
            return true;
        }

        error = ApiError.Bad(key, text, "true or false");
        return false;
    }
}

/// <summary>Where the next page of a history begins: opaque to clients.</summary>
/// <param name="Newest">The page holds the newest klines before <paramref name="To"/>; otherwise the oldest from <paramref name="From"/> on.</param>
internal readonly record struct HistoryCursor(bool Newest, DateTimeOffset? From, DateTimeOffset? To)
{
    /// <summary>The first page of a request. Without a beginning the newest klines are meant, and the page that follows is the one before them.</summary>
    public static HistoryCursor Of(DateTimeOffset? from, DateTimeOffset? to, DateTimeOffset? before) =>
        new(before is not null || from is null, from, before is { } b && (to is null || b < to) ? b : to);

    public HistoryQuery Query(KlineInterval interval, int limit) => new(interval, From, To, limit, Newest);

    /// <summary>The cursor of the page that follows; null after the last.</summary>
    public string? Next(HistoryPage page) =>
        !page.HasMore || page.Klines.Count == 0 ? null : (Newest ? this with { To = page.Klines[0].OpenTime } : this with { From = page.Klines[^1].EndTime }).Encode();

    public string Encode() => WebEncoders.Base64UrlEncode(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"1.{(Newest ? 'b' : 'f')}.{From?.ToUnixTimeMilliseconds()}.{To?.ToUnixTimeMilliseconds()}")));

    public static bool TryDecode(string text, out HistoryCursor cursor, out ApiError? error)
    {
        cursor = default;
        if (CursorText.TryDecode(text, out var decoded)
            && decoded.Split('.') is ["1", "f" or "b", var from, var to] parts
            && RequestReader.TryTime("cursor", from.Length == 0 ? null : from, out var fromTime, out _)
            && RequestReader.TryTime("cursor", to.Length == 0 ? null : to, out var toTime, out _))
        {
            cursor = new HistoryCursor(parts[1] == "b", fromTime, toTime);
            error = null;
            return true;
        }

        error = ApiError.Bad("cursor", text, "a cursor of an earlier answer");
        return false;
    }
}

/// <summary>Where the next page of the symbol index begins: opaque to clients.</summary>
internal static class SymbolCursor
{
    public static string Encode(SymbolInfo last) => WebEncoders.Base64UrlEncode(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"1.{last.ListedTime.ToUnixTimeMilliseconds()}.{last.Symbol}")));

    public static bool TryDecode(string text, out SymbolInfo? after, out ApiError? error)
    {
        if (CursorText.TryDecode(text, out var decoded)
            && decoded.Split('.', 3) is ["1", var listed, { Length: > 0 } symbol]
            && RequestReader.TryTime("cursor", listed, out var time, out _) && time is not null)
        {
            after = new SymbolInfo(symbol, symbol, "", time.Value);
            error = null;
            return true;
        }

        after = null;
        error = ApiError.Bad("cursor", text, "a cursor of an earlier answer");
        return false;
    }
}

internal static class CursorText
{
    public static bool TryDecode(string text, out string decoded)
    {
        decoded = "";
        if (text.Length > 400)
        {
            return false;
        }

        Span<byte> bytes = stackalloc byte[400];
        if (!System.Buffers.Text.Base64Url.IsValid(text) || !System.Buffers.Text.Base64Url.TryDecodeFromChars(text, bytes, out var written))
        {
            return false;
        }

        decoded = Encoding.UTF8.GetString(bytes[..written]);
        return true;
    }
}
