using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Runtime;

namespace KlineOrleans.InProcess;

/// <summary>A grain in memory: its queue, its turns, its life.</summary>
/// <remarks>
/// Every field without a note belongs to the turn that runs. What arrives is pushed on <see cref="_inbox"/>, a stack that one
/// drain at a time takes whole and turns around; its emptiness and the right to drain are one word, so that a push is one compare-and-swap.
/// Grain code finds the activation as its synchronization context (an await needs no task of its own that way) and as its task scheduler.
/// </remarks>
internal sealed class Activation : TaskScheduler, IGrainContext, IThreadPoolWorkItem
{
    /// <summary>How many items one drain handles before others get the thread.</summary>
    private const int DrainBudget = 512;

    /// <summary>Stands under the stack while a drain goes on. Null alone means that nothing does.</summary>
    private static readonly WorkItem Draining = new ActionItem(static _ => { });

    [ThreadStatic]
    private static Activation? t_current;

    [ThreadStatic]
    private static int t_schedules;

    private readonly GrainClass _class;
    private readonly TurnContext _context;
    private readonly Task? _turnTask;
    private readonly TaskCompletionSource _deactivated = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<GrainTimer> _timers = [];
    private readonly List<IDisposable> _subscriptions = [];
    private WorkItem? _inbox;
    private volatile Stage _stage;
    private volatile bool _isKilled;
    private AsyncServiceScope _scope;
    private List<Turn>? _waiting;
    private int _running;
    private int _blocking;
    private int _blockingWrites;
    private bool _mustPump;
    private bool _mustDeactivate;
    private bool _isReady;
    private DeactivationReason _reason;
    private long _lastUse;
    private long _keepUntil;
    private long _calls;

    internal Activation(GrainClass grainClass, string key)
    {
        _class = grainClass;
        Key = key;
        _context = new TurnContext(this);
        _lastUse = grainClass.Engine.Now;
        _turnTask = TurnTask.IsSupported ? TurnTask.Create(this) : null;
    }

    private enum Stage
    {
        New,
        Activating,
        Active,
        Deactivating,
        Gone,
    }

    /// <summary>The activation whose turn this thread runs; null outside of turns.</summary>
    internal static new Activation? Current => t_current;

    internal string Key { get; }

    internal GrainEngine Engine => _class.Engine;

    /// <summary>Calls go to the next activation. Any thread.</summary>
    internal bool IsGone => _stage == Stage.Gone || _isKilled;

    /// <summary>Calls that reached the grain. Any thread, approximately.</summary>
    internal long Calls => Volatile.Read(ref _calls);

    /// <summary>Any thread.</summary>
    internal long LastUse => Volatile.Read(ref _lastUse);

    public GrainId GrainId => _class.IdOf(Key);

    public object? GrainInstance { get; private set; }

    public IServiceProvider ActivationServices => _scope.ServiceProvider;

    public Task Deactivated => _deactivated.Task;

    internal IGrainBase? Grain => (IGrainBase?)GrainInstance;

    internal List<PersistentStateBase> States { get; } = [];

    public bool Equals(IGrainContext? other) => ReferenceEquals(this, other);

    public override string ToString() => GrainId.ToString();

    /// <summary>Puts something in the queue. Any thread.</summary>
    internal void Enqueue(WorkItem item)
    {
        var top = Volatile.Read(ref _inbox);
        while (true)
        {
            item.Next = top;
            var seen = Interlocked.CompareExchange(ref _inbox, item, top);
            if (ReferenceEquals(seen, top))
            {
                break;
            }

            top = seen;
        }

        if (top is null)
        {
            // The thread's own queue keeps caller and callee on one core; the common one now and then, because threads look there only when their own is empty.
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: (++t_schedules & 127) != 0);
        }
    }

    public void Deactivate(DeactivationReason deactivationReason, CancellationToken cancellationToken = default)
    {
        if (t_current == this)
        {
            RequestDeactivation(deactivationReason);
        }
        else
        {
            Enqueue(new ActionItem(activation => activation.RequestDeactivation(deactivationReason)));
        }
    }

    internal void DelayDeactivation(TimeSpan timeSpan) =>
        _keepUntil = timeSpan <= TimeSpan.Zero ? 0 : timeSpan == TimeSpan.MaxValue || timeSpan == Timeout.InfiniteTimeSpan ? long.MaxValue : Engine.Now + Engine.TicksOf(timeSpan);

    /// <summary>Ends the activation if it was idle for <paramref name="age"/> ticks. Any thread.</summary>
    internal void CollectIfIdle(long age)
    {
        if (Engine.Now - LastUse > age)
        {
            Enqueue(new ActionItem(activation =>
            {
                if (activation._stage == Stage.Active && activation._running == 0 && activation._waiting is not { Count: > 0 }
                    && activation.Engine.Now - activation._lastUse > age && activation.Engine.Now > activation._keepUntil)
                {
                    activation.RequestDeactivation(new DeactivationReason(DeactivationReasonCode.ActivationIdle, "Idle for longer than the collection age."));
                }
            }));
        }
    }

    /// <summary>Lets go of everything without a word to the grain. Any thread.</summary>
    internal void Kill()
    {
        // At once, not in turn: what stands in the queue does not begin.
        _isKilled = true;
        Enqueue(new ActionItem(static _ => { }));
    }

    internal GrainTimer AddTimer(Func<CancellationToken, Task> callback, GrainTimerCreationOptions options)
    {
        var timer = new GrainTimer(this, callback, options);
        _timers.Add(timer);
        timer.Change(options.DueTime, options.Period);
        return timer;
    }

    internal void Forget(GrainTimer timer) => _timers.Remove(timer);

    internal void Add(IDisposable subscription) => _subscriptions.Add(subscription);

    internal void Forget(IDisposable subscription) => _subscriptions.Remove(subscription);

    /// <summary>Begins a turn or lets it wait.</summary>
    internal void Receive(Turn turn)
    {
        if (_stage == Stage.Gone)
        {
            turn.Forward(this);
            return;
        }

        if (turn.KeepsAlive)
        {
            _lastUse = Engine.Now;
        }

        if (_stage == Stage.Active && !_mustDeactivate && MayStart(turn))
        {
            Start(turn);
            return;
        }

        (_waiting ??= []).Add(turn);
        if (_stage == Stage.New)
        {
            _stage = Stage.Activating;
            _ = Activate();
        }
    }

    /// <summary>A turn that had to wait for something has ended.</summary>
    internal void EndWaited(Turn turn, Task task)
    {
        _running--;
        if (!turn.AlwaysInterleaves)
        {
            _blocking--;
            if (!turn.IsReadOnly)
            {
                _blockingWrites--;
            }
        }

        if (turn.KeepsAlive)
        {
            _lastUse = Engine.Now;
        }

        // Not here: this may be the middle of another turn, which has just completed what this one waited for.
        _mustPump = true;
        turn.End(this, task);
    }

    void IThreadPoolWorkItem.Execute()
    {
        t_current = this;
        SynchronizationContext.SetSynchronizationContext(_context);
        try
        {
            if (_turnTask is null)
            {
                var drain = new Task(static activation => ((Activation)activation!).Drain(), this, CancellationToken.None, TaskCreationOptions.DenyChildAttach);
                drain.RunSynchronously(this);
                return;
            }

            var before = TurnTask.Exchange(_turnTask);
            try
            {
                Drain();
            }
            finally
            {
                _ = TurnTask.Exchange(before);
            }
        }
        finally
        {
            t_current = null;
            SynchronizationContext.SetSynchronizationContext(null);
        }
    }

    protected override IEnumerable<Task>? GetScheduledTasks() => null;

    protected override void QueueTask(Task task)
    {
        // Null inside the constructor only: there it is the task that stands for the turn and never runs.
        if (_turnTask is not null || !TurnTask.IsSupported)
        {
            Enqueue(new ActionItem(activation => activation.TryExecuteTask(task)));
        }
    }

    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) => t_current == this && !taskWasPreviouslyQueued && TryExecuteTask(task);

    private void Drain()
    {
        var budget = DrainBudget;
        while (true)
        {
            var newest = Interlocked.Exchange(ref _inbox, Draining);
            if (ReferenceEquals(newest, Draining))
            {
                if (ReferenceEquals(Interlocked.CompareExchange(ref _inbox, null, Draining), Draining))
                {
                    return;
                }

                continue;
            }

            WorkItem? oldest = null;
            while (newest is not null && !ReferenceEquals(newest, Draining))
            {
                var below = newest.Next;
                newest.Next = oldest;
                oldest = newest;
                newest = below;
            }

            while (oldest is not null)
            {
                var item = oldest;
                oldest = item.Next;
                item.Next = null;
                budget--;
                if (_isKilled)
                {
                    // As in a crash, what was going on ends at its next await. Calls get their answer from the engine.
                    EndKilled();
                    (item as Turn)?.Forward(this);
                    continue;
                }

                try
                {
                    item.Run(this);
                }
                catch (Exception exception)
                {
                    Engine.Log.LogError(1401, exception, "Grain {Grain}: a continuation that nobody waits for has thrown", GrainId);
                }

                while (_mustPump)
                {
                    Pump();
                }
            }

            if (budget <= 0)
            {
                ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
                return;
            }
        }
    }

    private bool MayStart(Turn turn) =>
        _blocking == 0 || turn.AlwaysInterleaves || _class.IsReentrant || (turn.IsReadOnly && _blockingWrites == 0);

    private void Start(Turn turn)
    {
        if (turn.IsAbandoned)
        {
            return;
        }

        _calls++;
        Task task;
        try
        {
            task = turn.Start(this) ?? throw new InvalidOperationException($"Grain {GrainId} returned null in place of a task.");
        }
        catch (Exception exception)
        {
            task = Task.FromException(exception);
        }

        if (task.IsCompleted)
        {
            turn.End(this, task);
            return;
        }

        _running++;
        if (!turn.AlwaysInterleaves)
        {
            _blocking++;
            if (!turn.IsReadOnly)
            {
                _blockingWrites++;
            }
        }

        turn.EndAfter(this, task);
    }

    /// <summary>Starts what waits and may start, in order of arrival.</summary>
    private void Pump()
    {
        _mustPump = false;
        if (_mustDeactivate)
        {
            BeginDeactivation();
            return;
        }

        if (_stage != Stage.Active || _waiting is not { Count: > 0 } waiting)
        {
            return;
        }

        // What starts here may add to the list's end and ask for deactivation, no more.
        var kept = 0;
        for (var i = 0; i < waiting.Count; i++)
        {
            var turn = waiting[i];
            if (!_mustDeactivate && _stage == Stage.Active && MayStart(turn))
            {
                Start(turn);
            }
            else
            {
                waiting[kept++] = turn;
            }
        }

        waiting.RemoveRange(kept, waiting.Count - kept);
        if (waiting.Capacity > 1024 && waiting.Count == 0)
        {
            _waiting = null;
        }
    }

    private async Task Activate()
    {
        try
        {
            _scope = Engine.Services.CreateAsyncScope();
            using var timeout = new CancellationTokenSource(Engine.Options.ActivationTimeout, Engine.Time);
            GrainInstance = _class.Create(this);
            foreach (var state in States)
            {
                await state.ReadStateAsync();
            }

            await Grain!.OnActivateAsync(timeout.Token);
            _isReady = true;
            if (_stage == Stage.Activating)
            {
                _stage = Stage.Active;
            }

            _mustPump = true;
        }
        catch (Exception exception)
        {
            Engine.Log.LogWarning(1402, exception, "Grain {Grain} could not be activated", GrainId);
            var waiting = _waiting;
            _waiting = null;
            await Remove();
            foreach (var turn in waiting ?? [])
            {
                turn.Fail(exception);
            }
        }
    }

    private void RequestDeactivation(DeactivationReason reason)
    {
        if (_mustDeactivate || _stage is Stage.Deactivating or Stage.Gone)
        {
            return;
        }

        if (_stage == Stage.New)
        {
            _ = Remove();
            return;
        }

        _mustDeactivate = true;
        _reason = reason;
        _mustPump = true;
    }

    private void BeginDeactivation()
    {
        if (_running == 0 && _stage == Stage.Active)
        {
            _mustDeactivate = false;
            _stage = Stage.Deactivating;
            _ = DeactivateCore();
        }
    }

    private async Task DeactivateCore()
    {
        EndTimersAndSubscriptions();
        if (_isReady)
        {
            try
            {
                using var timeout = new CancellationTokenSource(Engine.Options.DeactivationTimeout, Engine.Time);
                await Grain!.OnDeactivateAsync(_reason, timeout.Token).WaitAsync(Engine.Options.DeactivationTimeout, Engine.Time);
            }
            catch (Exception exception)
            {
                Engine.Log.LogError(1403, exception, "Grain {Grain}: OnDeactivateAsync failed or took too long", GrainId);
            }
        }

        await Remove();
        ForwardWaiting();
    }

    private async Task Remove()
    {
        EndTimersAndSubscriptions();
        _stage = Stage.Gone;
        _class.Remove(this);
        var instance = GrainInstance;
        GrainInstance = null;
        try
        {
            switch (instance)
            {
                case IAsyncDisposable disposable:
                    await disposable.DisposeAsync();
                    break;
                case IDisposable disposable:
                    disposable.Dispose();
                    break;
            }

            await _scope.DisposeAsync();
        }
        catch (Exception exception)
        {
            Engine.Log.LogError(1404, exception, "Grain {Grain}: disposing of it failed", GrainId);
        }

        _deactivated.TrySetResult();
    }

    private void EndKilled()
    {
        if (!_deactivated.Task.IsCompleted)
        {
            _stage = Stage.Gone;
            EndTimersAndSubscriptions();
            ForwardWaiting();
            _deactivated.TrySetResult();
        }
    }

    private void ForwardWaiting()
    {
        var waiting = _waiting;
        _waiting = null;
        foreach (var turn in waiting ?? [])
        {
            turn.Forward(this);
        }
    }

    private void EndTimersAndSubscriptions()
    {
        foreach (var timer in _timers.ToArray())
        {
            timer.Dispose();
        }

        foreach (var subscription in _subscriptions.ToArray())
        {
            subscription.Dispose();
        }

        _timers.Clear();
        _subscriptions.Clear();
    }

    /// <summary>Brings continuations of awaits back to the activation.</summary>
    private sealed class TurnContext(Activation activation) : SynchronizationContext
    {
        public override void Post(SendOrPostCallback d, object? state) => activation.Enqueue(PostItem.Rent(d, state));

        public override void Send(SendOrPostCallback d, object? state)
        {
            if (t_current != activation)
            {
                throw new NotSupportedException("Waiting for a grain's turn would block the thread.");
            }

            d(state);
        }

        public override SynchronizationContext CreateCopy() => this;
    }
}
