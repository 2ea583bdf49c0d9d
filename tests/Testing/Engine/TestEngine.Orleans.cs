using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Metadata;
using Orleans.Runtime;
using Orleans.Storage;

namespace KlineOrleans.Testing;

public sealed partial class TestEngine
{
    /// <summary>The engine that this build runs grains on.</summary>
    public const string EngineName = "Orleans";

    public static partial void AddClock(IServiceCollection services, TimeProvider clock)
    {
        services.AddSingleton(clock);
        AddClocks(services);
    }

    /// <remarks>A collection would leave those in memory that keep themselves there. Grains of Orleans itself (subscriptions, queues) stay.</remarks>
    public partial Task DeactivateAll() => Services.GetRequiredService<Activations>().Deactivate();

    public partial Task CollectIdle() => GrainFactory.GetGrain<IManagementGrain>(0).ForceActivationCollection(TimeSpan.Zero);

    /// <remarks>The nearest that Orleans offers: a stop whose time is over before it begins. Grains deactivate all the same, but what they write then goes nowhere.</remarks>
    public async partial Task Kill()
    {
        _isStopped = true;
        Services.GetRequiredService<StorageGate>().IsShut = true;
        try
        {
            await _host.StopAsync(new CancellationToken(canceled: true));
        }
        catch (OperationCanceledException)
        {
            // As asked.
        }
    }

    private static async Task<TestEngine> StartCore(Action<IServiceCollection>? configure, TestEngineOptions options)
    {
        var builder = CreateBuilder(configure);
        AddClocks(builder.Services);
        builder.Services.AddSingleton<Activations>();
        builder.Services.AddSingleton<IConfigureGrainContextProvider>(services => services.GetRequiredService<Activations>());
        builder.Services.AddSingleton<StorageGate>();
        builder.Services.AddSingleton<IGrainStorage>(services => services.GetRequiredService<StorageGate>());
        builder.UseOrleans(silo =>
        {
            silo.UseLocalhostClustering(FreePort(), FreePort());
            foreach (var name in options.StreamProviders)
            {
                silo.AddMemoryStreams(name, streams =>
                {
                    streams.ConfigurePartitioning(2);
                    streams.ConfigurePullingAgent(agent => agent.Configure(pulling => pulling.GetQueueMsgsTimerPeriod = TimeSpan.FromMilliseconds(5)));
                });
            }

            // Where memory streams keep their subscriptions.
            silo.AddMemoryGrainStorage("PubSubStore");

            silo.Configure<SiloMessagingOptions>(messaging => messaging.ResponseTimeout = options.ResponseTimeout ?? messaging.ResponseTimeout);
            silo.Configure<GrainCollectionOptions>(collection =>
            {
                if (options.CollectionAge is { } age)
                {
                    // Orleans wants the age above the quantum.
                    collection.CollectionAge = age;
                    collection.CollectionQuantum = age / 2 < collection.CollectionQuantum ? age / 2 : collection.CollectionQuantum;
                }
            });
        });
        var host = builder.Build();
        await host.StartAsync();
        return new TestEngine(host);
    }

    /// <summary>The registered clock is that of grains: their timers and their collection. Orleans itself, with the agents that pull streams, runs by the machine's.</summary>
    private static void AddClocks(IServiceCollection services)
    {
        services.AddKeyedSingleton<TimeProvider>(KeyedService.AnyKey, TimeProvider.System);
        services.AddKeyedSingleton<TimeProvider>(TimeProviderNames.Grains, (services, _) => new GrainClock(services));
        services.AddKeyedSingleton<TimeProvider>(TimeProviderNames.ActivationManagement, (services, _) => services.GetService<TimeProvider>() ?? TimeProvider.System);
    }

    /// <summary>The storage "Default" as grains see it: unnamed, as Orleans asks for it, and out of reach once the engine was killed.</summary>
    private sealed class StorageGate([FromKeyedServices("Default")] IGrainStorage storage) : IGrainStorage
    {
        public bool IsShut { get; set; }

        public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) => Open().ReadStateAsync(stateName, grainId, grainState);

        public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) => Open().WriteStateAsync(stateName, grainId, grainState);

        public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) => Open().ClearStateAsync(stateName, grainId, grainState);

        private IGrainStorage Open() => IsShut ? throw new InvalidOperationException("The engine was killed.") : storage;
    }

    /// <summary>Every activation of a grain that is not Orleans' own.</summary>
    private sealed class Activations : IConfigureGrainContextProvider, IConfigureGrainContext
    {
        private readonly ConcurrentDictionary<IGrainContext, bool> _contexts = new(ReferenceEqualityComparer.Instance);

        public bool TryGetConfigurator(GrainType grainType, GrainProperties properties, [NotNullWhen(true)] out IConfigureGrainContext? configurator)
        {
            configurator = this;
            return true;
        }

        public void Configure(IGrainContext context)
        {
            _contexts[context] = true;
            _ = Forget(context);
        }

        public Task Deactivate() => Task.WhenAll(_contexts.Keys.Where(c => c.GrainInstance?.GetType().Assembly.GetName().Name?.StartsWith("Orleans.", StringComparison.Ordinal) is false).Select(context =>
        {
            context.Deactivate(new DeactivationReason(DeactivationReasonCode.ApplicationRequested, "The test asks for it."));
            return context.Deactivated;
        }));

        private async Task Forget(IGrainContext context)
        {
            await context.Deactivated;
            _contexts.TryRemove(context, out _);
        }
    }

    /// <summary>The registered clock for grains, the machine's for the system targets of Orleans, whose timers come from the same registry.</summary>
    private sealed class GrainClock(IServiceProvider services) : TimeProvider
    {
        private readonly TimeProvider _clock = services.GetService<TimeProvider>() ?? System;

        // Asked for late: it depends on what depends on this clock.
        private readonly Lazy<IGrainContextAccessor> _accessor = new(services.GetRequiredService<IGrainContextAccessor>);

        public override long TimestampFrequency => _clock.TimestampFrequency;

        public override TimeZoneInfo LocalTimeZone => _clock.LocalTimeZone;

        public override DateTimeOffset GetUtcNow() => _clock.GetUtcNow();

        public override long GetTimestamp() => _clock.GetTimestamp();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            (_accessor.Value.GrainContext?.GrainId.IsSystemTarget() is false ? _clock : System).CreateTimer(callback, state, dueTime, period);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
