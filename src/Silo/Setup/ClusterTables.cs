using KlineOrleans.Storage;

namespace KlineOrleans.Silo.Setup;

/// <summary>Brings the cluster's tables to this version before anything joins, or says that somebody must.</summary>
internal sealed class ClusterTables(ClusterSettings cluster) : IHostedLifecycleService
{
    public Task StartingAsync(CancellationToken cancellationToken) =>
        cluster.ApplySchema ? ClusterSchema.Apply(cluster.ConnectionString, cancellationToken) : ClusterSchema.Check(cluster.ConnectionString, cancellationToken);

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
