using System.Collections.Concurrent;
using Microsoft.Extensions.Hosting;

namespace KlineOrleans.Grains;

/// <summary>The grains of this process, so that one of several processes which stops can have them leave in order. Thread safe.</summary>
/// <remarks>
/// A cluster takes the grains of a process that is about to stop for gone as soon as it says so, and makes them anew elsewhere, while here they still have trades to save: such a new one knows
/// less than what was told already. So they leave before the process says that it stops: the sources first, which save and stop reading, then the mints. Until all have, none comes in their place
/// here; who calls one gets an error and calls again.
/// </remarks>
public sealed class ActiveGrains
{
    /// <summary>How long leaving may take. What has not left by then is made up for as after a crash.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    private readonly ConcurrentDictionary<IGrainContext, bool> _isSource = new();
    private volatile bool _isLeaving;

    /// <summary>A grain comes into memory.</summary>
    /// <exception cref="InvalidOperationException">The process stops.</exception>
    internal void Enter(IGrainContext grain, bool isSource)
    {
        _isSource[grain] = isSource;
        if (_isLeaving)
        {
            _isSource.TryRemove(grain, out _);
            throw new InvalidOperationException("This process stops. The grain will be found in another.");
        }
    }

    /// <summary>A grain has begun to leave. Harmless for one that never entered.</summary>
    internal void Exit(IGrainContext grain) => _isSource.TryRemove(grain, out _);

    /// <summary>Has every grain save and leave, and lets none in any more.</summary>
    internal async Task Leave(CancellationToken cancellationToken)
    {
        _isLeaving = true;
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(Patience);
        foreach (var isSource in (bool[])[true, false])
        {
            var leaving = _isSource.Where(g => g.Value == isSource).Select(g => g.Key).ToList();
            foreach (var grain in leaving)
            {
                grain.Deactivate(new DeactivationReason(DeactivationReasonCode.ShuttingDown, "The process stops."), patience.Token);
            }

            await Task.WhenAll(leaving.Select(static g => g.Deactivated)).WaitAsync(patience.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}

/// <summary>Has the grains leave before anything else of the process stops.</summary>
internal sealed class Departure(ActiveGrains grains) : IHostedLifecycleService
{
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => grains.Leave(cancellationToken);

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
