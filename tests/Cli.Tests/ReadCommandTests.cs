using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Cli.Tests;

/// <summary>The commands that read a server: history, export, watch.</summary>
public class ReadCommandTests
{
    [Fact]
    public async Task History_prints_the_newest_klines_of_a_range()
    {
        using var folder = new TemporaryFolder();
        var path = folder["trades.csv"];
        TradeFile.Write(path, 500);
        await using var server = await VerifyTests.Replay(folder, path);
        await server.WaitForEnd();

        var (exitCode, output, errors) = await CommandRun.Of("history", "ABCXYZ", "m5", "--to", Times.Format(TradeFile.Begin.AddMinutes(30)), "--limit", "3", "--server", server.Address.ToString());

        Assert.Equal((0, ""), (exitCode, errors));
        Assert.Contains("2026-01-05 00:15:00", output, StringComparison.Ordinal);
        Assert.Contains("2026-01-05 00:25:00", output, StringComparison.Ordinal);
        Assert.DoesNotContain("2026-01-05 00:10:00", output, StringComparison.Ordinal);
        Assert.DoesNotContain("2026-01-05 00:30:00", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Export_writes_every_final_kline_with_exact_values()
    {
        using var folder = new TemporaryFolder();
        var path = folder["ABCXYZ-trades.csv"];
        TradeFile.Write(path, 2_000);
        await using var server = await VerifyTests.Replay(folder, path);
        await server.WaitForEnd();
        var file = folder["out.csv"];

        var (exitCode, output, errors) = await CommandRun.Of("export", "ABCXYZ", "s1", "--output", file, "--server", server.Address.ToString());

        Assert.Equal((0, ""), (exitCode, errors));
        var lines = await File.ReadAllLinesAsync(file, TestContext.Current.CancellationToken);
        Assert.Equal(ExportCommand.Header, lines[0]);
        var built = await new Recording(path, Ingest.RecordingFormat.BinanceAggTradesCsv, "ABCXYZ").Build("s1", TimeProvider.System, (_, _) => { }, TestContext.Current.CancellationToken);
        var expected = built[("ABCXYZ", KlineInterval.S1)].Where(k => k.IsFinal).Select(k => VerifyTests.Invariant(
            $"{k.OpenTime.ToUnixTimeMilliseconds()},{k.Open.Value},{k.High.Value},{k.Low.Value},{k.Close.Value},{k.BaseVolume},{k.QuoteVolume},{k.TradeCount},{k.TakerBuyBaseVolume},{k.TakerBuyQuoteVolume},{k.Revision}"));
        Assert.Equal(expected.Select(Trimmed), lines[1..].Select(Trimmed));
        Assert.Contains(VerifyTests.Invariant($"{lines.Length - 1} klines"), output, StringComparison.Ordinal);
        Assert.True(lines.Length > 2_000);

        (exitCode, _, errors) = await CommandRun.Of("export", "ABCXYZ", "s1", "--output", file, "--server", server.Address.ToString());
        Assert.Equal(2, exitCode);
        Assert.Contains("exists. --force writes over it", errors, StringComparison.Ordinal);
        (exitCode, _, _) = await CommandRun.Of("export", "ABCXYZ", "h1", "--output", file, "--force", "--server", server.Address.ToString());
        Assert.Equal(0, exitCode);
        Assert.True((await File.ReadAllLinesAsync(file, TestContext.Current.CancellationToken)).Length < 100);
    }

    [Fact]
    public async Task Watch_prints_klines_as_they_change()
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServerProcess.Start(
            "--Kline:Sources:0:Kind", "Simulation", "--Kline:Sources:0:Mints", "1", "--Kline:Sources:0:TradesPerSecond", "20", "--Kline:Sources:0:History", "00:01:00", "--Kline:Storage:Path", folder["kline.db"]);
        var symbol = (await server.WaitFor("/api/v1/symbols?limit=1", found => found.GetProperty("symbols").GetArrayLength() > 0)).GetProperty("symbols")[0].GetProperty("symbol").GetString()!;
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var lines = new WatchedLines();
        var console = Spectre.Console.AnsiConsole.Create(new() { Ansi = Spectre.Console.AnsiSupport.No, Interactive = Spectre.Console.InteractionSupport.No, Out = new Spectre.Console.AnsiConsoleOutput(lines) });
        console.Profile.Width = 400;
        using var at = new KlineServer(server.Address, null);

        var watch = WatchCommand.Run(at, symbol, KlineInterval.S1, 5, plain: true, console, TimeProvider.System, stop.Token);
        await lines.WaitFor(l => l.EndsWith(" forming", StringComparison.Ordinal), 2);
        await lines.WaitFor(l => l.EndsWith(" final", StringComparison.Ordinal) && l.Contains($" {symbol} s1 open ", StringComparison.Ordinal), 8);
        await stop.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => watch);
    }

    [Fact]
    public async Task A_refusal_of_the_server_is_a_sentence()
    {
        using var folder = new TemporaryFolder();
        await using var server = await ServerProcess.Start("--Kline:Sources:0:Kind", "Simulation", "--Kline:Sources:0:History", "00:01:00", "--Kline:Storage:Path", folder["kline.db"]);
        foreach (var (args, expected) in new (string[], string)[]
        {
            (["history", "x", "m1"], "answers 400: symbol: 'x' is not allowed"),
            (["watch", "x", "m1"], "answers 400: symbol: 'x' is not allowed"),
            (["history", "x", "m2"], "interval: 'm2' is not allowed. Allowed: s1, "),
            (["history", "x", "m1", "--from", "yesterday"], "--from: 'yesterday' is not a time. Allowed: "),
            (["history", "x", "m1", "--limit", "1001"], "--limit: 1001 is not allowed. Allowed: 1 to 1000."),
            (["export", "x", "m1", "--from", "2026-02-01", "--to", "2026-01-01"], "is not before --to"),
        })
        {
            var (exitCode, _, errors) = await CommandRun.Of([.. args, "--server", server.Address.ToString()]);
            Assert.Equal(2, exitCode);
            Assert.Contains(expected, errors, StringComparison.Ordinal);
        }
    }

    private static string Trimmed(string line) => string.Join(',', line.Split(',').Select(f => f.Contains('.', StringComparison.Ordinal) ? f.TrimEnd('0').TrimEnd('.') : f));

    /// <summary>What is printed, line by line, with a way to wait for some.</summary>
    private sealed class WatchedLines : StringWriter
    {
        private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

        private readonly Lock _lock = new();
        private readonly List<string> _lines = [];
        private TaskCompletionSource _more = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private string _line = "";

        public override void Write(char value) => Write(value.ToString());

        public override void Write(char[] buffer, int index, int count) => Write(new string(buffer, index, count));

        public override void Write(string? value)
        {
            lock (_lock)
            {
                var parts = (_line + value).Split('\n');
                _line = parts[^1];
                _lines.AddRange(parts[..^1].Select(l => l.TrimEnd()));
                _more.TrySetResult();
                _more = new(TaskCreationOptions.RunContinuationsAsynchronously);
            }
        }

        public async Task WaitFor(Func<string, bool> line, int count)
        {
            while (true)
            {
                Task more;
                lock (_lock)
                {
                    if (_lines.Count(line) >= count)
                    {
                        return;
                    }

                    more = _more.Task;
                }

                await more.WaitAsync(Patience, TimeProvider.System);
            }
        }
    }
}
