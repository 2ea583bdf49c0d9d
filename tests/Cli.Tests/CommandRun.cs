using Spectre.Console;

namespace KlineOrleans.Cli.Tests;

/// <summary>Runs the command line in this process, with what it prints.</summary>
internal static class CommandRun
{
    private static readonly SemaphoreSlim ErrorWriter = new(1);

    public static async Task<(int ExitCode, string Output, string Errors)> Of(params string[] args)
    {
        // What fails goes to standard error, of which a process has one.
        await ErrorWriter.WaitAsync(TestContext.Current.CancellationToken);
        var (before, errors, output) = (Console.Error, new StringWriter(), new StringWriter());
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, ColorSystem = ColorSystemSupport.NoColors, Interactive = InteractionSupport.No, Out = new AnsiConsoleOutput(output) });
        console.Profile.Width = 200;
        Console.SetError(errors);
        try
        {
            var exitCode = await Commands.Run(args, console, TimeProvider.System);
            return (exitCode, output.ToString(), errors.ToString());
        }
        finally
        {
            Console.SetError(before);
            ErrorWriter.Release();
        }
    }
}
