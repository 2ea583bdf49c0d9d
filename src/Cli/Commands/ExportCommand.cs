using System.Globalization;
using KlineOrleans.Contracts;
using Spectre.Console;

namespace KlineOrleans.Cli;

/// <summary><c>kline export</c>: final klines as CSV.</summary>
internal static class ExportCommand
{
    public const string Header = "open_time,open,high,low,close,base_volume,quote_volume,trades,taker_buy_base,taker_buy_quote,revision";

    public static async Task<int> Run(
        KlineServer server, string symbol, KlineInterval interval, DateTimeOffset? from, DateTimeOffset? to, FileInfo? output, bool force, IAnsiConsole console, CancellationToken stop)
    {
        if (from >= to)
        {
            throw new Failure($"--from: {Times.Format(from.Value)} is not before --to {Times.Format(to.Value)}.");
        }

        if (output is null)
        {
            await Write(Console.Out, _ => { });
            return ExitCodes.Ok;
        }

        if (output.Exists && !force)
        {
            throw new Failure($"--output: '{output.FullName}' exists. --force writes over it.");
        }

        // Written beside and moved into place: a file of that name is always whole.
        var part = output.FullName + ".part";
        long count = 0;
        try
        {
            await using (var file = new StreamWriter(part))
            {
                await Progress.Show(console, "Exporting", async tell =>
                    count = await Write(file, done => tell("Exporting", done)));
            }

            File.Move(part, output.FullName, overwrite: true);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new Failure($"--output: '{output.FullName}' cannot be written: {error.Message}", error);
        }
        finally
        {
            File.Delete(part);
        }

        console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{count} klines in {output.Name}"));
        return ExitCodes.Ok;

        async Task<long> Write(TextWriter writer, Action<double> progress)
        {
            var begin = from ?? DateTimeOffset.UnixEpoch;
            var newest = await server.Newest(symbol, interval, null, to, 1, stop);
            var end = to ?? (newest.Count > 0 ? newest[^1].EndTime : begin);
            await writer.WriteLineAsync(Header);
            long written = 0;
            DateTimeOffset? first = null;
            if (begin >= end)
            {
                return written;
            }

            await foreach (var page in server.Range(symbol, interval, begin, end, stop))
            {
                first ??= page[0].OpenTime;
                foreach (var kline in page)
                {
                    if (!kline.IsFinal)
                    {
                        continue;
                    }

                    written++;
                    await writer.WriteLineAsync(string.Create(CultureInfo.InvariantCulture,
                        $"{kline.OpenTime.ToUnixTimeMilliseconds()},{kline.Open},{kline.High},{kline.Low},{kline.Close},{kline.BaseVolume},{kline.QuoteVolume},{kline.Trades},{kline.TakerBuyBase},{kline.TakerBuyQuote},{kline.Revision}"));
                }

                progress((page[^1].EndTime - first.Value) / (end - first.Value));
            }

            return written;
        }
    }
}
