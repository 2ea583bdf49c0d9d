using System.Globalization;
using System.Text.Json;
using KlineOrleans.Web.Transports.Events;
using Microsoft.AspNetCore.SignalR;

namespace KlineOrleans.Web;

/// <summary>Reads the values of a hub request; what does not fit is refused as <see cref="ApiErrorCode.BadRequest"/>.</summary>
internal readonly struct HubRequest
{
    private readonly JsonElement _json;

    /// <exception cref="HubException">Not an object, or nested deeper than <paramref name="depth"/>.</exception>
    public HubRequest(JsonElement json, int depth)
    {
        if (json.ValueKind != JsonValueKind.Object)
        {
            throw Refuse(ApiError.Bad("request", json.ValueKind.ToString(), "a JSON object"));
        }

        if (!IsWithin(json, depth))
        {
            throw Refuse(ApiError.Bad("request", "a deeper one", string.Create(CultureInfo.InvariantCulture, $"JSON at most {depth} deep")));
        }

        _json = json;
    }

    public static HubException Refuse(ApiError error) => new(error.ToString());

    /// <summary>A value as text: a string, or a number or boolean as it was written; null if it is absent.</summary>
    public string? Text(string key, string allowed)
    {
        return EventRequest.TryGet(_json, key, out var value) ? TextOf(value, key, allowed) : null;
    }

    public static string? TextOf(JsonElement value, string key, string allowed) => value.ValueKind switch
    {
        JsonValueKind.String => EventRequest.TryString(value, out var text) ? text : throw Refuse(ApiError.Bad(key, value.GetRawText(), allowed)),
        JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False => value.GetRawText(),
        JsonValueKind.Null or JsonValueKind.Undefined => null,
        _ => throw Refuse(ApiError.Bad(key, value.ValueKind.ToString(), allowed)),
    };

    /// <summary>The intervals asked for: an array or one name. Bits by the enum's number; 0 if it is absent.</summary>
    public int Intervals()
    {
        if (!EventRequest.TryGet(_json, "intervals", out var value) && !EventRequest.TryGet(_json, "interval", out value))
        {
            return 0;
        }

        if (value.ValueKind != JsonValueKind.Array)
        {
            return Bit(TextOf(value, "intervals", "names of intervals"));
        }

        var bits = 0;
        foreach (var element in value.EnumerateArray())
        {
            bits |= Bit(TextOf(element, "intervals", "names of intervals"));
        }

        return bits;

        static int Bit(string? text) => RequestReader.TryInterval(text, out var interval, out var error) ? 1 << (int)interval : throw Refuse(error!);
    }

    public (long Epoch, long Seq)? Resume() => EventRequest.TryGet(_json, "resume", out var value) ? ResumeOf(value) : null;

    /// <summary>A position as a client hands it back; null if it is absent.</summary>
    public static (long Epoch, long Seq)? ResumeOf(JsonElement value)
    {
        if (value.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined)
        {
            return null;
        }

        if (value.ValueKind == JsonValueKind.Object
            && EventRequest.TryGet(value, "epoch", out var epoch) && Whole(epoch, out var epochNumber)
            && EventRequest.TryGet(value, "seq", out var seq) && Whole(seq, out var seqNumber))
        {
            return (epochNumber, seqNumber);
        }

        throw Refuse(ApiError.Bad("resume", value.GetRawText(), "{\"epoch\": number, \"seq\": number} as received"));

        static bool Whole(JsonElement element, out long number)
        {
            number = 0;
            return element.ValueKind switch
            {
                JsonValueKind.Number => element.TryGetInt64(out number),
                JsonValueKind.String => EventRequest.TryString(element, out var text) && long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out number),
                _ => false,
            };
        }
    }

    /// <summary>The least time between two updates of forming klines, from a rate in updates a second; zero if no rate is given.</summary>
    public TimeSpan MinGap()
    {
        if (!EventRequest.TryGet(_json, "maxRate", out var value) || value.ValueKind == JsonValueKind.Null)
        {
            return TimeSpan.Zero;
        }

        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var rate) && rate is >= 0.01 and <= 1_000
            ? TimeSpan.FromSeconds(1 / rate)
            : throw Refuse(ApiError.Bad("maxRate", value.GetRawText(), "0.01 to 1000 updates a second"));
    }

    private static bool IsWithin(JsonElement json, int depth)
    {
        if (json.ValueKind is not (JsonValueKind.Object or JsonValueKind.Array))
        {
            return true;
        }

        if (depth == 0)
        {
            return false;
        }

        if (json.ValueKind == JsonValueKind.Array)
        {
            foreach (var element in json.EnumerateArray())
            {
                if (!IsWithin(element, depth - 1))
                {
                    return false;
                }
            }

            return true;
        }

        foreach (var property in json.EnumerateObject())
        {
            if (!IsWithin(property.Value, depth - 1))
            {
                return false;
            }
        }

        return true;
    }
}
