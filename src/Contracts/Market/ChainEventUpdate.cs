using System.Collections.Immutable;

namespace KlineOrleans.Contracts;

/// <summary>Events of one mint, once they are stored: the item of <see cref="KlineStreams.EventsOf"/>. Immutable.</summary>
/// <remarks>
/// May repeat events, and an update may be lost: a reader drops numbers that it has had, and where one is missing it reads the store
/// (<see cref="IChainEventStore.ReadAfter"/>), which was written first.
/// </remarks>
[GenerateSerializer, Immutable, Alias("KlineOrleans.ChainEventUpdate")]
public sealed record ChainEventUpdate
{
    [Id(0)]
    public required string Symbol { get; init; }

    /// <summary>By number, ascending.</summary>
    [Id(1)]
    public required ImmutableArray<StoredEvent> Events { get; init; }
}
