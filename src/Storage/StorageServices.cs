using KlineOrleans.Contracts;
using KlineOrleans.Storage.Sqlite;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Storage;

namespace KlineOrleans.Storage;

/// <summary>Composes this room.</summary>
public static class StorageServices
{
    /// <summary>The name of the grain storage, under which it is a keyed service.</summary>
    public const string GrainStorageName = "Default";

    /// <summary>The name of the health check; its tag is <c>ready</c>.</summary>
    public const string HealthCheckName = "storage";

    /// <summary>
    /// Registers <see cref="IKlineArchive"/>, <see cref="IChainEventStore"/>, grain storage, <see cref="IStorageStatus"/>, <see cref="SqliteStore"/> (to back up) and a health check, from the
    /// section <see cref="StorageOptions.Section"/>. The host opens the store before it starts its services and closes it after they have stopped.
    /// </summary>
    /// <remarks>A wrong value throws <see cref="OptionsValidationException"/> at start, a file that cannot be opened <see cref="StorageOpenException"/>.</remarks>
    public static IServiceCollection AddKlineStorage(this IServiceCollection services, IConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configuration);
        services.TryAddSingleton(TimeProvider.System);
        services.AddOptionsWithValidateOnStart<StorageOptions, StorageOptionsValidator>().Bind(configuration.GetSection(StorageOptions.Section));
        services.TryAddSingleton<IStateSerializer, StateSerializer>();
        services.AddSingleton(provider => new SqliteStore(
            provider.GetRequiredService<IOptions<StorageOptions>>().Value.Path,
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<ILogger<SqliteStore>>()));
        services.AddSingleton<IStorageStatus>(provider => provider.GetRequiredService<SqliteStore>());
        services.AddSingleton<IKlineArchive, SqliteKlineArchive>();
        services.AddOptionsWithValidateOnStart<ChainEventOptions, ChainEventOptionsValidator>().Bind(configuration.GetSection(ChainEventOptions.Section));
        services.AddSingleton<IChainEventStore>(provider => new SqliteChainEvents(provider.GetRequiredService<SqliteStore>(), provider.GetRequiredService<IOptions<ChainEventOptions>>().Value));
        services.AddSingleton<SqliteStateStore>();
        services.AddKeyedSingleton<IGrainStorage>(
            GrainStorageName,
            (provider, _) => new SqliteGrainStorage(provider.GetRequiredService<SqliteStateStore>(), provider.GetRequiredService<IStateSerializer>()));
        services.AddHostedService<StorageLifetime>();
        services.AddHealthChecks().AddCheck<StorageHealthCheck>(HealthCheckName, tags: ["ready"]);
        return services;
    }
}
