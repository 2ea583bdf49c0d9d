using System.Globalization;
using Spectre.Console;

namespace KlineOrleans.Cli;

/// <summary>Klines as rows, newest last; the colour says whether a kline closed above its open.</summary>
internal static class KlineTable
{
    public static Table Create(IReadOnlyList<ServerKline> klines)
    {
        var table = new Table().Border(TableBorder.Rounded).AddColumn("Open time (UTC)");
        foreach (var name in new[] { "Open", "High", "Low", "Close", "Volume", "Trades" })
        {
            table.AddColumn(new TableColumn(name).RightAligned());
        }

        table.AddColumn("State");
        foreach (var kline in klines)
        {
            var colour = kline.Close >= kline.Open ? "green" : "red";
            table.AddRow(
                Times.Format(kline.OpenTime), Price(kline.Open), Price(kline.High), Price(kline.Low), $"[{colour}]{Price(kline.Close)}[/]",
                kline.BaseVolume.ToString("#,0.########", CultureInfo.InvariantCulture), kline.Trades.ToString("#,0", CultureInfo.InvariantCulture), State(kline));
        }

        return table;
    }

    public static string State(ServerKline kline) => kline switch
    {
        { IsFinal: false } => "forming",
        { Revision: > 0 } => string.Create(CultureInfo.InvariantCulture, $"corrected x{kline.Revision}"),
        { Trades: 0 } => "flat",
        _ => "final",
    };

    /// <summary>Every digit that counts, and none that only fills up.</summary>
    public static string Price(decimal value) => value.ToString("0.############################", CultureInfo.InvariantCulture);
}
