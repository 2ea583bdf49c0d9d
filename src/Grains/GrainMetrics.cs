using System.Diagnostics.Metrics;

namespace KlineOrleans.Grains;

/// <summary>Figures of all kline grains of this process, on the meter <see cref="MeterName"/>. Thread safe.</summary>
public sealed class GrainMetrics
{
    public const string MeterName = "KlineOrleans.Grains";

    private readonly Counter<long> _trades;
    private readonly Counter<long> _saves;
    private readonly Counter<long> _saveFailures;
    private readonly Counter<long> _savedBytes;
    private readonly Counter<long> _archived;
    private readonly Counter<long> _publishFailures;
    private readonly UpDownCounter<long> _active;
    private long _unarchived;
    private long _left;

    private static readonly KeyValuePair<string, object?> AppliedTag = new("result", "applied");
    private static readonly KeyValuePair<string, object?> DuplicateTag = new("result", "duplicate");
    private static readonly KeyValuePair<string, object?> LateTag = new("result", "late");

    public GrainMetrics(IMeterFactory meters)
    {
        ArgumentNullException.ThrowIfNull(meters);
        var meter = meters.Create(MeterName);
        _trades = meter.CreateCounter<long>("kline.trades", "{trade}", "Trades that reached a grain, by what became of them.");
        _saves = meter.CreateCounter<long>("kline.grain.saves", "{save}", "Times a grain saved its state.");
        _saveFailures = meter.CreateCounter<long>("kline.grain.saves.failed", "{save}", "Times a grain could not save its state or its final klines; each is tried again.");
        _savedBytes = meter.CreateCounter<long>("kline.grain.saved", "By", "Bytes of grain state saved.");
        _archived = meter.CreateCounter<long>("kline.klines.archived", "{kline}", "Final klines given to the archive.");
        _publishFailures = meter.CreateCounter<long>("kline.updates.failed", "{update}", "Updates that the stream did not take.");
        meter.CreateObservableUpDownCounter("kline.klines.unarchived", () => Unarchived, "{kline}", "Final klines in memory that the archive does not have yet.");
        _active = meter.CreateUpDownCounter<long>("kline.grains.active", "{grain}", "Kline grains in memory.");
    }

    /// <summary>Times a kline grain left the memory of this process.</summary>
    public long Left => Interlocked.Read(ref _left);

    /// <summary>Final klines of all grains of this process that the archive does not have yet.</summary>
    internal long Unarchived => Interlocked.Read(ref _unarchived);

    /// <summary>As many of them at which each grain that has some takes no more trades until they are stored: bounds memory while the store is away.</summary>
    internal int MostUnarchived { get; set; } = 500_000;

    internal void UnarchivedChanged(int by) => Interlocked.Add(ref _unarchived, by);

    internal void Activated() => _active.Add(1);

    internal void Deactivated()
    {
        _active.Add(-1);
        Interlocked.Increment(ref _left);
    }

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

    internal void SaveFailed() => _saveFailures.Add(1);

    internal void PublishFailed() => _publishFailures.Add(1);
}
