using System.Runtime.CompilerServices;

namespace KlineOrleans.InProcess;

/// <summary>Makes code run with a given <see cref="TaskScheduler.Current"/>, without a task of its own for each run.</summary>
/// <remarks>
/// The runtime takes the current scheduler from the task that a thread executes, and executes a task once only. A new task for each drain costs 64
/// bytes, twice for an awaited call between grains (320 bytes a call instead of 192). So the runtime's own note of the current task is set to a task that
/// belongs to the scheduler and never runs. The name of that note is no promise: where it is not what we expect, <see cref="IsSupported"/> is false and a task is made each time.
/// </remarks>
internal static class TurnTask
{
    internal static bool IsSupported { get; } = Try();

    /// <summary>A task for <see cref="Exchange"/>; <paramref name="scheduler"/> is handed it and must not run it.</summary>
    internal static Task Create(TaskScheduler scheduler)
    {
        var task = new Task(static () => { }, CancellationToken.None, TaskCreationOptions.DenyChildAttach);
        task.Start(scheduler);
        return task;
    }

    /// <summary>Makes a task the current one of this thread and returns the one before, which must be put back.</summary>
    internal static Task? Exchange(Task? task)
    {
        ref var current = ref Current(null);
        var before = current;
        current = task;
        return before;
    }

    [UnsafeAccessor(UnsafeAccessorKind.StaticField, Name = "t_currentTask")]
    private static extern ref Task? Current(Task? declaringType);

    private static bool Try()
    {
        try
        {
            var scheduler = new TrialScheduler();
            var before = Exchange(Create(scheduler));
            var isSet = ReferenceEquals(TaskScheduler.Current, scheduler);
            _ = Exchange(before);
            return isSet && !ReferenceEquals(TaskScheduler.Current, scheduler);
        }
        catch (MissingFieldException)
        {
            return false;
        }
    }

    private sealed class TrialScheduler : TaskScheduler
    {
        protected override IEnumerable<Task>? GetScheduledTasks() => null;

        protected override void QueueTask(Task task)
        {
        }

        protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) => false;
    }
}
