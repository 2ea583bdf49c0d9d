using System.Collections.Immutable;

namespace KlineOrleans.Contracts;

/// <summary>The store of chain events: bounded, by mint and in all. Thread safe.</summary>
/// <remarks>
/// A write is an upsert by (mint, slot, signature, index): writing the same again changes nothing and answers the same number. Events leave at the old end only;
/// what comes again after it left stays away.
/// </remarks>
public interface IChainEventStore
{
    /// <summary>False: events are not kept, reads answer nothing, and nobody need write.</summary>
    bool KeepsEvents { get; }

    /// <summary>Stores events of any mints. Durable when it returns.</summary>
    /// <returns>Each event's number; 0 for one that is older than what is kept.</returns>
    /// <exception cref="ArchiveUnavailableException">Nothing was stored; the same call may succeed later.</exception>
    Task<ImmutableArray<long>> Write(IReadOnlyList<ChainEvent> events, CancellationToken cancellationToken = default);

    /// <summary>A page of a mint's events in the chain's order.</summary>
    /// <exception cref="ArchiveUnavailableException">The store cannot be read now.</exception>
    Task<IReadOnlyList<StoredEvent>> Read(string symbol, ChainEventRange range, CancellationToken cancellationToken = default);

    /// <summary>A mint's events with a number above <paramref name="number"/>, by number, ascending.</summary>
    /// <param name="limit">1 to 1,000.</param>
    /// <exception cref="ArchiveUnavailableException">The store cannot be read now.</exception>
    Task<IReadOnlyList<StoredEvent>> ReadAfter(string symbol, long number, int limit, CancellationToken cancellationToken = default);

    /// <summary>How many events of a mint there are.</summary>
    /// <exception cref="ArchiveUnavailableException">The store cannot be read now.</exception>
    Task<ChainEventCount> Count(string symbol, CancellationToken cancellationToken = default);
}

/// <summary>Which events to read, in the order of slot, place in the slot, signature, index.</summary>
/// <param name="After">The last event of the page before, in the direction of reading; null for the first page.</param>
/// <param name="NewestFirst">The direction of reading, and the order of the answer.</param>
/// <param name="Limit">1 to 1,000.</param>
public readonly record struct ChainEventRange(TradeOrder? After, bool NewestFirst, int Limit)
{
    /// <summary>Events with a higher number are left out. Default: none is.</summary>
    public long UpTo { get; init; } = long.MaxValue;
}

/// <summary>Figures of one mint's events.</summary>
/// <param name="Kept">Events that can be read.</param>
/// <param name="LastNumber">The number of the newest stored; 0 where none ever was.</param>
public readonly record struct ChainEventCount(long Kept, long LastNumber);

/// <summary>Keeps no events. For hosts that want none.</summary>
public sealed class NoChainEvents : IChainEventStore
{
    public bool KeepsEvents => false;

    public Task<ImmutableArray<long>> Write(IReadOnlyList<ChainEvent> events, CancellationToken cancellationToken = default) =>
        Task.FromResult(events.Select(static _ => 0L).ToImmutableArray());

    public Task<IReadOnlyList<StoredEvent>> Read(string symbol, ChainEventRange range, CancellationToken cancellationToken = default) => Task.FromResult<IReadOnlyList<StoredEvent>>([]);

    public Task<IReadOnlyList<StoredEvent>> ReadAfter(string symbol, long number, int limit, CancellationToken cancellationToken = default) => Task.FromResult<IReadOnlyList<StoredEvent>>([]);

    public Task<ChainEventCount> Count(string symbol, CancellationToken cancellationToken = default) => Task.FromResult(default(ChainEventCount));
}
