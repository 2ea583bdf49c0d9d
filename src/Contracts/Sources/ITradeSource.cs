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

    /// <summary>
    /// What the programs of a chain emitted, trades included, in the source's order; empty on an exchange. The reader stores them before it saves a checkpoint at or
    /// after this chunk. Some may come again, with the same identity.
    /// </summary>
    public ImmutableArray<ChainEvent> Events { get; init; } = [];

    /// <summary>Symbols that begin here with a past of their own; empty for most chunks. A chunk that has any has no trades.</summary>
    /// <remarks>See <see cref="SymbolKlines"/> for what the reader does with each, before it passes this chunk on or saves its checkpoint.</remarks>
    public ImmutableArray<SymbolKlines> History { get; init; } = [];

    /// <summary>
    /// Symbols of an earlier <see cref="History"/> whose trades have reached the present with this chunk's. Until then the source's clock, which does not wait for a
    /// symbol that begins, makes nothing of theirs final. Named again where it is not certain that it was heard.
    /// </summary>
    public ImmutableArray<string> CaughtUp { get; init; } = [];
}

/// <summary>A symbol begins: its klines up to <see cref="From"/>, as the source's venue says them. Every later trade of it comes as a trade. Immutable.</summary>
/// <remarks>
/// <para>
/// <see cref="Klines"/> are final klines of buckets that end at or before <see cref="From"/>; the reader writes them to <see cref="IKlineArchive"/>.
/// <see cref="Forming"/> are the sums so far of the buckets that hold <see cref="From"/> and opened before it, at most one per interval; the symbol's
/// grain goes on from them. Where an interval is in neither, its bucket at <see cref="From"/> opens there, or nothing traded in it yet, or
/// (intervals in <see cref="Unknown"/>) its past cannot be known: that one bucket must not be stored.
/// </para>
/// <para>
/// Given on a symbol's first start, and again when the source was away longer than trades reach back. Then the grain drops its forming klines,
/// which lack trades that never come, and goes on from these. So the symbol stops at this chunk: the reader writes <see cref="Klines"/>, gives
/// <see cref="Forming"/> to the grain, saves, and saves the checkpoint, before any later trade of the symbol. All of it may be given again.
/// </para>
/// <para>
/// Such klines come from sums, not from trades: <see cref="Kline.First"/> and <see cref="Kline.Last"/> are the default, which stands before every trade,
/// <see cref="Kline.UpdateCount"/> is the trade count, and <see cref="Kline.Revision"/> 0. None is flat.
/// </para>
/// </remarks>
/// <param name="Symbol">As in its trades.</param>
/// <param name="Klines">Final; shortest interval first, oldest first within one.</param>
public sealed record SymbolKlines(string Symbol, ImmutableArray<Kline> Klines)
{
    /// <summary>Where the past ends and trades begin, UTC: no trade of the symbol before it is given, all from it on are. The start of a minute.</summary>
    public DateTimeOffset From { get; init; }

    /// <summary>The source's clock, UTC, where the trades end that it gave of the symbol before: what that clock makes final is whole and stays. Null if it may have given none.</summary>
    public DateTimeOffset? WholeTo { get; init; }

    /// <summary>Forming klines as of <see cref="From"/>, shortest interval first.</summary>
    public ImmutableArray<Kline> Forming { get; init; } = [];

    /// <summary>Intervals whose bucket at <see cref="From"/> began before it, and whose sums so far the venue could not say.</summary>
    public ImmutableArray<KlineInterval> Unknown { get; init; } = [];
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
