using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest;
using KlineOrleans.Ingest.Simulation;
using KlineOrleans.Ingest.Solana;

namespace KlineOrleans.Benchmarks.Micro;

/// <summary>Log frames to trades. Hot, because every transaction of the chain that mentions a followed program passes here, on one core.</summary>
/// <remarks>A frame with a trade costs its signature as a string, which the trade keeps; everything else is reused.</remarks>
[MemoryDiagnoser]
[Config(typeof(InProcessConfig))]
public class LogDecoderBenchmarks
{
    private const int Count = 1_000;

    private readonly List<byte[]> _frames = [];
    private readonly List<Trade> _trades = [];
    private readonly List<SymbolInfo> _symbols = [];
    private SolanaTrades _decoder = null!;

    [GlobalSetup]
    public void Setup()
    {
        var chain = new SimulatedChain(1, 12, 1_000);
        for (var slot = 4_419_000_000; _frames.Count < Count; slot++)
        {
            chain.Run(slot, (frame, _) => _frames.Add(frame.ToArray()));
        }

        _frames.RemoveRange(Count, _frames.Count - Count);
        _decoder = new SolanaTrades("benchmark", ProgramCatalog.Default, new EventTimes(chain, EventTimes.Genesis), new SkipCounts());
    }

    /// <summary>Frames of the simulation: one trade each, behind a token transfer.</summary>
    [Benchmark(OperationsPerInvoke = Count)]
    public int Frames()
    {
        _trades.Clear();
        _symbols.Clear();
        foreach (var frame in _frames)
        {
            _decoder.Read(frame, 0, _trades, _symbols);
        }

        return _trades.Count;
    }

    /// <summary>Base58 of one address: what a mint costs when it is first seen.</summary>
    [Benchmark]
    public int Address() => Base58.Encode("01234567890123456789012345678901"u8).Length;

    internal sealed class InProcessConfig : BenchmarkDotNet.Configs.ManualConfig
    {
        public InProcessConfig() => AddJob(Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance));
    }
}
