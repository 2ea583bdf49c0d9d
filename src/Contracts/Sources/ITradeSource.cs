using System.Collections.Immutable;

namespace KlineOrleans.Contracts;

/// <summary>Makes the readers of the configured sources. Thread safe.</summary>
public interface ITradeSourceFactory
{
    /// <summary>The configured sources, in the order of the configuration.</summary>
    ImmutableArray<SourceDescription> Sources { get; }

    /// <summary>A new reader of the source <paramref name="name"/>.</summary>
    /// <exception cref="ArgumentException">No such source.</exception>
    ITradeSource Create(string name);
}

/// <summary>Reads one source: bytes from outside become ordered trades. One reader at a time.</summary>
public interface ITradeSource
{
    /// <summary>Reads from <paramref name="checkpoint"/> (null: from the beginning, as the source defines it) to the end or for ever.</summary>
    /// <remarks>
    /// Trades come at least once; those after the checkpoint all come, in the source's order. The consumer may be slow: the source buffers up to
    /// a bound of its own, and says in <see cref="GetStatus"/> what it had to skip.
    /// A chunk that is read belongs to the reader of the enumeration.
    /// </remarks>
    /// <exception cref="SourceException">The source cannot be read; the message says why, for an operator. The caller tries again later from the checkpoint.</exception>
    IAsyncEnumerable<SourceChunk> Read(string? checkpoint, CancellationToken cancellationToken);

    /// <summary>Figures so far. Thread safe, cheap. <see cref="SourceStatus.Clock"/>, <see cref="SourceStatus.Checkpoint"/>, Duplicates, Late and Mints are the caller's to fill.</summary>
    SourceStatus GetStatus();
}

/// <summary>Some trades of a source, and where a restart goes on once they are saved.</summary>
/// <remarks>May hold no trades: then it only moves the clock or the checkpoint.</remarks>
/// <param name="Trades">In the source's order, of any number of mints.</param>
/// <param name="Checkpoint">Reading from here gives what follows these trades, and may give some of them again.</param>
/// <param name="Clock">The source's clock after these trades.</param>
public sealed record SourceChunk(ImmutableArray<Trade> Trades, string Checkpoint, SourceClock Clock)
{
    /// <summary>Symbols whose names this chunk tells, as a token's creation does; empty if none. Its other symbols go by their own names.</summary>
    public ImmutableArray<SymbolInfo> Symbols { get; init; } = [];

    /// <summary>
    /// Corrections of order: for each pair of mint and slot in it, every trade of that mint in that slot, with its place in the block as
    /// <see cref="TradeOrder.Sequence"/>. Trades given before in another order take this one; those never given before are added.
    /// Wanted only where the order that was given is not the chain's, or a trade was missed.
    /// </summary>
    public ImmutableArray<Trade> Ordered { get; init; } = [];
}

/// <summary>A source cannot be read, for a reason that an operator can act on.</summary>
public sealed class SourceException : Exception
{
    public SourceException(string message)
        : base(message)
    {
    }

    public SourceException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
