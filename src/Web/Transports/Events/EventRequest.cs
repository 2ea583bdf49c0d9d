using System.Globalization;
using System.Text;
using System.Text.Json;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web.Transports.Events;

/// <summary>Reads the values of a request on the older wires. Each answers false and an error that names the value and what is allowed.</summary>
internal readonly struct EventRequest
{
    public const int LongestSubscriptionId = 128;

    private const long MinSeconds = -62_135_596_800;
    private const long MaxSeconds = 253_402_300_799;

    private static readonly ReadOnlyMemory<byte> Null = "null"u8.ToArray();

    private readonly JsonElement _json;

    private EventRequest(JsonElement json) => _json = json;

    public static bool TryRead(JsonElement json, string shape, out EventRequest request, out ApiError? error)
    {
        request = new EventRequest(json);
        error = json.ValueKind == JsonValueKind.Object ? null : ApiError.Bad("payload", json.ValueKind is JsonValueKind.Undefined or JsonValueKind.Null ? null : json.GetRawText(), shape);
        return error is null;
    }

    /// <summary>Reads JSON that a client sent; false for what is none, or too deep.</summary>
    public static bool TryParse(ReadOnlyMemory<byte> text, int depth, out JsonDocument? document, out ApiError? error)
    {
        try
        {
            document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = depth });
            error = null;
            return true;
        }
        catch (JsonException)
        {
            document = null;
            error = ApiError.Bad("message", Encoding.UTF8.GetString(text.Span[..Math.Min(text.Length, 200)]), string.Create(CultureInfo.InvariantCulture, $"JSON, at most {depth} deep"));
            return false;
        }
    }

    /// <summary>A text; null if it is absent.</summary>
    public bool TryText(string key, string allowed, out string? text, out ApiError? error)
    {
        text = null;
        error = null;
        if (!TryGet(key, out var value) || value.ValueKind == JsonValueKind.Null)
        {
            return true;
        }

        if (value.ValueKind == JsonValueKind.String && TryString(value, out text))
        {
            return true;
        }

        error = ApiError.Bad(key, value.GetRawText(), allowed);
        return false;
    }

    /// <summary>The intervals, in the order given, each once: an array or one name.</summary>
    public bool TryIntervals(out List<KlineInterval> intervals, out ApiError? error)
    {
        intervals = [];
        error = null;
        if (!TryGet("interval", out var value) && !TryGet("intervals", out value))
        {
            return RequestReader.TryInterval(null, out _, out error);
        }

        if (value.ValueKind != JsonValueKind.Array)
        {
            return TryAdd(value, intervals, out error);
        }

        foreach (var element in value.EnumerateArray())
        {
            if (!TryAdd(element, intervals, out error))
            {
                return false;
            }
        }

        return intervals.Count > 0 || RequestReader.TryInterval(null, out _, out error);

        static bool TryAdd(JsonElement element, List<KlineInterval> intervals, out ApiError? error)
        {
            var text = element.ValueKind == JsonValueKind.String && TryString(element, out var name) ? name : element.GetRawText();
            if (!RequestReader.TryInterval(text, out var interval, out error))
            {
                return false;
            }

            if (!intervals.Contains(interval))
            {
                intervals.Add(interval);
            }

            return true;
        }
    }

    /// <summary>The client's name for its subscription, as JSON: <c>null</c> if it gave none.</summary>
    public bool TrySubscriptionId(out ReadOnlyMemory<byte> json, out ApiError? error)
    {
        json = Null;
        error = null;
        if (!TryGet("subscription_id", out var value) || value.ValueKind == JsonValueKind.Null)
        {
            return true;
        }

        if ((value.ValueKind == JsonValueKind.String && TryString(value, out var text) && text!.Length <= LongestSubscriptionId) || (value.ValueKind == JsonValueKind.Number && value.GetRawText().Length <= 32))
        {
            // As the client wrote it, which is valid JSON.
            json = Encoding.UTF8.GetBytes(value.GetRawText());
            return true;
        }

        error = ApiError.Bad("subscription_id", value.GetRawText(), string.Create(CultureInfo.InvariantCulture, $"text of at most {LongestSubscriptionId} characters, or a number"));
        return false;
    }

    public bool TryLimit(int byDefault, int max, out int limit, out ApiError? error)
    {
        var text = Number("limit");
        return RequestReader.TryLimit(text, byDefault, max, out limit, out error);
    }

    /// <summary>A time in Unix seconds; null if it is absent.</summary>
    public bool TrySeconds(string key, out DateTimeOffset? time, out ApiError? error)
    {
        time = null;
        error = null;
        var text = Number(key);
        if (text is null)
        {
            return true;
        }

        if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var seconds) && seconds is >= MinSeconds and <= MaxSeconds)
        {
            time = DateTimeOffset.FromUnixTimeSeconds(seconds);
            return true;
        }

        error = ApiError.Bad(key, text, "whole Unix seconds, years 1 to 9999");
        return false;
    }

    public bool TryOrder(out bool newestFirst, out ApiError? error)
    {
        newestFirst = false;
        if (!TryText("order", "asc or desc", out var text, out error))
        {
            return false;
        }

        newestFirst = text == "desc";
        error = newestFirst || text is null or "asc" ? null : ApiError.Bad("order", text, "asc or desc");
        return error is null;
    }

    /// <summary>The position to resume from; null if it is absent.</summary>
    public bool TryResume(out (long Epoch, long Seq)? position, out ApiError? error)
    {
        position = null;
        error = null;
        if (!TryGet("resume", out var value) || value.ValueKind == JsonValueKind.Null)
        {
            return true;
        }

        if (value.ValueKind == JsonValueKind.Object
            && TryGet(value, "epoch", out var epoch) && TryWhole(epoch, out var epochNumber)
            && TryGet(value, "seq", out var seq) && TryWhole(seq, out var seqNumber))
        {
            position = (epochNumber, seqNumber);
            return true;
        }

        error = ApiError.Bad("resume", value.GetRawText(), "{\"epoch\": number, \"seq\": number} as received");
        return false;
    }

    /// <summary>The newest chain event that the client has, from <c>resume</c>; null if it does not say. After <see cref="TryResume"/>.</summary>
    public bool TryResumeEvent(out long? number, out ApiError? error)
    {
        number = null;
        error = null;
        if (!TryGet("resume", out var value) || value.ValueKind != JsonValueKind.Object || !value.TryGetProperty("event_seq", out var text) || text.ValueKind == JsonValueKind.Null)
        {
            return true;
        }

        if (TryWhole(text, out var found) && found >= 0)
        {
            number = found;
            return true;
        }

        error = ApiError.Bad("event_seq", text.GetRawText(), "a number as received");
        return false;
    }

    private bool TryGet(string key, out JsonElement value) => TryGet(_json, key, out value);

    /// <summary>A member of an object; false if it has none of that name.</summary>
    public static bool TryGet(JsonElement json, string key, out JsonElement value)
    {
        try
        {
            return json.TryGetProperty(key, out value);
        }
        catch (InvalidOperationException)
        {
            // Some name in it holds half an escaped character, so nothing can be looked up.
            value = default;
            return false;
        }
    }

    /// <summary>A number, or text that may be one; null if it is absent.</summary>
    private string? Number(string key)
    {
        if (!TryGet(key, out var value) || value.ValueKind == JsonValueKind.Null)
        {
            return null;
        }

        return value.ValueKind == JsonValueKind.String && TryString(value, out var text) ? text : value.GetRawText();
    }

    private static bool TryWhole(JsonElement element, out long number)
    {
        number = 0;
        return element.ValueKind switch
        {
            JsonValueKind.Number => element.TryGetInt64(out number),
            JsonValueKind.String => TryString(element, out var text) && long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out number),
            _ => false,
        };
    }

    /// <summary>Text that is text: JSON can escape half a character.</summary>
    public static bool TryString(JsonElement element, out string? text)
    {
        try
        {
            text = element.GetString();
            return true;
        }
        catch (InvalidOperationException)
        {
            text = null;
            return false;
        }
    }
}
