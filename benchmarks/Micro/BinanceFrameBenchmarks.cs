using System.Globalization;
using System.Text;
using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using KlineOrleans.Ingest;
using KlineOrleans.Ingest.Binance;

namespace KlineOrleans.Benchmarks.Micro;

/// <summary>Decoding of live aggTrade frames: every trade of an exchange passes here once, on its connection's reading loop.</summary>
[Config(typeof(Settings))]
[MemoryDiagnoser]
public class BinanceFrameBenchmarks
{
    private const int Frames = 1_000;

    private readonly BinanceFrameReader _reader = new(new SkipCounts());
    private byte[][] _frames = [];

    [GlobalSetup]
    public void Setup() => _frames = [.. Enumerable.Range(0, Frames).Select(i => Encoding.UTF8.GetBytes(string.Create(
        CultureInfo.InvariantCulture,
        $"{{\"stream\":\"sym{i % 400}usdt@aggTrade\",\"data\":{{\"e\":\"aggTrade\",\"E\":{1_592_584_651_517 + i},\"s\":\"SYM{i % 400}USDT\",\"a\":{315_753_210 + i},\"p\":\"9319.{i:0000}0000\",\"q\":\"0.0{i + 1000}00\",\"f\":{343_675_554 + i},\"l\":{343_675_555 + i},\"T\":{1_592_584_651_516 + i},\"m\":{(i % 2 == 0 ? "true" : "false")},\"M\":true}}}}")))];

    /// <summary>Wrapped frames, as the combined streams send them.</summary>
    [Benchmark(OperationsPerInvoke = Frames)]
    public long Decode()
    {
        long ids = 0;
        foreach (var frame in _frames)
        {
            ids += _reader.Read(frame).LastId;
        }

        return ids;
    }

    private sealed class Settings : ManualConfig
    {
        public Settings() => AddJob(Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance));
    }
}
