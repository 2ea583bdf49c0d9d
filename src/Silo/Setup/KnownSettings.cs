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
        ["Logs"] = ["Format"],
        ["Otlp"] = Telemetry.Keys,
    };

    private static readonly Dictionary<string, Type> Options = new(StringComparer.OrdinalIgnoreCase)
    {
        ["Web"] = typeof(WebOptions),
        ["Storage"] = typeof(StorageOptions),
        ["Events"] = typeof(ChainEventOptions),
    };

    // Properties that composition sets; no setting.
    private static readonly string[] Composed = [nameof(WebOptions.Engine), nameof(StorageOptions.Shared)];

    /// <summary>Every setting but those of <c>Kline:Sources</c>: <c>N</c> stands for a number, <c>KEY</c> for a name of the user's.</summary>
    public static IEnumerable<string> All =>
    [
        .. Plain.Select(k => $"{Root}:{k}"),
        .. Whole.Where(k => k != "Sources").Select(k => $"{Root}:{k}"),
        .. Flat.SelectMany(f => f.Value.Select(k => $"{Root}:{f.Key}:{k}")),
        .. Options.SelectMany(o => Keys($"{Root}:{o.Key}", o.Value)),
    ];

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
        var properties = Properties(type);
        foreach (var child in section.GetChildren())
        {
            var property = Array.Find(properties, p => string.Equals(p.Name, child.Key, StringComparison.OrdinalIgnoreCase));
            if (property is null)
            {
                failures.Add(Unknown(child, [.. properties.Select(p => p.Name)]));
            }
            else if (IsSection(property.PropertyType))
            {
                CheckOptions(child, property.PropertyType, failures);
            }
            else if (ElementOf(property.PropertyType) is { } element && IsSection(element))
            {
                foreach (var one in child.GetChildren())
                {
                    CheckOptions(one, element, failures);
                }
            }
        }
    }

    private static IEnumerable<string> Keys(string path, Type type) => Properties(type).SelectMany(p =>
        IsSection(p.PropertyType) ? Keys($"{path}:{p.Name}", p.PropertyType)
        : ElementOf(p.PropertyType) is not { } element ? p.PropertyType.IsGenericType && p.PropertyType.GetGenericTypeDefinition() == typeof(Dictionary<,>) ? [$"{path}:{p.Name}:KEY"] : [$"{path}:{p.Name}"]
        : IsSection(element) ? Keys($"{path}:{p.Name}:N", element)
        : [$"{path}:{p.Name}:N"]);

    private static PropertyInfo[] Properties(Type type) => [.. type.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(p => !Contains(Composed, p.Name))];

    private static bool IsSection(Type type) => type is { IsClass: true, IsGenericType: false, Namespace: { } space } && space.StartsWith(nameof(KlineOrleans), StringComparison.Ordinal);

    /// <summary>What a list holds; null for what is no list.</summary>
    private static Type? ElementOf(Type type) => type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IList<>) ? type.GetGenericArguments()[0] : null;

    private static bool Contains(string[] keys, string key) => Array.Exists(keys, k => string.Equals(k, key, StringComparison.OrdinalIgnoreCase));

    private static string Unknown(IConfigurationSection section, string[] known) =>
        $"{section.Path}: there is no such setting. Allowed in {section.Path[..section.Path.LastIndexOf(':')]}: {string.Join(", ", known.Order(StringComparer.Ordinal))}.";
}
