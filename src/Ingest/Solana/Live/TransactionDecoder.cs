using System.Collections.Concurrent;
using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>Decodes fetched transactions, several at a time. Thread safe.</summary>
internal sealed class TransactionDecoder(string source, ProgramCatalog programs, SkipCounts skipped)
{
    private readonly ConcurrentBag<One> _idle = [];

    public DecodedTransaction Decode(FetchedTransaction transaction, long? blockTime)
    {
        if (!_idle.TryTake(out var one))
        {
            one = new One(source, programs, skipped);
        }

        try
        {
            return one.Decode(transaction, blockTime);
        }
        finally
        {
            _idle.Add(one);
        }
    }

    private sealed class One : IBlockTimes
    {
        private readonly SolanaTrades _decoder;
        private readonly List<Trade> _trades = [];
        private readonly List<SymbolInfo> _symbols = [];
        private readonly List<ChainEvent> _events = [];
        private long? _blockTime;

        public One(string source, ProgramCatalog programs, SkipCounts skipped) =>
            _decoder = new SolanaTrades(source, programs, new EventTimes(this, EventTimes.Genesis), skipped);

        public bool TryGet(long slot, out long seconds)
        {
            seconds = _blockTime ?? 0;
            return _blockTime is not null;
        }

        public DecodedTransaction Decode(FetchedTransaction transaction, long? blockTime)
        {
            _trades.Clear();
            _symbols.Clear();
            _events.Clear();
            _blockTime = transaction.BlockTime ?? blockTime;
            _decoder.Read(transaction.Frame, 0, _trades, _symbols, events: _events);
            return new DecodedTransaction(transaction.Signature, [.. _trades], [.. _events], [.. _symbols], _decoder.IsTruncated);
        }
    }
}
