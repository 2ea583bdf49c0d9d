namespace KlineOrleans.Contracts;

/// <summary>An event that a followed program emitted for a mint, a trade or not. Immutable.</summary>
/// <remarks>
/// Its identity is the mint with <see cref="TradeOrder.Id"/>: slot, signature, index of the event in its transaction. The same event comes with the same identity
/// however often it comes; its place in the slot (<see cref="TradeOrder.Sequence"/>) and its time may be known better the second time.
/// </remarks>
[GenerateSerializer, Immutable, Alias("KlineOrleans.ChainEvent")]
public sealed record ChainEvent
{
    /// <summary>The mint's address.</summary>
    [Id(0)]
    public required string Symbol { get; init; }

    /// <summary>Identity, and place among the mint's events.</summary>
    [Id(1)]
    public required TradeOrder Order { get; init; }

    /// <summary>As the program calls it, without the suffix Event: TokenCreated, BuySell, LongShort, ForceLiquidate, FullClose, PartialClose, MilestoneDiscount.</summary>
    [Id(2)]
    public required string Type { get; init; }

    /// <summary>The chain's block time, UTC; a recording's own time stamp.</summary>
    [Id(3)]
    public required DateTimeOffset EventTime { get; init; }

    /// <summary>
    /// One JSON object, compact: <c>event_type</c>, then the event's own members as the program names them. u128 are decimal strings, keys base58. When and where the
    /// event happened is not in it: that stands above.
    /// </summary>
    [Id(4)]
    public required string Fields { get; init; }
}

/// <summary>An event with its number among its mint's events. Immutable.</summary>
/// <param name="Number">From 1, +1 with each new event in the order they were stored, never given twice: whoever has seen up to n asks for what comes after n.</param>
[GenerateSerializer, Immutable, Alias("KlineOrleans.StoredEvent")]
public readonly record struct StoredEvent([property: Id(0)] long Number, [property: Id(1)] ChainEvent Event);
