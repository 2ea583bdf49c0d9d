#if !GRAIN_ENGINE_ORLEANS
using KlineOrleans.Contracts;
using KlineOrleans.Grains;

namespace KlineOrleans.Silo.Setup;

/// <summary>Hosts grains on the in-process engine.</summary>
internal static class GrainEngine
{
    public const string Name = "InProcess";

    public static void Add(WebApplicationBuilder builder) =>
        builder.Services.AddInProcessGrainEngine(engine =>
        {
            engine.GrainAssemblies.Add(typeof(KlineGrain).Assembly);
            engine.StreamProviders.Add(KlineStreams.Provider);
        });
}
#endif
