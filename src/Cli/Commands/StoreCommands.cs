using KlineOrleans.Storage;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;
using Spectre.Console;

namespace KlineOrleans.Cli;

/// <summary><c>kline backup</c> and <c>kline restore</c>: the whole store, as one file. What <c>./run backup</c> and <c>./run restore</c> do, with a bar.</summary>
internal static class StoreCommands
{
    public static Task<int> Backup(string file, string? store, IAnsiConsole console, CancellationToken stop)
    {
        var configuration = Settings(store);
        var from = configuration[$"{StorageOptions.Section}:{nameof(StorageOptions.Path)}"] ?? new StorageOptions().Path;
        return Do(console, "Copying", from, file + ".partial", () => StorageCommands.Backup(configuration, file), stop);
    }

    public static Task<int> Restore(string file, string? store, IAnsiConsole console, CancellationToken stop)
    {
        var configuration = Settings(store);
        var to = configuration[$"{StorageOptions.Section}:{nameof(StorageOptions.Path)}"] ?? new StorageOptions().Path;
        return Do(console, "Restoring", file, to + ".partial", () => StorageCommands.Restore(configuration, file), stop);
    }

    /// <summary>Which store: what the option names, else what a server started here would use by its environment.</summary>
    private static IConfiguration Settings(string? store)
    {
        var builder = new ConfigurationBuilder().AddEnvironmentVariables();
        if (store is not null)
        {
            builder.AddInMemoryCollection(new Dictionary<string, string?> { [$"{StorageOptions.Section}:{nameof(StorageOptions.Path)}"] = store });
        }

        return builder.Build();
    }

    private static async Task<int> Do(IAnsiConsole console, string what, string from, string growing, Func<Task<string>> work, CancellationToken stop)
    {
        var said = "";
        try
        {
            await Progress.Show(console, what, async tell =>
            {
                // The copy is one statement of SQLite; how far it is shows in the size of what it writes.
                var doing = work();
                while (await Task.WhenAny(doing, Task.Delay(TimeSpan.FromMilliseconds(200), TimeProvider.System, stop)) != doing)
                {
                    stop.ThrowIfCancellationRequested();
                    var (whole, part) = (Size(from) + Size(from + "-wal"), Size(growing));
                    tell($"{what} {part / 1_048_576:N0} MB", whole > 0 ? Math.Min(0.99, (double)part / whole) : null);
                }

                said = await doing;
            });
        }
        catch (OptionsValidationException error)
        {
            throw new Failure(string.Join(Environment.NewLine, error.Failures), error);
        }
        catch (StorageOpenException error)
        {
            throw new Failure(error.Message, error);
        }

        console.WriteLine(said);
        return ExitCodes.Ok;
    }

    private static long Size(string path)
    {
        var file = new FileInfo(path);
        return file.Exists ? file.Length : 0;
    }
}
