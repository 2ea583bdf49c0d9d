namespace KlineOrleans.Silo.Setup;

/// <summary>One line an event on the console, and no chatter of the framework.</summary>
internal static class Logging
{
    private static volatile bool s_startFailed;

    /// <summary>Orleans, which was stopped in the middle of its work, has no more to say: why the start failed is what an operator must see.</summary>
    public static void StartFailed() => s_startFailed = true;

    public static void Configure(WebApplicationBuilder builder)
    {
        builder.Logging.AddSimpleConsole(console =>
        {
            console.SingleLine = true;
            console.TimestampFormat = "HH:mm:ss ";
            console.UseUtcTimestamp = true;
        });
        builder.Logging.AddFilter("Microsoft", LogLevel.Warning);
        builder.Logging.AddFilter("System", LogLevel.Warning);
        builder.Logging.AddFilter("Orleans", level => level >= LogLevel.Warning && !s_startFailed);
        // A start that fails is told by Startup, in one line; background services here catch what they meet.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);

        // Every probe of a server that is not ready would be a line; the answer itself says why.
        builder.Logging.AddFilter("Microsoft.Extensions.Diagnostics.HealthChecks", LogLevel.None);
    }
}
