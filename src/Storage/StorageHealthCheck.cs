using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace KlineOrleans.Storage;

/// <summary>Degraded, not unhealthy, while the store cannot be written: klines go on live and saving is tried again.</summary>
internal sealed class StorageHealthCheck(IStorageStatus status) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var now = status.Current;
        var data = new Dictionary<string, object>(StringComparer.Ordinal)
        {
            ["queueLength"] = now.QueueLength,
            ["fileBytes"] = now.FileBytes,
            ["rowsWritten"] = now.RowsWritten,
            ["commits"] = now.Commits,
            ["writesFailed"] = now.WritesFailed,
        };
        return Task.FromResult(now.IsAvailable ? HealthCheckResult.Healthy(null, data) : HealthCheckResult.Degraded(now.LastError ?? "The store is not open.", null, data));
    }
}
