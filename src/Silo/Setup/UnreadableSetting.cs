using System.Diagnostics.CodeAnalysis;
using System.Text.RegularExpressions;

namespace KlineOrleans.Silo.Setup;

/// <summary>Puts the configuration binder's complaint about a value it cannot convert into the form of every other complaint.</summary>
internal static partial class UnreadableSetting
{
    /// <summary>True if <paramref name="error"/> is such a complaint.</summary>
    public static bool TryDescribe(InvalidOperationException error, [NotNullWhen(true)] out string? line)
    {
        var match = Complaint().Match(error.Message);
        if (!match.Success)
        {
            line = null;
            return false;
        }

        var allowed = match.Groups["type"].Value switch
        {
            "System.Int32" or "System.Int64" => "a whole number",
            "System.Double" or "System.Decimal" => "a number",
            "System.Boolean" => "true or false",
            "System.TimeSpan" => "a time as hh:mm:ss",
            var type => $"a {type[(type.LastIndexOf('.') + 1)..]}",
        };
        line = $"{match.Groups["key"].Value}: '{match.Groups["value"].Value}' is not allowed. Allowed: {allowed}.";
        return true;
    }

    [GeneratedRegex("^Failed to convert configuration value '(?<value>.*)' at '(?<key>.*)' to type '(?<type>.*)'", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 1_000)]
    private static partial Regex Complaint();
}
