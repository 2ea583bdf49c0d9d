using System.Diagnostics;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Clients;

namespace KlineOrleans.Silo.Tests;

/// <summary>The client package of clients/typescript against the real server, over SignalR and over the raw WebSocket.</summary>
/// <remarks>The package's own tests need no server and run beside these; what they need of npm is installed by ./test.</remarks>
public class TypeScriptClientTests
{
    private static readonly string Folder = Path.Combine(RecordedData.RepositoryRoot, "clients", "typescript");
    private static readonly string Vitest = Path.Combine(Folder, "node_modules", "vitest", "vitest.mjs");
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [Fact]
    public async Task The_client_follows_a_live_market_resumes_and_equals_HTTP()
    {
        SkipUnlessPossible();
        using var folder = new TemporaryFolder();
        await using var server = await ServerProcess.Start(
            "--Kline:Sources:0:Kind", "Simulation", "--Kline:Sources:0:History", "00:20:00", "--Kline:Storage:Path", folder["kline.db"]);
        Assert.Contains("5 passed", await Run("tests/server.test.ts", server.Address), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_client_equals_HTTP_after_an_hour_of_corrections_and_cuts_on_both_wires()
    {
        SkipUnlessPossible();
        using var folder = new TemporaryFolder();
        await MadeUpTrades.WriteBinanceHour(folder["trades.jsonl"], symbols: 3, trades: 9_000, seed: 2);
        await using var server = await ServerProcess.Start(
            "--Kline:Sources:0:Kind", "Replay", "--Kline:Sources:0:Format", "BinanceFrames", "--Kline:Sources:0:Path", folder["trades.jsonl"], "--Kline:Sources:0:Speed", "300", "--Kline:Storage:Path", folder["kline.db"]);
        await using var link = new TcpProxy(server.Address);
        var test = Run("tests/hour.test.ts", link.Address);
        foreach (var minute in (int[])[25, 35, 45, 55])
        {
            await server.WaitFor("/health", health => health.GetProperty("sources")[0].GetProperty("clock").GetInt64() >= new DateTimeOffset(2026, 1, 5, 0, minute, 0, TimeSpan.Zero).ToUnixTimeMilliseconds());
            link.Cut(reset: minute % 20 == 5);
            link.Mend();
        }

        Assert.Contains("1 passed", await test, StringComparison.Ordinal);
    }

    private static void SkipUnlessPossible() =>
        Assert.SkipUnless(File.Exists(Vitest), "the packages of clients/typescript are not installed (npm ci there)");

    /// <summary>Runs a file of the package's tests against a server and returns what it says; fails where it fails.</summary>
    private static async Task<string> Run(string tests, Uri server)
    {
        using var process = new Process();
        process.StartInfo = new ProcessStartInfo("node", [Vitest, "run", tests]) { WorkingDirectory = Folder, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        process.StartInfo.Environment["KLINE_SERVER"] = server.ToString().TrimEnd('/');
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
        return await output;
    }
}
