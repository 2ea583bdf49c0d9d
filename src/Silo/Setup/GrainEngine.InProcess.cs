#if !GRAIN_ENGINE_ORLEANS
using KlineOrleans.Contracts;
using KlineOrleans.Grains;

namespace KlineOrleans.Silo.Setup;

/// <summary>Hosts grains on the in-process engine.</summary>
internal static class GrainEngine
{
    public const string Name = "InProcess";

    private const string IdleAfterKey = "Kline:IdleAfter";

    public static void Add(WebApplicationBuilder builder)
    {
        var idleAfter = builder.Configuration.GetValue(IdleAfterKey, TimeSpan.FromMinutes(15));
        if (idleAfter < TimeSpan.FromSeconds(10) || idleAfter > TimeSpan.FromDays(1))
        {
            throw new Ingest.ConfigurationException([$"{IdleAfterKey}: '{idleAfter}' is not allowed. Allowed: 00:00:10 to 1.00:00:00."]);
        }

        builder.Services.AddInProcessGrainEngine(engine =>
        {
            // A grain that nobody called for so long leaves memory; its next call brings it back.
            engine.CollectionAge = idleAfter;
            engine.CollectionQuantum = idleAfter < TimeSpan.FromMinutes(2) ? idleAfter / 2 : TimeSpan.FromMinutes(1);
            engine.GrainAssemblies.Add(typeof(KlineGrain).Assembly);
            engine.StreamProviders.Add(KlineStreams.Provider);
        });
    }
}
#endif
