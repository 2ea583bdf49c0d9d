using System.Globalization;
using KlineOrleans.Contracts;
using KlineOrleans.Grains;
using KlineOrleans.Storage;
using KlineOrleans.Web;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Benchmarks.Load;

/// <summary><c>./load serve</c>: a server with a feed whose rate <c>GET /load?rate=N</c> sets.</summary>
internal static class ServeCommand
{
    public static async Task<int> Run(Arguments arguments)
    {
        var kind = arguments.Text("kind", "product");
        var port = arguments.Int("port", 8090);
        var symbols = arguments.Int("symbols", 1);
        var active = arguments.Int("active", symbols);
        var conflate = arguments.Text("conflate", "true");
        var settings = arguments.Text("settings", "");
        arguments.CheckAllRead();
        var app = kind switch
        {
            "product" => Product(symbols, active, conflate, settings),
            "kestrel" => KestrelPeer.Compose(symbols),
            "signalr" => SignalRPeer.Compose(symbols),
            _ => throw new ArgumentException($"--kind: '{kind}' is not a server. Allowed: product, kestrel, signalr."),
        };
        app.Urls.Add($"http://127.0.0.1:{port}");
        await app.RunAsync();
        return 0;
    }

    /// <summary>Composed as src/Silo does, with a source whose rate can be set, and room for the load client.</summary>
    private static WebApplication Product(int symbols, int active, string conflate, string settings)
    {
        var folder = Directory.CreateTempSubdirectory("kline-load-").FullName;
        var builder = NewBuilder();
        var values = new Dictionary<string, string?>(StringComparer.Ordinal)
        {
            ["Kline:Storage:Path"] = Path.Combine(folder, "load.db"),
            ["Kline:Web:Limits:Connections"] = "1000000",
            ["Kline:Web:Limits:ConnectionsPerAddress"] = "100000",
            ["Kline:Web:Limits:Subscriptions"] = "10000",
            ["Kline:Web:Limits:MessagesPerSecond"] = "100000",
            ["Kline:Web:Limits:MessageBurst"] = "100000",
            ["Kline:Web:Outbox:Conflate"] = conflate,
        };
        foreach (var pair in settings.Split(';', StringSplitOptions.RemoveEmptyEntries))
        {
            values[pair[..pair.IndexOf('=', StringComparison.Ordinal)]] = pair[(pair.IndexOf('=', StringComparison.Ordinal) + 1)..];
        }

        Microsoft.Extensions.Configuration.MemoryConfigurationBuilderExtensions.AddInMemoryCollection(builder.Configuration, values);
        var source = new PacedSource(symbols, active, merges: conflate == "true");
        builder.Services.AddSingleton<ITradeSourceFactory>(source);
        builder.Services.AddKlineStorage(builder.Configuration);
        builder.Services.AddKlineGrains();
        builder.Services.AddInProcessGrainEngine(engine =>
        {
            engine.GrainAssemblies.Add(typeof(KlineGrain).Assembly);
            engine.StreamProviders.Add(KlineStreams.Provider);
        });
        builder.Services.AddSourceKeeper(stopsSources: true);
        builder.Services.AddKlineWeb(builder.Configuration);
        var app = builder.Build();
        app.MapKlineWeb();
        MapRate(app, source.Pacer);
        app.Lifetime.ApplicationStopped.Register(() => Directory.Delete(folder, recursive: true));
        return app;
    }

    public static WebApplicationBuilder NewBuilder()
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        builder.Logging.ClearProviders();
        builder.Logging.AddSimpleConsole(console => console.SingleLine = true);
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        return builder;
    }

    public static void MapRate(WebApplication app, Pacer pacer) => app.MapGet("/load", (HttpContext context) =>
    {
        if (context.Request.Query["rate"].ToString() is { Length: > 0 } rate)
        {
            pacer.Rate = double.Parse(rate, CultureInfo.InvariantCulture);
        }

        if (context.Request.Query.ContainsKey("collect"))
        {
            // What lives, without what has yet to be collected.
            GC.Collect(2, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        }

        var last = GC.GetGCMemoryInfo(GCKind.Any);
        return $"{pacer.Rate} updates/s, {GC.GetTotalAllocatedBytes()} bytes allocated, gen0 {GC.CollectionCount(0)} gen1 {GC.CollectionCount(1)} gen2 {GC.CollectionCount(2)}, heap {GC.GetTotalMemory(false)}, pauses {GC.GetTotalPauseDuration().TotalMilliseconds:0} ms, threads {ThreadPool.ThreadCount}, server GC {System.Runtime.GCSettings.IsServerGC}; "
            + $"last collection: generation {last.Generation}, paused {last.PauseDurations[0].TotalMilliseconds:0.0} ms, {last.PromotedBytes} bytes promoted, {last.PinnedObjectsCount} pinned\n";
    });
}
