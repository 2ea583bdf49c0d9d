using System.Collections.Concurrent;
using System.Reflection;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Archive;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans;

namespace KlineOrleans.Grains.Tests;

/// <summary>A mint's grain without klines: what it was given, what of that it saved, and what a test makes it do.</summary>
internal sealed class FakeMint : IKlineGrain
{
    private readonly Lock _lock = new();
    private List<Trade> _applied = [];
    private List<Trade> _saved = [];
    private HashSet<TradeId> _known = [];

    /// <summary>Runs before a batch is applied; what it throws is the call's failure.</summary>
    public Func<TradeBatch, Task> Before { get; set; } = _ => Task.CompletedTask;

    /// <summary>Runs after a batch was applied and before the caller learns it.</summary>
    public Func<TradeBatch, Task> After { get; set; } = _ => Task.CompletedTask;

    public string? Refusal { get; set; }

    public long Activation { get; private set; } = 1;

    public SourceClock Clock { get; private set; }

    /// <summary>Calls of <see cref="Settle"/>.</summary>
    public int Settled { get; private set; }

    public DateTimeOffset? NextFinal { get; set; }

    public List<long> Applied => Copy(ref _applied);

    public List<long> Saved => Copy(ref _saved);

    /// <summary>The process of the grain is lost: the next activation has what was saved.</summary>
    public void Lose()
    {
        lock (_lock)
        {
            Activation++;
            _applied = [.. _saved];
            _known = [.. _saved.Select(t => t.Order.Id)];
        }
    }

    public async Task<IngestResult> Ingest(TradeBatch batch)
    {
        await Before(batch);
        if (Refusal is { } refusal)
        {
            return new IngestResult { Activation = Activation, Refusal = refusal };
        }

        IngestResult result;
        lock (_lock)
        {
            if (batch.Activation != 0 && batch.Activation != Activation)
            {
                return new IngestResult { Activation = Activation };
            }

            var added = batch.Trades.Where(t => _known.Add(t.Order.Id)).ToList();
            _applied.AddRange(added);
            result = new IngestResult(added.Count, batch.Trades.Length - added.Count, 0) { Activation = Activation };
        }

        await After(batch);
        return result;
    }

    public Task Begin(KlineSeed seed) => Task.CompletedTask;

    public Task<SaveResult> Save(SourceClock clock, long activation)
    {
        lock (_lock)
        {
            if (activation != Activation)
            {
                return Task.FromResult(new SaveResult(IsSaved: false, NextFinal: null));
            }

            Clock = clock;
            _saved = [.. _applied];
            return Task.FromResult(new SaveResult(IsSaved: true, NextFinal));
        }
    }

    public Task<SaveResult> Settle(string source, SourceClock clock)
    {
        lock (_lock)
        {
            Settled++;
            Clock = clock;
            return Task.FromResult(new SaveResult(IsSaved: true, NextFinal > clock.Time ? NextFinal : null));
        }
    }

    public Task<KlineSnapshot> GetSnapshot() => throw new NotSupportedException();

    private List<long> Copy(ref List<Trade> trades)
    {
        lock (_lock)
        {
            return [.. trades.Select(t => t.Order.Id.Position)];
        }
    }
}

/// <summary>Finds grains of one kind by their key; others there are none.</summary>
/// <remarks>Made at run time: the engines differ in how many members their factories have, and what is tested calls one of them. Public, as a base of the type that is made.</remarks>
public class FakeGrainFactory : DispatchProxy
{
    private Type? _kind;
    private Func<string, object>? _find;

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
        targetMethod is { Name: nameof(IGrainFactory.GetGrain), ReturnType: { } grain } && grain == _kind && args is [string key, ..]
            ? _find!(key)
            : throw new NotSupportedException(targetMethod?.ToString());

    internal static IGrainFactory Of<TGrain>(Func<string, TGrain> find)
        where TGrain : class, IGrainWithStringKey
    {
        var factory = Create<IGrainFactory, FakeGrainFactory>();
        (((FakeGrainFactory)factory)._kind, ((FakeGrainFactory)factory)._find) = (typeof(TGrain), find);
        return factory;
    }
}

/// <summary>A pump over <see cref="FakeMint"/>s, and the checkpoints that it has written.</summary>
internal sealed class FakeMints
{
    private readonly ConcurrentDictionary<string, FakeMint> _mints = new(StringComparer.Ordinal);

    public FakeMint this[string symbol] => _mints.GetOrAdd(symbol, _ => new FakeMint());

    public ManualTimeProvider Time { get; } = new();

    public MemoryKlineArchive Archive { get; } = new();

    /// <summary>Each checkpoint with the trades that its mints had saved when it was written.</summary>
    public ConcurrentQueue<(string Checkpoint, string Saved)> Checkpoints { get; } = new();

    public SourcePump Pump(FakeSources sources, string? checkpoint = null, DateTimeOffset clock = default)
    {
        var pump = new SourcePump(sources.Sources[0], () => sources.Create(FakeSources.Name), FakeGrainFactory.Of<IKlineGrain>(symbol => this[symbol]), Archive, Time, Write, stop => new ChainEventLane(FakeSources.Name, new NoChainEvents(), _ => Task.CompletedTask, Time, NullLogger.Instance, stop), NullLogger<SourcePump>.Instance);
        pump.Start(checkpoint, clock);
        return pump;
    }

    /// <summary>Moves the clock until the condition holds.</summary>
    public Task Until(Func<bool> condition) => Until(Time, () => Task.FromResult(condition()));

    /// <summary>Moves a clock, a second at a time, until the condition holds. What a step sets off runs on other threads, which get a moment of the machine's after each.</summary>
    public static async Task Until(ManualTimeProvider time, Func<Task<bool>> condition, TimeSpan? step = null)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!await condition())
        {
            patience.Token.ThrowIfCancellationRequested();
            time.Advance(step ?? TimeSpan.FromSeconds(1));
            await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
        }
    }

    private Task Write(string? checkpoint, DateTimeOffset clock)
    {
        Checkpoints.Enqueue((checkpoint!, string.Join(" ", _mints.OrderBy(m => m.Key, StringComparer.Ordinal).Select(m => $"{m.Key}:{string.Join(",", m.Value.Saved)}"))));
        return Task.CompletedTask;
    }
}
