using System.Diagnostics.Metrics;

namespace KlineOrleans.InProcess;

/// <summary>Figures of the in-process grain engine for operators; also the meter <see cref="MeterName"/>. Thread safe, cheap.</summary>
public sealed class GrainEngineCounters : IDisposable
{
    /// <summary>The meter with the instruments <c>grains.active</c> (by <c>grain</c>), <c>grains.calls</c>, <c>streams.dropped</c> and <c>streams.callback_errors</c>.</summary>
    public const string MeterName = "KlineOrleans.InProcess";

    private readonly Meter _meter;
    private GrainEngine? _engine;
    private long _streamDrops;
    private long _streamCallbackErrors;
    private long _timeouts;

    public GrainEngineCounters(IMeterFactory meters)
    {
        ArgumentNullException.ThrowIfNull(meters);
        _meter = meters.Create(MeterName);
        _meter.CreateObservableGauge(
            "grains.active", () => ActiveGrains.Select(g => new Measurement<int>(g.Value, new KeyValuePair<string, object?>("grain", g.Key))), "{grain}", "Grains in memory.");
        _meter.CreateObservableCounter("grains.calls", () => Calls, "{call}", "Turns that grains have begun: calls, timer ticks, stream items.");
        _meter.CreateObservableCounter("grains.call_timeouts", () => CallTimeouts, "{call}", "Calls whose callers got a TimeoutException.");
        _meter.CreateObservableCounter("streams.dropped", () => StreamDrops, "{item}", "Stream items dropped because a subscriber's queue was full.");
        _meter.CreateObservableCounter("streams.callback_errors", () => StreamCallbackErrors, "{error}", "Exceptions that stream subscribers have thrown.");
    }

    /// <summary>Grains in memory by grain type, as in <c>kline</c>; types without any are left out.</summary>
    public IReadOnlyDictionary<string, int> ActiveGrains =>
        _engine?.Classes.Where(c => c.Count > 0).ToDictionary(c => c.GrainType.ToString(), c => c.Count, StringComparer.Ordinal) ?? [];

    /// <summary>Turns that grains have begun: calls, timer ticks, stream items. Approximate while grains run.</summary>
    public long Calls => _engine?.Classes.Sum(c => c.Calls) ?? 0;

    /// <summary>Calls whose callers got a TimeoutException.</summary>
    public long CallTimeouts => Volatile.Read(ref _timeouts);

    /// <summary>Stream items that a subscriber did not get because its queue was full.</summary>
    public long StreamDrops => Volatile.Read(ref _streamDrops);

    /// <summary>Exceptions that stream subscribers have thrown.</summary>
    public long StreamCallbackErrors => Volatile.Read(ref _streamCallbackErrors);

    public void Dispose() => _meter.Dispose();

    internal void Attach(GrainEngine engine) => _engine = engine;

    internal void StreamDropped() => Interlocked.Increment(ref _streamDrops);

    internal void StreamCallbackFailed() => Interlocked.Increment(ref _streamCallbackErrors);

    internal void CallTimedOut() => Interlocked.Increment(ref _timeouts);
}
