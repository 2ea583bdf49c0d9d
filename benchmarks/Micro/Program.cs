using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Running;
using KlineOrleans.Benchmarks.Micro;

// --replay: the whole path at full speed (ReplayThroughput). Otherwise BenchmarkDotNet: --filter '*KlineBuilder*', --list flat ...
if (args is ["--replay", .. var rest])
{
    await ReplayThroughput.Run(rest);
    return;
}

BenchmarkSwitcher.FromAssembly(typeof(KlineBuilderBenchmarks).Assembly).Run(args, DefaultConfig.Instance.WithOptions(ConfigOptions.DisableOptimizationsValidator));
