using System.Text.RegularExpressions;
using KlineOrleans.Ingest;
using KlineOrleans.Silo.Setup;
using KlineOrleans.Testing;
using Microsoft.Extensions.Configuration;

namespace KlineOrleans.Silo.Tests.Docs;

/// <summary>The table of settings in docs/operations.md beside the settings that the program knows.</summary>
public partial class SettingsPageTests
{
    // Not under Kline: the web server's own, and the older spelling of two.
    private static readonly string[] Others = ["urls"];

    [Fact]
    public void Every_setting_is_in_the_table_and_every_row_is_a_setting()
    {
        var known = KnownSettings.All.Concat(Enum.GetNames<SourceKind>().SelectMany(SourceKeys)).Concat(Others).Distinct();
        var listed = Rows(Path.Combine("docs", "operations.md")).ToList();

        Assert.Equal(listed.Distinct(), listed);
        Assert.Equal(known.Order(StringComparer.Ordinal), listed.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Every_setting_that_another_page_names_exists()
    {
        var known = KnownSettings.All.Concat(Enum.GetNames<SourceKind>().SelectMany(SourceKeys)).ToHashSet(StringComparer.Ordinal);
        var named = Directory.EnumerateFiles(Path.Combine(RecordedData.RepositoryRoot, "docs"), "*.md", SearchOption.AllDirectories)
            .Where(f => !f.Contains("/adr/", StringComparison.Ordinal)).Append(Path.Combine(RecordedData.RepositoryRoot, "README.md"))
            .SelectMany(f => Mention().Matches(File.ReadAllText(f)).Select(m => (File: Path.GetFileName(f), Key: General(m.Groups["key"].Value))))
            .ToList();

        Assert.True(named.Count > 100, $"{named.Count} mentions");
        Assert.Empty(named.Where(n => !known.Contains(n.Key) && !known.Any(k => k.StartsWith(n.Key + ":", StringComparison.Ordinal))).Select(n => $"{n.File}: {n.Key}").Distinct());
    }

    /// <summary>The keys that a source of the kind takes: a key that nobody knows is refused with those.</summary>
    private static IEnumerable<string> SourceKeys(string kind)
    {
        const string Source = "Kline:Sources:0";
        var settings = new Dictionary<string, string?>
        {
            [$"{Source}:Kind"] = kind,
            [$"{Source}:Nobody"] = "x",
            [$"{Source}:Endpoints:0:Nobody"] = "x",
            [$"{Source}:Programs:0:Nobody"] = "x",
        };
        var errors = Assert.Throws<ConfigurationException>(() => SourceConfiguration.Read(new ConfigurationBuilder().AddInMemoryCollection(settings).Build())).Errors;
        foreach (var error in errors)
        {
            if (Refusal().Match(error) is { Success: true } match)
            {
                var path = General(match.Groups["path"].Value);
                foreach (var key in match.Groups["keys"].Value.Split(", ").Where(k => k != "Endpoints"))
                {
                    yield return $"{path}:{key}";
                }
            }
        }
    }

    private static string General(string key) => Number().Replace(RetentionOf().Replace(key, "Retention:KEY"), ":N");

    private static IEnumerable<string> Rows(string page) => Row().Matches(File.ReadAllText(Path.Combine(RecordedData.RepositoryRoot, page))).Select(m => m.Groups["key"].Value);

    [GeneratedRegex("^\\| `(?<key>(Kline:|urls)[A-Za-z:]*)` \\|", RegexOptions.Multiline | RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 5_000)]
    private static partial Regex Row();

    [GeneratedRegex("(?<![A-Za-z])(?<key>Kline(:[A-Za-z0-9]+)+)", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 5_000)]
    private static partial Regex Mention();

    [GeneratedRegex(":[0-9]+(?=:|$)", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 5_000)]
    private static partial Regex Number();

    [GeneratedRegex("Retention:[a-z0-9]+", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 5_000)]
    private static partial Regex RetentionOf();

    [GeneratedRegex("^(?<path>.*):Nobody: no such key here\\. Allowed: (?<keys>.*)\\.$", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 5_000)]
    private static partial Regex Refusal();
}
