using System.Net;
using KlineOrleans.Contracts;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web.Tests;

/// <summary>The web room on Kestrel, on a loopback port, over grains in memory.</summary>
internal sealed class WebHost : IAsyncDisposable
{
    public const string Mint = "MintMintMintMintMintMintMintMint1111";
    public static readonly KlineRules Flat = new() { Empty = EmptyPolicy.Flat };

    private WebHost(WebApplication app, TestCluster cluster, TestArchive archive, TestChainEvents events, LogKeeper log)
    {
        Log = log;
        Requests = app.Services.GetRequiredService<RequestKeeper>();
        App = app;
        Cluster = cluster;
        Archive = archive;
        Events = events;
        Address = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        Http = new HttpClient(new SocketsHttpHandler()) { BaseAddress = Address };
    }

    public WebApplication App { get; }

    public TestCluster Cluster { get; }

    public TestArchive Archive { get; }

    /// <summary>The requests that the server is busy with, sockets among them.</summary>
    public RequestKeeper Requests { get; }

    /// <summary>Warnings and worse.</summary>
    public LogKeeper Log { get; }
    public TestChainEvents Events { get; }

    public Uri Address { get; }

    public HttpClient Http { get; }

    public static async Task<WebHost> Start(Dictionary<string, string?>? settings = null, TestCluster? cluster = null, TestArchive? archive = null, SourceDescription[]? sources = null, TimeProvider? time = null, bool started = true, TestChainEvents? events = null)
    {
        cluster ??= new TestCluster();
        archive ??= new TestArchive();
        events ??= new TestChainEvents();
        sources ??= [new SourceDescription("test", "Simulation", cluster.Rules, IsSimulated: true, IsChain: true)];
        if (started)
        {
            foreach (var source in sources)
            {
                cluster.Statuses[source.Name] = new SourceStatus { Name = source.Name, Kind = source.Kind, State = SourceState.Live, IsSimulated = source.IsSimulated };
            }
        }

        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        var log = new LogKeeper();
        builder.Logging.AddProvider(log);
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?> { ["Kline:Web:PagePath"] = "/nonexistent" });
        builder.Configuration.AddInMemoryCollection(settings ?? []);
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        builder.Services.AddSingleton<IKlineArchive>(archive);
        builder.Services.AddSingleton<IChainEventStore>(events.Store);
        builder.Services.AddSingleton<IChainEventStream>(events);
        builder.Services.AddSingleton<ITradeSourceFactory>(new TestSources(sources));
        builder.Services.AddKlineWeb(builder.Configuration);
        builder.Services.AddSingleton<IKlineCluster>(cluster);
        if (time is not null)
        {
            builder.Services.AddSingleton(time);
        }

        builder.Services.AddSingleton<RequestKeeper>();
        var app = builder.Build();
        app.Use(app.Services.GetRequiredService<RequestKeeper>().Watch);
        app.MapKlineWeb();
        await app.StartAsync();
        await app.Services.GetRequiredService<SourceMonitor>().Poll(CancellationToken.None);
        return new WebHost(app, cluster, archive, events, log);
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await App.StopAsync();
        await App.DisposeAsync();
    }
}
