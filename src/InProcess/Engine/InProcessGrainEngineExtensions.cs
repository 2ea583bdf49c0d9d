using KlineOrleans.InProcess;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Orleans;
using Orleans.Streams;

namespace Microsoft.Extensions.DependencyInjection;

public static class InProcessGrainEngineExtensions
{
    /// <summary>
    /// Adds the in-process grain engine: <see cref="IGrainFactory"/>, <see cref="IClusterClient"/>, <see cref="GrainEngineCounters"/>, a keyed
    /// <see cref="IStreamProvider"/> for each name, and a hosted service that deactivates the grains at the host's stop.
    /// </summary>
    /// <remarks>
    /// Grain state goes to the <see cref="Orleans.Storage.IGrainStorage"/> registered as a keyed service under the storage's name ("Default" where a grain names none). Time comes
    /// from the registered <see cref="TimeProvider"/>. Call it before other hosted services are added: services stop in reverse order, so that
    /// those can call grains until they have stopped.
    /// </remarks>
    public static IServiceCollection AddInProcessGrainEngine(this IServiceCollection services, Action<InProcessGrainEngineOptions>? configure = null)
    {
        var options = new InProcessGrainEngineOptions();
        configure?.Invoke(options);
        options.Validate();
        services.TryAddSingleton(TimeProvider.System);
        services.AddLogging();
        services.AddMetrics();
        services.AddSingleton(options);
        services.AddSingleton<GrainEngineCounters>();
        services.AddSingleton<GrainEngine>();
        services.AddSingleton<IGrainFactory>(provider => provider.GetRequiredService<GrainEngine>());
        services.AddSingleton<IClusterClient>(provider => provider.GetRequiredService<GrainEngine>());
        services.AddSingleton<IHostedService>(provider => provider.GetRequiredService<GrainEngine>());
        foreach (var name in options.StreamProviders)
        {
            services.AddKeyedSingleton<IStreamProvider>(name, (provider, _) => new MemoryStreamProvider(provider.GetRequiredService<GrainEngine>(), name));
        }

        return services;
    }
}
