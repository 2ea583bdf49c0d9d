using System.Globalization;
using System.Text;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Solana;

namespace KlineOrleans.Ingest.Replay;

/// <summary>One logsNotification frame a line, as a node sent it, and between them lines <c>{"slot":N,"blockTime":S}</c>.</summary>
internal sealed class SolanaLogsFormat : IRecordingFormat
{
    private readonly RecordedBlockTimes _blockTimes = new();
    private readonly EventTimes _times;
    private readonly SolanaTrades _decoder;
    private readonly SkipCounts _skipped;
    private readonly TransactionParts _parts = new();
    private readonly Func<long, string, List<DecodedEvent>, int> _firstIndex;

    public SolanaLogsFormat(string source, ProgramCatalog programs, DateTimeOffset anchor, SkipCounts skipped)
    {
        _skipped = skipped;
        _firstIndex = _parts.FirstIndex;
        _times = new EventTimes(_blockTimes, anchor);
        _decoder = new SolanaTrades(source, programs, _times, skipped);
    }

    public string? Read(ReadOnlySpan<byte> line, long lineNumber, List<Trade> trades, List<SymbolInfo> symbols, List<ChainEvent> events)
    {
        var losses = Losses();
        var kind = _decoder.Read(line, lineNumber, trades, symbols, _blockTimes, _firstIndex, events);
        if (kind == LogFrameKind.Malformed)
        {
            return "not a JSON-RPC frame";
        }

        return Losses() == losses ? null : "events were refused; the counts of skipped tell why";
    }

    public string SaveState()
    {
        var text = new StringBuilder().Append(_parts.Save()).Append(',');
        if (_times.Newest is { } newest)
        {
            text.Append(CultureInfo.InvariantCulture, $"{newest.Slot}:{newest.Seconds}");
        }

        foreach (var (slot, seconds) in _blockTimes.All)
        {
            text.Append(CultureInfo.InvariantCulture, $",{slot}:{seconds}");
        }

        return text.ToString();
    }

    public bool TryRestoreState(string state)
    {
        var whole = state.Split(',');
        if (!_parts.TryRestore(whole[0]))
        {
            return false;
        }

        var parts = whole.AsSpan(1);
        if (parts.Length - 1 > RecordedBlockTimes.Capacity)
        {
            return false;
        }

        for (var i = 0; i < parts.Length; i++)
        {
            if (i == 0 && parts[0].Length == 0)
            {
                continue;
            }

            var colon = parts[i].IndexOf(':', StringComparison.Ordinal);
            if (colon < 0
                || !long.TryParse(parts[i].AsSpan(0, colon), NumberStyles.None, CultureInfo.InvariantCulture, out var slot)
                || !long.TryParse(parts[i].AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var seconds))
            {
                return false;
            }

            if (i == 0)
            {
                _times.Restore((slot, seconds));
            }
            else
            {
                _blockTimes.Add(slot, seconds);
            }
        }

        return true;
    }

    private long Losses() =>
        _skipped[SkipReason.TruncatedLog] + _skipped[SkipReason.UnknownEvent] + _skipped[SkipReason.UnknownLayout] + _skipped[SkipReason.BadBase64] + _skipped[SkipReason.PriceOutOfRange];
}
