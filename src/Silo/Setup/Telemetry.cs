using System.Globalization;
using KlineOrleans.Ingest;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace KlineOrleans.Silo.Setup;

/// <summary>Export of meters and traces to an OpenTelemetry collector (section <see cref="Section"/>). Off unless an endpoint is named.</summary>
/// <remarks>A collector that is away costs nothing but its figures: what cannot be sent is dropped, and the next round is tried again.</remarks>
internal sealed class Telemetry(Telemetry.Settings settings) : IHostedService, IDisposable
{
    public const string Section = "Kline:Otlp";

    public static readonly string[] Keys = ["Endpoint", "Protocol", "Headers", "Every", "Traces", "TraceRatio", "ServiceName", "InstanceId"];

    private const string OurNames = "KlineOrleans.*";

    // Traces leave no later than this, and sooner where meters do.
    private static readonly TimeSpan TraceDelay = TimeSpan.FromSeconds(5);

    private MeterProvider? _meters;
    private TracerProvider? _traces;

    /// <exception cref="ConfigurationException">A value is not allowed.</exception>
    public static void Configure(WebApplicationBuilder builder)
    {
        if (Read(builder.Configuration) is { } settings)
        {
            builder.Services.AddSingleton<IHostedService>(new Telemetry(settings));
        }
    }

    public Task StartAsync(CancellationToken cancellationToken)
    {
        var resource = ResourceBuilder.CreateDefault().AddService(settings.ServiceName, serviceVersion: typeof(Telemetry).Assembly.GetName().Version?.ToString(3), serviceInstanceId: settings.InstanceId);
        _meters = Sdk.CreateMeterProviderBuilder()
            .SetResourceBuilder(resource)
            .AddMeter(OurNames, "System.Runtime", "Microsoft.Orleans")
            .AddOtlpExporter((exporter, reader) =>
            {
                Export(exporter, "v1/metrics");
                reader.PeriodicExportingMetricReaderOptions.ExportIntervalMilliseconds = (int)settings.Every.TotalMilliseconds;
                reader.PeriodicExportingMetricReaderOptions.ExportTimeoutMilliseconds = exporter.TimeoutMilliseconds;
            })
            .Build();
        if (settings.Traces)
        {
            // The web server begins an activity for each request and samples none: below such a parent the trace's own number decides, as without one.
            var part = new TraceIdRatioBasedSampler(settings.TraceRatio);
            _traces = Sdk.CreateTracerProviderBuilder()
                .SetResourceBuilder(resource)
                .AddSource(OurNames)
                .SetSampler(new ParentBasedSampler(part, localParentNotSampled: part))
                .AddOtlpExporter(exporter =>
                {
                    Export(exporter, "v1/traces");
                    exporter.BatchExportProcessorOptions.ScheduledDelayMilliseconds = (int)Math.Min(settings.Every.TotalMilliseconds, TraceDelay.TotalMilliseconds);
                })
                .Build();
        }

        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        // What was measured last is sent if the collector takes it soon: stopping does not wait for one that is away.
        _meters?.Shutdown(1_000);
        _traces?.Shutdown(1_000);
        return Task.CompletedTask;
    }

    public void Dispose()
    {
        _meters?.Dispose();
        _traces?.Dispose();
    }

    private void Export(OtlpExporterOptions exporter, string path)
    {
        exporter.Protocol = settings.Protocol;
        // Over HTTP each signal has a path of its own below the endpoint; gRPC has one address for both.
        exporter.Endpoint = settings.Protocol == OtlpExportProtocol.Grpc ? settings.Endpoint : new Uri(settings.Endpoint.AbsoluteUri.TrimEnd('/') + "/" + path);
        exporter.TimeoutMilliseconds = (int)Math.Min(settings.Every.TotalMilliseconds, 10_000);
        if (settings.Headers is { } headers)
        {
            exporter.Headers = headers;
        }
    }

    /// <summary>Null where no endpoint is named.</summary>
    private static Settings? Read(IConfiguration configuration)
    {
        var section = configuration.GetSection(Section);
        List<string> failures = [];
        var endpoint = Value("Endpoint") is not { } address ? null
            : Uri.TryCreate(address, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https" && uri.UserInfo.Length == 0 && uri.Query.Length == 0 ? uri
            : Refuse<Uri>("Endpoint", address, "an address such as http://127.0.0.1:4318, or :4317 with Protocol Grpc");
        var protocol = Value("Protocol") switch
        {
            null => OtlpExportProtocol.HttpProtobuf,
            var p when string.Equals(p, "Http", StringComparison.OrdinalIgnoreCase) => OtlpExportProtocol.HttpProtobuf,
            var p when string.Equals(p, "Grpc", StringComparison.OrdinalIgnoreCase) => OtlpExportProtocol.Grpc,
            var p => Refuse<OtlpExportProtocol>("Protocol", p, "Http, Grpc"),
        };
        var every = Value("Every") is not { } text ? TimeSpan.FromSeconds(30)
            : text.Contains(':', StringComparison.Ordinal) && TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out var time) && time >= TimeSpan.FromSeconds(1) && time <= TimeSpan.FromHours(1) ? time
            : Refuse<TimeSpan>("Every", text, "hh:mm:ss from 00:00:01 to 01:00:00");
        var traces = Value("Traces") is not { } flag || (bool.TryParse(flag, out var on) ? on : Refuse<bool>("Traces", flag, "true or false"));
        var ratio = Value("TraceRatio") is not { } part ? 0.01
            : double.TryParse(part, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var r) && r is >= 0 and <= 1 ? r
            : Refuse<double>("TraceRatio", part, "a number from 0 to 1");
        var headers = Value("Headers");
        if (headers?.Split(',').All(h => h.IndexOf('=', StringComparison.Ordinal) > 0) == false)
        {
            // There may be a key in it, which no log shall have.
            failures.Add($"{Section}:Headers: is not allowed. Allowed: name=value, several with a comma between.");
        }

        var settings = new Settings(endpoint!, protocol, headers, every, traces, ratio, Value("ServiceName") ?? "kline", Value("InstanceId") ?? Environment.MachineName);
        return failures.Count > 0 ? throw new ConfigurationException(failures) : endpoint is null ? null : settings;

        string? Value(string key) => section[key] is { Length: > 0 } value ? value.Trim() : null;

        T? Refuse<T>(string key, string value, string allowed)
        {
            failures.Add($"{Section}:{key}: '{value}' is not allowed. Allowed: {allowed}.");
            return default;
        }
    }

    /// <param name="TraceRatio">Which part of the traces is kept, 0 to 1.</param>
    internal sealed record Settings(Uri Endpoint, OtlpExportProtocol Protocol, string? Headers, TimeSpan Every, bool Traces, double TraceRatio, string ServiceName, string InstanceId);
}
