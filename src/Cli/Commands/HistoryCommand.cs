using KlineOrleans.Contracts;
using Spectre.Console;

namespace KlineOrleans.Cli;

/// <summary><c>kline history</c>: a table of klines.</summary>
internal static class HistoryCommand
{
    public static async Task<int> Run(KlineServer server, string symbol, KlineInterval interval, DateTimeOffset? from, DateTimeOffset? to, int limit, IAnsiConsole console, CancellationToken stop)
    {
        if (from >= to)
        {
            throw new Failure($"--from: {Times.Format(from.Value)} is not before --to {Times.Format(to.Value)}.");
        }

        var klines = await server.Newest(symbol, interval, from, to, limit, stop);
        if (klines.Count == 0)
        {
            console.WriteLine("No klines.");
            return ExitCodes.Ok;
        }

        console.Write(KlineTable.Create(klines));
        return ExitCodes.Ok;
    }
}
