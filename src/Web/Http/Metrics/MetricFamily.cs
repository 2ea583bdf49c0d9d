using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Text;

namespace KlineOrleans.Web;

/// <summary>What one instrument has measured so far, by tags. Recording is thread safe and lock-free.</summary>
internal sealed class MetricFamily
{
    // A tag with values without end must not cost memory without end.
    private const int MostSeries = 1_000;

    private static readonly double[] SecondsBounds = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
    private static readonly double[] OtherBounds = [0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000];

    private readonly Instrument _instrument;
    private readonly double[] _bounds;
    private readonly bool _adds;
    private readonly ConcurrentDictionary<string, Series> _byLabels = new(StringComparer.Ordinal);

    // One tag with a text is the rule: found without making text.
    private readonly ConcurrentDictionary<(string, string), Series> _byTag = new();
    private Series? _plain;

    public MetricFamily(Instrument instrument)
    {
        _instrument = instrument;
        var kind = instrument.GetType().IsGenericType ? instrument.GetType().GetGenericTypeDefinition() : instrument.GetType();
        var isCounter = kind == typeof(Counter<>) || kind == typeof(ObservableCounter<>);
        IsHistogram = kind == typeof(Histogram<>);
        _adds = !instrument.IsObservable && (isCounter || kind == typeof(UpDownCounter<>));
        _bounds = !IsHistogram ? [] : Advised(instrument) ?? (instrument.Unit == "s" ? SecondsBounds : OtherBounds);
        Type = isCounter ? "counter" : IsHistogram ? "histogram" : "gauge";
        Name = PrometheusText.Name(instrument.Name, instrument.Unit, isCounter);
    }

    public string Name { get; }

    public string Type { get; }

    public string Meter => _instrument.Meter.Name;

    private bool IsHistogram { get; }

    public void Record(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (Find(tags) is not { } series)
        {
            return;
        }

        if (IsHistogram)
        {
            series.Observe(value, _bounds);
        }
        else if (_adds)
        {
            series.Add(value);
        }
        else
        {
            series.Set(value);
        }
    }

    /// <summary>Before observable instruments are asked: what they do not name any more is gone.</summary>
    public void ForgetObserved()
    {
        if (_instrument.IsObservable)
        {
            _plain = null;
            _byTag.Clear();
            _byLabels.Clear();
        }
    }

    /// <summary>Writes HELP and TYPE lines.</summary>
    public void WriteHead(StringBuilder text)
    {
        if (_instrument.Description is { Length: > 0 } description)
        {
            text.Append("# HELP ").Append(Name).Append(' ').Append(PrometheusText.Help(description)).Append('\n');
        }

        text.Append("# TYPE ").Append(Name).Append(' ').Append(Type).Append('\n');
    }

    /// <param name="more">A label to add to each; empty for none.</param>
    public void WriteSeries(StringBuilder text, string more)
    {
        foreach (var (own, series) in _byLabels.OrderBy(s => s.Key, StringComparer.Ordinal))
        {
            var labels = own.Length > 0 && more.Length > 0 ? own + ',' + more : own + more;
            if (!IsHistogram)
            {
                WriteLine(text, Name, labels, series.Value);
                continue;
            }

            // Read once, so that the buckets, the infinite one and the count agree.
            var counts = series.Counts();
            var sum = 0L;
            for (var i = 0; i < counts.Length; i++)
            {
                sum += counts[i];
                var bound = i < _bounds.Length ? PrometheusText.Number(_bounds[i]) : "+Inf";
                WriteLine(text, Name + "_bucket", (labels.Length > 0 ? labels + ',' : "") + "le=\"" + bound + '"', sum);
            }

            WriteLine(text, Name + "_sum", labels, series.Value);
            WriteLine(text, Name + "_count", labels, sum);
        }
    }

    private static void WriteLine(StringBuilder text, string name, string labels, double value)
    {
        text.Append(name);
        if (labels.Length > 0)
        {
            text.Append('{').Append(labels).Append('}');
        }

        text.Append(' ').Append(PrometheusText.Number(value)).Append('\n');
    }

    private Series? Find(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (tags.IsEmpty)
        {
            return _plain ??= Make("");
        }

        if (tags.Length == 1 && tags[0].Value is string value)
        {
            if (_byTag.TryGetValue((tags[0].Key, value), out var found))
            {
                return found;
            }

            if (Make(PrometheusText.Labels(tags)) is { } made)
            {
                return _byTag.GetOrAdd((tags[0].Key, value), made);
            }

            return null;
        }

        return Make(PrometheusText.Labels(tags));
    }

    private Series? Make(string labels) =>
        _byLabels.TryGetValue(labels, out var series) ? series
        : _byLabels.Count >= MostSeries ? null
        : _byLabels.GetOrAdd(labels, static (_, buckets) => new Series(buckets), IsHistogram ? _bounds.Length + 1 : 0);

    private static double[]? Advised(Instrument instrument) => instrument switch
    {
        Instrument<double> { Advice.HistogramBucketBoundaries: { } bounds } => [.. bounds],
        Instrument<long> { Advice.HistogramBucketBoundaries: { } bounds } => [.. bounds.Select(b => (double)b)],
        Instrument<int> { Advice.HistogramBucketBoundaries: { } bounds } => [.. bounds.Select(b => (double)b)],
        _ => null,
    };

    private sealed class Series(int buckets)
    {
        private readonly long[] _counts = new long[buckets];
        private double _value;

        /// <summary>The value, or the sum of a histogram.</summary>
        public double Value => Volatile.Read(ref _value);

        public long[] Counts()
        {
            var counts = new long[_counts.Length];
            for (var i = 0; i < counts.Length; i++)
            {
                counts[i] = Volatile.Read(ref _counts[i]);
            }

            return counts;
        }

        public void Set(double value) => Volatile.Write(ref _value, value);

        public void Add(double by)
        {
            var seen = Volatile.Read(ref _value);
            while (true)
            {
                var before = Interlocked.CompareExchange(ref _value, seen + by, seen);
                if (before.Equals(seen))
                {
                    return;
                }

                seen = before;
            }
        }

        public void Observe(double value, double[] bounds)
        {
            var bucket = 0;
            while (bucket < bounds.Length && value > bounds[bucket])
            {
                bucket++;
            }

            Interlocked.Increment(ref _counts[bucket]);
            Add(value);
        }
    }
}
