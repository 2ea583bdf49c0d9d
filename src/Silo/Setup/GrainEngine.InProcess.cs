#if !GRAIN_ENGINE_ORLEANS
using KlineOrleans.Contracts;
using KlineOrleans.Grains;

namespace KlineOrleans.Silo.Setup;

/// <summary>Hosts grains on the in-process engine.</summary>
internal static class GrainEngine
{
    public const string Name = "InProcess";

    /// <summary>Whether several processes can be one cluster.</summary>
    public const bool CanShare = false;

    public static void Add(WebApplicationBuilder builder, ClusterSettings cluster)
    {
        var idleAfter = IdleGrains.Read(builder.Configuration);
        builder.Services.AddInProcessGrainEngine(engine =>
        {
            engine.CollectionAge = idleAfter;
            engine.CollectionQuantum = IdleGrains.Quantum(idleAfter);
            engine.GrainAssemblies.Add(typeof(KlineGrain).Assembly);
            engine.StreamProviders.Add(KlineStreams.Provider);
        });
    }

    /// <summary>Pages of the engine for operators: this one has none.</summary>
    public static void Map(WebApplication app, ClusterSettings cluster)
    {
    }
}
#endif
