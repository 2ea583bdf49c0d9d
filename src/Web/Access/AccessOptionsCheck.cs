using System.Globalization;

namespace KlineOrleans.Web;

/// <summary>Refuses access settings that cannot be meant. No message shows a key.</summary>
internal static class AccessOptionsCheck
{
    private const string Section = WebOptions.Section + ":Access";
    private const int MostSymbols = 1_000;

    public static void Check(AccessOptions access, List<string> failures)
    {
        HashSet<string> names = new(StringComparer.OrdinalIgnoreCase);
        for (var i = 0; i < access.Keys.Count; i++)
        {
            var key = access.Keys[i];
            var path = string.Create(CultureInfo.InvariantCulture, $"{Section}:Keys:{i}");
            if (key.Name.Length is 0 or > 64 || key.Name.Any(char.IsControl))
            {
                failures.Add($"{path}:Name: '{key.Name}' is not allowed. Allowed: 1 to 64 characters.");
            }
            else if (!names.Add(key.Name))
            {
                failures.Add($"{path}:Name: '{key.Name}' is taken by another key. Allowed: a name of its own.");
            }

            var hasKey = !string.IsNullOrEmpty(key.Key);
            if (hasKey == !string.IsNullOrEmpty(key.KeyHash))
            {
                failures.Add($"{path}: {(hasKey ? "both Key and KeyHash" : "neither Key nor KeyHash")}. Allowed: one of them.");
            }
            else if (hasKey && (key.Key!.Length is < 16 or > 256 || key.Key.Any(c => c is <= ' ' or > '~')))
            {
                failures.Add($"{path}:Key: this one is not allowed. Allowed: 16 to 256 printable ASCII characters without spaces, as openssl rand -hex 32 gives.");
            }
            else if (!hasKey && !(key.KeyHash!.Length == 64 && key.KeyHash.All(char.IsAsciiHexDigit)))
            {
                failures.Add($"{path}:KeyHash: this one is not allowed. Allowed: 64 hexadecimal digits, as sha256sum gives.");
            }

            if (key.Subscriptions is < 1 or > 100_000)
            {
                failures.Add(string.Create(CultureInfo.InvariantCulture, $"{path}:Subscriptions: {key.Subscriptions} is not allowed. Allowed: 1 to 100000."));
            }

            if (key.Symbols.Count > MostSymbols || key.Symbols.Any(string.IsNullOrWhiteSpace))
            {
                failures.Add(string.Create(CultureInfo.InvariantCulture, $"{path}:Symbols: {key.Symbols.Count} symbols, or an empty one, are not allowed. Allowed: none for all, or at most {MostSymbols}."));
            }
        }

        Ranges("TrustedProxies", access.TrustedProxies, failures);
        Ranges("OperatorNetworks", access.OperatorNetworks, failures);
    }

    private static void Ranges(string key, IList<string> values, List<string> failures)
    {
        for (var i = 0; i < values.Count; i++)
        {
            if (!AddressRange.TryParse(values[i], out _))
            {
                failures.Add(string.Create(CultureInfo.InvariantCulture, $"{Section}:{key}:{i}: '{values[i]}' is not allowed. Allowed: {AddressRange.Allowed}."));
            }
        }
    }
}
