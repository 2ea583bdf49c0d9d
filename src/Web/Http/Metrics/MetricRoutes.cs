using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Hosting;

namespace KlineOrleans.Web;

/// <summary>GET /metrics: the meters <c>KlineOrleans.*</c> the runtime's and Orleans' own, as Prometheus reads them. Thread safe.</summary>
/// <remarks>Our own, small, because the packages that export to Prometheus are not on every feed. Counts from the start of the host, whether or not somebody asks.</remarks>
internal sealed class MetricRoutes : IHostedService, IDisposable
{
    private readonly RouteAnswers _answers;
    private readonly MeterListener _listener = new();
    private readonly Lock _lock = new();
    private readonly List<MetricFamily> _families = [];

    // One reading at a time: observable values are forgotten and asked for anew.
    private readonly Lock _reading = new();

    public MetricRoutes(RouteAnswers answers, IMeterFactory meters, WebMeter web)
    {
        _answers = answers;
        _ = web;

        // Several hosts may live in one process, as in tests: another's meters are not ours.
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            var meter = instrument.Meter;
            if ((meter.Scope is null || ReferenceEquals(meter.Scope, meters)) && (meter.Name.StartsWith("KlineOrleans.", StringComparison.Ordinal) || meter.Name is "System.Runtime" or "Microsoft.Orleans"))
            {
                var family = new MetricFamily(instrument);
                lock (_lock)
                {
                    _families.Add(family);
                }

                listener.EnableMeasurementEvents(instrument, family);
            }
        };
        _listener.MeasurementsCompleted = (_, state) =>
        {
            lock (_lock)
            {
                _families.Remove((MetricFamily)state!);
            }
        };
        _listener.SetMeasurementEventCallback<byte>(static (_, value, tags, family) => ((MetricFamily)family!).Record(value, tags));
        _listener.SetMeasurementEventCallback<short>(static (_, value, tags, family) => ((MetricFamily)family!).Record(value, tags));
        _listener.SetMeasurementEventCallback<int>(static (_, value, tags, family) => ((MetricFamily)family!).Record(value, tags));
        _listener.SetMeasurementEventCallback<long>(static (_, value, tags, family) => ((MetricFamily)family!).Record(value, tags));
        _listener.SetMeasurementEventCallback<float>(static (_, value, tags, family) => ((MetricFamily)family!).Record(value, tags));
        _listener.SetMeasurementEventCallback<double>(static (_, value, tags, family) => ((MetricFamily)family!).Record(value, tags));
        _listener.SetMeasurementEventCallback<decimal>(static (_, value, tags, family) => ((MetricFamily)family!).Record((double)value, tags));
    }

    public void Map(IEndpointRouteBuilder routes) =>
        routes.MapGet("/metrics", _answers.Guard(context => RouteAnswers.Text(context, Read(), type: PrometheusText.ContentType))).Needs(AccessLevel.Operator, rateLimited: false);

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _listener.Start();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose() => _listener.Dispose();

    /// <summary>All metrics as text, by name.</summary>
    public string Read()
    {
        lock (_reading)
        {
            List<MetricFamily> families;
            lock (_lock)
            {
                families = [.. _families];
            }

            families.ForEach(f => f.ForgetObserved());
            try
            {
                _listener.RecordObservableInstruments();
            }
            catch (AggregateException e)
            {
                // One instrument's fault takes nothing from the others, which have answered.
                Trace.TraceWarning(e.Message);
            }

            var text = new StringBuilder(16_384);
            foreach (var group in families.GroupBy(f => f.Name, StringComparer.Ordinal).OrderBy(g => g.Key, StringComparer.Ordinal))
            {
                // A name has one type. Two meters that share it are told apart by a label.
                var first = group.First();
                var isShared = group.Skip(1).Any();
                first.WriteHead(text);
                foreach (var family in group.Where(f => f.Type == first.Type).DistinctBy(f => f.Meter))
                {
                    family.WriteSeries(text, isShared ? PrometheusText.Labels([new("otel_scope_name", family.Meter)]) : "");
                }
            }

            return text.ToString();
        }
    }
}

/// <summary>The meters of the web room: <see cref="MeterName"/>, and the process's own in Prometheus's customary names. Thread safe.</summary>
internal sealed class WebMeter
{
    public const string MeterName = "KlineOrleans.Web";
    public const string ProcessMeterName = "KlineOrleans.Process";

    private readonly Histogram<double> _writes;

    public WebMeter(IMeterFactory meters, WebCounters counters, MintFeeds feeds, SourceMonitor monitor, TimeProvider time)
    {
        var meter = meters.Create(MeterName);
        meter.CreateObservableUpDownCounter("kline.web.connections", () => counters.Clients.GroupBy(c => c.Wire, StringComparer.Ordinal).Select(g => new Measurement<long>(g.Count(), new KeyValuePair<string, object?>("wire", g.Key))), "{connection}", "Clients that are connected, by wire.");
        meter.CreateObservableUpDownCounter("kline.web.subscriptions", () => counters.Subscriptions, "{subscription}", "Pairs of symbol and interval that clients follow.");
        meter.CreateObservableUpDownCounter("kline.web.mints", () => (long)feeds.Count, "{mint}", "Mints that this node follows.");
        meter.CreateObservableCounter("kline.web.updates", () => counters.Updates, "{update}", "Updates of followed mints that came from their grains.");
        meter.CreateObservableCounter("kline.web.messages.sent", () => counters.Sent, "{message}", "Messages that clients' transports took.");
        meter.CreateObservableCounter("kline.web.sent", () => counters.SentBytes, "By", "Bytes of messages that clients' transports took.");
        meter.CreateObservableCounter("kline.web.messages.failed", () => counters.Failed, "{message}", "Messages that were on their way when their transport broke.");
        meter.CreateObservableCounter("kline.web.messages.conflated", () => counters.Conflated, "{message}", "Updates that newer ones replaced for clients that had not taken them.");
        meter.CreateObservableCounter("kline.web.sessions.ended", () => Enum.GetValues<DisconnectReason>().Where(r => r != DisconnectReason.None).Select(r => new Measurement<long>(counters.Ended(r), new KeyValuePair<string, object?>("reason", r.ToString()))), "{session}", "Sessions that ended, by reason.");
        meter.CreateObservableCounter("kline.source.trades", () => Sources(monitor, s => s.Trades), "{trade}", "Trades that a source decoded.");
        meter.CreateObservableCounter("kline.source.skipped", () => Sources(monitor, s => s.Skipped.Values.Sum()), "{item}", "What a source skipped.");
        meter.CreateObservableGauge("kline.source.up", () => Sources(monitor, s => SourceStates.FeedState(s.State) == "live" ? 1 : 0), null, "1 while a source is live.");
        meter.CreateObservableGauge("kline.source.lag", () => Lags(monitor, time), "s", "How far a live source's clock is behind ours.");
        _writes = meter.CreateHistogram<double>("kline.web.update.duration", "s", "From an update's arrival at this node to the moment a client's transport took it; the longest of each write.");
        counters.WriteTook = seconds => _writes.Record(seconds);

        var process = meters.Create(ProcessMeterName);
        var started = Started();
        process.CreateObservableGauge("process.start_time", () => started, "s", "When the process started, in Unix seconds.");
        process.CreateObservableCounter("process.cpu", () => Environment.CpuUsage.TotalTime.TotalSeconds, "s", "Processor time used.");
        process.CreateObservableGauge("process.resident_memory", () => Environment.WorkingSet, "By", "Memory in use.");
    }

    private static IEnumerable<Measurement<long>> Sources(SourceMonitor monitor, Func<Contracts.SourceStatus, long> value)
    {
        foreach (var status in monitor.Statuses)
        {
            if (status is not null)
            {
                yield return new Measurement<long>(value(status), new KeyValuePair<string, object?>("source", status.Name));
            }
        }
    }

    private static IEnumerable<Measurement<double>> Lags(SourceMonitor monitor, TimeProvider time)
    {
        var now = time.GetUtcNow();
        foreach (var status in monitor.Statuses)
        {
            if (status is not null && SourceStates.Lag(status, now) is { } lag)
            {
                yield return new Measurement<double>(lag.TotalSeconds, new KeyValuePair<string, object?>("source", status.Name));
            }
        }
    }

    private static double Started()
    {
        using var process = Process.GetCurrentProcess();
        return new DateTimeOffset(process.StartTime.ToUniversalTime()).ToUnixTimeMilliseconds() / 1_000d;
    }
}
