using KlineOrleans.Contracts;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Grains;

/// <summary>Keeps every configured source read by its grain: asks each to start, again and again, so that one lost with its process starts elsewhere.</summary>
/// <param name="stopsSources">This process is the only one: its end is the sources' end, and they stop and save first.</param>
internal sealed partial class SourceKeeper(IGrainFactory grains, ITradeSourceFactory sources, TimeProvider time, ILogger<SourceKeeper> logger, bool stopsSources)
    : BackgroundService, IHostedLifecycleService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    private bool _isStopped;

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Stops the sources before anything else stops, so that saving has all the time there is and does not wait for clients to leave.</summary>
    public Task StoppingAsync(CancellationToken cancellationToken) => StopAsync(cancellationToken);

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        if (!stopsSources || _isStopped || ExecuteTask is null)
        {
            // Of a host that could not start, nothing may have been read.
            return;
        }

        _isStopped = true;

        await Task.WhenAll(sources.Sources.Select(async source =>
        {
            try
            {
                await grains.GetGrain<ISourceGrain>(source.Name).Stop().WaitAsync(cancellationToken);
            }
            catch (Exception error)
            {
                LogStopFailed(source.Name, error.Message, error);
            }
        }));
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            do
            {
                foreach (var source in sources.Sources)
                {
                    try
                    {
                        await grains.GetGrain<ISourceGrain>(source.Name).Start();
                    }
                    catch (Exception error) when (!stoppingToken.IsCancellationRequested)
                    {
                        LogStartFailed(source.Name, error.Message, error);
                    }
                }
            }
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (Exception) when (stoppingToken.IsCancellationRequested)
        {
            // The host stops.
        }
    }

    [LoggerMessage(1123, LogLevel.Error, "Source {Name} could not be started and is asked again: {Reason}")]
    private partial void LogStartFailed(string name, string reason, Exception error);

    [LoggerMessage(1124, LogLevel.Error, "Source {Name} did not stop cleanly; a restart reads again what was not saved: {Reason}")]
    private partial void LogStopFailed(string name, string reason, Exception error);
}
