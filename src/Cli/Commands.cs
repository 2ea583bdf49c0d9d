using System.CommandLine;
using KlineOrleans.Contracts;
using Spectre.Console;

namespace KlineOrleans.Cli;

/// <summary>The commands of <c>./kline</c>, their arguments and options.</summary>
internal static class Commands
{
    private const string DefaultServer = "http://127.0.0.1:8080";

    public static async Task<int> Run(string[] args, IAnsiConsole console, TimeProvider time)
    {
        var server = new Option<Uri>("--server", "-s")
        {
            Description = $"The server. Default: {DefaultServer}, or what KLINE_SERVER names.",
            DefaultValueFactory = _ => new Uri(Environment.GetEnvironmentVariable("KLINE_SERVER") is { Length: > 0 } named ? named : DefaultServer),
            CustomParser = result => ParseAddress(result),
        };
        var token = new Option<string?>("--token")
        {
            Description = "A key or token, where the server asks for one. Default: what KLINE_TOKEN holds.",
            DefaultValueFactory = _ => Environment.GetEnvironmentVariable("KLINE_TOKEN"),
        };

        var root = new RootCommand("Klines of a KlineOrleans server: watch, read, export and verify them; and its store: back it up and restore it.")
        {
            Watch(server, token, console),
            History(server, token, console),
            Export(server, token, console),
            Verify(token, console),
            Store("backup", "Copies a store, as of one moment, into a new file; also while a server runs on it.", "The new file.", StoreCommands.Backup, console),
            Store("restore", "Makes a store from a backup, where none is yet.", "The backup.", StoreCommands.Restore, console),
        };

        try
        {
            // Ctrl+C ends a command through its cancellation token, and at once.
            var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = TimeSpan.FromSeconds(2) };
            var parsed = root.Parse(args);
            if (parsed.Errors.Count > 0)
            {
                foreach (var error in parsed.Errors)
                {
                    await Console.Error.WriteLineAsync(error.Message);
                }

                await Console.Error.WriteLineAsync("./kline --help says what there is.");
                return ExitCodes.Failed;
            }

            return await parsed.InvokeAsync(configuration);
        }
        catch (OperationCanceledException)
        {
            return ExitCodes.Ok;
        }
        catch (Failure failure)
        {
            await Console.Error.WriteLineAsync(failure.Message);
            return ExitCodes.Failed;
        }

        Command Watch(Option<Uri> server, Option<string?> token, IAnsiConsole console)
        {
            var symbol = Symbol();
            var interval = Interval();
            var rows = new Option<int>("--rows", "-n") { Description = "Klines shown, 1 to 200. Default: 20.", DefaultValueFactory = _ => 20 };
            rows.Validators.Add(result => Between(result, rows, 1, 200));
            var plain = new Option<bool>("--plain") { Description = "A line for each change instead of a live table; so it is where the output is not a terminal." };
            var command = new Command("watch", "Shows klines as they change, until Ctrl+C.") { symbol, interval, rows, plain, server, token };
            command.SetAction(async (result, stop) =>
            {
                using var at = new KlineServer(result.GetValue(server)!, result.GetValue(token));
                return await WatchCommand.Run(at, result.GetValue(symbol)!, result.GetValue(interval), result.GetValue(rows), result.GetValue(plain), console, time, stop);
            });
            return command;
        }

        Command History(Option<Uri> server, Option<string?> token, IAnsiConsole console)
        {
            var symbol = Symbol();
            var interval = Interval();
            var from = Time("--from", "Klines that open at or after this time");
            var to = Time("--to", "Klines that open before this time");
            var limit = new Option<int>("--limit", "-n") { Description = "Klines at most, the newest. Default: 20.", DefaultValueFactory = _ => 20 };
            limit.Validators.Add(result => Between(result, limit, 1, 1_000));
            var command = new Command("history", "Prints klines as a table.") { symbol, interval, from, to, limit, server, token };
            command.SetAction(async (result, stop) =>
            {
                using var at = new KlineServer(result.GetValue(server)!, result.GetValue(token));
                return await HistoryCommand.Run(at, result.GetValue(symbol)!, result.GetValue(interval), result.GetValue(from), result.GetValue(to), result.GetValue(limit), console, stop);
            });
            return command;
        }

        Command Export(Option<Uri> server, Option<string?> token, IAnsiConsole console)
        {
            var symbol = Symbol();
            var interval = Interval();
            var from = Time("--from", "Klines that open at or after this time. Default: all");
            var to = Time("--to", "Klines that open before this time. Default: now");
            var output = new Option<FileInfo?>("--output", "-o") { Description = "The CSV file. Default: standard output." };
            var force = new Option<bool>("--force") { Description = "Writes over a file that exists." };
            var command = new Command("export", "Writes final klines as CSV, with exact prices and volumes.") { symbol, interval, from, to, output, force, server, token };
            command.SetAction(async (result, stop) =>
            {
                using var at = new KlineServer(result.GetValue(server)!, result.GetValue(token));
                return await ExportCommand.Run(
                    at, result.GetValue(symbol)!, result.GetValue(interval), result.GetValue(from), result.GetValue(to), result.GetValue(output), result.GetValue(force), console, stop);
            });
            return command;
        }

        Command Verify(Option<string?> token, IAnsiConsole console)
        {
            var path = new Argument<string>("path") { Description = "A recording of trades, or a folder that holds one and the klines of the exchange (NAME-1m.json and so on)." };
            var against = new Option<Uri?>("--server", "-s")
            {
                Description = "Compares with the klines of this server. Default: with the exchange's klines in the folder.",
                CustomParser = result => ParseAddress(result),
            };
            var format = new Option<string?>("--format") { Description = $"What the recording is: {string.Join(", ", Recording.Formats)}. Default: what its first line looks like." };
            var symbol = new Option<string?>("--symbol") { Description = "The symbol of a CSV. Default: its file name up to the first '-'." };
            var intervals = new Option<string?>("--intervals") { Description = $"Those to compare, as in m1,m5. Default: all there are." };
            var differences = new Option<int>("--show") { Description = "Differing klines named one by one. Default: 20.", DefaultValueFactory = _ => 20 };
            differences.Validators.Add(result => Between(result, differences, 0, 1_000_000));
            var command = new Command("verify", "Computes the klines of a recording anew and compares them. Exit code 0: all equal, 1: some differ.")
            {
                path, against, format, symbol, intervals, differences, token,
            };
            command.SetAction(async (result, stop) =>
            {
                using var at = result.GetValue(against) is { } address ? new KlineServer(address, result.GetValue(token)) : null;
                return await VerifyCommand.Run(
                    result.GetValue(path)!, at, result.GetValue(format), result.GetValue(symbol), result.GetValue(intervals), result.GetValue(differences), console, time, stop);
            });
            return command;
        }
    }

    private static Command Store(string name, string description, string fileDescription, Func<string, string?, IAnsiConsole, CancellationToken, Task<int>> run, IAnsiConsole console)
    {
        var file = new Argument<string>("file") { Description = fileDescription };
        var store = new Option<string?>("--store") { Description = "The store, a SQLite file. Default: data/kline.db, or what Kline__Storage__Path names." };
        var command = new Command(name, description) { file, store };
        command.SetAction((result, stop) => run(result.GetValue(file)!, result.GetValue(store), console, stop));
        return command;
    }

    private static Argument<string> Symbol() => new("symbol") { Description = "A mint or a symbol of an exchange." };

    private static Argument<KlineInterval> Interval() => new("interval")
    {
        Description = string.Join(", ", KlineIntervals.All.Select(i => i.Name())) + " (or 1s to 1w).",
        CustomParser = static result =>
        {
            if (KlineIntervals.TryParse(result.Tokens[0].Value, out var interval))
            {
                return interval;
            }

            result.AddError($"interval: '{result.Tokens[0].Value}' is not allowed. Allowed: {string.Join(", ", KlineIntervals.All.Select(i => i.Name()))} (or 1s to 1w).");
            return default;
        },
    };

    private static Option<DateTimeOffset?> Time(string name, string description) => new(name)
    {
        Description = description + " (UTC: 2026-11-21, 2026-11-21T10:30:00Z, or Unix milliseconds).",
        CustomParser = result =>
        {
            if (Times.TryParse(result.Tokens[0].Value, out var time))
            {
                return time;
            }

            result.AddError($"{name}: '{result.Tokens[0].Value}' is not a time. Allowed: 2026-11-21, 2026-11-21T10:30:00Z, or Unix milliseconds.");
            return null;
        },
    };

    private static Uri? ParseAddress(System.CommandLine.Parsing.ArgumentResult result)
    {
        var text = result.Tokens[0].Value;
        if (Uri.TryCreate(text, UriKind.Absolute, out var address) && address.Scheme is "http" or "https")
        {
            return address;
        }

        result.AddError($"--server: '{text}' is not an address of a server. Allowed: http://host:port or https://host.");
        return null;
    }

    private static void Between(System.CommandLine.Parsing.OptionResult result, Option<int> option, int least, int most)
    {
        if (result.GetValue(option) is var value && (value < least || value > most))
        {
            result.AddError($"{option.Name}: {value} is not allowed. Allowed: {least} to {most}.");
        }
    }
}
