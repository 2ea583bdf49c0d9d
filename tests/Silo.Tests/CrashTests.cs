using System.Text;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Solana;
using SQLitePCL;

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
    public async Task Chain_events_of_a_replay_killed_again_and_again_are_those_of_an_undisturbed_one()
    {
        using var folder = new TemporaryFolder();
        var recording = folder["logs.ndjson"];
        var chain = new ChainGenerator(Seed) { Mints = 20 }.Generate(12_000);
        await File.WriteAllLinesAsync(recording, chain.ToLogLines(), TestContext.Current.CancellationToken);
        string[] settings = ["--Kline:Sources:0:Kind", "Replay", "--Kline:Sources:0:Format", "SolanaLogs", "--Kline:Sources:0:Path", recording, "--Kline:Events:PerMint", "400"];
        await using (var undisturbed = await ServerProcess.Start([.. settings, "--Kline:Sources:0:Speed", "0", "--Kline:Storage:Path", folder["whole.db"]]))
        {
            await undisturbed.WaitForEnd();
            Assert.Equal(0, await undisturbed.Terminate());
        }

        var random = new Random(Seed);
        foreach (var moment in Enumerable.Range(0, Math.Max(3, Kills / 2)).Select(_ => random.Next(500, chain.Trades.Length - 500)).Order())
        {
            await using var server = await ServerProcess.Start([.. settings, "--Kline:Sources:0:Speed", "30", "--Kline:Storage:Path", folder["killed.db"]]);
            await server.WaitFor("/health", health => health.GetProperty("sources") is { } sources && sources.GetArrayLength() > 0
                && (sources[0].GetProperty("trades").GetInt64() >= moment / 3 || sources[0].GetProperty("state").GetString() == "ended"));
            await server.Kill();
        }

        await using var last = await ServerProcess.Start([.. settings, "--Kline:Sources:0:Speed", "0", "--Kline:Storage:Path", folder["killed.db"]]);
        await last.WaitForEnd();
        Assert.Equal(0, await last.Terminate());

        const string Events = "SELECT s.symbol, e.number, e.slot, e.sequence, e.signature, e.event_index, e.event_time, e.type, e.fields FROM chain_event e JOIN symbol s ON s.id = e.symbol_id ORDER BY s.symbol, e.number";
        var expected = Dump(folder["whole.db"], Events);
        Assert.InRange(expected.Count, 2_000, 20 * 400);
        Assert.Equal(expected, Dump(folder["killed.db"], Events));
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
    /// <summary>Every row of a query on a SQLite store, with every column as it is stored.</summary>
    private static List<string> Dump(string path, string sql)
    {
        Batteries_V2.Init();
        Assert.Equal(raw.SQLITE_OK, raw.sqlite3_open_v2(path, out var db, raw.SQLITE_OPEN_READONLY, null));
        using (db)
        {
            Assert.Equal(raw.SQLITE_OK, raw.sqlite3_prepare_v2(db, sql, out var statement));
            using (statement)
            {
                var rows = new List<string>();
                while (raw.sqlite3_step(statement) == raw.SQLITE_ROW)
                {
                    var row = new StringBuilder();
                    for (var i = 0; i < raw.sqlite3_column_count(statement); i++)
                    {
                        row.Append(raw.sqlite3_column_type(statement, i)).Append(':').Append(raw.sqlite3_column_text(statement, i).utf8_to_string()).Append('|');
                    }

                    rows.Add(row.ToString());
                }

                return rows;
            }
        }
    }
}
