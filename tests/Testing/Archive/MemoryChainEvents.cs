using System.Collections.Immutable;
using KlineOrleans.Contracts;

namespace KlineOrleans.Testing.Archive;

/// <summary>Chain events in memory: keeps every promise of the port, and fails when a test says so. Thread safe.</summary>
/// <param name="perMint">Events of one mint; 0: none.</param>
/// <param name="total">Events of all.</param>
public sealed class MemoryChainEvents(int perMint = 10_000, long total = 500_000) : IChainEventStore
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Mint> _mints = new(StringComparer.Ordinal);
    private readonly List<(string Symbol, TradeId Id)> _stored = [];
    private int _failures;
    private bool _isUnavailable;

    public bool KeepsEvents => perMint > 0;

    /// <summary>While true every call fails as a store that is away.</summary>
    public bool IsUnavailable
    {
        get => Volatile.Read(ref _isUnavailable);
        set => Volatile.Write(ref _isUnavailable, value);
    }

    /// <summary>Awaited before a write changes anything.</summary>
    public Func<Task>? BeforeWrite { get; set; }

    /// <summary>Awaited after a write, before it answers.</summary>
    public Func<Task>? AfterWrite { get; set; }

    /// <summary>The next <paramref name="count"/> writes fail and store nothing.</summary>
    public void FailNext(int count = 1) => Interlocked.Add(ref _failures, count);

    /// <summary>A mint's events in the chain's order.</summary>
    public IReadOnlyList<StoredEvent> AllOf(string symbol)
    {
        lock (_lock)
            return _mints.TryGetValue(symbol, out var mint) ? [.. mint.Events.Values.OrderBy(e => e.Event.Order)] : [];
    }

    public async Task<ImmutableArray<long>> Write(IReadOnlyList<ChainEvent> events, CancellationToken cancellationToken = default)
    {
        Check();
        if (Volatile.Read(ref _failures) > 0 && Interlocked.Decrement(ref _failures) >= 0)
            throw new ArchiveUnavailableException("told to fail");
        if (BeforeWrite is { } before)
            await before();
        var numbers = Put(events);
        if (AfterWrite is { } after)
            await after();
        return numbers;
    }

    public Task<IReadOnlyList<StoredEvent>> Read(string symbol, ChainEventRange range, CancellationToken cancellationToken = default)
    {
        Check();
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        CheckLimit(range.Limit);
        var all = AllOf(symbol).Where(e => e.Number <= range.UpTo);
        all = range.NewestFirst ? all.Reverse() : all;
        if (range.After is { } last)
            all = all.Where(e => range.NewestFirst ? e.Event.Order < last : e.Event.Order > last);
        return Task.FromResult<IReadOnlyList<StoredEvent>>([.. all.Take(range.Limit)]);
    }

    public Task<IReadOnlyList<StoredEvent>> ReadAfter(string symbol, long number, int limit, CancellationToken cancellationToken = default)
    {
        Check();
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        CheckLimit(limit);
        return Task.FromResult<IReadOnlyList<StoredEvent>>([.. AllOf(symbol).Where(e => e.Number > number).OrderBy(e => e.Number).Take(limit)]);
    }

    public Task<ChainEventCount> Count(string symbol, CancellationToken cancellationToken = default)
    {
        Check();
        ArgumentException.ThrowIfNullOrEmpty(symbol);
        lock (_lock)
            return Task.FromResult(_mints.TryGetValue(symbol, out var mint) ? new ChainEventCount(mint.Events.Count, mint.LastNumber) : default);
    }

    private ImmutableArray<long> Put(IReadOnlyList<ChainEvent> events)
    {
        var numbers = ImmutableArray.CreateBuilder<long>(events.Count);
        lock (_lock)
        {
            foreach (var e in events)
            {
                ArgumentException.ThrowIfNullOrEmpty(e.Symbol);
                if (!KeepsEvents)
                {
                    numbers.Add(0);
                    continue;
                }

                if (!_mints.TryGetValue(e.Symbol, out var mint))
                    _mints.Add(e.Symbol, mint = new Mint());
                if (mint.Events.TryGetValue(e.Order.Id, out var known))
                {
                    mint.Events[e.Order.Id] = known with { Event = known.Event with { Order = e.Order, EventTime = e.EventTime } };
                    numbers.Add(known.Number);
                }
                else if (mint.Left is { } left && e.Order <= left)
                {
                    numbers.Add(0);
                }
                else
                {
                    mint.Events.Add(e.Order.Id, new StoredEvent(++mint.LastNumber, e));
                    _stored.Add((e.Symbol, e.Order.Id));
                    numbers.Add(mint.LastNumber);
                }
            }

            foreach (var (symbol, mint) in _mints)
            {
                foreach (var old in mint.Events.Values.OrderBy(e => e.Event.Order).Take(mint.Events.Count - perMint).ToList())
                    Remove(symbol, old.Event.Order.Id);
            }

            while (_stored.Count > total)
                Remove(_stored[0].Symbol, _stored[0].Id);
        }

        return numbers.DrainToImmutable();
    }

    private void Remove(string symbol, TradeId id)
    {
        var mint = _mints[symbol];
        var order = mint.Events[id].Event.Order;
        mint.Left = mint.Left is { } left && left > order ? left : order;
        mint.Events.Remove(id);
        _stored.Remove((symbol, id));
    }

    private void Check()
    {
        if (IsUnavailable)
            throw new ArchiveUnavailableException("told to be away");
    }

    private static void CheckLimit(int limit)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(limit, 1_000);
    }

    private sealed class Mint
    {
        public Dictionary<TradeId, StoredEvent> Events { get; } = [];

        public long LastNumber { get; set; }

        public TradeOrder? Left { get; set; }
    }
}
