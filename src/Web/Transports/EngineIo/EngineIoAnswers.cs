using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http;

namespace KlineOrleans.Web.Transports.EngineIo;

/// <summary>The refusals of an Engine.IO server. Codes and sentences are those of the reference server: clients print them.</summary>
internal enum EngineIoError : byte
{
    TransportUnknown = 0,
    SessionUnknown = 1,
    BadHandshakeMethod = 2,
    BadRequest = 3,
    Forbidden = 4,
    UnsupportedProtocol = 5,
}

/// <summary>Writes HTTP answers.</summary>
internal static class EngineIoAnswers
{
    private static readonly string[] Sentences =
        ["Transport unknown", "Session ID unknown", "Bad handshake method", "Bad request", "Forbidden", "Unsupported protocol version"];

    /// <summary>A refusal: JSON, or the bare sentence for a WebSocket, whose client cannot read more than a line.</summary>
    public static Task RefuseAsync(HttpContext context, EngineIoError error, bool isWebSocket, int? status = null, string? message = null)
    {
        message ??= Sentences[(int)error];
        context.Response.StatusCode = status ?? (error == EngineIoError.Forbidden ? StatusCodes.Status403Forbidden : StatusCodes.Status400BadRequest);
        if (isWebSocket)
            return WriteAsync(context, "text/html", Encoding.UTF8.GetBytes(message));

        return WriteAsync(context, "application/json", JsonSerializer.SerializeToUtf8Bytes(new { code = (int)error, message }));
    }

    /// <summary>A status with no body.</summary>
    public static Task EmptyAsync(HttpContext context, int status)
    {
        context.Response.StatusCode = status;
        context.Response.ContentLength = 0;
        return Task.CompletedTask;
    }

    /// <summary>The answer to a POST that was taken.</summary>
    public static Task OkAsync(HttpContext context)
    {
        context.Response.Headers.CacheControl = "no-store";
        return WriteAsync(context, "text/html", Ok);
    }

    public static Task WriteAsync(HttpContext context, string type, ReadOnlyMemory<byte> body)
    {
        context.Response.ContentType = type;
        context.Response.ContentLength = body.Length;
        return context.Response.Body.WriteAsync(body).AsTask();
    }

    private static readonly byte[] Ok = "ok"u8.ToArray();
}
