using System.Globalization;
using System.Threading.Channels;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>Compares what was seen with the chain and fetches what is missing: after each connection what was missed before it (healing), and from time to time again (scanning).</summary>
/// <remarks>
/// The list of a program's signatures is what the chain says; everything else here only saves asking. A pass gives the missing transactions oldest slot first.
/// <see cref="Heal"/> may be called from any thread.
/// </remarks>
internal sealed class Verifier(
    SolanaOptions options, Ledger ledger, SlotBook book, TransactionDecoder decoder, LiveFigures figures, TimeProvider time, Func<LiveResult, Task> post)
{
    // Slots whose transactions are fetched ahead of the one that is given.
    private const int SlotsAhead = 32;
    private const int MaxLost = 10_000;
    private const int MaxTries = 8;

    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LastRetry = TimeSpan.FromSeconds(4);

    private readonly HashSet<string> _lost = new(StringComparer.Ordinal);
    private readonly Channel<bool> _signal = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private int _wanted;
    private int _healed;
    private long _floor;
    private long _verified;
    private long _uncertain;
    private bool _isHistoryChecked;

    /// <summary>Asks to give what was missed up to now.</summary>
    /// <param name="number">Of this asking; growing.</param>
    public void Heal(int number)
    {
        int wanted;
        while ((wanted = Volatile.Read(ref _wanted)) < number && Interlocked.CompareExchange(ref _wanted, number, wanted) != wanted)
        {
            // Another asked at the same moment: the higher number stands for both.
        }

        Wake();
    }

    /// <summary>Runs until it is cancelled.</summary>
    /// <param name="verified">Everything up to this slot was given before.</param>
    /// <param name="isRestart">By an earlier life of the source, which may have given more.</param>
    public async Task Run(long verified, bool isRestart, CancellationToken cancellationToken)
    {
        _floor = _verified = verified;
        _uncertain = isRestart ? long.MaxValue : -1;
        using var timer = time.CreateTimer(_ => Wake(), null, options.ScanInterval, options.ScanInterval);
        var lastScan = time.GetTimestamp();
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var wanted = Volatile.Read(ref _wanted);
            if (wanted > _healed)
            {
                await HealOnce(wanted, cancellationToken);
                _healed = wanted;
            }
            else if (_healed > 0 && time.GetElapsedTime(lastScan) >= options.ScanInterval)
            {
                lastScan = time.GetTimestamp();
                await Scan(cancellationToken);
            }
            else
            {
                await _signal.Reader.ReadAsync(cancellationToken);
            }
        }
    }

    private async Task HealOnce(int number, CancellationToken cancellationToken)
    {
        var head = await ledger.GetSlot(cancellationToken);
        await CheckHistory(head, cancellationToken);
        var from = _verified;
        while (true)
        {
            var reached = await Pass(from, long.MaxValue, head, isHealing: true, cancellationToken);
            if (reached == long.MaxValue)
            {
                break;
            }

            from = reached;
        }

        if (_uncertain == long.MaxValue)
        {
            // What comes after this was not given by an earlier life.
            _uncertain = head;
        }

        figures.Add(LiveFigures.Heals);
        await MoveTo(head - options.SettleSlots);
        await post(new Healed(number));
    }

    private async Task Scan(CancellationToken cancellationToken)
    {
        var head = await ledger.GetSlot(cancellationToken);
        var to = head - options.SettleSlots;
        var from = Math.Max(_floor, Math.Min(_verified, to - options.ScanSlots));
        if (from < book.Forgotten && book.Forgotten <= _verified)
        {
            from = book.Forgotten;
        }

        if (to <= from)
        {
            return;
        }

        var reached = await Pass(from, to, head, isHealing: false, cancellationToken);
        figures.Add(LiveFigures.Scans);
        await MoveTo(Math.Min(to, reached));
    }

    private async Task MoveTo(long slot)
    {
        if (slot > _verified)
        {
            _verified = slot;
            await post(new Verified(slot));
        }
    }

    // What the nodes have thrown away since the checkpoint nobody can give.
    private async Task CheckHistory(long head, CancellationToken cancellationToken)
    {
        if (_isHistoryChecked && head - _verified < options.ScanSlots)
        {
            return;
        }

        _isHistoryChecked = true;
        var first = await ledger.GetFirstAvailableSlot(cancellationToken);
        if (first > _verified + 1 && first <= head)
        {
            figures.Gap(string.Create(CultureInfo.InvariantCulture, $"slots {_verified + 1} to {first - 1}: the node has them no more"));
        }
    }

    /// <returns>The slot up to which everything listed was given: <paramref name="to"/>, or less if there was more than one pass holds.</returns>
    private async Task<long> Pass(long from, long to, long head, bool isHealing, CancellationToken cancellationToken)
    {
        var listed = new Dictionary<string, ListedTransaction>(StringComparer.Ordinal);
        var reached = to;
        foreach (var program in options.Programs.Programs)
        {
            var (some, end) = await List(program.Id, from, to, head, cancellationToken);
            reached = Math.Min(reached, end);
            foreach (var transaction in some)
            {
                listed.TryAdd(transaction.Signature, transaction);
            }
        }

        if (!isHealing && reached == to)
        {
            var others = book.CountOthers(Math.Max(from, _verified), to, listed.Keys.ToHashSet(StringComparer.Ordinal));
            if (others > 0)
            {
                figures.Add(LiveFigures.NotOnChain, others);
                figures.Warn(LiveFigures.NotOnChain, $"{others} transactions of the slots {from + 1} to {to} are not on the chain any more; their trades stay in the klines");
            }
        }

        var running = new Queue<Task<SlotFetched?>>();
        foreach (var slot in listed.Values.Where(t => t.Slot <= reached && !book.Contains(t.Slot, t.Signature)).GroupBy(t => t.Slot).OrderBy(g => g.Key))
        {
            running.Enqueue(Fetch(slot.Key, [.. slot.Reverse()], isHealing, cancellationToken));
            if (running.Count >= SlotsAhead)
            {
                await Give(running.Dequeue());
            }
        }

        while (running.TryDequeue(out var next))
        {
            await Give(next);
        }

        return reached;
    }

    private async Task Give(Task<SlotFetched?> fetching)
    {
        if (await fetching is { } slot)
        {
            figures.Add(LiveFigures.Repaired, slot.Transactions.Count);
            figures.Repair(slot.Slot);
            await post(slot);
        }
    }

    // Newest first, as nodes list. If there are too many, the newest are let go of: a later pass takes them.
    private async Task<(IEnumerable<ListedTransaction> Listed, long Reached)> List(string program, long from, long to, long head, CancellationToken cancellationToken)
    {
        var listed = new Queue<ListedTransaction>();
        var reached = to;
        string? before = null;
        while (true)
        {
            var page = await ledger.GetSignatures(program, before, head, cancellationToken);
            foreach (var transaction in page)
            {
                if (transaction.Slot <= from)
                {
                    return (listed, reached);
                }

                if (transaction.HasError || transaction.Slot > to)
                {
                    continue;
                }

                listed.Enqueue(transaction);
                if (listed.Count > options.MaxListed)
                {
                    reached = listed.Dequeue().Slot - 1;
                }
            }

            if (page.Count < options.PageSize)
            {
                return (listed, reached);
            }

            before = page[^1].Signature;
        }
    }

    private async Task<SlotFetched?> Fetch(long slot, ListedTransaction[] listed, bool isHealing, CancellationToken cancellationToken)
    {
        var blockTime = listed.Select(t => t.BlockTime).FirstOrDefault(t => t is not null);
        var fetched = await Task.WhenAll(listed.Select(t => Fetch(t, cancellationToken)));
        var decoded = fetched.OfType<FetchedTransaction>().Where(t => !t.HasError).Select(t => decoder.Decode(t, blockTime)).ToList();
        if (decoded.Count == 0)
        {
            return null;
        }

        blockTime ??= fetched.Select(t => t?.BlockTime).FirstOrDefault(t => t is not null);
        IReadOnlyDictionary<string, int>? places = null;
        if (NeedsPlaces(slot, decoded))
        {
            try
            {
                if (await ledger.GetPlaces(slot, cancellationToken) is { } block)
                {
                    places = block.Places;
                    blockTime ??= block.BlockTime;
                }
            }
            catch (RpcException e)
            {
                // The reader asks again, and counts it if there is no answer.
                figures.Warn($"places:{e.Code}", e.Message);
            }
        }

        return new SlotFetched(slot, blockTime, decoded, places, slot <= _uncertain || slot <= book.Forgotten, isHealing);
    }

    private bool NeedsPlaces(long slot, List<DecodedTransaction> decoded)
    {
        var signatures = decoded.Select(t => t.Signature).ToHashSet(StringComparer.Ordinal);
        var mints = new HashSet<string>(StringComparer.Ordinal);
        foreach (var transaction in decoded)
        {
            foreach (var mint in transaction.Trades.Select(t => t.Symbol).Distinct(StringComparer.Ordinal))
            {
                if (!mints.Add(mint) || book.Trades(slot, mint, signatures))
                {
                    return true;
                }
            }
        }

        return false;
    }

    private async Task<FetchedTransaction?> Fetch(ListedTransaction listed, CancellationToken cancellationToken)
    {
        bool wasLost;
        lock (_lost)
        {
            wasLost = _lost.Contains(listed.Signature);
        }

        for (var attempt = 0; attempt < (wasLost ? 1 : MaxTries); attempt++)
        {
            if (attempt > 0)
            {
                await Task.Delay(Backoff.Delay(attempt - 1, FirstRetry, LastRetry), time, cancellationToken);
            }

            try
            {
                if (await ledger.GetTransaction(listed.Signature, cancellationToken) is { } transaction)
                {
                    return transaction.Slot == listed.Slot ? transaction : transaction with { HasError = true };
                }
            }
            catch (RpcException e)
            {
                figures.Warn($"transaction:{e.Code}", e.Message);
            }
        }

        if (!wasLost)
        {
            lock (_lost)
            {
                if (_lost.Count >= MaxLost)
                {
                    _lost.Clear();
                }

                _lost.Add(listed.Signature);
            }

            figures.Gap(string.Create(CultureInfo.InvariantCulture, $"transaction {listed.Signature} of slot {listed.Slot}: no node gives it"));
        }

        return null;
    }

    private void Wake() => _signal.Writer.TryWrite(true);
}
