using System.Text;
using KlineOrleans.Testing;
using SQLitePCL;

namespace KlineOrleans.Silo.Tests;

/// <summary>Killed at any moment and started again, the server ends with the archive of an undisturbed run, byte for byte.</summary>
public class CrashTests
{
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

    /// <summary>Every row of the archive, with every column as it is stored.</summary>
    private static List<string> Dump(string path)
    {
        Batteries_V2.Init();
        Assert.Equal(raw.SQLITE_OK, raw.sqlite3_open_v2(path, out var db, raw.SQLITE_OPEN_READONLY, null));
        using (db)
        {
            const string Sql = "SELECT s.symbol, s.name, s.source, s.listed_ms, k.* FROM kline k JOIN symbol s ON s.id = k.symbol_id ORDER BY s.symbol, k.interval, k.open_time";
            Assert.Equal(raw.SQLITE_OK, raw.sqlite3_prepare_v2(db, Sql, out var statement));
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
