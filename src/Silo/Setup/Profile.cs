using KlineOrleans.Ingest;

namespace KlineOrleans.Silo.Setup;

/// <summary>Sets of defaults (<c>Kline:Profile</c>): what is set by hand wins over them.</summary>
internal static class Profile
{
    private const string Key = "Kline:Profile";

    // Longer patience, more subscriptions and more history, for clients on the open network.
    private static readonly Dictionary<string, string?> Production = new(StringComparer.OrdinalIgnoreCase)
    {
        ["Kline:Web:Ping:Timeout"] = "00:02:00",
        ["Kline:Web:Limits:SubscriptionsPerClient"] = "200",
        ["Kline:Web:History:Default"] = "500",
    };

    /// <summary>Puts the profile's values below everything that is set.</summary>
    /// <exception cref="ConfigurationException">There is no such profile.</exception>
    public static void Configure(WebApplicationBuilder builder)
    {
        switch (builder.Configuration[Key])
        {
            case null or "" or "Default":
                break;
            case "Production":
                builder.Configuration.Sources.Insert(0, new Microsoft.Extensions.Configuration.Memory.MemoryConfigurationSource { InitialData = Production });
                break;
            case var other:
                throw new ConfigurationException([$"{Key}: '{other}' is not allowed. Allowed: Default, Production."]);
        }
    }
}
