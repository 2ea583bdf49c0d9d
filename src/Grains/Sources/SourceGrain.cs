using System.Collections.Immutable;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;
using Orleans.Storage;

namespace KlineOrleans.Grains;

/// <summary>One source: owns its checkpoint and the pump that reads it. Reading runs beside the grain's turns, so that they stay short.</summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "The pump is stopped and disposed when the grain deactivates.")]
public sealed partial class SourceGrain(
    [PersistentState("source")] IPersistentState<SourceGrainState> state,
    ITradeSourceFactory sources,
    IKlineArchive archive,
    IChainEventStore events,
    ActiveGrains here,
    TimeProvider time,
    ILoggerFactory loggers) : Grain, ISourceGrain
{
    private readonly ILogger _logger = loggers.CreateLogger<SourceGrain>();
    private SourcePump? _pump;

    // The newest state that is known to be stored. Another may be, after a write that failed.
    private SourceGrainState? _written;
    private bool _isUnsure;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        here.Enter(GrainContext, isSource: true);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task Start()
    {
        if (_pump is not null)
        {
            return Task.CompletedTask;
        }

        var name = this.GetPrimaryKeyString();
        var description = sources.Sources.FirstOrDefault(s => s.Name == name)
            ?? throw new ArgumentException($"No source is named '{name}'. Configured: {string.Join(", ", sources.Sources.Select(s => s.Name))}.");
        var turns = TaskScheduler.Current;
        _pump = new SourcePump(
            description,
            () => sources.Create(name),
            GrainFactory,
            archive,
            time,
            (checkpoint, clock) => Task.Factory.StartNew(() => SaveCheckpoint(checkpoint, clock), CancellationToken.None, TaskCreationOptions.DenyChildAttach, turns).Unwrap(),
            stop => new ChainEventLane(
                name,
                events,
                updates => Task.Factory.StartNew(() => Tell(updates), CancellationToken.None, TaskCreationOptions.DenyChildAttach, turns).Unwrap(),
                time,
                loggers.CreateLogger<ChainEventLane>(),
                stop),
            loggers.CreateLogger<SourcePump>());
        LogStarted(name, state.State.Checkpoint switch { null => "the beginning", { Length: > 100 } longer => $"checkpoint {longer[..100]}...", var whole => $"checkpoint {whole}" });
        _written = state.State;
        _pump.Start(state.State.Checkpoint, state.State.Clock);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task Stop()
    {
        if (_pump is { } pump)
        {
            await pump.Stop();
            pump.Dispose();
            _pump = null;
        }
    }

    /// <inheritdoc/>
    public Task<SourceClock> GetClock(string symbol, long activation) =>
        Task.FromResult(_pump?.ClockOf(symbol, activation) ?? new SourceClock(DateTimeOffset.MinValue, IsLive: false));

    /// <inheritdoc/>
    public Task<SourceStatus> GetStatus()
    {
        var name = this.GetPrimaryKeyString();
        var status = _pump?.GetStatus() ?? new SourceStatus
        {
            Name = name,
            Kind = sources.Sources.FirstOrDefault(s => s.Name == name)?.Kind ?? "",
            State = SourceState.Starting,
        };
        return Task.FromResult(status with { Checkpoint = (_written ?? state.State).Checkpoint });
    }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        here.Exit(GrainContext);
        try
        {
            await Stop();
        }
        catch (Exception error)
        {
            // The checkpoint stays where it was, and what it does not cover is read again.
            LogStopFailed(this.GetPrimaryKeyString(), error.Message, error);
        }
    }

    private Task Tell(ImmutableArray<ChainEventUpdate> updates)
    {
        var streams = this.GetStreamProvider(KlineStreams.Provider);
        return Task.WhenAll(updates.Select(u => streams.GetStream<ChainEventUpdate>(KlineStreams.EventsOf(u.Symbol)).OnNextAsync(u)));
    }

    private async Task SaveCheckpoint(string? checkpoint, DateTimeOffset clock)
    {
        if (!_isUnsure && _written is { } written && written.Checkpoint == checkpoint && written.Clock == clock)
        {
            return;
        }

        _isUnsure = true;
        using var span = GrainTraces.Source.StartActivity("kline.checkpoint");
        span?.SetTag("kline.source", this.GetPrimaryKeyString());
        var next = state.State = new SourceGrainState { Checkpoint = checkpoint, Clock = clock };
        try
        {
            await state.WriteStateAsync();
            (_written, _isUnsure) = (next, false);
        }
        catch (InconsistentStateException)
        {
            // Another activation reads this source now. This one must not.
            DeactivateOnIdle();
            throw;
        }
    }

    [LoggerMessage(1101, LogLevel.Information, "Source {Name} starts from {Checkpoint}")]
    private partial void LogStarted(string name, string checkpoint);

    [LoggerMessage(1102, LogLevel.Error, "Source {Name} did not save everything when it stopped; a restart reads it again: {Reason}")]
    private partial void LogStopFailed(string name, string reason, Exception error);
}
