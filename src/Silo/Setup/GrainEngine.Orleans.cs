#if GRAIN_ENGINE_ORLEANS
using KlineOrleans.Contracts;

namespace KlineOrleans.Silo.Setup;

/// <summary>Hosts grains on Microsoft Orleans, in one process with localhost clustering.</summary>
internal static class GrainEngine
{
    public const string Name = "Orleans";

    public static void Add(WebApplicationBuilder builder) =>
        builder.Host.UseOrleans(silo =>
        {
            silo.UseLocalhostClustering();
            silo.AddMemoryStreams(KlineStreams.Provider);
            silo.AddMemoryGrainStorage("PubSubStore");
        });
}
#endif
