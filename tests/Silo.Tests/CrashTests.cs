using System.Text;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Solana;
using SQLitePCL;

namespace KlineOrleans.Silo.Tests;

/// <summary>Killed at any moment and started again, the server ends with the archive of an undisturbed run, byte for byte.</summary>
public class CrashTests
{
    private const string Klines = "SELECT s.symbol, s.name, s.source, s.listed_ms, k.* FROM kline k JOIN symbol s ON s.id = k.symbol_id ORDER BY s.symbol, k.interval, k.open_time";

    // How often one run is killed, and the seed of the moments.
    private static readonly int Kills = int.TryParse(Environment.GetEnvironmentVariable("KLINE_KILLS"), out var kills) ? kills : 6;
    private static readonly int Seed = int.Parse(Environment.GetEnvironmentVariable("KLINE_SEED") ?? "1", System.Globalization.CultureInfo.InvariantCulture);

    [Fact]
    public async Task A_replay_killed_again_and_again_ends_with_the_archive_of_an_undisturbed_one()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        using var folder = new TemporaryFolder();
        var recording = RecordedData.PathOf("binance-xrpeth", "XRPETH-aggTrades-2019-10-11_13.csv");
        await using (var undisturbed = await ServerProcess.Start(Settings(recording, folder["whole.db"], speed: 0)))
        {
            await undisturbed.WaitForEnd();
            Assert.Equal(0, await undisturbed.Terminate());
        }

        var random = new Random(Seed);
        var moments = Enumerable.Range(0, Kills).Select(_ => random.NextDouble()).Order().ToList();
        foreach (var moment in moments)
        {
            // Fast enough to be done soon, slow enough to be met in the middle.
            await using var server = await ServerProcess.Start(Settings(recording, folder["killed.db"], speed: 30_000));
            await server.WaitFor("/health", health => health.GetProperty("sources") is { } sources && sources.GetArrayLength() > 0
                && sources[0].TryGetProperty("progress", out var progress) && progress.ValueKind == System.Text.Json.JsonValueKind.Number && progress.GetDouble() >= moment);
            await server.Kill();
        }

        await using var last = await ServerProcess.Start(Settings(recording, folder["killed.db"], speed: 0));
        await last.WaitForEnd();
        Assert.Equal(0, await last.Terminate());

        var expected = Dump(folder["whole.db"]);
        Assert.True(expected.Count > 10_000, $"{expected.Count} rows");
        Assert.Equal(expected, Dump(folder["killed.db"]));
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
        string first;
        await using (var server = await ServerProcess.Start(Settings(recording, folder["kline.db"], speed: 30_000)))
        {
            await server.WaitFor("/health", health => health.GetProperty("sources") is { } sources && sources.GetArrayLength() > 0 && sources[0].GetProperty("trades").GetInt64() > 2_000);
            Assert.Equal(0, await server.Terminate());
            first = server.Output;
        }

        Assert.Contains("starts from the beginning", first, StringComparison.Ordinal);
        await using var again = await ServerProcess.Start(Settings(recording, folder["kline.db"], speed: 0));
        var end = await again.WaitForEnd();
        Assert.DoesNotContain("starts from the beginning", again.Output, StringComparison.Ordinal);

        // Everything was saved at the stop, so nothing had to be read twice.
        Assert.Equal(0, end.GetProperty("sources")[0].GetProperty("duplicates").GetInt64());
        Assert.InRange(end.GetProperty("sources")[0].GetProperty("trades").GetInt64(), 1, 12_477 - 2_000);
    }

    private static string[] Settings(string recording, string store, double speed) =>
    [
        "--Kline:Sources:0:Kind", "Replay",
        "--Kline:Sources:0:Format", "BinanceAggTradesCsv",
        "--Kline:Sources:0:Symbol", "XRPETH",
        "--Kline:Sources:0:Speed", speed.ToString(System.Globalization.CultureInfo.InvariantCulture),
        "--Kline:Sources:0:Path", recording,
        "--Kline:Storage:Path", store,
    ];

    /// <summary>Every row of the archive, or of another query, with every column as it is stored.</summary>
    private static List<string> Dump(string path, string sql = Klines)
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
