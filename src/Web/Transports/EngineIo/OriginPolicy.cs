using Microsoft.AspNetCore.Http;
using Microsoft.Net.Http.Headers;

namespace KlineOrleans.Web.Transports.EngineIo;

/// <summary>Which pages of which origins may use an endpoint: CORS for HTTP, and a check of our own for WebSocket, which CORS does not cover.</summary>
internal sealed class OriginPolicy
{
    private readonly HashSet<string> _origins;
    private readonly bool _any;
    private readonly bool _credentials;

    public OriginPolicy(IEnumerable<string> origins, bool allowCredentials)
    {
        _origins = new HashSet<string>(origins.Select(o => o.TrimEnd('/')), StringComparer.OrdinalIgnoreCase);
        _any = _origins.Contains("*");
        _credentials = allowCredentials;
    }

    /// <summary>Whether CORS is in use at all.</summary>
    public bool IsEnabled => _origins.Count > 0;

    /// <summary>Adds the headers that every answer needs, errors included: without them a page cannot even see the status.</summary>
    public void Apply(HttpContext context)
    {
        if (!IsEnabled)
            return;

        var headers = context.Response.Headers;
        if (_any)
        {
            headers.AccessControlAllowOrigin = "*";
            return;
        }

        headers.Append(HeaderNames.Vary, HeaderNames.Origin);
        var origin = context.Request.Headers.Origin.ToString();
        if (!_origins.Contains(origin))
            return;

        headers.AccessControlAllowOrigin = origin;
        if (_credentials)
            headers.AccessControlAllowCredentials = "true";
    }

    /// <summary>Answers a preflight.</summary>
    public static Task AnswerPreflightAsync(HttpContext context)
    {
        var headers = context.Response.Headers;
        headers.AccessControlAllowMethods = "GET,POST";
        var asked = context.Request.Headers.AccessControlRequestHeaders;
        headers.Append(HeaderNames.Vary, HeaderNames.AccessControlRequestHeaders);
        if (asked.Count > 0)
            headers.AccessControlAllowHeaders = asked;
        return EngineIoAnswers.EmptyAsync(context, StatusCodes.Status204NoContent);
    }

    /// <summary>Whether a page of this request's origin may open a WebSocket.</summary>
    public bool AllowsWebSocket(HttpRequest request)
    {
        if (request.Headers.Origin.Count == 0 || _any)
            return true;

        var origin = request.Headers.Origin.ToString();
        if (_origins.Contains(origin))
            return true;

        // Its own origin: by authority alone, because behind a proxy that ends TLS the schemes differ.
        if (!Uri.TryCreate(origin, UriKind.Absolute, out var uri))
            return false;

        var host = request.Host;
        return string.Equals(uri.Host, host.Host, StringComparison.OrdinalIgnoreCase)
            && (host.Port is { } port ? uri.Port == port : uri.IsDefaultPort);
    }
}
