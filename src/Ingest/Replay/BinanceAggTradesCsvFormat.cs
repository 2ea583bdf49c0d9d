using System.Buffers.Text;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Binance;

namespace KlineOrleans.Ingest.Replay;

/// <summary>
/// The columns of data.binance.vision: agg_trade_id, price, quantity, first_trade_id, last_trade_id, transact_time (ms, or us in newer files),
/// is_buyer_maker, and on the spot market is_best_match. A heading line may stand first.
/// </summary>
internal sealed class BinanceAggTradesCsvFormat(string symbol, SkipCounts skipped) : IRecordingFormat
{
    private const int Columns = 7;

    public string? Read(ReadOnlySpan<byte> line, long lineNumber, List<Trade> trades, List<SymbolInfo> symbols, List<ChainEvent> events)
    {
        if (lineNumber == 1 && !line.IsEmpty && !char.IsAsciiDigit((char)line[0]))
        {
            return null;
        }

        Span<Range> columns = stackalloc Range[Columns + 2];
        var count = 0;
        foreach (var column in line.Split((byte)','))
        {
            if (count == columns.Length)
            {
                break;
            }

            columns[count++] = column;
        }

        if (count is < Columns or > Columns + 1)
        {
            skipped.Add(SkipReason.MalformedLine);
            return $"not the {Columns} or {Columns + 1} columns of an aggregate trade";
        }

        if (!TryInteger(line[columns[0]], out var id)
            || !ExactDecimal.TryParse(line[columns[1]], out var price)
            || !ExactDecimal.TryParse(line[columns[2]], out var quantity)
            || !TryInteger(line[columns[3]], out var first)
            || !TryInteger(line[columns[4]], out var last)
            || !TryInteger(line[columns[5]], out var time)
            || !TryFlag(line[columns[6]], out var isBuyerMaker))
        {
            skipped.Add(SkipReason.MalformedLine);
            return "a column is no number or no true or false";
        }

        if (!AggTrades.TryCreate(symbol, id, price, quantity, first, last, time, isBuyerMaker, out var trade, out var reason))
        {
            skipped.Add(reason);
            return "a price, amount, id or time that no trade can have";
        }

        trades.Add(trade);
        return null;
    }

    public string SaveState() => "";

    public bool TryRestoreState(string state) => state.Length == 0;

    private static bool TryInteger(ReadOnlySpan<byte> text, out long value) =>
        Utf8Parser.TryParse(text, out value, out var read) && read == text.Length;

    private static bool TryFlag(ReadOnlySpan<byte> text, out bool value)
    {
        value = System.Text.Ascii.EqualsIgnoreCase(text, "true"u8);
        return value || System.Text.Ascii.EqualsIgnoreCase(text, "false"u8);
    }
}
