using KlineOrleans.Testing;
using Spectre.Console;

namespace KlineOrleans.Cli.Tests;

/// <summary>backup and restore, and the bar that long work shows.</summary>
public class StoreCommandTests
{
    [Fact]
    public async Task A_store_is_copied_while_its_server_runs_and_a_server_on_the_copy_has_the_same_klines()
    {
        using var folder = new TemporaryFolder();
        var path = folder["ABCXYZ-trades.csv"];
        TradeFile.Write(path, 2_000);
        string[] klines;
        await using (var server = await VerifyTests.Replay(folder, path))
        {
            await server.WaitForEnd();
            var (code, output, errors) = await CommandRun.Of("backup", folder["monday.db"], "--store", folder["kline.db"]);
            Assert.Equal((0, ""), (code, errors));
            Assert.Contains("holds all of", output, StringComparison.Ordinal);
            klines = await Export(server);
        }

        var (exitCode, said, failure) = await CommandRun.Of("restore", folder["monday.db"], "--store", folder["again.db"]);
        Assert.Equal((0, ""), (exitCode, failure));
        Assert.Contains("goes on from the moment of the backup", said, StringComparison.Ordinal);
        await using var again = await ServerProcess.Start(
            "--Kline:Sources:0:Kind", "Replay", "--Kline:Sources:0:Format", "BinanceAggTradesCsv", "--Kline:Sources:0:Path", path, "--Kline:Sources:0:Symbol", "ABCXYZ", "--Kline:Storage:Path", folder["again.db"]);
        await again.WaitForEnd();
        Assert.True(klines.Length > 300);
        Assert.Equal(klines, await Export(again));

        async Task<string[]> Export(ServerProcess server)
        {
            var (code, _, errors) = await CommandRun.Of("export", "ABCXYZ", "m1", "--output", folder["out.csv"], "--force", "--server", server.Address.ToString());
            Assert.Equal((0, ""), (code, errors));
            return await File.ReadAllLinesAsync(folder["out.csv"], TestContext.Current.CancellationToken);
        }
    }

    [Fact]
    public async Task What_cannot_be_copied_is_a_sentence_and_overwrites_nothing()
    {
        using var folder = new TemporaryFolder();
        await File.WriteAllTextAsync(folder["there.db"], "mine", TestContext.Current.CancellationToken);
        foreach (var (args, expected) in new (string[], string)[]
        {
            (["backup", folder["x.db"], "--store", folder["none.db"]], "There is no store at"),
            (["backup", folder["there.db"], "--store", folder["there.db"]], "exists. A backup does not overwrite."),
            (["restore", folder["none.db"], "--store", folder["x.db"]], "There is no backup at"),
            (["restore", folder["there.db"], "--store", folder["x.db"]], "damaged or no backup"),
            (["restore", folder["x.db"], "--store", folder["there.db"]], "There is no backup at"),
            (["backup"], "Required argument missing"),
        })
        {
            var (exitCode, _, errors) = await CommandRun.Of(args);
            Assert.Equal(2, exitCode);
            Assert.Contains(expected, errors, StringComparison.Ordinal);
            Assert.DoesNotContain("   at ", errors, StringComparison.Ordinal);
        }

        Assert.Equal("mine", await File.ReadAllTextAsync(folder["there.db"], TestContext.Current.CancellationToken));
        Assert.False(File.Exists(folder["x.db"]));
    }

    [Fact]
    public async Task Long_work_shows_a_bar_on_a_terminal_and_nothing_in_a_file()
    {
        foreach (var (interactive, shows) in new[] { (InteractionSupport.Yes, true), (InteractionSupport.No, false) })
        {
            var output = new StringWriter();
            var console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.Yes, ColorSystem = ColorSystemSupport.NoColors, Interactive = interactive, Out = new AnsiConsoleOutput(output) });
            console.Profile.Width = 120;
            var done = 0.0;
            await Progress.Show(console, "Copying", tell =>
            {
                for (; done < 1; done += 0.25)
                {
                    tell($"Copying [part {done}]", done);
                }

                tell("Copying all", 1);
                return Task.CompletedTask;
            });

            Assert.Equal(shows, output.ToString().Contains("Copying", StringComparison.Ordinal));
            Assert.Equal(shows, output.ToString().Contains("100%", StringComparison.Ordinal));
        }
    }
}
