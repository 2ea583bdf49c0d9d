using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Running;
using KlineOrleans.Benchmarks.Micro;

// --replay: the whole path at full speed (ReplayThroughput). --frames: log frames a second on one core (FrameThroughput). --latency [trades/s] [seconds] [mints]: from a
// node's frame to the update (LatencyBenchmark). Otherwise BenchmarkDotNet: --filter '*KlineBuilder*', --list flat ...
if (args is ["--replay", .. var rest])
{
    await ReplayThroughput.Run(rest);
    return;
}

if (args is ["--frames", .. var frames])
{
    await FrameThroughput.Run(frames);
    return;
}

if (args is ["--latency", .. var latency])
{
    await LatencyBenchmark.Run(latency);
    return;
}

if (args is ["--latency-node", .. var node])
{
    await PacedNode.Run(node);
    return;
}

// --postgres: rows a second into PostgreSQL beside COPY alone (PostgresThroughput; KLINE_POSTGRES names the database).
if (args is ["--postgres", .. var postgres])
{
    await PostgresThroughput.Run(postgres);
    return;
}

// --idle: memory when many mints were seen and few trade (IdleMemory).
if (args is ["--idle", .. var idle])
{
    await IdleMemory.Run(idle);
    return;
}

BenchmarkSwitcher.FromAssembly(typeof(KlineBuilderBenchmarks).Assembly).Run(args, DefaultConfig.Instance.WithOptions(ConfigOptions.DisableOptimizationsValidator));
