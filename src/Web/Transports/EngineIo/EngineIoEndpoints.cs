using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web.Transports.EngineIo;

/// <summary>Maps Engine.IO endpoints.</summary>
public static class EngineIoEndpoints
{
    /// <summary>Serves Engine.IO 4 at <paramref name="path"/>, with and without a slash at its end.</summary>
    /// <param name="handler">What to do with the sessions.</param>
    /// <param name="configure">Changes the options before they are checked.</param>
    /// <returns>The endpoint's conventions, for a host filter or authorization.</returns>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public static IEndpointConventionBuilder MapEngineIo(this IEndpointRouteBuilder endpoints, string path, IEngineIoHandler handler, Action<EngineIoOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        ArgumentNullException.ThrowIfNull(handler);
        var options = new EngineIoOptions();
        configure?.Invoke(options);
        return Map(endpoints, path, handler, options, out _);
    }

    internal static IEndpointConventionBuilder Map(IEndpointRouteBuilder endpoints, string path, IEngineIoHandler handler, EngineIoOptions options, out EngineIoServer server)
    {
        var services = endpoints.ServiceProvider;
        var time = services.GetService<TimeProvider>() ?? TimeProvider.System;
        var logger = services.GetRequiredService<ILoggerFactory>().CreateLogger<EngineIoServer>();
        var created = server = new EngineIoServer(options, handler, time, logger);
        if (services.GetService<IHostApplicationLifetime>() is { } lifetime)
        {
            // Open polls and WebSockets would hold up the server's stop.
            lifetime.ApplicationStopping.Register(created.Stop);
            lifetime.ApplicationStopped.Register(created.Dispose);
        }

        var pipeline = endpoints.CreateApplicationBuilder();
        pipeline.UseWebSockets(new WebSocketOptions { KeepAliveInterval = TimeSpan.Zero });
        pipeline.Run(created.HandleAsync);
        return endpoints.Map(path.TrimEnd('/'), pipeline.Build()).WithDisplayName($"Engine.IO {path}");
    }
}
