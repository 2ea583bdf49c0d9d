using System.Globalization;
using System.Threading.Channels;
using KlineOrleans.Contracts;
using Spectre.Console;

namespace KlineOrleans.Cli;

/// <summary><c>kline watch</c>: a table that follows the server, or a line for each change.</summary>
internal static class WatchCommand
{
    /// <summary>However fast klines change, the table is drawn and the server asked no more often.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);

    public static async Task<int> Run(KlineServer server, string symbol, KlineInterval interval, int rows, bool plain, IAnsiConsole console, TimeProvider time, CancellationToken stop)
    {
        // What a symbol or a server refuses is said before the screen changes.
        var klines = await server.Newest(symbol, interval, null, null, rows, stop);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var changes = Channel.CreateBounded<LiveFeed.Change>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest });
        string? lost = "connecting";
        var reader = Follow();
        try
        {
            if (plain || !console.Profile.Capabilities.Interactive)
            {
                await Lines();
            }
            else
            {
                await console.Live(Table()).StartAsync(async live =>
                {
                    await foreach (var kline in Changes())
                    {
                        live.UpdateTarget(Table());
                    }
                });
            }
        }
        finally
        {
            await both.CancelAsync();
            await Task.WhenAny(reader);
        }

        await reader;
        return ExitCodes.Ok;

        async Task Follow()
        {
            try
            {
                await foreach (var change in new LiveFeed(server, symbol, interval, time).Read(both.Token))
                {
                    if (change.OpenTime is null)
                    {
                        lost = change.Lost;
                    }

                    changes.Writer.TryWrite(change);
                }
            }
            catch (OperationCanceledException)
            {
            }
            catch (Failure failure)
            {
                changes.Writer.Complete(failure);
                throw;
            }

            changes.Writer.TryComplete();
        }

        // The klines after each change, or each pause in which there were some.
        async IAsyncEnumerable<IReadOnlyList<ServerKline>> Changes()
        {
            await foreach (var change in changes.Reader.ReadAllAsync(stop))
            {
                if (change.Lost is null)
                {
                    klines = await server.Newest(symbol, interval, null, null, rows, stop);
                }

                yield return klines;
                await Task.Delay(Pause, time, stop);
            }
        }

        async Task Lines()
        {
            var printed = new Dictionary<DateTimeOffset, ServerKline>();
            await foreach (var newest in Changes())
            {
                foreach (var kline in newest)
                {
                    if (!printed.TryGetValue(kline.OpenTime, out var before) || before != kline)
                    {
                        printed[kline.OpenTime] = kline;
                        console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                            $"{Times.Format(kline.OpenTime)} {symbol} {interval.Name()} open {kline.Open} high {kline.High} low {kline.Low} close {kline.Close} volume {kline.BaseVolume} trades {kline.Trades} {KlineTable.State(kline)}"));
                    }
                }

                foreach (var old in printed.Keys.Where(k => newest.Count > 0 && k < newest[0].OpenTime).ToList())
                {
                    printed.Remove(old);
                }
            }
        }

        Table Table()
        {
            var table = KlineTable.Create(klines);
            table.Title = new TableTitle($"{symbol.EscapeMarkup()} {interval.Name()}");
            table.Caption = new TableTitle(lost is null ? "Ctrl+C ends" : $"[yellow]{lost.EscapeMarkup()}, trying again[/]");
            return table;
        }
    }
}
