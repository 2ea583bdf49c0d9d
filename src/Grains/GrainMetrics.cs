using System.Diagnostics.Metrics;

namespace KlineOrleans.Grains;

/// <summary>Figures of all kline grains of this process, on the meter <see cref="MeterName"/>. Thread safe.</summary>
public sealed class GrainMetrics
{
    public const string MeterName = "KlineOrleans.Grains";

    private readonly Counter<long> _trades;
    private readonly Counter<long> _saves;
    private readonly Counter<long> _savedBytes;
    private readonly Counter<long> _archived;
    private readonly Counter<long> _publishFailures;
    private readonly UpDownCounter<long> _active;

    private static readonly KeyValuePair<string, object?> AppliedTag = new("result", "applied");
    private static readonly KeyValuePair<string, object?> DuplicateTag = new("result", "duplicate");
    private static readonly KeyValuePair<string, object?> LateTag = new("result", "late");

    public GrainMetrics(IMeterFactory meters)
    {
        ArgumentNullException.ThrowIfNull(meters);
        var meter = meters.Create(MeterName);
        _trades = meter.CreateCounter<long>("kline.trades", "{trade}", "Trades that reached a grain, by what became of them.");
        _saves = meter.CreateCounter<long>("kline.grain.saves", "{save}", "Times a grain saved its state.");
        _savedBytes = meter.CreateCounter<long>("kline.grain.saved", "By", "Bytes of grain state saved.");
        _archived = meter.CreateCounter<long>("kline.klines.archived", "{kline}", "Final klines given to the archive.");
        _publishFailures = meter.CreateCounter<long>("kline.updates.failed", "{update}", "Updates that the stream did not take.");
        _active = meter.CreateUpDownCounter<long>("kline.grains.active", "{grain}", "Kline grains in memory.");
    }

    internal void Activated() => _active.Add(1);

    internal void Deactivated() => _active.Add(-1);

    internal void Ingested(int applied, int duplicates, int late)
    {
        _trades.Add(applied, AppliedTag);
        if (duplicates > 0)
        {
            _trades.Add(duplicates, DuplicateTag);
        }

        if (late > 0)
        {
            _trades.Add(late, LateTag);
        }
    }

    internal void Saved(int bytes, int archived)
    {
        _saves.Add(1);
        _savedBytes.Add(bytes);
        _archived.Add(archived);
    }

    internal void PublishFailed() => _publishFailures.Add(1);
}
