using System.Diagnostics;
using System.Text.RegularExpressions;
using KlineOrleans.Testing;

namespace KlineOrleans.Silo.Tests.Docs;

/// <summary>Every shell and JavaScript block of README.md and docs runs as it is written.</summary>
/// <remarks>
/// A block <c>```sh</c> or <c>```js</c> is run, line by line, against a server of the test where it says http://127.0.0.1:8080. A block <c>```sh by-hand: REASON</c> is not, and stands below with its reason.
/// A line that needs the recorded data is passed over where there is none.
/// </remarks>
public partial class ExampleTests
{
    /// <summary>Blocks that no test can run, by page and reason. A new one is added here on purpose.</summary>
    private static readonly string[] ByHand =
    [
        "README.md: builds everything, or runs every test",
        "README.md: needs the real exchange or chain",
        "README.md: needs PostgreSQL",
        "docs/cluster.md: needs Microsoft Orleans and PostgreSQL",
        "docs/cluster.md: needs Docker",
        "docs/cluster.md: needs Microsoft Orleans and PostgreSQL",
    ];

    public static TheoryData<string> Pages => [.. AllPages().Where(p => Blocks(p).Any(b => !b.Kind.Contains("by-hand", StringComparison.Ordinal)))];

    [Fact]
    public void Blocks_that_are_not_run_are_those_that_are_named_here_with_the_reason()
    {
        Assert.Equal(ByHand, AllPages().SelectMany(p => Blocks(p).Where(b => b.Kind.Contains("by-hand", StringComparison.Ordinal)).Select(b => $"{p}: {b.Kind.Split("by-hand:")[1].Trim()}")));
    }

    [Theory]
    [MemberData(nameof(Pages))]
    public async Task Every_shell_and_script_block_of_a_page_runs_as_written(string page)
    {
        ArgumentNullException.ThrowIfNull(page);
        await using var checkout = new Checkout();
        List<string> passedOver = [];
        foreach (var block in Blocks(page).Where(b => !b.Kind.Contains("by-hand", StringComparison.Ordinal)))
        {
            if (block.Kind == "js")
            {
                if (!Directory.Exists(Path.Combine(checkout.Root, "src", "Web", "ClientApp", "node_modules")))
                {
                    passedOver.Add($"line {block.Line}: the packages of the page are not installed (npm ci in src/Web/ClientApp)");
                    continue;
                }

                await checkout.StartLong("./run", page);
                await File.WriteAllTextAsync(Path.Combine(checkout.Root, "src", "Web", "ClientApp", "follow.mjs"), checkout.Here(block.Text), TestContext.Current.CancellationToken);
                await checkout.Watch("cd src/Web/ClientApp && exec node follow.mjs", $"{page}, line {block.Line}");
                continue;
            }

            var script = "";
            var hasServer = false;
            foreach (var (line, command) in Commands(block))
            {
                var name = $"{page}, line {line}: {command}";
                if (!RecordedData.Exists && command.Contains("../shared/data", StringComparison.Ordinal))
                {
                    passedOver.Add($"line {line}: {RecordedData.SkipReason}");
                    continue;
                }

                if (IsService(command))
                {
                    await checkout.StartLong(command.TrimEnd('&', ' '), name);
                    hasServer |= command.StartsWith("./run", StringComparison.Ordinal);
                    continue;
                }

                if (!hasServer && (command.Contains("127.0.0.1:8080", StringComparison.Ordinal) || command.StartsWith("./kline", StringComparison.Ordinal) || command.StartsWith("./run backup", StringComparison.Ordinal)))
                {
                    // The page's server: the one that ./run starts.
                    await checkout.StartLong("./run --Kline:Sources:0:Kind Simulation --Kline:Sources:0:History 00:10:00", name);
                    await checkout.UntilLive();
                    hasServer = true;
                }

                // Variables that a line sets are there for the lines after it.
                if (Assignment().IsMatch(command))
                {
                    script += command + "\n";
                    continue;
                }

                if (command.StartsWith("./kline watch", StringComparison.Ordinal) || command.Contains(" --follow", StringComparison.Ordinal) || command.StartsWith("node ", StringComparison.Ordinal) || command.Contains("samples/Live", StringComparison.Ordinal))
                {
                    await checkout.Watch(script + command, name);
                    continue;
                }

                var (code, output) = await checkout.Run($"set -eo pipefail\n{script}{command}");
                Assert.True(code == 0, $"{name}\nends with {code}:\n{output}");
            }
        }

        await checkout.StopServer();
        Assert.SkipWhen(passedOver.Count > 0 && passedOver.Count == Blocks(page).Sum(b => Commands(b).Count()), $"{page}: {string.Join("; ", passedOver)}");
        passedOver.ForEach(p => TestContext.Current.TestOutputHelper?.WriteLine($"{page}: passed over: {p}"));
    }

    [Theory]
    [InlineData("docs/examples/follow.mjs", "node --experimental-websocket docs/examples/follow.mjs")]
    [InlineData("docs/examples/klines.py", "python3 docs/examples/klines.py")]
    [InlineData("docs/examples/klines.py, following", "python3 -u docs/examples/klines.py --follow")]
    [InlineData("samples/Live", "dotnet run --project samples/Live --")]
    public async Task An_example_of_a_client_follows_a_server(string example, string command)
    {
        ArgumentNullException.ThrowIfNull(example);
        ArgumentNullException.ThrowIfNull(command);
        await using var checkout = new Checkout();
        Assert.SkipUnless((await checkout.Run($"command -v {command.Split(' ')[0]}")).ExitCode == 0, $"{command.Split(' ')[0]} is not installed");
        if (command.Contains("--follow", StringComparison.Ordinal))
        {
            Assert.SkipUnless((await checkout.Run("python3 -c 'import websocket'")).ExitCode == 0, "python3 has no package websocket-client");
        }

        await checkout.StartLong("./run --Kline:Sources:0:Kind Simulation --Kline:Sources:0:Mints 1 --Kline:Sources:0:TradesPerSecond 20 --Kline:Sources:0:History 00:10:00", example);
        await checkout.UntilLive();
        if (example.EndsWith(".py", StringComparison.Ordinal))
        {
            var (code, output) = await checkout.Run(checkout.Here($"{command} http://127.0.0.1:8080"));
            Assert.True(code == 0, output);
            Assert.Equal(5, output.Split('\n').Count(l => l.Contains(" m1 close ", StringComparison.Ordinal)));
            return;
        }

        await checkout.WatchUntil($"{command} http://127.0.0.1:8080", example, text => text.Contains(" final", StringComparison.Ordinal) && text.Contains(" forming", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_example_in_React_has_the_types_of_the_packages_that_it_uses()
    {
        var package = Checkout.Repository("clients", "typescript");
        var compiler = Path.Combine(package, "node_modules", "typescript", "bin", "tsc");
        Assert.SkipUnless(File.Exists(compiler) && Directory.Exists(Path.Combine(package, "dist")), "clients/typescript is not built (npm ci && npm run build there)");
        using var folder = new TemporaryFolder();
        var modules = Directory.CreateDirectory(folder["node_modules"]).FullName;
        Directory.CreateDirectory(Path.Combine(modules, "@kline-orleans"));
        Directory.CreateSymbolicLink(Path.Combine(modules, "@kline-orleans", "client"), package);
        foreach (var name in new[] { "react", "lightweight-charts", "@types" })
        {
            Directory.CreateSymbolicLink(Path.Combine(modules, name), Path.Combine(package, "node_modules", name));
        }

        File.Copy(Checkout.Repository("docs", "examples", "Chart.tsx"), folder["Chart.tsx"]);
        using var process = Process.Start(new ProcessStartInfo("node", [compiler, "--noEmit", "--strict", "--jsx", "react-jsx", "--target", "es2022", "--lib", "es2022,dom", "--module", "esnext", "--moduleResolution", "bundler", "--skipLibCheck", "Chart.tsx"])
        {
            WorkingDirectory = Path.GetDirectoryName(folder["Chart.tsx"])!,
            RedirectStandardOutput = true,
            UseShellExecute = false,
        })!;
        var output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(process.ExitCode == 0, output);
    }

    private static bool IsService(string command) =>
        (command.StartsWith("./run", StringComparison.Ordinal) && !RunCommand().IsMatch(command))
        || command.StartsWith("dotnet run --project tests/", StringComparison.Ordinal);

    private static IEnumerable<string> AllPages() =>
        new[] { "README.md" }.Concat(Directory.EnumerateFiles(Checkout.Repository("docs"), "*.md", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(RecordedData.RepositoryRoot, f)).Order(StringComparer.Ordinal));

    private static IEnumerable<Block> Blocks(string page)
    {
        var lines = File.ReadAllLines(Checkout.Repository(page));
        for (var i = 0; i < lines.Length; i++)
        {
            if (!lines[i].StartsWith("```", StringComparison.Ordinal))
            {
                continue;
            }

            var (kind, start) = (lines[i][3..], i + 1);
            for (i++; lines[i] != "```"; i++)
            {
            }

            if (kind.Split(' ')[0] is "sh" or "bash" or "shell" or "js" or "javascript" or "mjs")
            {
                yield return new Block(kind, start + 1, string.Join('\n', lines[start..i]) + "\n");
            }
        }
    }

    /// <summary>The commands of a shell block, those over several lines joined, comments left out.</summary>
    private static IEnumerable<(int Line, string Command)> Commands(Block block)
    {
        var (joined, at) = ("", 0);
        foreach (var (index, line) in block.Text.Split('\n').Index())
        {
            at = joined.Length == 0 ? block.Line + index : at;
            if (line.EndsWith('\\'))
            {
                joined += line[..^1];
                continue;
            }

            var command = joined + line;
            joined = "";
            var comment = command.IndexOf(" #", StringComparison.Ordinal);
            command = (comment >= 0 ? command[..comment] : command).Trim();
            if (command.Length > 0 && command[0] != '#')
            {
                yield return (at, command);
            }
        }
    }

    [GeneratedRegex(@"^[A-Z_]+=\$\(", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 1_000)]
    private static partial Regex Assignment();

    [GeneratedRegex(@"^\./run (backup|restore|help|--help|health|schema)\b", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 1_000)]
    private static partial Regex RunCommand();

    private sealed record Block(string Kind, int Line, string Text);
}
