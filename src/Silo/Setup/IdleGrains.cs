namespace KlineOrleans.Silo.Setup;

/// <summary>When a grain that nobody called leaves memory; its next call brings it back.</summary>
internal static class IdleGrains
{
    private const string Key = "Kline:IdleAfter";

    /// <exception cref="Ingest.ConfigurationException">The value is not allowed.</exception>
    public static TimeSpan Read(IConfiguration configuration)
    {
        var idleAfter = configuration.GetValue(Key, TimeSpan.FromMinutes(15));
        return idleAfter >= TimeSpan.FromSeconds(10) && idleAfter <= TimeSpan.FromDays(1)
            ? idleAfter
            : throw new Ingest.ConfigurationException([$"{Key}: '{idleAfter}' is not allowed. Allowed: 00:00:10 to 1.00:00:00."]);
    }

    /// <summary>How often idle grains are looked for.</summary>
    public static TimeSpan Quantum(TimeSpan idleAfter) => idleAfter < TimeSpan.FromMinutes(2) ? idleAfter / 2 : TimeSpan.FromMinutes(1);
}
