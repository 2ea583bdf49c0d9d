using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using KlineOrleans.Testing;

namespace KlineOrleans.Cluster.Tests;

/// <summary>The files of docker/ are what their readers can read.</summary>
public sealed partial class DeploymentTests
{
    private static readonly string Folder = Path.Combine(RecordedData.RepositoryRoot, "docker");

    [Fact]
    public async Task Every_yaml_file_can_be_read_and_every_container_is_locked_down()
    {
        const string Check = """
            import sys, glob, yaml
            files = glob.glob(sys.argv[1] + '/**/*.y*ml', recursive=True)
            assert len(files) >= 6, files
            documents = {f: list(yaml.safe_load_all(open(f))) for f in files}
            for f, docs in documents.items():
                assert docs and all(d is not None for d in docs), f
                for d in docs:
                    for name, s in (d.get('services') or {}).items() if isinstance(d, dict) else []:
                        if s.get('image') == 'kline':
                            assert s['read_only'] and s['cap_drop'] == ['ALL'], (f, name)
                    if isinstance(d, dict) and d.get('kind') == 'Deployment':
                        spec = d['spec']['template']['spec']
                        assert spec['securityContext']['runAsNonRoot'], f
                        for c in spec['containers']:
                            assert c['securityContext']['readOnlyRootFilesystem'] and c['livenessProbe'] and c['readinessProbe'] and c['startupProbe'], f
                            assert c['resources']['requests'] and c['resources']['limits'], f
            print(len(files))
            """;
        Process process;
        try
        {
            process = Process.Start(new ProcessStartInfo("python3") { UseShellExecute = false, ArgumentList = { "-c", Check, Folder }, RedirectStandardOutput = true, RedirectStandardError = true })!;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Skip("python3, whose YAML parser reads the files, is not installed");
            return;
        }

        using (process)
        {
            var error = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            await process.WaitForExitAsync(TestContext.Current.CancellationToken);
            Assert.SkipWhen(error.Contains("No module named 'yaml'", StringComparison.Ordinal), "python3 has no YAML parser (PyYAML)");
            Assert.True(process.ExitCode == 0, error);
        }
    }

    [Fact]
    public void Page_of_the_image_is_built_from_everything_that_it_names()
    {
        var stage = File.ReadAllText(Path.Combine(Folder, "Dockerfile")).Split("AS build")[0];
        var page = Path.Combine(RecordedData.RepositoryRoot, "src", "Web", "ClientApp");
        var named = new[] { "vite.config.ts", "tsconfig.json" }.SelectMany(file => OutsideFolder().Matches(File.ReadAllText(Path.Combine(page, file))).Select(m => m.Groups["folder"].Value)).Distinct(StringComparer.Ordinal).ToArray();
        Assert.NotEmpty(named);
        Assert.All(named, folder => Assert.Contains($"COPY {folder}/", stage, StringComparison.Ordinal));
    }

    [Fact]
    public void Dashboard_can_be_read_and_every_panel_asks_something()
    {
        using var dashboard = JsonDocument.Parse(File.ReadAllText(Path.Combine(Folder, "grafana", "dashboards", "kline.json")));
        Assert.All(dashboard.RootElement.GetProperty("panels").EnumerateArray(), panel => Assert.NotEmpty(panel.GetProperty("targets").EnumerateArray()));
    }

    [Fact]
    public void Image_runs_as_a_user_without_rights_and_checks_its_own_health()
    {
        var lines = File.ReadAllLines(Path.Combine(Folder, "Dockerfile"));
        Assert.Contains("USER 1654:1654", lines);
        Assert.Contains(lines, l => l.StartsWith("HEALTHCHECK", StringComparison.Ordinal) && l.Contains("\"health\"", StringComparison.Ordinal));
        Assert.True(Array.FindIndex(lines, l => l.StartsWith("USER", StringComparison.Ordinal)) > Array.FindLastIndex(lines, l => l.StartsWith("RUN", StringComparison.Ordinal)));
    }

    [GeneratedRegex(@"\.\./\.\./\.\./(?<folder>[a-z]+/[a-z]+/src)\b", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 1_000)]
    private static partial Regex OutsideFolder();
}
