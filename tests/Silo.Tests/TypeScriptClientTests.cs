using System.Diagnostics;
using KlineOrleans.Testing;

namespace KlineOrleans.Silo.Tests;

/// <summary>The client package of clients/typescript against the real server, over SignalR and over the raw WebSocket.</summary>
/// <remarks>The package's own tests need no server and run beside these; what they need of npm is installed by ./test.</remarks>
public class TypeScriptClientTests
{
    private static readonly string Folder = Path.Combine(RecordedData.RepositoryRoot, "clients", "typescript");
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [Fact]
    public async Task The_client_follows_a_live_market_resumes_and_equals_HTTP()
    {
        var program = Path.Combine(Folder, "node_modules", "vitest", "vitest.mjs");
        Assert.SkipUnless(File.Exists(program), "the packages of clients/typescript are not installed (npm ci there)");
        using var folder = new TemporaryFolder();
        await using var server = await ServerProcess.Start(
            "--Kline:Sources:0:Kind", "Simulation", "--Kline:Sources:0:History", "00:20:00", "--Kline:Storage:Path", folder["kline.db"]);

        using var process = new Process();
        process.StartInfo = new ProcessStartInfo("node", [program, "run", "tests/server.test.ts"]) { WorkingDirectory = Folder, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        process.StartInfo.Environment["KLINE_SERVER"] = server.Address.ToString().TrimEnd('/');
        process.StartInfo.Environment["NO_COLOR"] = "1";
        process.Start();
        var output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        using var limit = new CancellationTokenSource(Patience, TimeProvider.System);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
        }

        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(process.ExitCode == 0, await output + await errors);
        Assert.Contains("5 passed", await output, StringComparison.Ordinal);
    }
}
