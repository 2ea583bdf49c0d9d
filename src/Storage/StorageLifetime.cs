using Microsoft.Extensions.Hosting;

namespace KlineOrleans.Storage;

/// <summary>Opens the store before any hosted service starts and closes it after all have stopped, whatever the order of registration.</summary>
internal sealed class StorageLifetime(IKlineStore store) : IHostedLifecycleService
{
    public Task StartingAsync(CancellationToken cancellationToken) => store.Open(cancellationToken);

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => store.Close();
}
