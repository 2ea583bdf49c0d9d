using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.HttpOverrides;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web;

/// <summary>Asks for what an endpoint's <see cref="AccessRequirement"/> says, and counts requests against the limit of their address. Thread safe.</summary>
internal sealed class AccessMiddleware(AccessRules access, IOptions<WebOptions> options, TimeProvider time)
{
    // A million addresses must not cost memory for ever: beyond this, those that have not asked lately are forgotten.
    private const int MostAddresses = 20_000;

    // Pages for operators are files, or endpoints that others map, and so cannot say it themselves.
    private static readonly PathString[] OperatorPaths = ["/status", "/dashboard"];
    private static readonly AccessRequirement OperatorPage = new(AccessLevel.Operator, IsRateLimited: false);

    private readonly ConcurrentDictionary<IPAddress, RateLimit> _byAddress = new();
    private int _sweeping;

    public Task Invoke(HttpContext context, RequestDelegate next)
    {
        var requirement = context.GetEndpoint()?.Metadata.GetMetadata<AccessRequirement>()
            ?? (Array.Exists(OperatorPaths, path => context.Request.Path.StartsWithSegments(path, StringComparison.OrdinalIgnoreCase)) ? OperatorPage : null);
        if (requirement is null)
        {
            return next(context);
        }

        if (requirement.IsRateLimited && !Limit(context.Connection.RemoteIpAddress).TryTake())
        {
            return new ApiError(
                ApiErrorCode.RateLimit,
                string.Create(CultureInfo.InvariantCulture, $"More than {options.Value.Limits.RequestsPerSecond} requests a second. Wait, then try again."),
                Status: StatusCodes.Status429TooManyRequests).Write(context);
        }

        if (requirement.Level == AccessLevel.Open || (requirement.Level == AccessLevel.Operator && access.IsOperator(context)))
        {
            return next(context);
        }

        var result = access.Authenticate(context);
        if (!result.IsAllowed)
        {
            return result.Error.Write(context);
        }

        return requirement.Level == AccessLevel.Client
            ? next(context)
            : new ApiError(ApiErrorCode.NotAuthorised, "Only operators see this: from the server's own machine, or with an operator's key.", Status: StatusCodes.Status403Forbidden).Write(context);
    }

    private RateLimit Limit(IPAddress? remote)
    {
        var address = Owner(remote ?? IPAddress.None);
        if (_byAddress.TryGetValue(address, out var limit))
        {
            return limit;
        }

        if (_byAddress.Count >= MostAddresses && Interlocked.Exchange(ref _sweeping, 1) == 0)
        {
            foreach (var (known, its) in _byAddress)
            {
                if (its.IsFull)
                {
                    _byAddress.TryRemove(known, out _);
                }
            }

            Volatile.Write(ref _sweeping, 0);
        }

        var limits = options.Value.Limits;
        return _byAddress.GetOrAdd(address, static (_, a) => new RateLimit(a.limits.RequestsPerSecond, a.limits.RequestBurst, a.time), (limits, time));
    }

    /// <summary>An IPv6 client has a network of 2^64 addresses to itself: they count as one.</summary>
    private static IPAddress Owner(IPAddress address)
    {
        if (address.IsIPv4MappedToIPv6)
        {
            return address.MapToIPv4();
        }

        if (address.AddressFamily != System.Net.Sockets.AddressFamily.InterNetworkV6)
        {
            return address;
        }

        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out _);
        bytes[8..].Clear();
        return new IPAddress(bytes);
    }
}

/// <summary>Puts access into a host.</summary>
internal static class AccessSetup
{
    public static void AddKlineAccess(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddSingleton<AccessTokens>();
        services.AddSingleton<AccessRules>();
        services.AddSingleton<AccessMiddleware>();
        services.PostConfigure<WebOptions>(web =>
        {
            if (string.IsNullOrWhiteSpace(web.Access.TokenKeysPath))
            {
                // As the store reads its path: from the working folder, data/kline.db if none is given.
                var store = Path.GetFullPath(configuration["Kline:Storage:Path"] is { Length: > 0 } path ? path : "data/kline.db");
                web.Access.TokenKeysPath = Path.Combine(Path.GetDirectoryName(store) ?? "", "keys");
            }
        });
    }

    /// <summary>The endpoint answers only those of <paramref name="level"/>.</summary>
    public static TBuilder Needs<TBuilder>(this TBuilder endpoint, AccessLevel level, bool rateLimited = true)
        where TBuilder : IEndpointConventionBuilder
        => endpoint.WithMetadata(new AccessRequirement(level, rateLimited));

    /// <summary>Asks every request for what its endpoint needs.</summary>
    /// <exception cref="OptionsValidationException">Tokens cannot be made: their secrets' folder cannot be written.</exception>
    public static void UseKlineAccess(this WebApplication app)
    {
        // At the start rather than with the first token.
        if (app.Services.GetRequiredService<AccessRules>().IsOn)
        {
            app.Services.GetRequiredService<AccessTokens>().Open();
        }

        app.Use(app.Services.GetRequiredService<AccessMiddleware>().Invoke);
    }

    /// <summary>Believes the forwarded headers of the configured proxies, and of no one else. First in the pipeline.</summary>
    public static void UseTrustedProxies(this WebApplication app)
    {
        var proxies = app.Services.GetRequiredService<IOptions<WebOptions>>().Value.Access.TrustedProxies;
        if (proxies.Count == 0)
        {
            return;
        }

        var forwarded = new ForwardedHeadersOptions { ForwardedHeaders = ForwardedHeaders.XForwardedFor | ForwardedHeaders.XForwardedProto, ForwardLimit = null };
        forwarded.KnownProxies.Clear();
        forwarded.KnownIPNetworks.Clear();
        foreach (var proxy in proxies)
        {
            if (AddressRange.TryParse(proxy, out var network))
            {
                forwarded.KnownIPNetworks.Add(network);
            }
        }

        app.UseForwardedHeaders(forwarded);
    }
}
