using KlineOrleans.Contracts;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Storage;

/// <summary>Deletes klines that are older than <see cref="StorageOptions.Retention"/> says, every now and then, beside everything else. Does nothing where nothing is said.</summary>
internal sealed class RetentionService(IKlineStore store, IOptions<StorageOptions> options, TimeProvider time, ILogger<RetentionService> log) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var kept = options.Value.Kept.ToList();
        if (kept.Count == 0)
            return;
        using var timer = new PeriodicTimer(options.Value.PruneEvery, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
                await Prune(kept, stoppingToken);
        }
        catch (OperationCanceledException)
        {
            // The host stops; what is left is for the next start.
        }
    }

    private async Task Prune(List<(KlineInterval Interval, TimeSpan Kept)> kept, CancellationToken cancellation)
    {
        // Nothing new was stored, so nothing has become old.
        if (store.NewestEnd is not { } newest)
            return;
        var now = time.GetUtcNow();
        var from = newest < now ? newest : now;
        foreach (var (interval, length) in kept)
        {
            try
            {
                var started = time.GetTimestamp();
                var deleted = await store.Prune(interval, from - length, cancellation);
                if (deleted > 0)
                    log.LogInformation(1206, "Retention: {Count} klines of {Interval} that ended before {Before:O} were deleted in {Time}", deleted, interval.Name(), from - length, time.GetElapsedTime(started));
            }
            catch (ArchiveUnavailableException exception)
            {
                log.LogWarning(1207, "Retention: klines of {Interval} could not be deleted now: {Reason}", interval.Name(), exception.Message);
            }
        }
    }
}
