using System.Diagnostics.CodeAnalysis;

namespace Orleans.Runtime;

/// <summary>A timer of a grain. Dispose ends it and cancels the token of a callback that runs.</summary>
public interface IGrainTimer : IDisposable
{
    /// <summary>Sets when the next callback is due and the period after it. From inside the callback it counts from the callback's end.</summary>
    void Change(TimeSpan dueTime, TimeSpan period);
}

/// <summary>How a grain timer ticks. <see cref="Timeout.InfiniteTimeSpan"/>: not at all (due time), only once (period).</summary>
public readonly struct GrainTimerCreationOptions()
{
    [SetsRequiredMembers]
    public GrainTimerCreationOptions(TimeSpan dueTime, TimeSpan period)
        : this()
    {
        DueTime = dueTime;
        Period = period;
    }

    public required TimeSpan DueTime { get; init; }

    /// <summary>From the end of one callback to the beginning of the next.</summary>
    public required TimeSpan Period { get; init; }

    /// <summary>The callback may start while calls of the grain wait for something. Default: it waits for its turn.</summary>
    public bool Interleave { get; init; }

    /// <summary>Each tick counts as use, so that the grain is not collected as idle. Default: ticks keep nothing alive.</summary>
    public bool KeepAlive { get; init; }
}
