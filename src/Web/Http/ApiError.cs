using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace KlineOrleans.Web;

/// <summary>Why a request was refused. The numbers are the clients' and are never reused.</summary>
internal enum ApiErrorCode
{
    /// <summary>Unknown type, interval or symbol, or a value out of range. Not worth a retry.</summary>
    BadRequest = 1001,

    /// <summary>The client follows as many klines as it may.</summary>
    SubscriptionLimit = 1002,

    /// <summary>History cannot be read now. Try again.</summary>
    HistoryFailed = 1003,

    /// <summary>Too many requests. Wait, then try again.</summary>
    RateLimit = 1004,

    /// <summary>Not authorised.</summary>
    NotAuthorised = 1005,

    /// <summary>The server is busy. Come back later.</summary>
    Busy = 1006,
}

/// <summary>A refusal that a client can act on. Immutable.</summary>
/// <param name="Sentence">For a person: what was wrong, with the value, and what is allowed.</param>
/// <param name="Key">The part of the request; null where it was the request as a whole.</param>
/// <param name="Status">The HTTP status that fits.</param>
internal sealed record ApiError(ApiErrorCode Code, string Sentence, string? Key = null, string? Value = null, string? Allowed = null, int Status = StatusCodes.Status400BadRequest)
{
    private const int LongestEcho = 100;

    /// <summary>A value that is not allowed.</summary>
    public static ApiError Bad(string key, string? value, string allowed, int status = StatusCodes.Status400BadRequest)
    {
        var shown = value is null ? null : value.Length <= LongestEcho ? value : value[..LongestEcho] + "...";
        var sentence = shown is null ? $"{key} is missing. Allowed: {allowed}." : $"{key}: '{shown}' is not allowed. Allowed: {allowed}.";
        return new ApiError(ApiErrorCode.BadRequest, sentence, key, shown, allowed, status);
    }

    public static ApiError HistoryUnavailable { get; } =
        new(ApiErrorCode.HistoryFailed, "The history cannot be read now. Try again in a few seconds.", Status: StatusCodes.Status503ServiceUnavailable);

    /// <summary>The client reads more slowly than its klines change. Come back.</summary>
    public static ApiError SlowConsumer { get; } =
        new(ApiErrorCode.Busy, "SlowConsumer: too much waited for this client. Come back and resume.", Status: StatusCodes.Status503ServiceUnavailable);

    /// <summary>The server stops. Come back.</summary>
    public static ApiError Shutdown { get; } =
        new(ApiErrorCode.Busy, "ServerShutdown: the server stops. Come back and resume.", Status: StatusCodes.Status503ServiceUnavailable);

    /// <summary>As a hub tells it.</summary>
    public override string ToString() => $"{(int)Code}: {Sentence}";

    /// <summary>Answers with this error as application/problem+json (RFC 9457), with code, key, value and allowed.</summary>
    public Task Write(HttpContext context) => Problem.Write(context, Status, Sentence, this);
}

/// <summary>Writes application/problem+json.</summary>
internal static class Problem
{
    public static async Task Write(HttpContext context, int status, string detail, ApiError? error = null)
    {
        var response = context.Response;
        response.StatusCode = status;
        response.ContentType = "application/problem+json";
        response.Headers.CacheControl = "no-store";
        if (status == StatusCodes.Status503ServiceUnavailable)
        {
            response.Headers.RetryAfter = "5";
        }
        else if (status == StatusCodes.Status429TooManyRequests)
        {
            response.Headers.RetryAfter = "1";
        }
        else if (status == StatusCodes.Status401Unauthorized)
        {
            response.Headers.WWWAuthenticate = "Bearer";
        }

        using (var json = new Utf8JsonWriter(response.BodyWriter, new JsonWriterOptions { SkipValidation = true }))
        {
            json.WriteStartObject();
            json.WriteString("type", "about:blank");
            json.WriteString("title", Microsoft.AspNetCore.WebUtilities.ReasonPhrases.GetReasonPhrase(status));
            json.WriteNumber("status", status);
            json.WriteString("detail", detail);
            if (error is not null)
            {
                json.WriteNumber("code", (int)error.Code);
                if (error.Key is not null)
                {
                    json.WriteString("key", error.Key);
                    json.WriteString("value", error.Value);
                    json.WriteString("allowed", error.Allowed);
                }
            }

            json.WriteEndObject();
        }

        await response.BodyWriter.FlushAsync(context.RequestAborted);
    }
}
