using System.Globalization;
using KlineOrleans.Contracts;
using Spectre.Console;

namespace KlineOrleans.Cli;

/// <summary><c>kline verify</c>: klines computed from a recording's trades, beside those of an exchange or a server.</summary>
internal static class VerifyCommand
{
    public static async Task<int> Run(
        string path, KlineServer? server, string? format, string? symbol, string? intervals, int show, IAnsiConsole console, TimeProvider time, CancellationToken stop)
    {
        IReadOnlyList<(string Path, KlineInterval Interval)> said = [];
        var file = path;
        if (Directory.Exists(path))
        {
            file = FindTrades(path);
            said = server is null ? ExchangeKlines.Find(path) : [];
        }
        else if (!File.Exists(path))
        {
            throw new Failure($"'{path}' is neither a file nor a folder.");
        }

        if (server is null && said.Count == 0)
        {
            throw new Failure($"There is nothing to compare with: '{path}' holds no klines of an exchange (NAME-1m.json and so on), and --server names no server.");
        }

        var recording = Recording.Open(file, format, symbol);
        if (server is null && intervals is not null)
        {
            var wanted = intervals.Split(',', StringSplitOptions.TrimEntries).ToHashSet(StringComparer.Ordinal);
            said = [.. said.Where(s => wanted.Contains(s.Interval.Name()))];
        }

        var comparisons = new List<Comparison>();
        await Progress.Show(console, "Building klines", async tell =>
        {
            var built = await recording.Build(
                intervals ?? (server is null ? string.Join(',', said.Select(s => s.Interval).Distinct().Select(i => i.Name())) : null), time,
                (trades, done) => tell(string.Create(CultureInfo.InvariantCulture, $"Building klines: {trades:#,0} trades"), done), stop);
            if (built.Count == 0)
            {
                throw new Failure($"'{recording.Path}' holds no trade.");
            }

            var compared = 0;
            foreach (var ((name, interval), klines) in built)
            {
                tell($"Comparing {name} {interval.Name()}", (double)compared++ / built.Count);
                if (server is not null)
                {
                    var theirs = new List<ServerKline>();
                    await foreach (var page in server.Range(name, interval, klines[0].OpenTime, klines[^1].EndTime, stop))
                    {
                        theirs.AddRange(page);
                    }

                    comparisons.Add(Comparison.WithServer(name, interval, klines, theirs));
                }
                else
                {
                    foreach (var (klineFile, _) in said.Where(s => s.Interval == interval))
                    {
                        comparisons.Add(Comparison.WithExchange(name, interval, klines, await ExchangeKlines.Read(klineFile, stop)));
                    }
                }
            }
        });

        return Report(comparisons, show, console);
    }

    private static int Report(List<Comparison> comparisons, int show, IAnsiConsole console)
    {
        int compared = comparisons.Sum(c => c.Compared), equal = comparisons.Sum(c => c.Equal);
        foreach (var difference in comparisons.SelectMany(c => c.Differences).Take(show))
        {
            console.WriteLine(difference);
        }

        if (compared - equal > show)
        {
            console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"... and {compared - equal - show:#,0} more (--show names more of them)"));
        }

        foreach (var interval in comparisons.GroupBy(c => c.Interval).OrderBy(g => g.Key))
        {
            console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{interval.Key.Name(),-4}{interval.Sum(c => c.Equal),10:#,0} of {interval.Sum(c => c.Compared):#,0} equal"));
        }

        console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{equal:#,0} of {compared:#,0} equal"));
        return equal == compared ? ExitCodes.Ok : ExitCodes.Differs;
    }

    private static string FindTrades(string folder)
    {
        var klines = ExchangeKlines.Find(folder).Select(k => k.Path).ToHashSet(StringComparer.Ordinal);
        string[] found = [.. Directory.EnumerateFiles(folder).Where(f => Path.GetExtension(f) is ".csv" or ".ndjson" or ".jsonl" && !klines.Contains(f)).Order(StringComparer.Ordinal)];
        return found.Length switch
        {
            1 => found[0],
            0 => throw new Failure($"'{folder}' holds no recording of trades (.csv, .ndjson or .jsonl)."),
            _ => throw new Failure($"'{folder}' holds several recordings: {string.Join(", ", found.Select(Path.GetFileName))}. Name one."),
        };
    }
}
