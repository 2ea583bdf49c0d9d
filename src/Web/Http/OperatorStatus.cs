using System.Globalization;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace KlineOrleans.Web;

/// <summary>GET /api/v1/status: all that the page /status shows, in one answer. Of this node. Thread safe.</summary>
/// <remarks>Grains and store are other rooms, which Web does not know: their figures come from their meters, as /metrics has them, and from their health checks.</remarks>
internal sealed class OperatorStatus(RouteAnswers answers, HealthRoutes health, StatusRoutes status, MetricRoutes metrics, TimeProvider time)
{
    private static readonly (string Name, string Metric, string Label)[] GrainFigures =
    [
        ("active", "kline_grains_active", ""),
        ("tradesApplied", "kline_trades_total", "result=\"applied\""),
        ("tradesDuplicate", "kline_trades_total", "result=\"duplicate\""),
        ("tradesLate", "kline_trades_total", "result=\"late\""),
        ("updates", "kline_web_updates_total", ""),
        ("saves", "kline_grain_saves_total", ""),
        ("savesFailed", "kline_grain_saves_failed_total", ""),
        ("klinesArchived", "kline_klines_archived_total", ""),
        ("klinesUnarchived", "kline_klines_unarchived", ""),
    ];

    public void Map(IEndpointRouteBuilder routes) => routes.MapGet("/api/v1/status", answers.Guard(Get)).Needs(AccessLevel.Operator, rateLimited: false).WithMetadata(
        new RouteDoc("getStatus", "Figures", "All that the page /status shows. For operators", "OperatorStatus"));

    /// <summary>Sum of a metric's series in Prometheus's text; null where it has none.</summary>
    /// <param name="label">Only series with this among their labels; empty: all.</param>
    internal static double? Sum(string text, string name, string label)
    {
        double? sum = null;
        foreach (var line in text.AsSpan().EnumerateLines())
        {
            if (line.StartsWith(name, StringComparison.Ordinal) && line.Length > name.Length && line[name.Length] is ' ' or '{' && line.Contains(label, StringComparison.Ordinal)
                && double.TryParse(line[(line.LastIndexOf(' ') + 1)..], NumberStyles.Float, CultureInfo.InvariantCulture, out var value))
            {
                sum = (sum ?? 0) + value;
            }
        }

        return sum;
    }

    private async Task<ApiError?> Get(HttpContext context)
    {
        var report = await health.Check(context.RequestAborted);
        var text = metrics.Read();
        return await RouteAnswers.Ok(context, (This: this, Context: context, Report: report, Text: text), static (json, a) => a.This.Write(json, a.Context, a.Report, a.Text));
    }

    private void Write(Utf8JsonWriter json, HttpContext context, HealthReport report, string text)
    {
        json.WriteStartObject();
        json.WriteNumber("time", time.GetUtcNow().ToUnixTimeMilliseconds());
        json.WritePropertyName("health");
        health.WriteReport(json, report);
        json.WriteStartObject("web");
        status.WriteMetrics(json, context);
        json.WriteEndObject();
        json.WriteStartObject("grains");
        foreach (var (name, metric, label) in GrainFigures)
        {
            // A counter that nothing was added to is not there yet.
            json.WriteNumber(name, Sum(text, metric, label) ?? 0);
        }

        json.WriteEndObject();
        json.WriteStartObject("storage");
        foreach (var (name, value) in report.Entries.SelectMany(e => e.Value.Data))
        {
            if (value is int or long)
            {
                json.WriteNumber(name, Convert.ToInt64(value, CultureInfo.InvariantCulture));
            }
        }

        json.WriteEndObject();
        json.WriteStartObject("process");
        json.WriteNumber("processorSeconds", Environment.CpuUsage.TotalTime.TotalSeconds);
        json.WriteNumber("memoryBytes", Environment.WorkingSet);
        json.WriteNumber("managedBytes", GC.GetTotalMemory(forceFullCollection: false));
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
