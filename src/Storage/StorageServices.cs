using KlineOrleans.Contracts;
using KlineOrleans.Storage.Postgres;
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
    /// Registers <see cref="IKlineArchive"/>, <see cref="IChainEventStore"/>, <see cref="IStateStore"/>, grain storage, <see cref="IKlineStore"/>, <see cref="IStorageStatus"/> and a health check, from the
    /// section <see cref="StorageOptions.Section"/>. The host opens the store before it starts its services and closes it after they have stopped.
    /// </summary>
    /// <remarks>A wrong value throws <see cref="OptionsValidationException"/> at start, a store that cannot be opened <see cref="StorageOpenException"/>.</remarks>
    public static IServiceCollection AddKlineStorage(this IServiceCollection services, IConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configuration);
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton(configuration);
        services.AddOptionsWithValidateOnStart<StorageOptions, StorageOptionsValidator>().Bind(configuration.GetSection(StorageOptions.Section));
        services.TryAddSingleton<IStateSerializer, StateSerializer>();
        services.AddSingleton(provider => new SqliteStore(
            provider.GetRequiredService<IOptions<StorageOptions>>().Value.Path,
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<ILogger<SqliteStore>>()));
        services.AddSingleton(provider => new PostgresStore(
            provider.GetRequiredService<IOptions<StorageOptions>>().Value.ConnectionString,
            provider.GetRequiredService<IOptions<StorageOptions>>().Value.Shared,
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<ILogger<PostgresStore>>()));
        services.AddSingleton<IKlineStore>(provider => Either<IKlineStore>(provider, s => s, p => p));
        services.AddSingleton<IStorageStatus>(provider => provider.GetRequiredService<IKlineStore>());
        services.AddSingleton<IKlineArchive>(provider => Either<IKlineArchive>(provider, s => new SqliteKlineArchive(s), p => new PostgresKlineArchive(p)));
        services.AddOptionsWithValidateOnStart<ChainEventOptions, ChainEventOptionsValidator>().Bind(configuration.GetSection(ChainEventOptions.Section));
        services.AddSingleton<IChainEventStore>(provider =>
        {
            var events = provider.GetRequiredService<IOptions<ChainEventOptions>>().Value;
            return Either<IChainEventStore>(provider, s => new SqliteChainEvents(s, events), p => new PostgresChainEvents(p, events));
        });
        services.AddSingleton<IStateStore>(provider => Either<IStateStore>(provider, s => new SqliteStateStore(s), p => new PostgresStateStore(p)));
        services.AddKeyedSingleton<IGrainStorage>(
            GrainStorageName,
            (provider, _) => new GrainStorage(provider.GetRequiredService<IStateStore>(), provider.GetRequiredService<IStateSerializer>()));
        services.AddHostedService<StorageLifetime>();
        services.AddHostedService<RetentionService>();
        services.AddHealthChecks().AddCheck<StorageHealthCheck>(HealthCheckName, tags: ["ready"]);
        return services;
    }

    // The other one is never made: neither opens a file nor a connection.
    private static T Either<T>(IServiceProvider provider, Func<SqliteStore, T> sqlite, Func<PostgresStore, T> postgres) =>
        provider.GetRequiredService<IOptions<StorageOptions>>().Value.IsPostgres ? postgres(provider.GetRequiredService<PostgresStore>()) : sqlite(provider.GetRequiredService<SqliteStore>());
}
