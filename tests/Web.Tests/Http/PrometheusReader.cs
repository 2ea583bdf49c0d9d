using System.Globalization;
using System.Text.RegularExpressions;

namespace KlineOrleans.Web.Tests;

/// <summary>One line of the exposition.</summary>
internal sealed record Sample(string Name, IReadOnlyDictionary<string, string> Labels, double Value);

/// <summary>Reads Prometheus text 0.0.4 strictly: whatever a scraper might refuse or misread fails here.</summary>
internal static partial class PrometheusReader
{
    public static List<Sample> Read(string text)
    {
        Assert.EndsWith("\n", text, StringComparison.Ordinal);
        Assert.DoesNotContain('\r', text);
        Dictionary<string, string> types = [];
        HashSet<string> helped = [], seen = [];
        List<Sample> samples = [];
        var current = "";
        foreach (var line in text[..^1].Split('\n'))
        {
            if (line.StartsWith("# HELP ", StringComparison.Ordinal))
            {
                var name = line.Split(' ', 4)[2];
                Assert.Matches(NamePattern(), name);
                Assert.True(helped.Add(name) && !types.ContainsKey(name), $"HELP of {name} twice or too late");
                Assert.DoesNotMatch(BadEscape(), line.Split(' ', 4)[3]);
            }
            else if (line.StartsWith("# TYPE ", StringComparison.Ordinal))
            {
                var parts = line.Split(' ');
                Assert.Equal(4, parts.Length);
                Assert.Contains(parts[3], (string[])["counter", "gauge", "histogram"]);
                Assert.True(types.TryAdd(parts[2], parts[3]), $"TYPE of {parts[2]} twice");
                Assert.Equal(parts[3] == "counter", parts[2].EndsWith("_total", StringComparison.Ordinal));
                current = parts[2];
            }
            else
            {
                var match = SamplePattern().Match(line);
                Assert.True(match.Success, $"not a sample: {line}");
                var name = match.Groups[1].Value;
                var family = types[current] == "histogram" && HistogramPart().Match(name) is { Success: true } part ? part.Groups[1].Value : name;
                Assert.Equal(current, family);
                Dictionary<string, string> labels = [];
                foreach (Match label in LabelPattern().Matches(match.Groups[2].Value))
                {
                    Assert.True(labels.TryAdd(label.Groups[1].Value, label.Groups[2].Value), $"a label twice: {line}");
                }

                Assert.Equal(match.Groups[2].Value, string.Join(',', labels.Select(l => $"{l.Key}=\"{l.Value}\"")));
                Assert.True(seen.Add(name + match.Groups[2].Value), $"a series twice: {line}");
                samples.Add(new Sample(name, labels.ToDictionary(l => l.Key, l => Unescape(l.Value)), Number(match.Groups[3].Value)));
            }
        }

        foreach (var (name, _) in types.Where(t => t.Value == "histogram"))
        {
            foreach (var series in samples.Where(s => s.Name == name + "_bucket").GroupBy(s => string.Join(',', s.Labels.Where(l => l.Key != "le"))))
            {
                var bounds = series.Select(s => Number(s.Labels["le"])).ToList();
                Assert.Equal(bounds.Order(), bounds);
                Assert.Equal(double.PositiveInfinity, bounds[^1]);
                Assert.Equal(series.Select(s => s.Value).Order(), series.Select(s => s.Value));
                Assert.Equal(series.Last().Value, samples.Single(s => s.Name == name + "_count" && string.Join(',', s.Labels) == series.Key).Value);
                Assert.Single(samples, s => s.Name == name + "_sum" && string.Join(',', s.Labels) == series.Key);
            }
        }

        return samples;
    }

    private static double Number(string text) => text switch
    {
        "+Inf" => double.PositiveInfinity,
        "-Inf" => double.NegativeInfinity,
        "NaN" => double.NaN,
        _ => double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture),
    };

    private static string Unescape(string value) => Escape().Replace(value, m => m.Value switch { "\\n" => "\n", "\\\"" => "\"", _ => "\\" });

    [GeneratedRegex("^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
    private static partial Regex NamePattern();

    [GeneratedRegex("^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\\{(.+)\\})? ([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?|[+-]Inf|NaN)$")]
    private static partial Regex SamplePattern();

    [GeneratedRegex("([a-zA-Z_][a-zA-Z0-9_]*)=\"((?:[^\"\\\\\\n]|\\\\[\\\\\"n])*)\"")]
    private static partial Regex LabelPattern();

    [GeneratedRegex("^(.*)_(?:bucket|sum|count)$")]
    private static partial Regex HistogramPart();

    [GeneratedRegex("\\\\[\\\\\"n]")]
    private static partial Regex Escape();

    [GeneratedRegex("(?<!\\\\)(?:\\\\\\\\)*\\\\[^\\\\n]")]
    private static partial Regex BadEscape();
}
