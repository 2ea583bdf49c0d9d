using System.Diagnostics;
using System.Globalization;
using System.IO.MemoryMappedFiles;
using System.Runtime;
using KlineOrleans.Contracts;
using KlineOrleans.Grains;
using KlineOrleans.Ingest;
using KlineOrleans.Ingest.Solana;
using KlineOrleans.Ingest.Solana.Live;
using KlineOrleans.Storage;
using KlineOrleans.Testing;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans;
using Orleans.Streams;

namespace KlineOrleans.Benchmarks.Micro;

/// <summary>From a frame that a node sends to the KlineUpdate with its trade: WebSocket, queue, decoder, pump, grain, stream; SQLite saves beside it, as in the product.</summary>
/// <remarks>
/// The node (<see cref="PacedNode"/>) is a process of its own and notes the moment before it sends each frame in memory that both share; both read the machine's one
/// monotonic clock. So the figure is larger than from receipt to publication by what the node's own send takes. Every trade counts, also those that share an update.
/// </remarks>
internal static class LatencyBenchmark
{
    // The first seconds compile the code and fill the caches.
    private const int WarmUpSeconds = 5;

    public static async Task Run(string[] args)
    {
        var rate = Number(args, 0, 1_000);
        var seconds = Number(args, 1, 20) + WarmUpSeconds;
        var mints = Number(args, 2, 50);
        using var folder = new TemporaryFolder();
        var total = (long)rate * seconds;
        using var shared = MemoryMappedFile.CreateFromFile(folder["sent"], FileMode.Create, null, PacedNode.Header + (total * sizeof(long)));
        using var sent = shared.CreateViewAccessor();
        using var node = Process.Start(new ProcessStartInfo(Environment.ProcessPath!)
        {
            ArgumentList = { Environment.GetCommandLineArgs()[0], "--latency-node", $"{rate}", $"{seconds}", $"{mints}", folder["sent"] },
            RedirectStandardOutput = true,
            RedirectStandardInput = true,
            UseShellExecute = false,
        })!;
        var address = new Uri((await node.StandardOutput.ReadLineAsync())!);
        var options = new SolanaOptions
        {
            Endpoints = [new SolanaEndpoint(address, new UriBuilder(address) { Scheme = "ws" }.Uri, "paced")],
            Programs = new ProgramCatalog([ProgramCatalog.Shipped["SpinPet-2.3"]]),
        };
        var figures = new Latencies(mints, total, (long)rate * WarmUpSeconds, sent);
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?> { ["Kline:Storage:Path"] = folder["kline.db"] }).Build();
        var source = new OneSource(options);
        await using (var engine = await TestEngine.Start(
            services =>
            {
                services.AddSingleton<ITradeSourceFactory>(source);
                services.AddKlineStorage(configuration);
                services.AddKlineGrains();
            },
            chosen => chosen.GrainAssemblies.Add(typeof(GrainServices).Assembly)))
        {
            var streams = engine.Client.GetStreamProvider(KlineStreams.Provider);
            for (var mint = 0; mint < mints; mint++)
            {
                var number = mint;
                await streams.GetStream<KlineUpdate>(KlineStreams.ForSymbol(PacedNode.Mint(mint).ToString())).SubscribeAsync((update, _) =>
                {
                    figures.Published(number, update);
                    return Task.CompletedTask;
                });
            }

            await engine.GrainFactory.GetGrain<ISourceGrain>(OneSource.Name).Start();
            var began = Stopwatch.GetTimestamp();
            while (figures.Count < total && Stopwatch.GetElapsedTime(began).TotalSeconds < (seconds * 2) + 30)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(200), TimeProvider.System);
            }

            figures.Print(rate, source.Newest!.GetStatus());
            await node.StandardInput.WriteLineAsync();
            await engine.GrainFactory.GetGrain<ISourceGrain>(OneSource.Name).Stop();
        }

        await node.WaitForExitAsync();
    }

    private static int Number(string[] args, int index, int byDefault) => args.Length > index ? int.Parse(args[index], CultureInfo.InvariantCulture) : byDefault;

    private sealed class OneSource(SolanaOptions options) : ITradeSourceFactory
    {
        public const string Name = "paced";

        private readonly SourceOptions _source = new() { Kind = SourceKind.Solana, Name = Name, Rules = new KlineRules { Open = OpenPolicy.PreviousClose, Empty = EmptyPolicy.Flat }, Solana = options };

        public SolanaSource? Newest { get; private set; }

        public System.Collections.Immutable.ImmutableArray<SourceDescription> Sources => [new(Name, "Solana", _source.Rules, IsSimulated: false, IsChain: true)];

        public ITradeSource Create(string name) => Newest = new SolanaSource(_source, TimeProvider.System, NullLogger<SolanaSource>.Instance);
    }

    /// <summary>Trade n is of mint n modulo the number of mints: an update with trade n has every earlier one of its mint that was not in an update before.</summary>
    private sealed class Latencies(int mints, long total, long warmUp, MemoryMappedViewAccessor sent)
    {
        private readonly long[] _next = [.. Enumerable.Range(0, mints).Select(m => (long)m)];
        private readonly long[] _ticks = new long[total];
        private long _count;

        public long Count => Interlocked.Read(ref _count);

        // Updates of one mint come one after the other.
        public void Published(int mint, KlineUpdate update)
        {
            var now = Stopwatch.GetTimestamp();
            var newest = -1L;
            foreach (ref readonly var kline in update.Klines.AsSpan())
            {
                if (kline.Last.Id.Signature is { } signature)
                {
                    newest = Math.Max(newest, PacedNode.NumberOf(signature));
                }
            }

            for (; _next[mint] <= newest; _next[mint] += mints)
            {
                _ticks[_next[mint]] = now - sent.ReadInt64(PacedNode.Header + (_next[mint] * sizeof(long)));
                Interlocked.Increment(ref _count);
            }
        }

        public void Print(int rate, SourceStatus status)
        {
            var sorted = _ticks.Skip((int)warmUp).Where(t => t > 0).Order().ToArray();
            double At(double share) => sorted.Length == 0 ? double.NaN : Milliseconds(sorted[Math.Min(sorted.Length - 1, (int)(sorted.Length * share))]);
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{rate:N0} trades/s, {mints} mints: {sorted.Length:N0} trades, sent to published p50 {At(0.5):F3} ms, p90 {At(0.9):F3}, p99 {At(0.99):F3}, p99.9 {At(0.999):F3}, longest {At(1):F3}"));
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"  {Count:N0} of {total:N0} published; collections {GC.CollectionCount(0)}/{GC.CollectionCount(1)}/{GC.CollectionCount(2)}, paused {GC.GetTotalPauseDuration().TotalMilliseconds:N0} ms in all; server collector {(GCSettings.IsServerGC ? "on" : "off")}; {status.State} {status.Error}, {string.Join(", ", status.Details.Where(d => d.Key is "corrected" or "repaired" or "overflowedFrames" or "estimatedTimes" or "correctedSlots").Select(d => $"{d.Key} {d.Value}"))}"));

            // Where the tail is: the slowest seconds.
            var slow = _ticks.Select((t, i) => (Second: i / rate, Ticks: t)).Skip((int)warmUp).Where(t => Milliseconds(t.Ticks) > 2).GroupBy(t => t.Second).Select(g => $"{g.Key - WarmUpSeconds}s: {g.Count()} up to {Milliseconds(g.Max(t => t.Ticks)):F1} ms").ToList();
            Console.WriteLine($"  over 2 ms: {(slow.Count == 0 ? "none" : string.Join("; ", slow.Take(12)))}");
        }

        private static double Milliseconds(long ticks) => ticks * 1_000.0 / Stopwatch.Frequency;
    }
}
