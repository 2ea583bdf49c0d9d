using KlineOrleans.Contracts;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Grains;

/// <summary>What the grains of this room need from a host. The engine and the storage are the host's to add.</summary>
public static class GrainServices
{
    /// <summary>Adds the services that grains ask for.</summary>
    public static IServiceCollection AddKlineGrains(this IServiceCollection services)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.AddMetrics();
        services.TryAddSingleton<GrainMetrics>();
        services.TryAddSingleton<SourceClocks>();
        services.TryAddSingleton<ActiveGrains>();
        services.TryAddSingleton<IChainEventStore, NoChainEvents>();
        return services;
    }

    /// <summary>Has the grains of this process, one of several, save and leave before it stops (<see cref="ActiveGrains"/>). Before the keeper of sources: what is added last stops first.</summary>
    public static IServiceCollection AddDeparture(this IServiceCollection services) =>
        services.AddSingleton<IHostedService>(static provider => new Departure(provider.GetRequiredService<ActiveGrains>()));

    /// <summary>Adds the service that keeps the configured sources running. After the engine: hosted services stop in reverse order, and sources stop first.</summary>
    /// <param name="services">The host's services.</param>
    /// <param name="stopsSources">This process is the only one: when it stops, the sources stop and save.</param>
    public static IServiceCollection AddSourceKeeper(this IServiceCollection services, bool stopsSources) =>
        services.AddSingleton<IHostedService>(provider => new SourceKeeper(
            provider.GetRequiredService<IGrainFactory>(),
            provider.GetRequiredService<ITradeSourceFactory>(),
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<ILogger<SourceKeeper>>(),
            stopsSources));
}
