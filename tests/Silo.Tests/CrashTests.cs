using KlineOrleans.Testing;

namespace KlineOrleans.Silo.Tests;

/// <summary>Killed at any moment and started again, the server ends with the archive of an undisturbed run, byte for byte.</summary>
public class CrashTests
{
    private static readonly string[] Stores = (Environment.GetEnvironmentVariable("KLINE_STORES") ?? "Sqlite,Postgres").Split(',');

    // How often runs are killed in all, the seed of the moments, and how large the replay is: by default as much as is done in seconds.
    private static readonly int Kills = Given("KLINE_KILLS", 2);
    private static readonly int Seed = Given("KLINE_SEED", 1);
    private static readonly int Symbols = Given("KLINE_SYMBOLS", 100);
    private static readonly int Trades = Given("KLINE_TRADES", 8_000);

    /// <summary>After so many kills a run is finished and compared, and another begins.</summary>
    private const int KillsOfOneRun = 5;

    [Theory]
    [InlineData("Sqlite")]
    [InlineData("Postgres")]
    public async Task A_full_speed_replay_of_many_mints_killed_again_and_again_ends_with_the_archive_of_an_undisturbed_one(string store)
    {
        Assert.SkipUnless(Stores.Contains(store), "KLINE_STORES leaves it out");
        using var folder = new TemporaryFolder();
        await using var whole = await ServerStore.Create(store, folder, "whole");
        var recording = folder["trades.ndjson"];
        await MadeUpTrades.WriteBinanceFrames(recording, Symbols, Trades, Seed);
        await using (var undisturbed = await ServerProcess.Start(Settings(recording, "BinanceFrames", whole)))
        {
            await undisturbed.WaitForEnd();
            Assert.Equal(0, await undisturbed.Terminate());
        }

        var random = new Random(Seed);
        for (var left = Kills; left > 0; left -= KillsOfOneRun)
        {
            await using var killed = await ServerStore.Create(store, folder, $"killed{left}");
            foreach (var moment in Enumerable.Range(0, Math.Min(left, KillsOfOneRun)).Select(_ => random.NextDouble() * 1.1).Order())
            {
                await using var server = await ServerProcess.Start(Settings(recording, "BinanceFrames", killed));
                // Above 1: while the last is saved, or after it.
                await server.WaitFor("/health", health => health.GetProperty("sources") is { } sources && sources.GetArrayLength() > 0
                    && sources[0].TryGetProperty("progress", out var progress) && progress.ValueKind == System.Text.Json.JsonValueKind.Number && progress.GetDouble() >= Math.Min(moment, 1));
                await Task.Delay(TimeSpan.FromMilliseconds(random.Next(200)), TimeProvider.System, TestContext.Current.CancellationToken);
                await server.Kill();
            }

            await using var last = await ServerProcess.Start(Settings(recording, "BinanceFrames", killed));
            await last.WaitForEnd();
            Assert.Equal(0, await last.Terminate());
            var rows = ServerStore.AssertEqual(whole, killed);
            Assert.True(rows > Trades, $"{rows} rows");
            TestContext.Current.TestOutputHelper?.WriteLine($"{Math.Min(left, KillsOfOneRun)} kills: {rows} rows equal");
        }
    }

    [Fact]
    public async Task A_server_that_is_asked_to_stop_goes_on_where_it_was()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        using var folder = new TemporaryFolder();
        var recording = RecordedData.PathOf("binance-xrpeth", "XRPETH-aggTrades-2019-10-11_13.csv");
        await using var store = await ServerStore.Create("Sqlite", folder, "kline");
        string first;
        await using (var server = await ServerProcess.Start(Settings(recording, "BinanceAggTradesCsv", store, speed: 30_000)))
        {
            await server.WaitFor("/health", health => health.GetProperty("sources") is { } sources && sources.GetArrayLength() > 0 && sources[0].GetProperty("trades").GetInt64() > 2_000);
            Assert.Equal(0, await server.Terminate());
            first = server.Output;
        }

        Assert.Contains("starts from the beginning", first, StringComparison.Ordinal);
        await using var again = await ServerProcess.Start(Settings(recording, "BinanceAggTradesCsv", store));
        var end = await again.WaitForEnd();
        Assert.DoesNotContain("starts from the beginning", again.Output, StringComparison.Ordinal);

        // Everything was saved at the stop, so nothing had to be read twice.
        Assert.Equal(0, end.GetProperty("sources")[0].GetProperty("duplicates").GetInt64());
        Assert.InRange(end.GetProperty("sources")[0].GetProperty("trades").GetInt64(), 1, 12_477 - 2_000);
    }

    private static string[] Settings(string recording, string format, ServerStore store, double speed = 0) =>
    [
        "--Kline:Sources:0:Kind", "Replay",
        "--Kline:Sources:0:Format", format,
        .. format == "BinanceAggTradesCsv" ? ["--Kline:Sources:0:Symbol", "XRPETH"] : Array.Empty<string>(),
        "--Kline:Sources:0:Speed", speed.ToString(System.Globalization.CultureInfo.InvariantCulture),
        "--Kline:Sources:0:Path", recording,
        .. store.Settings,
    ];

    private static int Given(string name, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), System.Globalization.CultureInfo.InvariantCulture, out var given) ? given : otherwise;
}
