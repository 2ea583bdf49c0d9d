using System.Reflection;
using System.Text.Json;
using KlineOrleans.Contracts;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web;

/// <summary>Not ready until the archive could be read once; degraded while it cannot be read later, because klines go on live.</summary>
internal sealed class StorageHealth(IKlineArchive archive, TimeProvider time) : IHealthCheck, IDisposable
{
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);
    private readonly SemaphoreSlim _one = new(1, 1);
    private long _asked;
    private bool _opened;
    private HealthCheckResult? _last;

    public void Dispose() => _one.Dispose();

    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        await _one.WaitAsync(cancellationToken);
        try
        {
            if (_last is { } last && time.GetElapsedTime(_asked) < Fresh)
            {
                return last;
            }

            HealthCheckResult result;
            try
            {
                await archive.ListSymbols("", null, 1, cancellationToken).WaitAsync(TimeSpan.FromSeconds(5), time, cancellationToken);
                _opened = true;
                result = HealthCheckResult.Healthy();
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                result = _opened
                    ? HealthCheckResult.Degraded("the archive cannot be read now: " + e.Message)
                    : HealthCheckResult.Unhealthy("the archive is not open: " + e.Message);
            }

            _asked = time.GetTimestamp();
            _last = result;
            return result;
        }
        finally
        {
            _one.Release();
        }
    }
}

/// <summary>Not ready until every source has started; degraded while one fails, is stale or does not answer.</summary>
internal sealed class SourcesHealth(SourceMonitor monitor) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        List<string> waiting = [];
        List<string> troubled = [];
        for (var i = 0; i < monitor.Sources.Length; i++)
        {
            var name = monitor.Sources[i].Name;
            switch (monitor.Statuses[i])
            {
                case null or { State: SourceState.Starting }:
                    waiting.Add(name);
                    break;
                case { State: SourceState.Failed or SourceState.Stale }:
                    troubled.Add(name);
                    break;
                default:
                    if (monitor.IsSilent(i))
                    {
                        troubled.Add(name);
                    }

                    break;
            }
        }

        return Task.FromResult(
            waiting.Count > 0 ? HealthCheckResult.Unhealthy("sources not started: " + string.Join(", ", waiting))
            : troubled.Count > 0 ? HealthCheckResult.Degraded("sources in trouble: " + string.Join(", ", troubled))
            : HealthCheckResult.Healthy());
    }
}

/// <summary>GET /health, /health/live and /health/ready (docs/wire).</summary>
internal sealed class HealthRoutes(HealthCheckService checks, SourceMonitor monitor, WebCounters counters, IOptions<WebOptions> options, TimeProvider time)
{
    public const string ReadyTag = "ready";

    private static readonly string Version =
        typeof(HealthRoutes).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown";

    private readonly long _started = time.GetTimestamp();

    public void Map(IEndpointRouteBuilder routes)
    {
        // Live says only that the process answers: a restart would not bring a database back.
        routes.MapGet("/health/live", (RequestDelegate)(context => Write(context, null)));
        routes.MapGet("/health/ready", (RequestDelegate)Ready);
        routes.MapGet("/health", (RequestDelegate)Ready);
    }

    private async Task Ready(HttpContext context) =>
        await Write(context, await Check(context.RequestAborted));

    private async Task Write(HttpContext context, HealthReport? report)
    {
        var response = context.Response;
        var status = report?.Status ?? HealthStatus.Healthy;
        response.StatusCode = status == HealthStatus.Unhealthy ? StatusCodes.Status503ServiceUnavailable : StatusCodes.Status200OK;
        response.ContentType = "application/json; charset=utf-8";
        response.Headers.CacheControl = "no-store";
        using (var json = new Utf8JsonWriter(response.BodyWriter, new JsonWriterOptions { SkipValidation = true }))
        {
            WriteReport(json, report);
        }

        await response.BodyWriter.FlushAsync(context.RequestAborted);
    }

    /// <summary>Asks every check that counts for readiness.</summary>
    public Task<HealthReport> Check(CancellationToken cancellationToken) => checks.CheckHealthAsync(check => check.Tags.Contains(ReadyTag), cancellationToken);

    /// <summary>Writes what <c>/health</c> answers; without a report, what <c>/health/live</c> does.</summary>
    public void WriteReport(Utf8JsonWriter json, HealthReport? report)
    {
        json.WriteStartObject();
        json.WriteString("status", (report?.Status ?? HealthStatus.Healthy) switch { HealthStatus.Healthy => "ok", HealthStatus.Degraded => "degraded", _ => "unavailable" });
        json.WriteNumber("uptime", Math.Floor(time.GetElapsedTime(_started).TotalSeconds));
        json.WriteNumber("connections", counters.Connections);
        json.WriteNumber("subscriptions", counters.Subscriptions);
        json.WriteNumber("memory_usage", Environment.WorkingSet);
        json.WriteString("version", Version);
        json.WriteString("engine", options.Value.Engine);
        json.WriteStartArray("sources");
        for (var i = 0; i < monitor.Sources.Length; i++)
        {
            WriteSource(json, monitor.Sources[i], monitor.Statuses[i]);
        }

        json.WriteEndArray();
        if (report is not null)
        {
            json.WriteStartArray("problems");
            foreach (var (name, entry) in report.Entries)
            {
                if (entry.Status != HealthStatus.Healthy)
                {
                    json.WriteStringValue(name + ": " + (entry.Description ?? entry.Exception?.Message ?? entry.Status.ToString()));
                }
            }

            json.WriteEndArray();
        }

        json.WriteEndObject();
    }

    private static void WriteSource(Utf8JsonWriter json, SourceDescription source, SourceStatus? status)
    {
        json.WriteStartObject();
        json.WriteString("name", source.Name);
        json.WriteString("kind", source.Kind);
        json.WriteBoolean("simulated", source.IsSimulated);
        json.WriteString("state", SourceStates.Name(status?.State ?? SourceState.Starting));
        if (status is not null)
        {
            json.WriteNumber("since", status.Since.ToUnixTimeMilliseconds());
            json.WriteNumber("clock", status.Clock.ToUnixTimeMilliseconds());
            json.WriteNumber("trades", status.Trades);
            json.WriteNumber("skipped", status.Skipped.Values.Sum());
            json.WriteStartObject("skippedByReason");
            foreach (var (reason, count) in status.Skipped)
            {
                json.WriteNumber(reason, count);
            }

            json.WriteEndObject();
            json.WriteNumber("duplicates", status.Duplicates);
            json.WriteNumber("late", status.Late);
            json.WriteNumber("mints", status.Mints);
            if (status.Progress is { } progress)
            {
                json.WriteNumber("progress", progress);
            }

            json.WriteStartObject("details");
            foreach (var (name, value) in status.Details)
            {
                json.WriteString(name, value);
            }

            json.WriteEndObject();
            json.WriteString("error", status.Error);
        }

        json.WriteEndObject();
    }
}
