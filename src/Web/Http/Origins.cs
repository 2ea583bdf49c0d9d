using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Primitives;

namespace KlineOrleans.Web;

/// <summary>Which pages may call: those of this server, and of the origins that the configuration names. Thread safe.</summary>
internal sealed class Origins(IOptions<WebOptions> options)
{
    private readonly HashSet<string> _allowed = new(options.Value.AllowedOrigins, StringComparer.OrdinalIgnoreCase);

    /// <summary>Whether the origin is named by the configuration.</summary>
    public bool IsListed(string origin) => _allowed.Contains("*") || _allowed.Contains(origin);

    /// <summary>Whether the request comes from an allowed page, or from no page at all (no Origin header).</summary>
    /// <remarks>Compares host and port only, because a proxy in front may speak https where this server speaks http.</remarks>
    public bool IsAllowed(HttpRequest request)
    {
        var header = request.Headers.Origin;
        if (StringValues.IsNullOrEmpty(header))
        {
            return true;
        }

        return header.Count == 1 && (IsListed(header[0]!) || IsSame(header[0]!, request.Host));
    }

    private static bool IsSame(string origin, HostString host)
    {
        if (!host.HasValue || !Uri.TryCreate(origin, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https"))
        {
            return false;
        }

        var port = host.Port ?? (uri.Scheme == "https" ? 443 : 80);
        return string.Equals(uri.Host, host.Host, StringComparison.OrdinalIgnoreCase) && uri.Port == port;
    }
}
