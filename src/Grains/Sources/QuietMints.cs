using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Grains;

/// <summary>
/// Makes the klines of mints final that no trades come to: their grains leave memory, or never came into it since the process began, with klines that still form
/// and klines that are final and not archived. Thread safe.
/// </summary>
/// <remarks>
/// Which mints those are is not stored. A save tells when its mint next has something to store (<see cref="SaveResult.NextFinal"/>), and of mints that were not
/// saved since the process began the archive's index tells the names: each is visited once after the start, the newest first.
/// </remarks>
/// <param name="source">The source's name.</param>
/// <param name="grains">Finds the mints' grains.</param>
/// <param name="archive">Its index holds every mint before a checkpoint passes its first trade.</param>
/// <param name="time">Our clock.</param>
/// <param name="clockOf">The source's clock for a mint; null if it is about to be saved anyway. For the empty name: for mints that nothing comes to.</param>
/// <param name="logger">Hears what fails.</param>
internal sealed partial class QuietMints(string source, IGrainFactory grains, IKlineArchive archive, TimeProvider time, Func<string, SourceClock?> clockOf, ILogger logger) : IDisposable
{
    /// <summary>The most mints of one round.</summary>
    private const int MostInRound = 1_000;

    /// <summary>Mints that are visited at the same time.</summary>
    private const int MostAtOnce = 32;

    /// <summary>How far the clock passes the moment before a visit: a mint that is in memory does it itself by then.</summary>
    private static readonly TimeSpan Slack = TimeSpan.FromSeconds(30);

    /// <summary>When a mint is visited again that could not be, or that the clock does not count for yet.</summary>
    private static readonly TimeSpan Retry = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _visiting = new(1, 1);

    /// <summary>When each mint is to be visited, by the source's clock in ticks.</summary>
    private readonly Dictionary<string, long> _dues = new(StringComparer.Ordinal);

    /// <summary>The same in order. Holds entries that <see cref="_dues"/> has replaced.</summary>
    private readonly PriorityQueue<string, long> _queue = new();
    private readonly Queue<(long Since, string Symbol)> _later = new();
    private SymbolInfo? _listed;
    private bool _isListed;

    /// <summary>A mint has saved; <paramref name="nextFinal"/> is its <see cref="SaveResult.NextFinal"/>.</summary>
    public void Note(string symbol, DateTimeOffset? nextFinal)
    {
        lock (_lock)
        {
            if (nextFinal is { } due)
            {
                Add(symbol, due.UtcTicks);
            }
            else
            {
                _dues.Remove(symbol);
            }
        }
    }

    /// <summary>One round: some of the mints that are due. Nothing while another round goes on.</summary>
    public async Task Visit()
    {
        if (!await _visiting.WaitAsync(0))
        {
            return;
        }

        try
        {
            if (clockOf("") is not { } clock || clock.Time == DateTimeOffset.MinValue)
            {
                return;
            }

            if (!_isListed && _dues.Count < 10 * MostInRound)
            {
                await List();
            }

            lock (_lock)
            {
                while (_later.TryPeek(out var later) && time.GetElapsedTime(later.Since) >= Retry)
                {
                    Add(_later.Dequeue().Symbol, 0);
                }
            }

            if (await Visit(Take(clock.Time.UtcTicks - Slack.Ticks)) is { } error)
            {
                LogVisitFailed(source, error.Message, error);
            }
        }
        finally
        {
            _visiting.Release();
        }
    }

    /// <summary>Every mint up to the clock. Throws what kept one from it.</summary>
    public async Task VisitAll(CancellationToken cancellationToken)
    {
        await _visiting.WaitAsync(cancellationToken);
        try
        {
            while (!_isListed)
            {
                await List();
            }

            lock (_lock)
            {
                while (_later.TryDequeue(out var later))
                {
                    Add(later.Symbol, 0);
                }
            }

            while (clockOf("") is { } clock && Take(clock.Time.UtcTicks) is { Count: > 0 } symbols)
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (await Visit(symbols) is { } error)
                {
                    throw error;
                }
            }
        }
        finally
        {
            _visiting.Release();
        }
    }

    public void Dispose() => _visiting.Dispose();

    private async Task List()
    {
        var page = await archive.ListNewestSymbols(_listed, MostInRound);
        lock (_lock)
        {
            foreach (var symbol in page)
            {
                if (symbol.Source == source && !_dues.ContainsKey(symbol.Symbol))
                {
                    Add(symbol.Symbol, 0);
                }
            }

            _isListed = page.Count < MostInRound;
            _listed = page.Count > 0 ? page[^1] : _listed;
        }
    }

    private void Add(string symbol, long due)
    {
        if (!_dues.TryGetValue(symbol, out var before) || before != due)
        {
            _dues[symbol] = due;
            _queue.Enqueue(symbol, due);
        }
    }

    private List<string> Take(long clock)
    {
        var symbols = new List<string>();
        lock (_lock)
        {
            while (symbols.Count < MostInRound && _queue.TryPeek(out var symbol, out var due) && due <= clock)
            {
                _queue.Dequeue();
                if (_dues.TryGetValue(symbol, out var now) && now == due)
                {
                    _dues.Remove(symbol);
                    symbols.Add(symbol);
                }
            }
        }

        return symbols;
    }

    /// <summary>What failed, if anything did; those mints are visited again later.</summary>
    private async Task<Exception?> Visit(List<string> symbols)
    {
        Exception? failure = null;
        foreach (var some in symbols.Chunk(MostAtOnce))
        {
            await Task.WhenAll(some.Select(async symbol =>
            {
                if (clockOf(symbol) is not { } clock)
                {
                    return;
                }

                var isOver = false;
                try
                {
                    var result = await grains.GetGrain<IKlineGrain>(symbol).Settle(source, clock);
                    isOver = result.NextFinal is not { } due || due > clock.Time;
                    if (isOver)
                    {
                        Note(symbol, result.NextFinal);
                    }
                }
                catch (Exception error)
                {
                    failure = error;
                }

                if (!isOver)
                {
                    lock (_lock)
                    {
                        _later.Enqueue((time.GetTimestamp(), symbol));
                    }
                }
            }));
        }

        return failure;
    }

    [LoggerMessage(1116, LogLevel.Error, "Source {Name}: klines of quiet symbols are not stored yet: {Reason}")]
    private partial void LogVisitFailed(string name, string reason, Exception error);
}
