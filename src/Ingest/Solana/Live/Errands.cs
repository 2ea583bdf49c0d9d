namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>Small questions to the chain that arise while reading: each is asked until it is answered, and the answer goes to the reader. Called by the reader alone.</summary>
internal sealed class Errands(
    Ledger ledger, TransactionDecoder decoder, LiveFigures figures, TimeProvider time, Func<LiveResult, Task> post, CancellationToken cancellationToken)
{
    // A block time that nobody waits for yet is asked ahead, unless this much is asked already.
    private const int MaxAhead = 32;
    private const int MaxAttempts = 40;

    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LastRetry = TimeSpan.FromSeconds(4);

    private readonly HashSet<long> _times = [];
    private readonly HashSet<string> _transactions = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();
    private int _running;

    /// <summary>Asks for a slot's block time.</summary>
    /// <param name="isWaitedFor">Trades wait for it; otherwise it is asked only when there is little else to ask.</param>
    public void AskBlockTime(long slot, bool isWaitedFor)
    {
        lock (_lock)
        {
            if ((!isWaitedFor && _running >= MaxAhead) || !_times.Add(slot))
            {
                return;
            }
        }

        Run(
        async () =>
        {
            long? seconds = null;
            try
            {
                seconds = await Ask(() => ledger.GetBlockTime(slot, cancellationToken));
            }
            finally
            {
                lock (_lock)
                {
                    _times.Remove(slot);
                }
            }

            return new BlockTimeTold(slot, seconds);
        },
        new BlockTimeTold(slot, null));
    }

    /// <summary>Asks for the places of a block's transactions.</summary>
    public void AskPlaces(long slot) => Run(
        async () => new PlacesTold(slot, await Ask<IReadOnlyDictionary<string, int>>(async () => (await ledger.GetPlaces(slot, cancellationToken))?.Places)),
        new PlacesTold(slot, null));

    /// <summary>Asks for a transaction whose notification was cut.</summary>
    public void AskTransaction(long slot, string signature)
    {
        lock (_lock)
        {
            if (!_transactions.Add(signature))
            {
                return;
            }
        }

        Run(async () =>
        {
            FetchedTransaction? fetched = null;
            try
            {
                fetched = await Ask(() => ledger.GetTransaction(signature, cancellationToken));
            }
            finally
            {
                lock (_lock)
                {
                    _transactions.Remove(signature);
                }
            }

            // What is not found now the verifier looks for again.
            return fetched is null || fetched.HasError
                ? null
                : new SlotFetched(fetched.Slot, fetched.BlockTime, [decoder.Decode(fetched, null)], null, IsUncertain: false, IsHealing: false);
        });
    }

    // Null at the end of the attempts, or when no node will ever tell.
    private async Task<T?> Ask<T>(Func<Task<T?>> ask)
    {
        for (var attempt = 0; attempt < MaxAttempts; attempt++)
        {
            try
            {
                if (await ask() is { } result)
                {
                    return result;
                }
            }
            catch (RpcException e) when (e.IsNotYet)
            {
                // Asked again below.
            }
            catch (RpcException e)
            {
                figures.Warn($"errand:{e.Code}", e.Message);
                return default;
            }

            await Task.Delay(Backoff.Delay(attempt, FirstRetry, LastRetry), time, cancellationToken);
        }

        return default;
    }

    private void Run(Func<Task<LiveResult?>> errand, LiveResult? otherwise = null)
    {
        Interlocked.Increment(ref _running);
        _ = Task.Run(
            async () =>
            {
                try
                {
                    if (await errand() is { } result)
                    {
                        await post(result);
                    }
                }
                catch (Exception) when (cancellationToken.IsCancellationRequested)
                {
                    // The source stops.
                }
                catch (Exception e)
                {
                    figures.Warn("errand", e.Message);
                    if (otherwise is not null && !cancellationToken.IsCancellationRequested)
                    {
                        await post(otherwise);
                    }
                }
                finally
                {
                    Interlocked.Decrement(ref _running);
                }
            },
            CancellationToken.None);
    }
}
