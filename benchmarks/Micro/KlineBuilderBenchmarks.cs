using System.Collections.Immutable;
using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using KlineOrleans.Contracts;
using KlineOrleans.Grains;

namespace KlineOrleans.Benchmarks.Micro;

/// <summary>One trade into twelve intervals: every trade of every source passes here once, and a busy feed has hundreds of thousands a second.</summary>
/// <remarks>
/// Trades go round robin over the mints, so that each builder has left the caches before its next trade. A mint has a trade every
/// <see cref="SecondsBetween"/> seconds: 0.1 keeps most trades in one shortest bucket, 1 ends one with nearly every trade.
/// Final klines are taken and dropped every so often, as the archive does.
/// </remarks>
[MemoryDiagnoser]
[Config(typeof(InProcessConfig))]
public class KlineBuilderBenchmarks
{
    private const int Trades = 400_000;

    private KlineBuilder[] _builders = [];
    private Trade[] _trades = [];
    private readonly List<Kline> _finals = [];
    private readonly ImmutableArray<Kline>.Builder _changes = ImmutableArray.CreateBuilder<Kline>(64);
    private long _round;

    [Params(1_000, 100_000)]
    public int Mints { get; set; }

    [Params(0.1, 1.0)]
    public double SecondsBetween { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        var rules = new KlineRules();
        _builders = [.. Enumerable.Range(0, Mints).Select(_ => new KlineBuilder(rules))];
        var random = new Random(1);
        _trades = [.. Enumerable.Range(0, 4_096).Select(_ => new Trade
        {
            Symbol = "Mint",
            Order = default,
            EventTime = default,
            ReceivedTime = default,
            Price = new Price(random.Next(100_000, 200_000) / 100_000_000m),
            BaseAmount = random.Next(1, 1_000_000) / 1_000m,
            QuoteAmount = random.Next(1, 1_000_000) / 1_000_000m,
            TakerSide = (TakerSide)random.Next(1, 3),
        })];
        for (var i = 0; i < 8; i++)
        {
            Apply();
        }
    }

    /// <summary>Trades applied; nothing published.</summary>
    [Benchmark(OperationsPerInvoke = Trades)]
    public int Apply() => Run(publishEvery: 0);

    /// <summary>Every tenth trade of a mint also gives an update with all klines that changed.</summary>
    [Benchmark(OperationsPerInvoke = Trades)]
    public int ApplyAndPublishEveryTenth() => Run(publishEvery: 10);

    /// <summary>Every trade gives an update with all twelve klines: the quietest feed, one trade a batch.</summary>
    [Benchmark(OperationsPerInvoke = Trades)]
    public int ApplyAndPublishEach() => Run(publishEvery: 1);

    private int Run(int publishEvery)
    {
        var applied = 0;
        for (var i = 0; i < Trades; i++)
        {
            var mint = (int)(_round % Mints);
            var number = _round / Mints;
            _round++;
            var builder = _builders[mint];
            var time = DateTimeOffset.UnixEpoch.AddTicks((long)(number * SecondsBetween * TimeSpan.TicksPerSecond));
            var trade = _trades[_round & 4_095] with { Order = new TradeOrder(new TradeId(number)), EventTime = time, ReceivedTime = time };
            applied += builder.Apply(trade) == ApplyResult.Applied ? 1 : 0;
            if (publishEvery != 0 && number % publishEvery == 0)
            {
                builder.TakeChanges(_changes);
                _changes.Clear();
            }

            if (builder.Unarchived >= 50)
            {
                builder.TakeChanges(_changes);
                _changes.Clear();
                builder.TakeUnarchived(_finals);
                builder.ArchiveTaken();
                _finals.Clear();
            }
        }

        return applied;
    }

    private sealed class InProcessConfig : ManualConfig
    {
        public InProcessConfig() => AddJob(Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance));
    }
}
