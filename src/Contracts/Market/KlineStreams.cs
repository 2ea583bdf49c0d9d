namespace KlineOrleans.Contracts;

/// <summary>The streams that grains publish to.</summary>
public static class KlineStreams
{
    /// <summary>The stream provider's name.</summary>
    public const string Provider = "kline";

    /// <summary>Namespace of the updates of one mint; items are <see cref="KlineUpdate"/>.</summary>
    public const string Kline = "kline";

    /// <summary>Namespace of the chain events of one mint; items are <see cref="ChainEventUpdate"/>.</summary>
    public const string ChainEvent = "chain-event";

    /// <summary>The stream of one mint's updates.</summary>
    public static StreamId ForSymbol(string symbol) => StreamId.Create(Kline, symbol);

    /// <summary>The stream of one mint's chain events.</summary>
    public static StreamId EventsOf(string symbol) => StreamId.Create(ChainEvent, symbol);
}
