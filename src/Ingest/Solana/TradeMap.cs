using System.Buffers.Binary;
using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Solana;

/// <summary>What an event says of a trade.</summary>
internal readonly record struct TradeTerms(Price Price, decimal BaseAmount, decimal QuoteAmount, TakerSide TakerSide);

/// <summary>How an event of one layout becomes a trade: where its numbers stand and what they mean. Immutable.</summary>
/// <remarks>The moment of a price is after the trade (facts/spinpet-program 1.4).</remarks>
internal sealed class TradeMap
{
    // Later moments are no moments of this chain, and would leave the range of a date when slots are counted from them.
    private const long MaxSeconds = 7_258_118_400;

    private readonly SolanaProgram _program;
    private readonly int _symbol;
    private readonly int _price;
    private readonly int _base;
    private readonly int _quote;
    private readonly int _side;
    private readonly int _tokenReserves;
    private readonly int _time;
    private readonly bool _timeIsLong;
    private readonly Side _sideMeaning;

    private TradeMap(EventLayout layout, SolanaProgram program)
    {
        Layout = layout;
        _program = program;
        _tokenReserves = -1;
        (_time, _timeIsLong) = TimeAt(layout, "timestamp");
    }

    private TradeMap(EventLayout layout, SolanaProgram program, string symbol, string price, string amount, string quote, string side, Side meaning)
        : this(layout, program)
    {
        IsTrade = true;
        _symbol = layout.OffsetOf(symbol)!.Value;
        _price = layout.OffsetOf(price)!.Value;
        _base = layout.OffsetOf(amount)!.Value;
        _quote = layout.OffsetOf(quote)!.Value;
        _side = layout.OffsetOf(side)!.Value;
        _sideMeaning = meaning;
        _tokenReserves = layout.OffsetOf("virtual_token_reserves") ?? -1;

        // The moment a position was opened is the moment of the trade that opens it, and of no later one.
        if (meaning == Side.OrderType)
        {
            (_time, _timeIsLong) = TimeAt(layout, "start_time");
        }
    }

    private enum Side
    {
        IsBuy,

        /// <summary>1 opens a long, which buys; 2 opens a short, which sells.</summary>
        OrderType,

        /// <summary>Closing a long sells; closing a short buys.</summary>
        IsCloseLong,
    }

    public EventLayout Layout { get; }

    public bool IsTrade { get; }

    /// <summary>The event that names a new mint; the members that hold it.</summary>
    public bool IsCreation => Layout.EventType is "TokenCreated" or "Create";

    public string MintField => _program.Generation.IsPump ? "mint" : "mint_account";

    public static TradeMap For(EventLayout layout, SolanaProgram program) => (program.Generation.IsPump, layout.EventType) switch
    {
        (true, "Trade") => new(layout, program, "mint", "virtual_sol_reserves", "token_amount", "sol_amount", "is_buy", Side.IsBuy),
        (false, "BuySell") => new(layout, program, "mint_account", "latest_price", "token_amount", "sol_amount", "is_buy", Side.IsBuy),
        (false, "LongShort") => new(layout, program, "mint_account", "latest_price", "lock_lp_token_amount", "lock_lp_sol_amount", "order_type", Side.OrderType),
        (false, "FullClose" or "PartialClose") => new(layout, program, "mint_account", "latest_price", "final_token_amount", "final_sol_amount", "is_close_long", Side.IsCloseLong),
        _ => new(layout, program),
    };

    public PublicKey Symbol(ReadOnlySpan<byte> payload) => new(payload[_symbol..]);

    /// <summary>The Unix second at which the event itself says it happened; 0 if it does not, or says something impossible.</summary>
    public long Seconds(ReadOnlySpan<byte> payload)
    {
        if (_time < 0)
        {
            return 0;
        }

        var seconds = _timeIsLong ? BinaryPrimitives.ReadInt64LittleEndian(payload[_time..]) : BinaryPrimitives.ReadUInt32LittleEndian(payload[_time..]);
        return seconds is > 0 and < MaxSeconds ? seconds : 0;
    }

    private static (int Offset, bool IsLong) TimeAt(EventLayout layout, string field) =>
        layout.OffsetOf(field) is { } offset ? (offset, layout.Fields.Single(f => f.Name == field).Type == FieldType.I64) : (-1, false);

    /// <returns>Null if the price is zero or does not fit an exact number, or a side is none.</returns>
    public TradeTerms? Terms(ReadOnlySpan<byte> payload, out SkipReason reason)
    {
        reason = SkipReason.PriceOutOfRange;
        decimal price;
        if (_tokenReserves >= 0)
        {
            var sol = BinaryPrimitives.ReadUInt64LittleEndian(payload[_price..]);
            var tokens = BinaryPrimitives.ReadUInt64LittleEndian(payload[_tokenReserves..]);
            if (tokens == 0)
            {
                return null;
            }

            // Whole units divided: a decimal quotient is rounded half to even, once.
            price = ExactAmount.FromUInt64(sol, _program.QuoteDecimals) / ExactAmount.FromUInt64(tokens, _program.TokenDecimals);
        }
        else if (!ExactAmount.TryFromUInt128(BinaryPrimitives.ReadUInt128LittleEndian(payload[_price..]), _program.PriceScale, out price))
        {
            return null;
        }

        if (price <= 0)
        {
            return null;
        }

        var flag = payload[_side];
        if (_sideMeaning == Side.OrderType && flag is not (1 or 2))
        {
            reason = SkipReason.UnknownLayout;
            return null;
        }

        var buys = _sideMeaning == Side.IsCloseLong ? flag == 0 : flag == 1;
        return new TradeTerms(
            new Price(price),
            ExactAmount.FromUInt64(BinaryPrimitives.ReadUInt64LittleEndian(payload[_base..]), _program.TokenDecimals),
            ExactAmount.FromUInt64(BinaryPrimitives.ReadUInt64LittleEndian(payload[_quote..]), _program.QuoteDecimals),
            buys ? TakerSide.Buy : TakerSide.Sell);
    }
}
