using KlineOrleans.Contracts;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>A transaction that was seen. Changed by the reader alone.</summary>
internal sealed class SeenTransaction(string signature, Trade[] trades, long arrival)
{
    public string Signature => signature;

    /// <summary>As given, once given; before, as decoded.</summary>
    public Trade[] Trades => trades;

    /// <summary>The order of arrival in this process, from 1.</summary>
    public long Arrival => arrival;

    /// <summary>Its trades went to the consumer; before, they wait for their slot's block time.</summary>
    public bool IsGiven { get; set; }

    /// <summary>Its index in the block, where known.</summary>
    public int? Place { get; set; }

    public bool Has(string mint)
    {
        foreach (ref readonly var trade in trades.AsSpan())
        {
            if (trade.Symbol == mint)
            {
                return true;
            }
        }

        return false;
    }
}

/// <summary>What was seen of a slot. Changed by the reader alone.</summary>
internal sealed class SeenSlot(long slot)
{
    public long Slot => slot;

    public Dictionary<string, SeenTransaction> Transactions { get; } = new(StringComparer.Ordinal);

    /// <summary>Until when its trades wait for the block time (timestamp of our clock); null if none waits.</summary>
    public long? Waiting { get; set; }

    /// <summary>Trades were given though the block time was not known: once it is, they are given again with it.</summary>
    public bool HasEstimates { get; set; }

    /// <summary>Nobody tells the block time: the checkpoint waits for it no longer.</summary>
    public bool IsTimeGivenUp { get; set; }

    /// <summary>A mint has trades of two transactions whose order is that of arrival and was not compared with the chain's.</summary>
    public bool NeedsOrder { get; set; }

    public bool IsOrderAsked { get; set; }
}

/// <summary>The transactions seen in the newest slots, by slot and signature: bounded. The reader writes, the verifier asks. Thread safe in that sense.</summary>
internal sealed class SlotBook(int maxTransactions = SlotBook.MaxTransactions)
{
    public const int MaxTransactions = 400_000;

    private readonly Lock _lock = new();
    private readonly SortedDictionary<long, SeenSlot> _slots = [];
    private int _transactions;
    private long _forgotten = -1;

    /// <summary>Of slots up to here nothing is known any more.</summary>
    public long Forgotten => Interlocked.Read(ref _forgotten);

    public int Count => Volatile.Read(ref _transactions);

    public SeenSlot? Find(long slot) => _slots.GetValueOrDefault(slot);

    public SeenSlot GetOrAdd(long slot)
    {
        if (!_slots.TryGetValue(slot, out var seen))
        {
            seen = new SeenSlot(slot);
            lock (_lock)
            {
                _slots.Add(slot, seen);
            }
        }

        return seen;
    }

    /// <summary>False if it was seen before.</summary>
    public bool TryAdd(SeenSlot slot, SeenTransaction transaction)
    {
        lock (_lock)
        {
            if (!slot.Transactions.TryAdd(transaction.Signature, transaction))
            {
                return false;
            }

            _transactions++;
            return true;
        }
    }

    /// <summary>Whether a transaction was seen.</summary>
    public bool Contains(long slot, string signature)
    {
        lock (_lock)
        {
            return _slots.TryGetValue(slot, out var seen) && seen.Transactions.ContainsKey(signature);
        }
    }

    /// <summary>Whether a mint has trades in a transaction of the slot other than <paramref name="except"/>.</summary>
    public bool Trades(long slot, string mint, IReadOnlySet<string> except)
    {
        lock (_lock)
        {
            return _slots.TryGetValue(slot, out var seen) && seen.Transactions.Values.Any(t => !except.Contains(t.Signature) && t.Has(mint));
        }
    }

    /// <summary>How many transactions with trades were given in (<paramref name="from"/>, <paramref name="to"/>] that are not in <paramref name="listed"/>.</summary>
    public int CountOthers(long from, long to, IReadOnlySet<string> listed)
    {
        lock (_lock)
        {
            return _slots.Where(s => s.Key > from && s.Key <= to).Sum(s => s.Value.Transactions.Values.Count(t => t.Trades.Length > 0 && !listed.Contains(t.Signature)));
        }
    }

    /// <summary>Forgets slots up to <paramref name="slot"/>, and the oldest of the others as far as there are too many.</summary>
    public void Forget(long slot)
    {
        lock (_lock)
        {
            while (_slots.Count > 0)
            {
                var (oldest, seen) = _slots.First();
                if (oldest > slot && _transactions <= maxTransactions)
                {
                    break;
                }

                _slots.Remove(oldest);
                _transactions -= seen.Transactions.Count;
                Interlocked.Exchange(ref _forgotten, Math.Max(_forgotten, oldest));
            }
        }
    }
}
