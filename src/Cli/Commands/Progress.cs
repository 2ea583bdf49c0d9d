using Spectre.Console;

namespace KlineOrleans.Cli;

/// <summary>Says how far long work is, on a terminal only: where the output goes into a file it would be noise.</summary>
internal static class Progress
{
    /// <summary>Does <paramref name="work"/>, which tells what it does now, and how much of all is done: 0 to 1, or null where nobody knows.</summary>
    public static async Task Show(IAnsiConsole console, string what, Func<Action<string, double?>, Task> work)
    {
        if (!console.Profile.Capabilities.Interactive)
        {
            await work((_, _) => { });
            return;
        }

        await console.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn(), new SpinnerColumn())
            .StartAsync(async progress =>
            {
                var bar = progress.AddTask(what.EscapeMarkup(), maxValue: 1);
                bar.IsIndeterminate = true;
                await work((text, done) =>
                {
                    bar.Description = text.EscapeMarkup();
                    bar.IsIndeterminate = done is null;
                    bar.Value = Math.Clamp(done ?? 0, 0, 1);
                });
            });
    }
}
