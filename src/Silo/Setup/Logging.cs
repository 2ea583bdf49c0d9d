using KlineOrleans.Ingest;

namespace KlineOrleans.Silo.Setup;

/// <summary>One line an event on the console, as text or as JSON with each field by name (<c>Kline:Logs:Format</c>), and no chatter of the framework.</summary>
internal static class Logging
{
    private const string FormatKey = "Kline:Logs:Format";

    private static volatile bool s_startFailed;

    /// <summary>Orleans, which was stopped in the middle of its work, has no more to say: why the start failed is what an operator must see.</summary>
    public static void StartFailed() => s_startFailed = true;

    /// <exception cref="ConfigurationException">There is no such format.</exception>
    public static void Configure(WebApplicationBuilder builder)
    {
        switch (builder.Configuration[FormatKey])
        {
            case null or "" or "Text":
                builder.Logging.AddSimpleConsole(console =>
                {
                    console.SingleLine = true;
                    console.TimestampFormat = "HH:mm:ss ";
                    console.UseUtcTimestamp = true;
                });
                break;
            case "Json":
                builder.Logging.AddJsonConsole(console =>
                {
                    console.TimestampFormat = "yyyy-MM-dd'T'HH:mm:ss.fff'Z'";
                    console.UseUtcTimestamp = true;
                });
                break;
            case var other:
                throw new ConfigurationException([$"{FormatKey}: '{other}' is not allowed. Allowed: Text, Json."]);
        }

        builder.Logging.AddFilter("Microsoft", LogLevel.Warning);
        builder.Logging.AddFilter("System", LogLevel.Warning);
        builder.Logging.AddFilter("Orleans", level => level >= LogLevel.Warning && !s_startFailed);
        // A start that fails is told by Startup, in one line; background services here catch what they meet.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);

        // Every probe of a server that is not ready would be a line; the answer itself says why.
        builder.Logging.AddFilter("Microsoft.Extensions.Diagnostics.HealthChecks", LogLevel.None);
    }
}
