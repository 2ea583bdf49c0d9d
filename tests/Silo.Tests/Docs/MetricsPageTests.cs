using System.Text.Json;
using System.Text.RegularExpressions;
using KlineOrleans.Testing;
using KlineOrleans.Web.Tests;

namespace KlineOrleans.Silo.Tests.Docs;

/// <summary>docs/metrics.md, the alert rules and the dashboard beside what a server answers at /metrics.</summary>
public partial class MetricsPageTests
{
    private const string OneEngineOnly = "On the in-process engine only:";

    [Fact]
    public async Task Every_metric_is_named_in_the_page_and_every_one_named_there_or_asked_for_exists()
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServerProcess.Start("--Kline:Sources:0:Kind", "Simulation", "--Kline:Sources:0:History", "00:01:00", "--Kline:Storage:Path", folder["kline.db"]);
        await server.WaitFor("/health", h => h.GetProperty("sources") is { } s && s.GetArrayLength() == 1 && s[0].GetProperty("state").GetString() == "live");
        using var answer = await server.Http.GetAsync(new Uri("/metrics", UriKind.Relative), TestContext.Current.CancellationToken);
        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", answer.Content.Headers.ContentType!.ToString());
        var text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        var samples = PrometheusReader.Read(text);
        var types = TypeLine().Matches(text).ToDictionary(m => m.Groups["name"].Value, m => m.Groups["type"].Value, StringComparer.Ordinal);
        Assert.All(samples, s => Assert.Contains(types, t => s.Name == t.Key || (t.Value == "histogram" && s.Name.StartsWith(t.Key + "_", StringComparison.Ordinal))));

        var page = Page("metrics.md");
        var parts = page.Split(OneEngineOnly);
        Assert.Equal(2, parts.Length);
        var listed = Named(page).ToList();
        Assert.Equal(listed.Distinct(), listed);
        if (string.Equals(TestEngine.EngineName, "Orleans", StringComparison.Ordinal))
        {
            listed.RemoveAll(n => n.StartsWith("grains_", StringComparison.Ordinal) || n.StartsWith("streams_", StringComparison.Ordinal));
        }

        Assert.Equal(types.Keys.Where(n => !n.StartsWith("orleans", StringComparison.Ordinal)).Order(), listed.Order());
        foreach (Match row in Row().Matches(page))
        {
            if (types.TryGetValue(row.Groups["name"].Value, out var type))
            {
                Assert.Equal($"{row.Groups["name"].Value} {type}", $"{row.Groups["name"].Value} {row.Groups["type"].Value}");
            }
        }

        var elsewhere = Directory.EnumerateFiles(Path.Combine(RecordedData.RepositoryRoot, "docs"), "*.md", SearchOption.AllDirectories).Append(Path.Combine(RecordedData.RepositoryRoot, "README.md"))
            .Where(f => !f.EndsWith("metrics.md", StringComparison.Ordinal) && !f.Contains("/wire/", StringComparison.Ordinal)).SelectMany(f => Named(File.ReadAllText(f)));
        Assert.Empty(elsewhere.Except(listed));

        // A histogram is asked for by its parts; whether a scrape succeeded is Prometheus's own.
        var exists = types.SelectMany(t => t.Value == "histogram" ? [t.Key + "_bucket", t.Key + "_sum", t.Key + "_count"] : new[] { t.Key }).Append("up").ToHashSet(StringComparer.Ordinal);
        var alerts = AlertExpression().Matches(File.ReadAllText(Docker("prometheus", "alerts.yml"))).Select(m => m.Groups["expr"].Value).ToList();
        using var dashboard = JsonDocument.Parse(await File.ReadAllTextAsync(Docker("grafana", "dashboards", "kline.json"), TestContext.Current.CancellationToken));
        var panels = dashboard.RootElement.GetProperty("panels").EnumerateArray().SelectMany(p => p.GetProperty("targets").EnumerateArray()).Select(t => t.GetProperty("expr").GetString()!).ToList();
        Assert.True(alerts.Count >= 10 && panels.Count >= 14, $"{alerts.Count} alerts, {panels.Count} panels");
        Assert.Empty(alerts.Concat(panels).SelectMany(e => Asked(e).Where(n => !exists.Contains(n)).Select(n => $"{n} in {e}")));
        Assert.All(alerts.Concat(panels), e => Assert.NotEmpty(Asked(e)));
    }

    [Fact]
    public void Names_that_an_expression_asks_for_are_found()
    {
        Assert.Equal(["a_total", "b"], Asked("histogram_quantile(0.99, sum by (le, x) (rate(a_total{job=~\"kline-.*\", c=\"d\"}[5m]))) > 0.25 and on (le) b == 0"));
    }

    /// <summary>Every event id once, and every line of a log with one.</summary>
    [Fact]
    public void Every_line_of_the_log_has_an_event_id_of_its_own()
    {
        var ids = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var file in Directory.EnumerateFiles(Path.Combine(RecordedData.RepositoryRoot, "src"), "*.cs", SearchOption.AllDirectories).Where(f => !f.Contains("/obj/", StringComparison.Ordinal) && !f.Contains("/bin/", StringComparison.Ordinal)))
        {
            var code = File.ReadAllText(file);
            foreach (Match call in LogCall().Matches(code))
            {
                var id = call.Groups["id"].Value;
                Assert.True(id.Length > 0, $"{file}: {call.Value} has no event id");
                Assert.True(ids.TryAdd(id, file), $"event id {id} is in {file} and in {ids.GetValueOrDefault(id)}");
            }
        }

        Assert.True(ids.Count > 80, $"{ids.Count} ids");
    }

    private static string Page(string name) => File.ReadAllText(Path.Combine(RecordedData.RepositoryRoot, "docs", name));

    private static string Docker(params string[] path) => Path.Combine([RecordedData.RepositoryRoot, "docker", .. path]);

    private static IEnumerable<string> Named(string page) => MetricName().Matches(page).Select(m => m.Groups["name"].Value);

    private static IEnumerable<string> Asked(string expression) =>
        Word().Matches(Selector().Replace(expression, "")).Select(m => m.Groups["word"].Value).Where(w => w is not ("and" or "or" or "unless" or "by" or "on" or "without" or "ignoring")).Distinct();

    [GeneratedRegex("^# TYPE (?<name>\\S+) (?<type>\\S+)$", RegexOptions.Multiline | RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 5_000)]
    private static partial Regex TypeLine();

    [GeneratedRegex("`(?<name>(kline|grains|streams|process|dotnet)_[a-z0-9_]+)`", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 5_000)]
    private static partial Regex MetricName();

    [GeneratedRegex("^\\| `(?<name>[a-z0-9_]+)` \\| (?<type>\\w+) \\|", RegexOptions.Multiline | RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 5_000)]
    private static partial Regex Row();

    [GeneratedRegex("^ +expr: (?<expr>.+)$", RegexOptions.Multiline | RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 5_000)]
    private static partial Regex AlertExpression();

    // Labels, ranges and groupings name no metric.
    [GeneratedRegex("\\{[^}]*\\}|\\[[^]]*\\]|\\b(by|on|without|ignoring) *\\([^)]*\\)", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 5_000)]
    private static partial Regex Selector();

    [GeneratedRegex("(?<![0-9a-zA-Z_.])(?<word>[a-zA-Z_:][a-zA-Z0-9_:]*)\\b(?! *\\()", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 5_000)]
    private static partial Regex Word();

    [GeneratedRegex("(\\.Log(Trace|Debug|Information|Warning|Error|Critical)\\(|LoggerMessage\\()\\s*(?<id>[0-9]*)", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 5_000)]
    private static partial Regex LogCall();
}
