using KlineOrleans.Contracts;

namespace KlineOrleans.Testing.Archive;

/// <summary>An archive in memory that keeps every promise of the port, and fails or waits when a test says so. Thread safe.</summary>
public sealed class MemoryKlineArchive : IKlineArchive
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, SortedDictionary<(KlineInterval Interval, DateTimeOffset OpenTime), Kline>> _klines = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SymbolInfo> _symbols = new(StringComparer.Ordinal);
    private TaskCompletionSource? _gate;
    private TaskCompletionSource<int> _held = NewSignal();
    private int _heldCount;
    private int _failures;
    private bool _isUnavailable;
    private long _writes;

    /// <summary>While true every call fails as a store that is away.</summary>
    public bool IsUnavailable
    {
        get
        {
            lock (_lock)
                return _isUnavailable;
        }

        set
        {
            lock (_lock)
                _isUnavailable = value;
        }
    }

    /// <summary>Writes that succeeded, of klines and symbols.</summary>
    public long Writes
    {
        get
        {
            lock (_lock)
                return _writes;
        }
    }

    /// <summary>Every stored kline of a symbol, shortest interval first, oldest first within one.</summary>
    public IReadOnlyList<Kline> AllOf(string symbol)
    {
        lock (_lock)
            return _klines.TryGetValue(symbol, out var rows) ? [.. rows.Values] : [];
    }

    /// <summary>The next <paramref name="count"/> writes fail and store nothing.</summary>
    public void FailNext(int count = 1)
    {
        lock (_lock)
            _failures += count;
    }

    /// <summary>From now on writes wait, before they store anything, until the result is disposed.</summary>
    public IDisposable HoldWrites()
    {
        lock (_lock)
        {
            _gate ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return new Gate(this);
        }
    }

    /// <summary>Completes when at least <paramref name="count"/> writes wait at the gate.</summary>
    public async Task WaitForHeldWrites(int count, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            Task<int> changed;
            lock (_lock)
            {
                if (_heldCount >= count)
                    return;
                changed = _held.Task;
            }

            await changed.WaitAsync(cancellationToken);
        }
    }

    public Task Write(string symbol, IReadOnlyList<Kline> klines, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        ArgumentNullException.ThrowIfNull(klines);
        foreach (var kline in klines)
        {
            CheckInterval(kline.Interval);
            if (!kline.IsFinal || kline.IsFlat)
                throw new ArgumentException("The archive takes final klines with trades.", nameof(klines));
            if (kline.Interval.OpenTime(kline.OpenTime) != kline.OpenTime)
                throw new ArgumentException($"A kline cannot open at {kline.OpenTime:O}: that is off its grid.", nameof(klines));
            if (kline.Open == default || kline.High == default || kline.Low == default || kline.Close == default)
                throw new ArgumentException("A kline lacks a price.", nameof(klines));
        }

        return klines.Count == 0 ? Task.CompletedTask : WriteChecked(symbol, klines, cancellationToken);
    }

    public Task<IReadOnlyList<Kline>> Read(string symbol, KlineInterval interval, KlineRange range, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        CheckInterval(interval);
        ArgumentOutOfRangeException.ThrowIfLessThan(range.Limit, 1, nameof(range));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(range.Limit, 100_000, nameof(range));
        return Answer<IReadOnlyList<Kline>>(
            () =>
            {
                var matching = Rows(symbol).Where(k => k.Interval == interval && (range.From is null || k.OpenTime >= range.From) && (range.To is null || k.OpenTime < range.To));
                return range.Newest ? [.. matching.TakeLast(range.Limit)] : [.. matching.Take(range.Limit)];
            },
            cancellationToken);
    }

    public Task<IReadOnlyList<Kline>> ReadEndingAfter(string symbol, DateTimeOffset endAfter, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        return Answer<IReadOnlyList<Kline>>(() => [.. Rows(symbol).Where(k => k.EndTime > endAfter)], cancellationToken);
    }

    public async Task PutSymbol(SymbolInfo symbol, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(symbol);
        ArgumentException.ThrowIfNullOrEmpty(symbol.Symbol, nameof(symbol));
        ArgumentNullException.ThrowIfNull(symbol.Name, nameof(symbol));
        ArgumentNullException.ThrowIfNull(symbol.Source, nameof(symbol));
        await EnterWrite(cancellationToken);
        lock (_lock)
        {
            FailIfTold(isWrite: true);
            var listed = DateTimeOffset.FromUnixTimeMilliseconds(symbol.ListedTime.ToUnixTimeMilliseconds());
            if (_symbols.TryGetValue(symbol.Symbol, out var known) && known.ListedTime < listed)
                listed = known.ListedTime;
            _symbols[symbol.Symbol] = symbol with { ListedTime = listed };
            _writes++;
        }
    }

    public Task<SymbolInfo?> GetSymbol(string symbol, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        return Answer(() => _symbols.GetValueOrDefault(symbol), cancellationToken);
    }

    public Task<IReadOnlyList<SymbolInfo>> ListSymbols(string query, SymbolInfo? after, int limit, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(limit, 1_000);
        return Answer<IReadOnlyList<SymbolInfo>>(
            () =>
            [
                .. _symbols.Values
                    .Where(s => s.Symbol.Contains(query, StringComparison.OrdinalIgnoreCase) || s.Name.Contains(query, StringComparison.OrdinalIgnoreCase))
                    .Where(s => after is null || Compare(s, after) > 0)
                    .Order(Comparer<SymbolInfo>.Create(Compare))
                    .Take(limit),
            ],
            cancellationToken);
    }

    public Task<IReadOnlyList<SymbolInfo>> ListNewestSymbols(SymbolInfo? before, int limit, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(limit, 1_000);
        return Answer<IReadOnlyList<SymbolInfo>>(
            () =>
            [
                .. _symbols.Values
                    .Where(s => before is null || Compare(s, before) < 0)
                    .OrderDescending(Comparer<SymbolInfo>.Create(Compare))
                    .Take(limit),
            ],
            cancellationToken);
    }

    private static TaskCompletionSource<int> NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static int Compare(SymbolInfo left, SymbolInfo right)
    {
        var listed = left.ListedTime.ToUnixTimeMilliseconds().CompareTo(right.ListedTime.ToUnixTimeMilliseconds());
        return listed != 0 ? listed : string.CompareOrdinal(left.Symbol, right.Symbol);
    }

    private static void CheckInterval(KlineInterval interval)
    {
        if (interval is < KlineInterval.S1 or > KlineInterval.W1)
            throw new ArgumentOutOfRangeException(nameof(interval), interval, "Not an interval.");
    }

    private async Task WriteChecked(string symbol, IReadOnlyList<Kline> klines, CancellationToken cancellationToken)
    {
        await EnterWrite(cancellationToken);
        lock (_lock)
        {
            FailIfTold(isWrite: true);
            if (!_klines.TryGetValue(symbol, out var rows))
                _klines[symbol] = rows = [];
            foreach (var kline in klines)
            {
                if (!rows.TryGetValue((kline.Interval, kline.OpenTime), out var stored) || kline.Revision >= stored.Revision)
                    rows[(kline.Interval, kline.OpenTime)] = kline;
            }

            _writes++;
        }
    }

    private IEnumerable<Kline> Rows(string symbol) => _klines.TryGetValue(symbol, out var rows) ? rows.Values : [];

    private async Task EnterWrite(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Task? gate;
        lock (_lock)
        {
            gate = _gate?.Task;
            if (gate is null)
                return;
            _heldCount++;
            _held.TrySetResult(_heldCount);
            _held = NewSignal();
        }

        try
        {
            await gate.WaitAsync(cancellationToken);
        }
        finally
        {
            lock (_lock)
                _heldCount--;
        }
    }

    private Task<T> Answer<T>(Func<T> read, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
            return Task.FromCanceled<T>(cancellationToken);
        lock (_lock)
        {
            try
            {
                FailIfTold(isWrite: false);
                return Task.FromResult(read());
            }
            catch (ArchiveUnavailableException exception)
            {
                return Task.FromException<T>(exception);
            }
        }
    }

    private void FailIfTold(bool isWrite)
    {
        if (_isUnavailable)
            throw new ArchiveUnavailableException("The archive is away, as the test wants.");
        if (isWrite && _failures > 0)
        {
            _failures--;
            throw new ArchiveUnavailableException("The write fails, as the test wants.");
        }
    }

    private void Open()
    {
        lock (_lock)
        {
            _gate?.TrySetResult();
            _gate = null;
        }
    }

    private sealed class Gate(MemoryKlineArchive archive) : IDisposable
    {
        public void Dispose() => archive.Open();
    }
}
