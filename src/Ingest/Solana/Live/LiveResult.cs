using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>What came of asking a node, on its way to the reader.</summary>
internal abstract record LiveResult;

/// <summary>Transactions of one slot that were not seen, oldest slot first.</summary>
/// <param name="Places">The places of the slot's transactions, where they were needed and are known.</param>
/// <param name="IsUncertain">An earlier life of the source may have given some of them in another order.</param>
/// <param name="IsHealing">Everything before this slot was given.</param>
internal sealed record SlotFetched(
    long Slot, long? BlockTime, IReadOnlyList<DecodedTransaction> Transactions, IReadOnlyDictionary<string, int>? Places, bool IsUncertain, bool IsHealing) : LiveResult;

/// <summary>A transaction's trades and events, with no order yet.</summary>
internal sealed record DecodedTransaction(string Signature, Trade[] Trades, ChainEvent[] Events, SymbolInfo[] Symbols, bool IsTruncated);

/// <summary>The block time of a slot; null if no node knows it.</summary>
internal sealed record BlockTimeTold(long Slot, long? Seconds) : LiveResult;

/// <summary>The places of a block's transactions; null if no node tells.</summary>
internal sealed record PlacesTold(long Slot, IReadOnlyDictionary<string, int>? Places) : LiveResult;

/// <summary>Every transaction up to this slot was given or is on its way before this.</summary>
internal sealed record Verified(long Slot) : LiveResult;

/// <summary>What was missed when the healing of this number was asked for is given.</summary>
internal sealed record Healed(int Number) : LiveResult;
