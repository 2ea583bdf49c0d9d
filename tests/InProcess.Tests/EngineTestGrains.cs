using System.Collections.Concurrent;
using KlineOrleans.Testing;
using Orleans;
using Orleans.Concurrency;
using Orleans.Runtime;
using Orleans.Streams;

namespace KlineOrleans.InProcess.Tests;

/// <summary>Where test grains tell a test what happened, and wait for it. A singleton of each engine.</summary>
public sealed class Probe
{
    private readonly ConcurrentDictionary<string, TaskCompletionSource> _gates = new(StringComparer.Ordinal);

    public ConcurrentQueue<string> Events { get; } = new();

    public ConcurrentDictionary<string, int> Failures { get; } = new(StringComparer.Ordinal);

    public void Note(string what) => Events.Enqueue(what);

    /// <summary>A gate: whoever waits goes on once it is open.</summary>
    public TaskCompletionSource Gate(string name) => _gates.GetOrAdd(name, static _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));

    public Task Passed(string name) => Gate(name).Task.WaitAsync(TimeSpan.FromSeconds(30));
}

[GenerateSerializer, Immutable, Alias("KlineOrleans.Tests.Parcel")]
public sealed record Parcel([property: Id(0)] string Name, [property: Id(1)] int Number);

[GenerateSerializer, Alias("KlineOrleans.Tests.CountState")]
public sealed class CountState
{
    [Id(0)]
    public int Count { get; set; }
}

[Alias("KlineOrleans.Tests.ITestGrain")]
public interface ITestGrain : IGrainWithStringKey
{
    [Alias("Key")]
    Task<string> Key();

    [Alias("Echo")]
    ValueTask<Parcel> Echo(Parcel parcel);

    [Alias("Nothing")]
    ValueTask Nothing(CancellationToken cancellationToken);

    [Alias("Fail")]
    Task Fail(bool atOnce);

    [Alias("Cancel")]
    Task Cancel();

    [Alias("Step")]
    Task Step(string name, string? waitFor);

    [Alias("Read"), ReadOnly]
    Task Read(string name, string? waitFor);

    [Alias("Peek"), AlwaysInterleave]
    Task<string> Peek();

    [Alias("Append")]
    Task<int> Append(int number);

    [Alias("CallSelf")]
    Task CallSelf();

    [Alias("Chain")]
    Task<int> Chain(int depth);

    [Alias("StaysOnScheduler")]
    Task<bool> StaysOnScheduler();

    [Alias("CallAndGoOn")]
    Task<bool> CallAndGoOn(string other);

    [Alias("BlockUntil")]
    Task BlockUntil(string gate);

    [Alias("Leave")]
    Task Leave(string? waitFor);

    [Alias("GetActivation")]
    Task<Guid> GetActivation();

    [Alias("StartTimer")]
    Task StartTimer(TimeSpan due, TimeSpan period, bool interleave, bool keepAlive, string? waitFor);

    [Alias("ChangeTimer")]
    Task ChangeTimer(TimeSpan due, TimeSpan period);

    [Alias("StopTimer")]
    Task StopTimer();

    [Alias("Publish")]
    Task Publish(string stream, int from, int count);

    [Alias("Subscribe")]
    Task Subscribe(string stream);

    [Alias("Unsubscribe")]
    Task Unsubscribe();
}

internal sealed class TestGrain(Probe probe) : Grain, ITestGrain
{
    private readonly Guid _activation = Guid.NewGuid();
    private readonly List<int> _numbers = [];
    private IGrainTimer? _timer;
    private StreamSubscriptionHandle<Parcel>? _subscription;
    private int _inside;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        var key = this.GetPrimaryKeyString();
        probe.Note($"{key} activates");
        if (probe.Failures.TryGetValue(key, out var left) && left > 0)
        {
            probe.Failures[key] = left - 1;
            throw new InvalidDataException("activation");
        }

        return Task.CompletedTask;
    }

    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        await Task.Yield();
        probe.Note($"{this.GetPrimaryKeyString()} deactivates: {reason.ReasonCode}");
    }

    public Task<string> Key() => Task.FromResult(this.GetPrimaryKeyString());

    public ValueTask<Parcel> Echo(Parcel parcel) => new(parcel);

    public async ValueTask Nothing(CancellationToken cancellationToken)
    {
        await Task.Yield();
        cancellationToken.ThrowIfCancellationRequested();
    }

    public async Task Fail(bool atOnce)
    {
        if (!atOnce)
        {
            await Task.Yield();
        }

        ThrowDeep();
    }

    public Task Cancel() => throw new OperationCanceledException("by the grain");

    public async Task Step(string name, string? waitFor)
    {
        _inside++;
        probe.Note($"{name} begins with {_inside} inside");
        probe.Gate($"{name} begins").TrySetResult();
        if (waitFor is not null)
        {
            await probe.Passed(waitFor);
        }

        probe.Note($"{name} ends");
        _inside--;
    }

    public Task Read(string name, string? waitFor) => Step(name, waitFor);

    public Task<string> Peek() => Task.FromResult("peek");

    public async Task<int> Append(int number)
    {
        await Task.Yield();
        _numbers.Add(number);
        return _numbers.Count - 1 == number ? number : -1;
    }

    public Task CallSelf() => GrainFactory.GetGrain<ITestGrain>(this.GetPrimaryKeyString()).Key();

    public async Task<int> Chain(int depth) =>
        depth == 0 ? 0 : 1 + await GrainFactory.GetGrain<ITestGrain>($"chain{depth - 1}").Chain(depth - 1);

    public async Task<bool> StaysOnScheduler()
    {
        var scheduler = TaskScheduler.Current;
        await Task.Yield();
        var afterYield = TaskScheduler.Current;
        await Task.Run(() => { }, CancellationToken.None);
        var afterRun = TaskScheduler.Current;
        var inFactory = await Task.Factory.StartNew(() => TaskScheduler.Current, CancellationToken.None, TaskCreationOptions.None, TaskScheduler.Current);
        return scheduler != TaskScheduler.Default && scheduler == afterYield && scheduler == afterRun && scheduler == inFactory;
    }

    public async Task<bool> CallAndGoOn(string other)
    {
        // The callee blocks its thread until this method, which has not awaited it yet, has gone on.
        var call = GrainFactory.GetGrain<ITestGrain>(other).BlockUntil("caller went on");
        probe.Gate("caller went on").SetResult();
        await call;
        return true;
    }

    public Task BlockUntil(string gate)
    {
        if (!probe.Gate(gate).Task.Wait(TimeSpan.FromSeconds(30)))
        {
            throw new TimeoutException("The caller did not go on.");
        }

        return Task.CompletedTask;
    }

    public async Task Leave(string? waitFor)
    {
        DeactivateOnIdle();
        if (waitFor is not null)
        {
            probe.Gate("leaving").TrySetResult();
            await probe.Passed(waitFor);
        }

        probe.Note("left");
    }

    public Task<Guid> GetActivation() => Task.FromResult(_activation);

    public Task StartTimer(TimeSpan due, TimeSpan period, bool interleave, bool keepAlive, string? waitFor)
    {
        var ticks = 0;
        _timer = this.RegisterGrainTimer(
            async cancellation =>
            {
                var tick = ++ticks;
                probe.Note($"tick {tick} begins with {_inside} inside");
                probe.Gate($"tick {tick} begins").TrySetResult();
                if (waitFor is not null)
                {
                    await probe.Passed($"{waitFor} {tick}");
                }

                probe.Gate($"tick {tick} ends").TrySetResult();
                if (tick == 1 && waitFor == "throw")
                {
                    throw new InvalidOperationException("a tick that throws");
                }
            },
            new GrainTimerCreationOptions(due, period) { Interleave = interleave, KeepAlive = keepAlive });
        return Task.CompletedTask;
    }

    public Task ChangeTimer(TimeSpan due, TimeSpan period)
    {
        _timer!.Change(due, period);
        return Task.CompletedTask;
    }

    public Task StopTimer()
    {
        _timer!.Dispose();
        return Task.CompletedTask;
    }

    public async Task Publish(string stream, int from, int count)
    {
        var target = this.GetStreamProvider(Contracts.KlineStreams.Provider).GetStream<Parcel>(StreamId.Create("test", stream));
        for (var i = 0; i < count; i++)
        {
            await target.OnNextAsync(new Parcel(stream, from + i));
        }
    }

    public async Task Subscribe(string stream)
    {
        var scheduler = TaskScheduler.Current;
        _subscription = await this.GetStreamProvider(Contracts.KlineStreams.Provider).GetStream<Parcel>(StreamId.Create("test", stream)).SubscribeAsync(
            async (parcel, _) =>
            {
                _inside++;
                await Task.Yield();
                probe.Note($"{this.GetPrimaryKeyString()} got {parcel.Number} with {_inside} inside, {(TaskScheduler.Current == scheduler ? "on" : "off")} its scheduler");
                _inside--;
                probe.Gate($"{this.GetPrimaryKeyString()} got {parcel.Number}").TrySetResult();
            });
    }

    public Task Unsubscribe() => _subscription!.UnsubscribeAsync();

    private static void ThrowDeep() => throw new InvalidDataException("from the grain");
}

[Alias("KlineOrleans.Tests.IReentrantGrain")]
public interface IReentrantGrain : IGrainWithStringKey
{
    [Alias("Step")]
    Task Step(string name, string? waitFor);

    [Alias("CallSelf")]
    Task<string> CallSelf(int depth);
}

[Reentrant]
internal sealed class ReentrantTestGrain(Probe probe) : Grain, IReentrantGrain
{
    public async Task Step(string name, string? waitFor)
    {
        probe.Gate($"{name} begins").TrySetResult();
        if (waitFor is not null)
        {
            await probe.Passed(waitFor);
        }

        probe.Note($"{name} ends");
    }

    public async Task<string> CallSelf(int depth) =>
        depth == 0 ? this.GetPrimaryKeyString() : await GrainFactory.GetGrain<IReentrantGrain>(this.GetPrimaryKeyString()).CallSelf(depth - 1);
}

[Alias("KlineOrleans.Tests.IStateGrain")]
public interface IStateGrain : IGrainWithStringKey
{
    [Alias("Add")]
    Task<int> Add(int amount);

    [Alias("Get")]
    Task<(int Count, bool Exists)> Get();

    [Alias("Clear")]
    Task Clear();
}

internal sealed class StateTestGrain([PersistentState("count")] IPersistentState<CountState> state, [PersistentState("other", "Other")] IPersistentState<CountState> other) : Grain, IStateGrain
{
    private int _countAtActivation;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        _countAtActivation = state.State.Count;
        return Task.CompletedTask;
    }

    public async Task<int> Add(int amount)
    {
        state.State.Count += amount;
        await state.WriteStateAsync();
        other.State.Count = state.State.Count * 10;
        await other.WriteStateAsync();
        return _countAtActivation;
    }

    public Task<(int Count, bool Exists)> Get() => Task.FromResult((state.State.Count, state.RecordExists));

    public async Task Clear()
    {
        await state.ClearStateAsync();
    }
}
