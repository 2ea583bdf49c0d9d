using System.Reflection;
using KlineOrleans.Ingest;
using KlineOrleans.Storage;
using KlineOrleans.Web;

namespace KlineOrleans.Silo.Setup;

/// <summary>Refuses settings under <c>Kline</c> that nothing reads: a key with a typing error would leave its default in force without a word.</summary>
/// <remarks><c>Kline:Sources</c> is left to the sources, which know what each kind takes.</remarks>
internal static class KnownSettings
{
    private const string Root = "Kline";

    private static readonly string[] Plain = ["Grace", "CorrectionWindow", "IdleAfter", "Role", "Profile"];

    private static readonly string[] Whole = ["Sources", "Intervals"];

    private static readonly Dictionary<string, string[]> Flat = new(StringComparer.OrdinalIgnoreCase)
    {
        ["Compat"] = ["WicksIgnoreOpen", "Volume"],
        ["Cluster"] = ["Provider", "ConnectionString", "ClusterId", "SiloPort", "GatewayPort", "AdvertisedAddress", "ApplySchema", "PollEvery", "Queues", "ProbeTimeout", "CallTimeout"],
    };

    private static readonly Dictionary<string, Type> Options = new(StringComparer.OrdinalIgnoreCase)
    {
        ["Web"] = typeof(WebOptions),
        ["Storage"] = typeof(StorageOptions),
        ["Events"] = typeof(ChainEventOptions),
    };

    /// <exception cref="ConfigurationException">Something is set that nothing reads; each key is named with those there are.</exception>
    public static void Check(IConfiguration configuration)
    {
        List<string> failures = [];
        foreach (var section in configuration.GetSection(Root).GetChildren())
        {
            if (Flat.TryGetValue(section.Key, out var keys))
            {
                CheckKeys(section, keys, failures);
            }
            else if (Options.TryGetValue(section.Key, out var type))
            {
                CheckOptions(section, type, failures);
            }
            else if (!Contains(Plain, section.Key) && !Contains(Whole, section.Key))
            {
                failures.Add(Unknown(section, [.. Plain, .. Whole, .. Flat.Keys, .. Options.Keys]));
            }
        }

        if (failures.Count > 0)
        {
            throw new ConfigurationException(failures);
        }
    }

    private static void CheckKeys(IConfigurationSection section, string[] keys, List<string> failures)
    {
        foreach (var child in section.GetChildren())
        {
            if (!Contains(keys, child.Key))
            {
                failures.Add(Unknown(child, keys));
            }
        }
    }

    private static void CheckOptions(IConfigurationSection section, Type type, List<string> failures)
    {
        var properties = type.GetProperties(BindingFlags.Public | BindingFlags.Instance);
        foreach (var child in section.GetChildren())
        {
            var property = Array.Find(properties, p => string.Equals(p.Name, child.Key, StringComparison.OrdinalIgnoreCase));
            if (property is null)
            {
                failures.Add(Unknown(child, [.. properties.Select(p => p.Name)]));
            }
            else if (property.PropertyType is { IsClass: true, IsGenericType: false, Namespace: { } space } && space.StartsWith(nameof(KlineOrleans), StringComparison.Ordinal))
            {
                CheckOptions(child, property.PropertyType, failures);
            }
        }
    }

    private static bool Contains(string[] keys, string key) => Array.Exists(keys, k => string.Equals(k, key, StringComparison.OrdinalIgnoreCase));

    private static string Unknown(IConfigurationSection section, string[] known) =>
        $"{section.Path}: there is no such setting. Allowed in {section.Path[..section.Path.LastIndexOf(':')]}: {string.Join(", ", known.Order(StringComparer.Ordinal))}.";
}
