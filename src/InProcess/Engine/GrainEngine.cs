using System.Collections.Concurrent;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Runtime;

namespace KlineOrleans.InProcess;

/// <summary>The in-process grain engine: finds grain classes, makes references, keeps the clock of timeouts and collection, ends everything.</summary>
/// <remarks>
/// Its clock counts ticks of one timer, so that a call need not read the time: a call notes the tick it began in, and a sweep each tick looks for those that
/// are too old.
/// </remarks>
internal sealed class GrainEngine : IGrainFactory, IClusterClient, IHostedService, IDisposable
{
    private readonly GrainClass[] _classes;
    private readonly ConcurrentDictionary<(Type Interface, string? Prefix), Reference> _references = new();
    private readonly ITimer _clock;
    private readonly TimeSpan _tick;
    private readonly long _collectionAge;
    private readonly long _collectionQuantum;
    private long _now;
    private volatile bool _isStopping;

    public GrainEngine(IServiceProvider services, InProcessGrainEngineOptions options, TimeProvider time, ILogger<GrainEngine> log, GrainEngineCounters counters)
    {
        Services = services;
        Options = options;
        Time = time;
        Log = log;
        Counters = counters;
        _classes = [.. options.GrainAssemblies.Distinct()
            .SelectMany(a => a.GetTypes())
            .Where(t => t is { IsClass: true, IsAbstract: false, ContainsGenericParameters: false } && t.IsAssignableTo(typeof(Grain)))
            .Select(t => new GrainClass(this, t))];
        if (_classes.GroupBy(c => c.GrainType).FirstOrDefault(g => g.Count() > 1) is { } twice)
        {
            throw new InvalidOperationException($"Two grain classes have the grain type '{twice.Key}': {string.Join(", ", twice.Select(c => c.Type))}.");
        }

        counters.Attach(this);
        _tick = new[] { options.ResponseTimeout / 4, options.CollectionQuantum, TimeSpan.FromSeconds(1) }.Min();
        _collectionAge = TicksOf(options.CollectionAge);
        _collectionQuantum = TicksOf(options.CollectionQuantum);
        using (ExecutionContext.IsFlowSuppressed() ? default(AsyncFlowControl?) : ExecutionContext.SuppressFlow())
        {
            _clock = time.CreateTimer(static engine => ((GrainEngine)engine!).Tick(), this, _tick, _tick);
        }
    }

    public IServiceProvider ServiceProvider => Services;

    internal IServiceProvider Services { get; }

    internal InProcessGrainEngineOptions Options { get; }

    internal TimeProvider Time { get; }

    internal ILogger Log { get; }

    internal GrainEngineCounters Counters { get; }

    internal IReadOnlyList<GrainClass> Classes => _classes;

    /// <summary>No new activations.</summary>
    internal bool IsStopping => _isStopping;

    /// <summary>The number of the current tick.</summary>
    internal long Now => Volatile.Read(ref _now);

    public TGrainInterface GetGrain<TGrainInterface>(string primaryKey, string? grainClassNamePrefix = null)
        where TGrainInterface : IGrainWithStringKey
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(primaryKey);
        var reference = _references.GetOrAdd((typeof(TGrainInterface), grainClassNamePrefix), static (key, engine) => engine.Find(key.Interface, key.Prefix), this);
        return (TGrainInterface)(object)reference.Create(reference.Class, primaryKey);
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Deactivates every grain, all at once; returns when they have ended, or the token says so.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _isStopping = true;
        try
        {
            await DeactivateAll(new DeactivationReason(DeactivationReasonCode.ShuttingDown, "The host stops.")).WaitAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            Log.LogWarning(1405, "{Count} grains were not deactivated in the time for stopping", _classes.Sum(c => c.Count));
        }

        Kill();
    }

    /// <summary>Deactivates every grain that is in memory now. Its calls in progress end first.</summary>
    internal async Task DeactivateAll(DeactivationReason reason)
    {
        foreach (var activation in _classes.SelectMany(c => c.Activations).ToArray())
        {
            activation.Deactivate(reason);
        }

        // Those that appear meanwhile (a call that came in while the engine still runs) are the caller's.
        await Task.WhenAll(_classes.SelectMany(c => c.Activations).Select(a => a.Deactivated).ToArray());
    }

    /// <summary>Drops every grain without a word to it. Calls in progress fail.</summary>
    internal void Kill()
    {
        _isStopping = true;
        _clock.Dispose();
        foreach (var grainClass in _classes)
        {
            foreach (var activation in grainClass.Activations)
            {
                activation.Kill();
                grainClass.Remove(activation);
            }
        }

        RequestRegistry.EndEarly(this, long.MaxValue, static request => new SiloUnavailableException($"The grain engine has stopped: {request.Name} was not answered."));
    }

    public void Dispose() => Kill();

    internal long TicksOf(TimeSpan time) => (time.Ticks + _tick.Ticks - 1) / _tick.Ticks;

    private void Tick()
    {
        var now = Interlocked.Increment(ref _now);

        // A call that began in the middle of a tick is younger than the difference says.
        RequestRegistry.EndEarly(this, now - TicksOf(Options.ResponseTimeout), request =>
        {
            Counters.CallTimedOut();
            return new TimeoutException($"{request.Name} of grain {request.Target} was not answered within {Options.ResponseTimeout}.");
        });
        if (now % _collectionQuantum == 0)
        {
            foreach (var activation in _classes.SelectMany(c => c.Activations))
            {
                activation.CollectIfIdle(_collectionAge);
            }
        }
    }

    private Reference Find(Type grainInterface, string? prefix)
    {
        var found = _classes.Where(c => c.Type.IsAssignableTo(grainInterface) && (prefix is null || (c.Type.FullName ?? c.Type.Name).StartsWith(prefix, StringComparison.Ordinal))).ToArray();
        return found.Length switch
        {
            1 => new Reference(found[0], ProxyBuilder.FactoryFor(grainInterface)),
            0 => throw new ArgumentException($"No grain class implements {grainInterface}. Its assembly must be among the engine's grain assemblies."),
            _ => throw new ArgumentException($"More than one grain class implements {grainInterface}: {string.Join(", ", found.Select(c => c.Type))}. Name one by its prefix."),
        };
    }

    private readonly record struct Reference(GrainClass Class, Func<GrainClass, string, GrainProxy> Create);
}
