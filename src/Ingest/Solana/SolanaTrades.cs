using System.Text;
using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Solana;

/// <summary>Log frames become trades and events: the one way from a frame to either, for a recording, the simulation and the live chain. One user at a time.</summary>
/// <param name="source">The source's name, for the symbols it tells of.</param>
internal sealed class SolanaTrades(string source, ProgramCatalog programs, EventTimes times, SkipCounts skipped)
{
    private readonly LogDecoder _decoder = new(programs, skipped);
    private readonly EventText _text = new();

    /// <summary>The newest frame's events, trades or not.</summary>
    public List<DecodedEvent> Events => _decoder.Events;

    /// <summary>The newest frame's slot; -1 if it has none.</summary>
    public long Slot => _decoder.Slot;

    /// <inheritdoc cref="LogDecoder.HasError"/>
    public bool HasError => _decoder.HasError;

    /// <inheritdoc cref="LogDecoder.IsTruncated"/>
    public bool IsTruncated => _decoder.IsTruncated;

    /// <summary>The newest frame's signature as text.</summary>
    public string Signature(ReadOnlySpan<byte> frame) => _decoder.Signature ?? Encoding.ASCII.GetString(_decoder.SignatureIn(frame));

    /// <summary>Decodes a frame and adds its trades and events, in the order of its log. A trade's ReceivedTime is its event time: the caller's to change.</summary>
    /// <param name="sequence">The frame's place among those of its slot (<see cref="TradeOrder.Sequence"/>).</param>
    /// <param name="blockTimes">Told of the block time that the frame itself says, before its events are timed.</param>
    /// <param name="firstIndex">Slot, signature and events of the frame to the number of its first event in the transaction; null: 0.</param>
    /// <param name="events">Gets the events that name a mint; null: nobody wants them.</param>
    public LogFrameKind Read(
        ReadOnlySpan<byte> frame,
        long sequence,
        List<Trade> trades,
        List<SymbolInfo> symbols,
        RecordedBlockTimes? blockTimes = null,
        Func<long, string, List<DecodedEvent>, int>? firstIndex = null,
        List<ChainEvent>? events = null)
    {
        var kind = _decoder.Decode(frame);
        if (kind is not (LogFrameKind.Logs or LogFrameKind.BlockTime))
        {
            return kind;
        }

        if (_decoder.BlockTime is { } seconds && blockTimes is not null)
        {
            blockTimes.Add(_decoder.Slot, seconds);
            times.Learn(_decoder.Slot, seconds);
        }

        var slot = _decoder.Slot;
        var first = firstIndex is null || _decoder.Events.Count == 0 ? 0 : firstIndex(slot, _decoder.Signature ?? "", _decoder.Events);
        foreach (var e in _decoder.Events)
        {
            var payload = e.Payload.Span;
            var map = e.Map;
            if (e.Terms is { } terms)
            {
                var time = times.Resolve(slot, map.Seconds(payload), out var isEstimated);
                trades.Add(new Trade
                {
                    Symbol = _decoder.Text(map.Symbol(payload)),
                    Order = new TradeOrder(new TradeId(slot, _decoder.Signature, first + e.Index), sequence),
                    EventTime = time,
                    ReceivedTime = time,
                    Price = terms.Price,
                    BaseAmount = terms.BaseAmount,
                    QuoteAmount = terms.QuoteAmount,
                    TakerSide = terms.TakerSide,
                    IsEventTimeEstimated = isEstimated,
                });
            }
            else if (map.IsCreation && map.Layout.TryGet(payload, map.MintField, out var mint))
            {
                var symbol = _decoder.Text(new PublicKey(mint));
                var name = map.Layout.GetText(payload, "name");
                symbols.Add(new SymbolInfo(symbol, string.IsNullOrWhiteSpace(name) ? symbol : name.Trim(), source, times.Resolve(slot, map.Seconds(payload), out _)));
            }

            if (events is not null && map.Layout.TryGet(payload, map.MintField, out var address))
            {
                events.Add(new ChainEvent
                {
                    Symbol = _decoder.Text(new PublicKey(address)),
                    Order = new TradeOrder(new TradeId(slot, _decoder.Signature, first + e.Index), sequence),
                    Type = map.Layout.EventType,
                    EventTime = times.Resolve(slot, map.Seconds(payload), out _),
                    Fields = _text.Write(map.Layout, payload),
                });
            }
        }

        return kind;
    }
}
