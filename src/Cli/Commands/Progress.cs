using Spectre.Console;

namespace KlineOrleans.Cli;

/// <summary>Says what long work is at, on a terminal only: where the output goes into a file it would be noise.</summary>
internal static class Progress
{
    public static async Task Show(IAnsiConsole console, string what, Func<Action<string>, Task> work)
    {
        if (!console.Profile.Capabilities.Interactive)
        {
            await work(_ => { });
            return;
        }

        await console.Status().StartAsync(what, status => work(text => status.Status(text.EscapeMarkup())));
    }
}
