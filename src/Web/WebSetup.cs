using KlineOrleans.Contracts;
using KlineOrleans.Web.Transports.Direct;
using KlineOrleans.Web.Transports.Events;
using KlineOrleans.Web.Transports.KlineSocketIo;
using KlineOrleans.Web.Transports.RawWebSocket;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Cors.Infrastructure;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web;

/// <summary>Puts the web room into a host.</summary>
public static class WebSetup
{
    private const string HubPath = "/hubs/kline";

    /// <summary>Registers everything that <see cref="MapKlineWeb"/> needs.</summary>
    /// <remarks>
    /// The host registers <c>IClusterClient</c>, <c>IKlineArchive</c> and <c>ITradeSourceFactory</c>, and starts the sources. Further health checks count for
    /// <c>/health/ready</c> if they carry the tag <c>ready</c>.
    /// </remarks>
    /// <param name="configuration">The whole configuration; read is the section <see cref="WebOptions.Section"/>.</param>
    public static IServiceCollection AddKlineWeb(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddOptions<WebOptions>().Bind(configuration.GetSection(WebOptions.Section)).ValidateOnStart();
        services.AddSingleton<IValidateOptions<WebOptions>>(new WebOptionsValidator(configuration));
        services.TryAddSingleton(TimeProvider.System);

        services.AddSingleton<WebCounters>();
        services.AddSingleton<Origins>();
        services.AddKlineAccess(configuration);
        services.AddSingleton<SymbolDirectory>();
        services.AddSingleton<KlineHistory>();
        services.AddSingleton<KlineViews>();
        services.AddSingleton<MintFeeds>();
        services.AddHostedService(provider => provider.GetRequiredService<MintFeeds>());
        services.TryAddSingleton<IKlineCluster, ClusterKlines>();
        services.AddSingleton<RouteAnswers>();
        services.AddSingleton(provider => new CompatRules(CompatRules.Read(configuration, out _) ?? CompatVolume.Zero, provider.GetRequiredService<SymbolDirectory>()));
        services.AddSingleton<KlineRoutes>();
        services.AddSingleton<CompatRoutes>();
        services.AddSingleton<StatusRoutes>();
        services.AddSingleton<UdfRoutes>();
        services.AddSingleton<TokenRoutes>();
        services.AddSingleton<WebMeter>();
        services.AddSingleton<MetricRoutes>();
        services.AddHostedService(provider => provider.GetRequiredService<MetricRoutes>());
        services.AddKlineOpenApi();
        services.AddSingleton<HealthRoutes>();
        services.AddSingleton<OperatorStatus>();
        services.AddSingleton<StorageHealth>();
        services.AddSingleton<SourceMonitor>();
        services.AddHostedService(provider => provider.GetRequiredService<SourceMonitor>());
        services.AddHostedService<MinuteSummary>();
        services.AddHealthChecks()
            .AddCheck<StorageHealth>("archive", tags: [HealthRoutes.ReadyTag])
            .AddCheck<SourcesHealth>("sources", tags: [HealthRoutes.ReadyTag]);

        // Refusals are exceptions to SignalR, which logs each as a failure with its stack, and each call that its client did not wait for. What fails here, the hub logs itself.
        services.AddLogging(logging => logging.AddFilter("Microsoft.AspNetCore.SignalR.Internal.DefaultHubDispatcher", LogLevel.Critical));

        services.AddSingleton<SignalRFormats>();
        services.AddSingleton<HubServices>();
        services.AddSingleton<HubLifetimeManager<KlineHub>, KlineConnections>();
        services.AddSignalR().AddJsonProtocol(json => json.PayloadSerializerOptions.Converters.Add(new HubJsonConverter()));
        services.AddOptions<HubOptions>().Configure<IOptions<WebOptions>>((hub, web) =>
        {
            hub.MaximumReceiveMessageSize = web.Value.Limits.MessageBytes;
            hub.KeepAliveInterval = web.Value.Ping.Interval;
            hub.ClientTimeoutInterval = web.Value.Ping.Timeout;
            hub.EnableDetailedErrors = false;
            hub.StreamBufferCapacity = 1;
        });

        services.TryAddSingleton<IChainEventStore, NoChainEvents>();
        services.TryAddSingleton<IChainEventStream, ClusterChainEvents>();
        services.AddSingleton<ChainEventFeeds>();
        services.AddHostedService(provider => provider.GetRequiredService<ChainEventFeeds>());
        services.AddSingleton<DirectTransport>();
        services.AddSingleton<IConnectionListenerFactory>(provider => provider.GetRequiredService<DirectTransport>());
        services.AddHostedService(provider => provider.GetRequiredService<DirectTransport>());
        services.AddSingleton<ConnectionLimit>();
        services.AddSingleton<Farewell>();
        services.AddHostedService(provider => provider.GetRequiredService<Farewell>());
        services.AddOptions<KestrelServerOptions>().Configure<Farewell>(static (kestrel, farewell) =>
            kestrel.ConfigureEndpointDefaults(endpoint => endpoint.Use(next => connection => farewell.Invoke(connection, next))));
        services.AddSingleton<EventServices>();
        services.AddSingleton<WebSocketServer>();
        services.AddSingleton<KlineNamespaces>();
        services.AddSingleton<NewSymbols>();
        services.AddHostedService(provider => provider.GetRequiredService<NewSymbols>());

        services.AddRouting();
        services.AddCors();
        services.AddSingleton<IConfigureOptions<CorsOptions>>(provider => new ConfigureOptions<CorsOptions>(cors => cors.AddDefaultPolicy(policy => policy
            .SetIsOriginAllowed(provider.GetRequiredService<Origins>().IsListed)
            .WithMethods("GET", "POST")
            .AllowAnyHeader()
            .AllowCredentials()
            .WithExposedHeaders("ETag"))));
        return services;
    }

    /// <summary>Maps health, metrics and status only: for a process that serves no client.</summary>
    public static WebApplication MapKlineOperations(this WebApplication app)
    {
        var services = app.Services;
        app.UseTrustedProxies();
        app.UseStatusCodePages(context => Problem.Write(context.HttpContext, context.HttpContext.Response.StatusCode, "Nothing here answers this request: this process serves no clients."));
        app.UseKlineAccess();
        services.GetRequiredService<MetricRoutes>().Map(app);
        services.GetRequiredService<HealthRoutes>().Map(app);
        return app;
    }

    /// <summary>Maps the page, HTTP v1, health, the hub, the raw WebSockets and Socket.IO.</summary>
    public static WebApplication MapKlineWeb(this WebApplication app)
    {
        var services = app.Services;
        var origins = services.GetRequiredService<Origins>();
        app.Use(services.GetRequiredService<Farewell>().Invoke);
        app.UseTrustedProxies();
        app.UseStatusCodePages(context => Problem.Write(context.HttpContext, context.HttpContext.Response.StatusCode, "Nothing here answers this request."));
        app.UseWebSockets(new WebSocketOptions { KeepAliveInterval = TimeSpan.Zero });
        app.Use((context, next) =>
        {
            // CORS keeps other sites' scripts from reading answers; it does not keep them from opening sockets. This does. Socket.IO asks for itself.
            if (context.Request.Path.StartsWithSegments(KlineNamespaces.Path, StringComparison.OrdinalIgnoreCase))
            {
                return next(context);
            }

            var isUpgrade = context.WebSockets.IsWebSocketRequest || context.Request.Path.StartsWithSegments("/hubs", StringComparison.OrdinalIgnoreCase);
            return !isUpgrade || origins.IsAllowed(context.Request)
                ? next(context)
                : Problem.Write(context, StatusCodes.Status403Forbidden, $"The origin is not allowed here. Allowed: this server's own, and those of {WebOptions.Section}:AllowedOrigins.");
        });
        app.UseWhen(static context => context.Request.Path.StartsWithSegments(HubPath, StringComparison.OrdinalIgnoreCase), static hub => hub.Use(HubSocket.Attach));
        app.UseWhen(static context => !context.Request.Path.StartsWithSegments(KlineNamespaces.Path, StringComparison.OrdinalIgnoreCase), static others => others.UseCors());
        app.UseKlineAccess();
        app.UsePage(services.GetRequiredService<IOptions<WebOptions>>().Value.PagePath);
        services.GetRequiredService<KlineRoutes>().Map(app);
        services.GetRequiredService<CompatRoutes>().Map(app);
        services.GetRequiredService<StatusRoutes>().Map(app);
        services.GetRequiredService<OperatorStatus>().Map(app);
        services.GetRequiredService<UdfRoutes>().Map(app);
        services.GetRequiredService<TokenRoutes>().Map(app);
        services.GetRequiredService<MetricRoutes>().Map(app);
        app.MapKlineOpenApi();
        services.GetRequiredService<HealthRoutes>().Map(app);
        app.MapConnections(HubPath, static hub => hub.Use(static next => connection => HubSocket.Count(connection, next)).UseHub<KlineHub>()).Needs(AccessLevel.Client, rateLimited: false);
        services.GetRequiredService<WebSocketServer>().Map(app);
        services.GetRequiredService<KlineNamespaces>().Map(app);
        return app;
    }
}
