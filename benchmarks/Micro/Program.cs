using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Running;
using KlineOrleans.Benchmarks.Micro;

// --replay: the whole path at full speed (ReplayThroughput). Otherwise BenchmarkDotNet: --filter '*KlineBuilder*', --list flat ...
if (args is ["--replay", .. var rest])
{
    await ReplayThroughput.Run(rest);
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
