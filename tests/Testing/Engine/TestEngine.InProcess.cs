using KlineOrleans.InProcess;
using Microsoft.Extensions.DependencyInjection;
using Orleans;

namespace KlineOrleans.Testing;

public sealed partial class TestEngine
{
    /// <summary>The engine that this build runs grains on.</summary>
    public const string EngineName = "InProcess";

    private GrainEngine Engine => Services.GetRequiredService<GrainEngine>();

    public static partial void AddClock(IServiceCollection services, TimeProvider clock) => services.AddSingleton(clock);

    public partial Task DeactivateAll() =>
        Engine.DeactivateAll(new DeactivationReason(DeactivationReasonCode.ApplicationRequested, "The test asks for it."));

    /// <remarks>As the registered clock moves, the engine collects.</remarks>
    public partial Task CollectIdle() => Task.CompletedTask;

    public partial Task Kill()
    {
        _isStopped = true;
        Engine.Kill();
        return Task.CompletedTask;
    }

    private static async Task<TestEngine> StartCore(Action<IServiceCollection>? configure, TestEngineOptions options)
    {
        var builder = CreateBuilder(configure);
        builder.Services.AddInProcessGrainEngine(engine =>
        {
            foreach (var assembly in options.GrainAssemblies)
            {
                engine.GrainAssemblies.Add(assembly);
            }

            foreach (var name in options.StreamProviders)
            {
                engine.StreamProviders.Add(name);
            }

            engine.CollectionAge = options.CollectionAge ?? engine.CollectionAge;
            engine.ResponseTimeout = options.ResponseTimeout ?? engine.ResponseTimeout;
            engine.StreamQueueCapacity = options.StreamQueueCapacity ?? engine.StreamQueueCapacity;
        });
        var host = builder.Build();
        await host.StartAsync();
        return new TestEngine(host);
    }
}
