using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using KlineOrleans.Testing;
using Orleans;

namespace KlineOrleans.Benchmarks.Micro;

/// <summary>An awaited call from grain to grain: every batch of trades is one, so it bounds what a source can feed.</summary>
/// <remarks>Time and bytes are for one call, everything included: the caller's await, the message, the callee's task.</remarks>
[MemoryDiagnoser]
[Config(typeof(InProcessConfig))]
public class GrainCallBenchmarks
{
    private const int CallsPerCaller = 20_000;
    private TestEngine? _engine;
    private ICallerGrain[] _callers = [];

    [GlobalSetup]
    public void Setup()
    {
        _engine = TestEngine.Start(null, options => options.GrainAssemblies.Add(typeof(GrainCallBenchmarks).Assembly)).GetAwaiter().GetResult();
        _callers = [.. Enumerable.Range(0, 8).Select(i => _engine.GrainFactory.GetGrain<ICallerGrain>($"{i}"))];
        EightCallers().GetAwaiter().GetResult();
    }

    [GlobalCleanup]
    public void Cleanup() => _engine!.DisposeAsync().AsTask().GetAwaiter().GetResult();

    /// <summary>One grain calls another, 20,000 times one after the other.</summary>
    [Benchmark(OperationsPerInvoke = CallsPerCaller)]
    public Task OneCaller() => _callers[0].Call(CallsPerCaller);

    /// <summary>Eight grains do so at once, each with a callee of its own.</summary>
    [Benchmark(OperationsPerInvoke = 8 * CallsPerCaller)]
    public Task EightCallers() => Task.WhenAll(_callers.Select(c => c.Call(CallsPerCaller)));

    private sealed class InProcessConfig : ManualConfig
    {
        public InProcessConfig() => AddJob(Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance));
    }
}

/// <summary>Calls another grain in a loop.</summary>
[Alias("KlineOrleans.Benchmarks.ICallerGrain")]
public interface ICallerGrain : IGrainWithStringKey
{
    /// <summary>Awaits so many calls, one after the other.</summary>
    [Alias("Call")]
    Task Call(int count);
}

/// <summary>Does next to nothing.</summary>
[Alias("KlineOrleans.Benchmarks.ICalleeGrain")]
public interface ICalleeGrain : IGrainWithStringKey
{
    [Alias("Add")]
    Task<int> Add(int left, int right);
}

internal sealed class CallerGrain : Grain, ICallerGrain
{
    public async Task Call(int count)
    {
        var callee = GrainFactory.GetGrain<ICalleeGrain>(this.GetPrimaryKeyString());
        for (var i = 0; i < count; i++)
        {
            await callee.Add(i, 1);
        }
    }
}

internal sealed class CalleeGrain : Grain, ICalleeGrain
{
    // A task of its own for each call, as a grain that computes something has.
    public Task<int> Add(int left, int right) => Task.FromResult(left + right);
}
