using System.Diagnostics;

namespace KlineOrleans.InProcess;

/// <summary>Something an activation does when it comes to the front of its queue. A node of that queue, so it stands in one queue at a time.</summary>
internal abstract class WorkItem
{
    internal WorkItem? Next;

    internal abstract void Run(Activation activation);
}

/// <summary>A continuation of grain code.</summary>
internal sealed class PostItem : WorkItem
{
    private SendOrPostCallback? _callback;
    private object? _state;

    internal static PostItem Rent(SendOrPostCallback callback, object? state)
    {
        var item = ItemPool<PostItem>.Rent();
        item._callback = callback;
        item._state = state;
        return item;
    }

    internal override void Run(Activation activation)
    {
        var (callback, state) = (_callback!, _state);
        (_callback, _state) = (null, null);
        ItemPool<PostItem>.Return(this);
        callback(state);
    }
}

/// <summary>A rare operation of the engine itself.</summary>
internal sealed class ActionItem(Action<Activation> action) : WorkItem
{
    internal override void Run(Activation activation) => action(activation);
}

/// <summary>What begins a turn and may wait for its place: a call, a timer's tick, an item of a stream.</summary>
internal abstract class Turn : WorkItem
{
    private Activation? _activation;
    private Action? _onEnd;
    private Task? _task;

    /// <summary>May start whatever waits.</summary>
    internal abstract bool AlwaysInterleaves { get; }

    /// <summary>May start while only such turns wait.</summary>
    internal abstract bool IsReadOnly { get; }

    /// <summary>Counts as use of the grain.</summary>
    internal abstract bool KeepsAlive { get; }

    internal override void Run(Activation activation) => activation.Receive(this);

    /// <summary>Nobody waits for it any more: it need not start.</summary>
    internal virtual bool IsAbandoned => false;

    /// <summary>Calls the grain. The task is never null; what it throws at once is the caller's to catch.</summary>
    internal abstract Task Start(Activation activation);

    /// <summary>The turn has ended. The last use of the object by the activation.</summary>
    internal abstract void End(Activation activation, Task task);

    /// <summary>The turn could not start, ever.</summary>
    internal abstract void Fail(Exception exception);

    /// <summary>The activation is gone.</summary>
    internal abstract void Forward(Activation gone);

    /// <summary>Waits for <paramref name="task"/> in the activation's own context.</summary>
    internal void EndAfter(Activation activation, Task task)
    {
        Debug.Assert(Activation.Current == activation);
        _activation = activation;
        _task = task;
        task.GetAwaiter().UnsafeOnCompleted(_onEnd ??= () =>
        {
            var (where, what) = (_activation!, _task!);
            (_activation, _task) = (null, null);
            where.EndWaited(this, what);
        });
    }
}

/// <summary>A process-wide pool: a chain per thread, and chains that threads have given up.</summary>
internal static class ItemPool<T>
    where T : WorkItem, new()
{
    private const int ChainLength = 64;
    private const int MaxSharedChains = 256;
    private static readonly Stack<(T Head, int Count)> Shared = new();

    [ThreadStatic]
    private static Local? t_local;

    internal static T? TryRent()
    {
        var local = t_local ??= new Local();
        if (local.Head is null)
        {
            lock (Shared)
            {
                if (!Shared.TryPop(out var chain))
                {
                    return null;
                }

                (local.Head, local.Count) = chain;
            }
        }

        var item = local.Head;
        local.Head = (T?)item.Next;
        local.Count--;
        item.Next = null;
        return item;
    }

    internal static T Rent() => TryRent() ?? new T();

    /// <summary>False: the pool is full, and a chain of items from <paramref name="dropped"/> on is no longer in it.</summary>
    internal static bool Return(T item, out T? dropped)
    {
        dropped = null;
        var local = t_local ??= new Local();
        item.Next = local.Head;
        local.Head = item;
        if (++local.Count < 2 * ChainLength)
        {
            return true;
        }

        var head = local.Head;
        var last = head;
        for (var i = 1; i < ChainLength; i++)
        {
            last = (T)last.Next!;
        }

        local.Head = (T)last.Next!;
        last.Next = null;
        local.Count -= ChainLength;
        lock (Shared)
        {
            if (Shared.Count < MaxSharedChains)
            {
                Shared.Push((head, ChainLength));
                return true;
            }
        }

        dropped = head;
        return false;
    }

    internal static void Return(T item) => Return(item, out _);

    private sealed class Local
    {
        internal T? Head;
        internal int Count;

        /// <summary>The thread has ended: others may use what it kept.</summary>
#pragma warning disable MA0055 // The only sign of a thread's end.
        ~Local()
#pragma warning restore MA0055
        {
            if (Head is { } head)
            {
                lock (Shared)
                {
                    Shared.Push((head, Count));
                }
            }
        }
    }
}
