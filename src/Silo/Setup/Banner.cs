using KlineOrleans.Contracts;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace KlineOrleans.Silo.Setup;

/// <summary>Says, once the server listens, where it is, on which engine, and what feeds it.</summary>
internal sealed class Banner(IServer server, IHostApplicationLifetime lifetime, ITradeSourceFactory sources, IConfiguration configuration) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        lifetime.ApplicationStarted.Register(Say);
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private void Say()
    {
        foreach (var address in server.Features.Get<IServerAddressesFeature>()?.Addresses ?? [])
        {
            Console.WriteLine($"KlineOrleans listens on {address}");
        }

        Console.WriteLine($"Engine: {GrainEngine.Name}");
        foreach (var source in sources.Sources)
        {
            var path = configuration[$"Kline:Sources:{sources.Sources.IndexOf(source)}:Path"];
            Console.WriteLine($"Source: {source.Name} ({source.Kind}{(path is null ? "" : $" of {path}")}{(source.IsSimulated ? ", simulated trades" : "")})");
        }

        Console.Out.Flush();
    }
}
