using System.Diagnostics;
using System.Text.Json;
using KlineOrleans.Testing;

namespace KlineOrleans.Silo.Tests;

/// <summary>The store goes away while the server runs: it stays up, says degraded, and in the end nothing is missing.</summary>
public class OutageTests
{
    private const int Symbols = 100;
    private const int Trades = 8_000;

    [Fact]
    public async Task Database_that_is_gone_hangs_and_comes_back_costs_nothing()
    {
        using var folder = new TemporaryFolder();
        await using var killed = await ServerStore.Create("Postgres", folder, "killed");
        await using var whole = await Undisturbed("Postgres", folder);
        await using var gate = new TcpGate(PostgresDatabase.Address.Host, PostgresDatabase.Address.Port);
        // Slow enough to be still reading when the store is away, on any machine.
        string[] settings = [.. Replay(folder["trades.ndjson"], speed: 100), .. ((ServerStore.Postgres)killed).Through(gate)];
        await using (var server = await ServerProcess.Start(settings))
        {
            await server.WaitFor("/health", h => TradesOf(h) > 500);
            gate.Close();
            await server.WaitFor("/health/ready", h => h.GetProperty("status").GetString() == "degraded");
            var before = TradesOf(await server.Get("/health"));
            await server.WaitFor("/health", h => TradesOf(h) > before + 200);
            gate.Open();
            await server.WaitFor("/health/ready", h => h.GetProperty("status").GetString() == "ok");

            gate.Pause();
            await server.WaitFor("/health/ready", h => h.GetProperty("status").GetString() == "degraded");

            // The end of the process while the database is away.
            await server.Kill();
            Assert.DoesNotContain("kline-secret", server.Output, StringComparison.Ordinal);
        }

        gate.Open();
        gate.Cut();
        await using var last = await ServerProcess.Start([.. Replay(folder["trades.ndjson"]), .. killed.Settings]);
        await last.WaitForEnd();
        Assert.Equal(0, await last.Terminate());
        Assert.True(ServerStore.AssertEqual(whole, killed) > Trades);
    }

    [Fact]
    public async Task Full_disk_leaves_the_server_up_and_costs_nothing_once_there_is_room()
    {
        using var folder = new TemporaryFolder();
        await using var disk = await SmallDisk.Mount(folder["disk"], kilobytes: 2_048);
        await using var whole = await Undisturbed("Sqlite", folder);
        await using var store = await ServerStore.Create("Sqlite", folder, Path.Combine("disk", "kline"));
        await using (var server = await ServerProcess.Start([.. Replay(folder["trades.ndjson"]), .. store.Settings]))
        {
            await server.WaitFor("/health/ready", h => h.GetProperty("status").GetString() == "degraded" && h.GetProperty("problems").ToString().Contains("full", StringComparison.Ordinal));
            // Everything was read and is live; nothing more could be stored.
            await server.WaitFor("/health", h => TradesOf(h) > Trades * 9 / 10);
            await disk.Resize(kilobytes: 200_000);
            await server.WaitForEnd();
            await server.WaitFor("/health/ready", h => h.GetProperty("status").GetString() == "ok");
            Assert.Equal(0, await server.Terminate());
        }

        Assert.True(ServerStore.AssertEqual(whole, store) > Trades);
    }

    private static async Task<ServerStore> Undisturbed(string kind, TemporaryFolder folder)
    {
        await MadeUpTrades.WriteBinanceFrames(folder["trades.ndjson"], Symbols, Trades, seed: 3);
        var store = await ServerStore.Create(kind, folder, "whole");
        await using var server = await ServerProcess.Start([.. Replay(folder["trades.ndjson"]), .. store.Settings]);
        await server.WaitForEnd();
        Assert.Equal(0, await server.Terminate());
        return store;
    }

    private static long TradesOf(JsonElement health) =>
        health.GetProperty("sources") is var sources && sources.GetArrayLength() > 0 && sources[0].TryGetProperty("trades", out var trades) ? trades.GetInt64() : 0;

    internal static string[] Replay(string recording, double speed = 0) =>
    [
        "--Kline:Sources:0:Kind", "Replay",
        "--Kline:Sources:0:Format", "BinanceFrames",
        "--Kline:Sources:0:Speed", speed.ToString(System.Globalization.CultureInfo.InvariantCulture),
        "--Kline:Sources:0:Path", recording,
    ];

    /// <summary>A file system in memory of a size of its own. Mounting one takes the rights of root.</summary>
    private sealed class SmallDisk(string path) : IAsyncDisposable
    {
        public static async Task<SmallDisk> Mount(string path, int kilobytes)
        {
            Directory.CreateDirectory(path);
            var mounted = OperatingSystem.IsLinux() && Environment.IsPrivilegedProcess && await Run("mount", "-t", "tmpfs", "-o", $"size={kilobytes}k", "tmpfs", path);
            Assert.SkipUnless(mounted, "a small tmpfs cannot be mounted here: that takes the rights of root");
            return new SmallDisk(path);
        }

        public async Task Resize(int kilobytes) => Assert.True(await Run("mount", "-o", $"remount,size={kilobytes}k", path));

        public async ValueTask DisposeAsync() => await Run("umount", "-l", path);

        private static async Task<bool> Run(string program, params string[] arguments)
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardError = true })!;
            await process.WaitForExitAsync();
            return process.ExitCode == 0;
        }
    }
}
