using System.Runtime.CompilerServices;
using Orleans.Storage;

namespace KlineOrleans.InProcess;

/// <summary>A call on its way. Pooled; the proxy of an interface derives one class for each of its methods, with the arguments as fields.</summary>
/// <remarks>
/// Three parties may end it: the activation (result), the sweep (timeout), the engine's end. <see cref="_word"/>, a version and a state, decides:
/// only whoever moves it from pending may touch the caller's task. A request that timed out never returns to the pool, because the
/// activation may hold it for ever.
/// </remarks>
internal abstract class GrainRequest : Turn
{
    private const long Free = 0;
    private const long Pending = 1;
    private const long Ended = 2;
    private const long StateMask = 3;

    private long _word;
    private long _birth;
    private GrainProxy? _target;

    internal int RegistryIndex = -1;

    internal RequestPool? Home;

    /// <summary>For messages: <c>IKlineGrain.Ingest</c>.</summary>
    internal abstract string Name { get; }

    internal override bool KeepsAlive => true;

    internal override bool AlwaysInterleaves => false;

    internal override bool IsReadOnly => false;

    internal GrainProxy Target => _target!;

    /// <summary>Still to be answered.</summary>
    internal bool IsPending => (Volatile.Read(ref _word) & StateMask) == Pending;

    /// <summary>Calls the method on the grain.</summary>
    internal abstract Task Call(object grain);

    /// <summary>Lets go of the arguments and of the caller's task.</summary>
    internal abstract void Clear();

    private protected abstract void SetResult(Task task);

    private protected abstract void SetException(Exception exception);

    internal void Begin(GrainProxy target, long now)
    {
        _target = target;
        Volatile.Write(ref _birth, now);
        Volatile.Write(ref _word, (_word & ~StateMask) + (StateMask + 1) + Pending);
    }

    internal override bool IsAbandoned => !IsPending;

    internal override Task Start(Activation activation) => Call(activation.GrainInstance!);

    internal override void End(Activation activation, Task task)
    {
        if (!TryEnd())
        {
            return;
        }

        if (task.IsCompletedSuccessfully)
        {
            SetResult(task);
        }
        else
        {
            var exception = ExceptionOf(task);
            if (exception is InconsistentStateException)
            {
                activation.Deactivate(new Orleans.DeactivationReason(Orleans.DeactivationReasonCode.ApplicationError, exception, "A write met a newer version of the state."));
            }

            SetException(exception);
        }

        Release();
    }

    internal override void Fail(Exception exception)
    {
        if (TryEnd())
        {
            SetException(exception);
            Release();
        }
    }

    internal override void Forward(Activation gone)
    {
        if (IsPending)
        {
            Target.Resend(this);
        }
    }

    /// <summary>Ends the call from outside of its activation, which may still be at it.</summary>
    /// <param name="bornBefore">Calls that began at or after this moment go on.</param>
    internal void EndEarly(GrainEngine engine, long bornBefore, Func<GrainRequest, Exception> exception)
    {
        var word = Volatile.Read(ref _word);
        if ((word & StateMask) != Pending || Volatile.Read(ref _birth) >= bornBefore || _target?.Engine != engine)
        {
            return;
        }

        if (Interlocked.CompareExchange(ref _word, (word & ~StateMask) + Ended, word) == word)
        {
            RequestRegistry.Remove(this);
            SetException(exception(this));
        }
    }

    private bool TryEnd()
    {
        var word = Volatile.Read(ref _word);
        return (word & StateMask) == Pending && Interlocked.CompareExchange(ref _word, (word & ~StateMask) + Ended, word) == word;
    }

    private void Release()
    {
        _target = null;
        Clear();
        Volatile.Write(ref _word, (_word & ~StateMask) + Free);
        Home!.Return(this);
    }

    private static Exception ExceptionOf(Task task)
    {
        if (task.Exception is { } faulted)
        {
            return faulted.InnerExceptions[0];
        }

        try
        {
            task.GetAwaiter().GetResult();
            throw new InvalidOperationException("The task has not failed.");
        }
        catch (OperationCanceledException canceled)
        {
            return canceled;
        }
    }
}

/// <summary>A call whose method returns Task or ValueTask.</summary>
/// <remarks>
/// The caller's task comes from a method builder rather than a completion source: it is ended inside an activation's context only, where the
/// runtime does not run a foreign awaiter's continuation inline.
/// </remarks>
internal abstract class VoidRequest : GrainRequest
{
    private AsyncTaskMethodBuilder _builder;

    internal Task Open()
    {
        _builder = AsyncTaskMethodBuilder.Create();
        return _builder.Task;
    }

    internal override void Clear() => _builder = default;

    private protected override void SetResult(Task task) => _builder.SetResult();

    private protected override void SetException(Exception exception) => _builder.SetException(exception);
}

/// <summary>A call whose method returns Task{TResult} or ValueTask{TResult}.</summary>
internal abstract class ResultRequest<TResult> : GrainRequest
{
    private AsyncTaskMethodBuilder<TResult> _builder;

    internal Task<TResult> Open()
    {
        _builder = AsyncTaskMethodBuilder<TResult>.Create();
        return _builder.Task;
    }

    internal override void Clear() => _builder = default;

    private protected override void SetResult(Task task) => _builder.SetResult(Unsafe.As<Task<TResult>>(task).Result);

    private protected override void SetException(Exception exception) => _builder.SetException(exception);
}

internal abstract class RequestPool
{
    internal abstract void Return(GrainRequest request);
}

/// <summary>The pool of one method's requests.</summary>
internal sealed class RequestPool<T> : RequestPool
    where T : GrainRequest, new()
{
    private static readonly RequestPool<T> Instance = new();

    /// <summary>A request to fill. Called by generated code.</summary>
    public static T Rent()
    {
        var request = ItemPool<T>.TryRent();
        if (request is null)
        {
            request = new T { Home = Instance };
            RequestRegistry.Add(request);
        }

        return request;
    }

    internal override void Return(GrainRequest request)
    {
        if (!ItemPool<T>.Return(Unsafe.As<T>(request), out var dropped))
        {
            for (WorkItem? item = dropped; item is not null; item = item.Next)
            {
                RequestRegistry.Remove(Unsafe.As<T>(item));
            }
        }
    }
}

/// <summary>Every request in use or pooled, so that one sweep finds those that are overdue and a call costs nothing for it.</summary>
internal static class RequestRegistry
{
    private static readonly Lock Gate = new();
    private static GrainRequest?[] s_requests = new GrainRequest?[256];
    private static int s_count;

    internal static int Count => s_count;

    internal static void Add(GrainRequest request)
    {
        lock (Gate)
        {
            if (s_count == s_requests.Length)
            {
                Array.Resize(ref s_requests, s_count * 2);
            }

            request.RegistryIndex = s_count;
            s_requests[s_count++] = request;
        }
    }

    internal static void Remove(GrainRequest request)
    {
        lock (Gate)
        {
            if (request.RegistryIndex < 0)
            {
                return;
            }

            var last = s_requests[--s_count]!;
            s_requests[request.RegistryIndex] = last;
            last.RegistryIndex = request.RegistryIndex;
            s_requests[s_count] = null;
            request.RegistryIndex = -1;
        }
    }

    internal static void EndEarly(GrainEngine engine, long bornBefore, Func<GrainRequest, Exception> exception)
    {
        GrainRequest?[] all;
        lock (Gate)
        {
            all = s_requests.AsSpan(0, s_count).ToArray();
        }

        // Not on this stack: callers that wait for nothing but these tasks would else go on here.
        var before = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(new NoInlineContext());
        try
        {
            foreach (var request in all)
            {
                request!.EndEarly(engine, bornBefore, exception);
            }
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(before);
        }
    }

    /// <summary>Its presence alone keeps the runtime from running continuations inline.</summary>
    private sealed class NoInlineContext : SynchronizationContext;
}
