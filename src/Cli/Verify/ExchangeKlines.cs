using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using KlineOrleans.Contracts;

namespace KlineOrleans.Cli;

/// <summary>Klines as an exchange said them: a file of arrays <c>[open time in ms, open, high, low, close, volume]</c>, named <c>SYMBOL-1m.json</c>.</summary>
internal static partial class ExchangeKlines
{
    /// <summary>The files of a folder that are such, with the interval that their name says.</summary>
    public static IReadOnlyList<(string Path, KlineInterval Interval)> Find(string folder) =>
    [
        .. from path in Directory.EnumerateFiles(folder, "*.json").Order(StringComparer.Ordinal)
           let match = Name().Match(Path.GetFileName(path))
           where match.Success && KlineIntervals.TryParse(match.Groups["interval"].Value, out _)
           select (path, Parse(match.Groups["interval"].Value)),
    ];

    /// <exception cref="Failure">The file is not what its name says.</exception>
    public static async Task<List<Row>> Read(string path, CancellationToken stop)
    {
        try
        {
            await using var file = File.OpenRead(path);
            using var json = await JsonDocument.ParseAsync(file, cancellationToken: stop);
            return [.. json.RootElement.EnumerateArray().Select(row => new Row(
                DateTimeOffset.FromUnixTimeMilliseconds(row[0].GetInt64()), Number(row[1]), Number(row[2]), Number(row[3]), Number(row[4]), Number(row[5])))];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or JsonException or InvalidOperationException or FormatException or IndexOutOfRangeException)
        {
            throw new Failure($"'{path}' does not hold klines as [open time in ms, open, high, low, close, volume]: {error.Message}", error);
        }
    }

    private static KlineInterval Parse(string name) => KlineIntervals.TryParse(name, out var interval) ? interval : default;

    // Exchanges write prices as strings and volumes as strings; collectors make numbers of them.
    private static decimal Number(JsonElement value) =>
        value.ValueKind == JsonValueKind.String ? decimal.Parse(value.GetString()!, NumberStyles.Float, CultureInfo.InvariantCulture) : value.GetDecimal();

    [GeneratedRegex("-(?<interval>[0-9]+[smhdw])\\.json$", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1_000)]
    private static partial Regex Name();

    internal readonly record struct Row(DateTimeOffset OpenTime, decimal Open, decimal High, decimal Low, decimal Close, decimal Volume);
}
