using System.Diagnostics;
using System.Text.RegularExpressions;
using KlineOrleans.Testing;

namespace KlineOrleans.Cluster.Tests;

/// <summary>The samples, as programs beside a running server; and the package that a service of somebody else builds on.</summary>
[Collection("cluster")]
public sealed class SampleTests(ITestOutputHelper output)
{
    private static readonly string Root = RecordedData.RepositoryRoot;

    [Fact]
    public async Task Samples_call_a_grain_and_follow_a_stream_of_a_running_server()
    {
        Needs.OrleansAndPostgres();
        using var folder = new TemporaryFolder();
        await MadeUpTrades.WriteBinanceFrames(folder["trades.ndjson"], 2, 36_000, seed: 1);
        await using var database = await PostgresDatabase.Create();
        await using var server = await ServerProcess.Start([.. TestCluster.AloneOn(database), .. ClusterTests.Source(folder["trades.ndjson"], speed: 30)]);
        await server.WaitFor("/health", health => health.GetProperty("sources") is { } sources && sources.GetArrayLength() > 0 && sources[0].TryGetProperty("trades", out var trades) && trades.GetInt64() > 100);

        var calls = await RunSample("Calls", database.ConnectionString, "SYM0USDT");
        Assert.StartsWith("SYM0USDT of source 'trades' at ", calls[0], StringComparison.Ordinal);
        Assert.Contains(calls, line => Regex.IsMatch(line, @"^m1 +2026-01-05 00:\d\d:00Z open \d+(\.\d+)? high ", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture));

        var follows = (await RunSample("Follows", database.ConnectionString, "SYM1USDT", "20")).Where(l => l.StartsWith("SYM1USDT ", StringComparison.Ordinal)).ToArray();
        Assert.Equal(20, follows.Length);
        Assert.All(follows, line => Assert.Matches(@"^SYM1USDT \d+/\d+: s1 ", line));
        var positions = follows.Select(line => line.Split(' ', ':')[1].Split('/').Select(long.Parse).ToArray()).Select(p => (p[0], p[1])).ToArray();
        Assert.Equal(positions.Distinct().Order(), positions);
    }

    [Fact]
    public async Task Contracts_can_be_referenced_alone_as_a_package()
    {
        Needs.Orleans();
        using var folder = new TemporaryFolder();
        await Dotnet(Root, "pack", Path.Combine(Root, "src", "Contracts"), "--nologo", "-v:quiet", "-p:GrainEngine=Orleans", "-p:RunAnalyzers=false", "-p:PackageVersion=0.1.0-test", "-o", folder["packages"]);

        // Everything else comes from the packages that this build was restored with: the test asks no feed.
        var cache = Environment.GetEnvironmentVariable("NUGET_PACKAGES") is { Length: > 0 } given ? given : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
        Directory.CreateDirectory(folder["service"]);
        await File.WriteAllTextAsync(folder["service/NuGet.config"], $"""
            <configuration>
              <packageSources><clear /><add key="packed" value="{folder["packages"]}" /></packageSources>
              <fallbackPackageFolders><clear /><add key="cache" value="{cache}" /></fallbackPackageFolders>
              <packageSourceMapping><clear /></packageSourceMapping>
            </configuration>
            """, TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(folder["service/Service.csproj"], """
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings><UseAppHost>false</UseAppHost></PropertyGroup>
              <ItemGroup><PackageReference Include="KlineOrleans.Contracts" Version="0.1.0-test" /></ItemGroup>
            </Project>
            """, TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(folder["service/Program.cs"], """
            using KlineOrleans.Contracts;
            using Microsoft.Extensions.DependencyInjection;
            using Orleans;
            using Orleans.Serialization;

            var serializer = new ServiceCollection().AddSerializer().BuildServiceProvider().GetRequiredService<Serializer>();
            var update = new KlineUpdate { Symbol = "MINT", Epoch = 1, Seq = 2, EventTime = DateTimeOffset.UnixEpoch, ReceivedTime = DateTimeOffset.UnixEpoch, Klines = [] };
            var back = serializer.Deserialize<KlineUpdate>(serializer.SerializeToArray(update));
            Console.WriteLine($"{KlineStreams.ForSymbol(back.Symbol)} {back.Epoch}/{back.Seq} {typeof(IKlineGrain).Assembly.GetName().Name} {typeof(IGrainWithStringKey).IsAssignableFrom(typeof(IKlineGrain))}");
            Console.WriteLine(string.Join(' ', AppDomain.CurrentDomain.GetAssemblies().Select(a => a.GetName().Name).Where(n => n!.StartsWith("KlineOrleans.")).Order()));
            """, TestContext.Current.CancellationToken);
        var environment = new Dictionary<string, string?>(StringComparer.Ordinal) { ["NUGET_PACKAGES"] = folder["restored"], ["RestoreConfigFile"] = folder["service/NuGet.config"], ["GrainEngine"] = null };
        await Dotnet(folder["service"], environment, "build", "--nologo", "-v:quiet", "-o", folder["built"]);
        var lines = await Dotnet(folder["service"], environment, folder["built/Service.dll"]);
        Assert.Equal(["kline/MINT 1/2 KlineOrleans.Contracts True", "KlineOrleans.Contracts"], lines);
    }

    private Task<string[]> RunSample(string name, params string[] arguments)
    {
        // Built the same way as this test.
        var program = Path.Combine(Root, "samples", name, Path.GetRelativePath(Path.Combine(Root, "tests", "Cluster.Tests"), AppContext.BaseDirectory), $"KlineOrleans.Samples.{name}.dll");
        return Dotnet(Root, [program, .. arguments]);
    }

    private Task<string[]> Dotnet(string folder, params string[] arguments) => Dotnet(folder, [], arguments);

    private async Task<string[]> Dotnet(string folder, Dictionary<string, string?> environment, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", arguments) { UseShellExecute = false, WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        using var process = Process.Start(start)!;
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(TimeSpan.FromMinutes(4));
        var (said, complained) = (process.StandardOutput.ReadToEndAsync(patience.Token), process.StandardError.ReadToEndAsync(patience.Token));
        try
        {
            await process.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }

        var text = await said;
        output.WriteLine(text);
        Assert.True(process.ExitCode == 0, $"dotnet {string.Join(' ', arguments)} ended with code {process.ExitCode}:\n{text}\n{await complained}");
        return text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
    }
}
