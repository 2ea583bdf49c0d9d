using System.Globalization;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Cli.Tests;

public class VerifyTests
{
    [Fact]
    public async Task Klines_of_the_recorded_exchange_are_all_equal()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);

        var (exitCode, output, errors) = await CommandRun.Of("verify", RecordedData.PathOf("binance-xrpeth"));

        Assert.Equal("", errors);
        Assert.Equal(["m1       3,560 of 3,560 equal", "m5         712 of 712 equal", "4,272 of 4,272 equal"], Lines(output));
        Assert.Equal(0, exitCode);
    }

    [Fact]
    public async Task A_recording_with_one_altered_trade_names_the_klines_that_differ()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        using var folder = new TemporaryFolder();
        foreach (var file in Directory.EnumerateFiles(RecordedData.PathOf("binance-xrpeth")))
        {
            File.WriteAllBytes(folder[Path.GetFileName(file)], await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken));
        }

        var time = TradeFile.Alter(folder["XRPETH-aggTrades-2019-10-11_13.csv"]);
        var (exitCode, output, _) = await CommandRun.Of("verify", Path.GetDirectoryName(folder["x"])!);

        Assert.Equal(1, exitCode);
        var lines = Lines(output);
        foreach (var interval in new[] { KlineInterval.M1, KlineInterval.M5 })
        {
            Assert.Contains(lines, l => l.StartsWith($"XRPETH {interval.Name()} {Times.Format(interval.OpenTime(time))}: ", StringComparison.Ordinal) && l.Contains("high is 0.09999999 by the trades", StringComparison.Ordinal));
        }

        Assert.EndsWith("of 4,272 equal", lines[^1], StringComparison.Ordinal);
        Assert.DoesNotContain("4,272 of 4,272", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_server_that_replayed_the_recording_is_equal_and_an_altered_recording_names_each_kline_that_holds_the_trade()
    {
        using var folder = new TemporaryFolder();
        var path = folder["ABCXYZ-aggTrades.csv"];
        TradeFile.Write(path, 3_000);
        await using var server = await Replay(folder, path);

        var (exitCode, output, errors) = await CommandRun.Of("verify", path, "--server", server.Address.ToString());
        Assert.Equal("", errors);
        Assert.Equal(0, exitCode);
        var lines = Lines(output);
        Assert.Equal(KlineIntervals.All.Length + 1, lines.Length);

        var time = TradeFile.Alter(path);
        (exitCode, output, _) = await CommandRun.Of("verify", path, "--server", server.Address.ToString(), "--show", "1000");
        Assert.Equal(1, exitCode);
        foreach (var interval in KlineIntervals.All)
        {
            Assert.Contains($"ABCXYZ {interval.Name()} {Times.Format(interval.OpenTime(time))}: ", output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task What_cannot_be_verified_is_said_in_a_sentence()
    {
        using var folder = new TemporaryFolder();
        var path = folder["ABC-aggTrades.csv"];
        TradeFile.Write(path, 10);
        await File.WriteAllTextAsync(folder["notes.txt"], "hello", TestContext.Current.CancellationToken);
        foreach (var (args, expected) in new (string[], string)[]
        {
            (["verify", folder["none"]], "is neither a file nor a folder"),
            (["verify", path], "There is nothing to compare with"),
            (["verify", folder["notes.txt"], "--server", "http://127.0.0.1:1"], "does not look like a recording"),
            (["verify", path, "--server", "http://127.0.0.1:1"], "cannot be reached"),
            (["verify", path, "--server", "nonsense"], "'nonsense' is not an address of a server"),
            (["verify", path, "--server", "http://127.0.0.1:1", "--intervals", "m1,m2"], "'m2' is not allowed"),
            (["verify", path, "--server", "http://127.0.0.1:1", "--format", "Tape"], "'Tape' is not allowed. Allowed: "),
            (["verify", path, "--show", "-1"], "--show: -1 is not allowed"),
            (["verify"], "Required argument missing"),
            (["dance"], "dance"),
        })
        {
            var (exitCode, _, errors) = await CommandRun.Of(args);
            Assert.Equal(2, exitCode);
            Assert.Contains(expected, errors, StringComparison.Ordinal);
            Assert.DoesNotContain("   at ", errors, StringComparison.Ordinal);
        }
    }

    internal static Task<ServerProcess> Replay(TemporaryFolder folder, string path) => ServerProcess.Start(
        "--Kline:Sources:0:Kind", "Replay", "--Kline:Sources:0:Format", "BinanceAggTradesCsv", "--Kline:Sources:0:Path", path, "--Kline:Sources:0:Symbol", "ABCXYZ",
        "--Kline:Storage:Path", folder["kline.db"]);

    internal static string[] Lines(string output) => output.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    internal static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
