using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Solana;

namespace KlineOrleans.Ingest.Replay;

/// <summary>Decoded events as the public server stores them, one JSON object a line, in any order: they are sorted by their <c>timestamp</c>.</summary>
/// <remarks>
/// The whole file is held in memory, because its order is newest first: at most <see cref="MaxLength"/> bytes. The timestamp is the server's clock to the
/// nanosecond; it is the event time (in whole 100 ns) and, with all its digits, the order within a slot.
/// </remarks>
internal sealed class SpinPetEventsRecording : IRecording
{
    /// <summary>The largest file that is read, in bytes.</summary>
    public const long MaxLength = 256 * 1024 * 1024;

    private const int Decimals = 9;

    private readonly List<Entry> _entries;
    private readonly SkipCounts _skipped;
    private int _next;

    private SpinPetEventsRecording(List<Entry> entries, SkipCounts skipped, int next)
    {
        _entries = entries;
        _skipped = skipped;
        _next = next;
    }

    private sealed record Entry(long Nanoseconds, long LineNumber, string? Signature, Trade? Trade, SymbolInfo? Symbol, string? Error, SkipReason? Reason, ChainEvent? Event = null);

    public long Offset => _next;

    public long LineNumber => _next == 0 ? 0 : _entries[_next - 1].LineNumber;

    public double Progress => _entries.Count == 0 ? 1 : (double)_next / _entries.Count;

    /// <summary>Reads and sorts all of <paramref name="reader"/>, and disposes it.</summary>
    /// <param name="priceScale">0 to 38.</param>
    /// <param name="skip">The sorted lines to leave out.</param>
    public static async Task<SpinPetEventsRecording> Load(LineReader reader, string source, int priceScale, long skip, SkipCounts skipped, CancellationToken cancellationToken)
    {
        var entries = new List<Entry>();
        await using (reader)
        {
            while (await reader.Read(cancellationToken))
            {
                entries.Add(reader.IsTooLong
                    ? new Entry(0, reader.LineNumber, null, null, null, $"longer than {LineReader.MaxLineLength} bytes", SkipReason.LineTooLong)
                    : Parse(reader.Line, reader.LineNumber, source, priceScale));
            }
        }

        // Newest first: of two with one timestamp the later line is the older event.
        var sorted = entries.OrderBy(e => e.Nanoseconds).ThenByDescending(e => e.LineNumber).ToList();
        var seen = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var i = 0; i < sorted.Count; i++)
        {
            if (sorted[i] is not { Signature: { } signature } entry)
            {
                continue;
            }

            var index = seen.GetValueOrDefault(signature);
            seen[signature] = index + 1;
            if (entry.Trade is { } trade)
            {
                var id = new TradeId(trade.Order.Id.Position, signature, index);
                sorted[i] = entry = entry with { Trade = trade with { Order = new TradeOrder(id, entry.Nanoseconds) } };
            }

            if (entry.Event is { } e)
            {
                sorted[i] = entry with { Event = e with { Order = new TradeOrder(new TradeId(e.Order.Id.Position, signature, index), entry.Nanoseconds) } };
            }
        }

        return new SpinPetEventsRecording(sorted, skipped, (int)Math.Min(skip, sorted.Count));
    }

    public ValueTask<bool> Read(CancellationToken cancellationToken)
    {
        if (_next == _entries.Count)
        {
            return ValueTask.FromResult(false);
        }

        _next++;
        return ValueTask.FromResult(true);
    }

    public string? Decode(List<Trade> trades, List<SymbolInfo> symbols, List<ChainEvent> events)
    {
        var entry = _entries[_next - 1];
        if (entry.Reason is { } reason)
        {
            _skipped.Add(reason);
        }

        if (entry.Trade is { } trade)
        {
            trades.Add(trade);
        }

        if (entry.Symbol is { } symbol)
        {
            symbols.Add(symbol);
        }

        if (entry.Event is { } e)
        {
            events.Add(e);
        }

        return entry.Error;
    }

    public string SaveState() => "";

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static Entry Parse(ReadOnlySpan<byte> line, long lineNumber, string source, int priceScale)
    {
        Entry Broken(string error, SkipReason reason = SkipReason.MalformedLine) => new(0, lineNumber, null, null, null, error, reason);

        if (line.IsEmpty)
        {
            return new Entry(0, lineNumber, null, null, null, null, SkipReason.EmptyLine);
        }

        try
        {
            var json = new Utf8JsonReader(line);
            using var document = JsonDocument.ParseValue(ref json);
            var root = document.RootElement;
            if (json.Read() || root.ValueKind != JsonValueKind.Object)
            {
                return Broken("not one JSON object");
            }

            if (Text(root, "event_type") is not { Length: > 0 } type || Text(root, "mint_account") is not { Length: > 0 } mint || Text(root, "signature") is not { Length: > 0 } signature
                || !root.TryGetProperty("slot"u8, out var slotElement) || !slotElement.TryGetInt64(out var slot) || slot < 0)
            {
                return Broken("without one of event_type, mint_account, signature, slot");
            }

            if (!TryNanoseconds(Text(root, "timestamp"), out var nanoseconds))
            {
                return Broken("its timestamp is no time in UTC");
            }

            var time = DateTimeOffset.UnixEpoch.AddTicks(nanoseconds / 100);
            var e = new ChainEvent { Symbol = mint, Order = new TradeOrder(new TradeId(slot, signature)), Type = type, EventTime = time, Fields = FieldsOf(root) };
            if (type == "TokenCreated")
            {
                var listed = time.AddTicks(-(time.Ticks % TimeSpan.TicksPerMillisecond));
                var name = Text(root, "name");
                return new Entry(nanoseconds, lineNumber, signature, null, new SymbolInfo(mint, string.IsNullOrWhiteSpace(name) ? mint : name.Trim(), source, listed), null, SkipReason.NotATrade, e);
            }

            var (amountName, quoteName) = type switch
            {
                "BuySell" => ("token_amount", "sol_amount"),
                "LongShort" => ("lock_lp_token_amount", "lock_lp_sol_amount"),
                "FullClose" or "PartialClose" => ("final_token_amount", "final_sol_amount"),
                _ => ("", ""),
            };
            if (amountName.Length == 0)
            {
                var isKnown = type is "ForceLiquidate" or "MilestoneDiscount" or "Liquidate";
                return new Entry(nanoseconds, lineNumber, signature, null, null, isKnown ? null : $"'{type}' is not a known event", isKnown ? SkipReason.NotATrade : SkipReason.UnknownEvent, isKnown ? e : null);
            }

            var side = type switch
            {
                "BuySell" => Flag(root, "is_buy") switch { true => TakerSide.Buy, false => TakerSide.Sell, _ => TakerSide.Unknown },
                "LongShort" => root.TryGetProperty("order_type"u8, out var order) && order.TryGetByte(out var o) ? o switch { 1 => TakerSide.Buy, 2 => TakerSide.Sell, _ => TakerSide.Unknown } : TakerSide.Unknown,
                _ => Flag(root, "is_close_long") switch { true => TakerSide.Sell, false => TakerSide.Buy, _ => TakerSide.Unknown },
            };
            if (side == TakerSide.Unknown || !TryAmount(root, amountName, out var amount) || !TryAmount(root, quoteName, out var quote)
                || !UInt128.TryParse(Text(root, "latest_price"), NumberStyles.None, CultureInfo.InvariantCulture, out var price))
            {
                return Broken($"a {type} without its side, {amountName}, {quoteName} or latest_price", SkipReason.UnknownLayout);
            }

            if (!ExactAmount.TryFromUInt128(price, priceScale, out var value) || value <= 0)
            {
                return Broken($"latest_price {price} is no price at scale {priceScale}", SkipReason.PriceOutOfRange);
            }

            // Token decimals of the generations that these files come from; the scale that differs among them is configured.
            var trade = new Trade
            {
                Symbol = mint,
                Order = new TradeOrder(new TradeId(slot, signature)),
                EventTime = time,
                ReceivedTime = time,
                Price = new Price(value),
                BaseAmount = ExactAmount.FromUInt64(amount, 6),
                QuoteAmount = ExactAmount.FromUInt64(quote, 9),
                TakerSide = side,
            };
            return new Entry(nanoseconds, lineNumber, signature, trade, null, null, null, e);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or FormatException)
        {
            return Broken("not an event in JSON");
        }
    }

    // The event's own members; when and where it happened is told apart from them.
    private static string FieldsOf(JsonElement root)
    {
        var buffer = new ArrayBufferWriter<byte>(1_024);
        using (var json = new Utf8JsonWriter(buffer, EventText.Options))
        {
            json.WriteStartObject();
            foreach (var member in root.EnumerateObject())
            {
                if (member.Name is not ("timestamp" or "signature" or "slot"))
                {
                    member.WriteTo(json);
                }
            }

            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static string? Text(JsonElement root, string name) =>
        root.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static bool? Flag(JsonElement root, string name) =>
        root.TryGetProperty(name, out var value) && value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : null;

    private static bool TryAmount(JsonElement root, string name, out ulong amount)
    {
        amount = 0;
        return root.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number && value.TryGetUInt64(out amount);
    }

    // RFC 3339 in UTC with up to nine decimals; the platform's own parsers stop at seven.
    private static bool TryNanoseconds(string? text, out long nanoseconds)
    {
        nanoseconds = 0;
        if (text is null || text.Length < 20 || !text.EndsWith('Z')
            || !DateTime.TryParseExact(text.AsSpan(0, 19), "yyyy-MM-dd'T'HH:mm:ss", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out var second)
            || second.Year is < 1970 or > 2200)
        {
            return false;
        }

        long fraction = 0;
        var decimals = text.AsSpan(19, text.Length - 20);
        if (!decimals.IsEmpty)
        {
            decimals = decimals[1..];
            if (text[19] != '.' || decimals.Length is 0 or > Decimals || !long.TryParse(decimals, NumberStyles.None, CultureInfo.InvariantCulture, out fraction))
            {
                return false;
            }

            for (var i = decimals.Length; i < Decimals; i++)
            {
                fraction *= 10;
            }
        }

        nanoseconds = ((second - DateTime.UnixEpoch).Ticks * 100) + fraction;
        return true;
    }
}
