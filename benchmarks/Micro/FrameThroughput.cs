using System.Collections.Immutable;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using KlineOrleans.Contracts;
using KlineOrleans.Grains;
using KlineOrleans.Storage;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Archive;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Orleans;

namespace KlineOrleans.Benchmarks.Micro;

/// <summary>Log frames a second on one core, and bytes allocated a frame: from the socket to trades (<see cref="SolanaFrameBenchmarks"/>), and on to the klines of the grains.</summary>
/// <remarks>The whole process is held to one core, the collector included, so that wall time is processor time unless other programs take that core.</remarks>
internal static class FrameThroughput
{
    private const int Rounds = 5;

    public static async Task Run(string[] args)
    {
        var frames = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 100_000;
        using (var process = Process.GetCurrentProcess())
        {
            if (OperatingSystem.IsLinux() || OperatingSystem.IsWindows())
            {
                process.ProcessorAffinity = 1;
            }
        }

        await SolanaFrameBenchmarks.Quick(Console.Out);
        var benchmark = new SolanaFrameBenchmarks { Count = frames };
        benchmark.Setup();
        foreach (var (name, events) in new (string, Func<IChainEventStore?>)[] { ("trades only", static () => new NoChainEvents()), ("events stored in SQLite", static () => null) })
        {
            var best = 0.0;
            for (var round = 0; round < Rounds; round++)
            {
                var (perSecond, bytes) = await ToGrains(benchmark, frames, events());
                if (perSecond > best)
                {
                    best = perSecond;
                    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"socket to grain, {name}: {perSecond:N0} frames/s of processor time, {bytes:N0} bytes allocated a frame (round {round + 1})"));
                }
            }
        }
    }

    private static async Task<(double PerSecond, double Bytes)> ToGrains(SolanaFrameBenchmarks benchmark, int frames, IChainEventStore? events)
    {
        using var folder = new TemporaryFolder();
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?> { ["Kline:Storage:Path"] = folder["kline.db"] }).Build();
        await using var engine = await TestEngine.Start(
            services =>
            {
                services.AddSingleton<ITradeSourceFactory>(new OneSource(benchmark));
                if (events is null)
                {
                    services.AddKlineStorage(configuration);
                }
                else
                {
                    services.AddSingleton<IKlineArchive>(new MemoryKlineArchive());
                    services.AddSingleton(events);
                }

                services.AddKlineGrains();
            },
            chosen => chosen.GrainAssemblies.Add(typeof(GrainServices).Assembly));
        GC.Collect();
        using var process = Process.GetCurrentProcess();
        var (cpu, allocated) = (process.TotalProcessorTime, GC.GetTotalAllocatedBytes(precise: true));
        var source = engine.GrainFactory.GetGrain<ISourceGrain>(OneSource.Name);
        await source.Start();
        while ((await source.GetStatus()).State != SourceState.Ended)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System);
        }

        process.Refresh();
        return (frames / (process.TotalProcessorTime - cpu).TotalSeconds, (GC.GetTotalAllocatedBytes(precise: true) - allocated) / (double)frames);
    }

    private sealed class OneSource(SolanaFrameBenchmarks benchmark) : ITradeSourceFactory, ITradeSource
    {
        public const string Name = "wire";

        private bool _ended;

        public ImmutableArray<SourceDescription> Sources { get; } = [new(Name, "Solana", new KlineRules { Open = OpenPolicy.PreviousClose, Empty = EmptyPolicy.Flat }, IsSimulated: true, IsChain: true)];

        public ITradeSource Create(string name) => this;

        public async IAsyncEnumerable<SourceChunk> Read(string? checkpoint, [EnumeratorCancellation] CancellationToken cancellationToken)
        {
            await Task.Yield();
            foreach (var chunk in benchmark.Chunks())
            {
                yield return chunk with { Clock = new SourceClock(chunk.Trades.Length > 0 ? chunk.Trades[^1].EventTime : DateTimeOffset.MinValue, IsLive: false) };
            }

            _ended = true;
        }

        public SourceStatus GetStatus() => new() { Name = Name, Kind = "Solana", State = _ended ? SourceState.Ended : SourceState.Replaying };
    }
}
