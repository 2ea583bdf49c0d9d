using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans;

namespace KlineOrleans.Testing;

/// <summary>What a <see cref="TestEngine"/> runs with.</summary>
public sealed class TestEngineOptions
{
    /// <summary>Where grain classes are found. Default: the assembly that starts the engine. The Orleans engine finds them by itself.</summary>
    public ICollection<Assembly> GrainAssemblies { get; } = [];

    /// <summary>Memory stream providers. Default: <see cref="Contracts.KlineStreams.Provider"/>.</summary>
    public ICollection<string> StreamProviders { get; } = [Contracts.KlineStreams.Provider];

    /// <summary>Null: the engine's own default.</summary>
    public TimeSpan? CollectionAge { get; set; }

    /// <summary>Null: the engine's own default.</summary>
    public TimeSpan? ResponseTimeout { get; set; }

    /// <summary>Null: the engine's own default. The Orleans engine has no such limit.</summary>
    public int? StreamQueueCapacity { get; set; }
}

/// <summary>Runs grains for a test, on the grain engine that this build has. Grain state goes to a <see cref="MemoryGrainStorage"/> unless the test registers another.</summary>
/// <remarks>
/// The storages are keyed services <see cref="Orleans.Storage.IGrainStorage"/>, as in the product. To start again on the same state, register the same storage object.
/// The clock is the registered <see cref="TimeProvider"/>.
/// </remarks>
public sealed partial class TestEngine : IAsyncDisposable
{
    private readonly IHost _host;
    private bool _isStopped;

    private TestEngine(IHost host)
    {
        _host = host;
        Services = host.Services;
        GrainFactory = Services.GetRequiredService<IGrainFactory>();
        Client = Services.GetRequiredService<IClusterClient>();
    }

    public IServiceProvider Services { get; }

    public IGrainFactory GrainFactory { get; }

    public IClusterClient Client { get; }

    /// <summary>The storage "Default", where it is the fake.</summary>
    public MemoryGrainStorage Storage => (MemoryGrainStorage)Services.GetRequiredKeyedService<Orleans.Storage.IGrainStorage>("Default");

    /// <summary>Starts an engine. Each has its own grains and, unless <paramref name="configure"/> registers one, its own storage.</summary>
    public static Task<TestEngine> Start(Action<IServiceCollection>? configure = null, Action<TestEngineOptions>? options = null)
    {
        var chosen = new TestEngineOptions();
        options?.Invoke(chosen);
        if (chosen.GrainAssemblies.Count == 0)
        {
            chosen.GrainAssemblies.Add((configure?.Method ?? options?.Method)?.DeclaringType?.Assembly
                ?? throw new ArgumentException("Name the assemblies with the grain classes.", nameof(options)));
        }

        return StartCore(configure, chosen);
    }

    /// <summary>Registers a clock for grains and services. The engine's own affairs that have nothing to do with them may go by the machine's.</summary>
    public static partial void AddClock(IServiceCollection services, TimeProvider clock);

    /// <summary>Deactivates every grain that is in memory, with its OnDeactivateAsync. The next call activates anew.</summary>
    public partial Task DeactivateAll();

    /// <summary>
    /// Collects idle grains now, but for those that keep themselves in memory, where the engine's collection does not follow the registered clock. Where it does, a
    /// clock that has moved past their age is enough.
    /// </summary>
    public partial Task CollectIdle();

    /// <summary>Stops as the product does: grains deactivate, then calls fail. Harmless to repeat.</summary>
    public async Task Stop()
    {
        if (!_isStopped)
        {
            _isStopped = true;
            await _host.StopAsync();
        }
    }

    /// <summary>Drops everything as a crash would: no OnDeactivateAsync, no last write. What a grain does next reaches nobody.</summary>
    public partial Task Kill();

    public async ValueTask DisposeAsync()
    {
        await Stop();
        _host.Dispose();
    }

    private static HostApplicationBuilder CreateBuilder(Action<IServiceCollection>? configure)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        configure?.Invoke(builder.Services);
        if (!builder.Services.Any(s => s.ServiceType == typeof(Orleans.Storage.IGrainStorage) && (s.ServiceKey as string) == "Default"))
        {
            builder.Services.AddKeyedSingleton<Orleans.Storage.IGrainStorage>("Default", new MemoryGrainStorage());
        }

        return builder;
    }
}
