using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web;

/// <summary>What every HTTP route does alike: errors as problem+json, JSON written straight into the response. Thread safe.</summary>
internal sealed class RouteAnswers(ILogger<RouteAnswers> log)
{
    private static readonly JsonWriterOptions Json = new() { SkipValidation = true };

    /// <summary>An endpoint's delegate: the error it gives back is written, and what cannot be read now is 503.</summary>
    public RequestDelegate Guard(Func<HttpContext, Task<ApiError?>> answer) => async context =>
    {
        try
        {
            if (await answer(context) is { } error)
            {
                await error.Write(context);
            }
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // The client left; nobody reads an answer.
        }
        catch (BadHttpRequestException e) when (!context.Response.HasStarted)
        {
            // A body that is too long, too slow or cut short: the framework knows the status.
            await new ApiError(ApiErrorCode.BadRequest, e.Message, Status: e.StatusCode).Write(context);
        }
        catch (Exception e) when (!context.Response.HasStarted)
        {
            // The archive or the grain cannot answer now: not the caller's mistake, and worth a retry.
            log.LogWarning(1501, e, "{Path} could not be answered", context.Request.Path);
            await ApiError.HistoryUnavailable.Write(context);
        }
    };

    /// <summary>Answers 200 with JSON.</summary>
    public static async Task<ApiError?> Ok<T>(HttpContext context, T argument, Action<Utf8JsonWriter, T> write, string cacheControl = "no-store")
    {
        var response = context.Response;
        response.ContentType = "application/json; charset=utf-8";
        response.Headers.CacheControl = cacheControl;
        using (var json = new Utf8JsonWriter(response.BodyWriter, Json))
        {
            write(json, argument);
        }

        await response.BodyWriter.FlushAsync(context.RequestAborted);
        return null;
    }

    /// <summary>Answers with plain text.</summary>
    public static async Task<ApiError?> Text(HttpContext context, string text, int status = StatusCodes.Status200OK, string type = "text/plain; charset=utf-8")
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = type;
        context.Response.Headers.CacheControl = "no-store";
        await context.Response.WriteAsync(text, context.RequestAborted);
        return null;
    }
}
