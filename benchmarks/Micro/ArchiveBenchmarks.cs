using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using KlineOrleans.Contracts;
using KlineOrleans.Storage.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;

namespace KlineOrleans.Benchmarks.Micro;

/// <summary>Writing and reading the SQLite archive. Hot because every final kline of every symbol goes through the one writer.</summary>
[Config(typeof(Settings))]
[MemoryDiagnoser]
[SuppressMessage("Design", "CA1001", Justification = "The harness calls Cleanup.")]
public class ArchiveBenchmarks
{
    private const int Symbols = 1_000;

    private const int KlinesPerWrite = 20;

    private static readonly DateTimeOffset Start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    private DirectoryInfo _folder = null!;
    private SqliteStore _store = null!;
    private SqliteKlineArchive _archive = null!;
    private string[] _symbols = [];
    private int _round;

    /// <summary>What a commit waits for: see <see cref="SqliteSettings.Synchronous"/>.</summary>
    [Params("FULL", "NORMAL")]
    public string Synchronous { get; set; } = "FULL";

    [GlobalSetup]
    public async Task Setup()
    {
        _folder = Directory.CreateTempSubdirectory("kline-archive-benchmark-");
        _store = new SqliteStore(Path.Combine(_folder.FullName, "kline.db"), TimeProvider.System, NullLogger<SqliteStore>.Instance, new SqliteSettings { Synchronous = Synchronous });
        _archive = new SqliteKlineArchive(_store);
        _symbols = [.. Enumerable.Range(0, Symbols).Select(i => $"6zRWT4aBUDVYQhYTdWvXnFVZxfMqA8TyqFsbLF{i:D4}pump")];
        await _archive.Write("history", [.. Enumerable.Range(0, 10_000).Select(i => Make(Start.AddSeconds(i), i))]);
    }

    [GlobalCleanup]
    public async Task Cleanup()
    {
        await _store.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    /// <summary>A thousand grains each write their newest 20 klines at once; the figure is for one kline.</summary>
    [Benchmark(OperationsPerInvoke = Symbols * KlinesPerWrite)]
    public Task Write_klines_of_1000_symbols()
    {
        var first = _round++ * KlinesPerWrite;
        return Task.WhenAll(_symbols.Select((symbol, s) => _archive.Write(symbol, [.. Enumerable.Range(first, KlinesPerWrite).Select(i => Make(Start.AddSeconds(i), i + s))])));
    }

    [Benchmark]
    public Task<IReadOnlyList<Kline>> Read_newest_1000_klines() =>
        _archive.Read("history", KlineInterval.S1, new KlineRange(null, null, 1_000, true));

    /// <summary>The same without the harness, for a figure in seconds.</summary>
    public static async Task Quick(TextWriter output)
    {
        foreach (var synchronous in new[] { "FULL", "NORMAL" })
        {
            var benchmark = new ArchiveBenchmarks { Synchronous = synchronous };
            await benchmark.Setup();
            try
            {
                await benchmark.Write_klines_of_1000_symbols();
                await benchmark.Read_newest_1000_klines();
                var before = benchmark._store.Current;
                var clock = Stopwatch.StartNew();
                while (clock.Elapsed < TimeSpan.FromSeconds(8))
                    await benchmark.Write_klines_of_1000_symbols();
                var after = benchmark._store.Current;
                var rows = after.RowsWritten - before.RowsWritten;
                await output.WriteLineAsync($"{synchronous}: {rows / clock.Elapsed.TotalSeconds:N0} klines/s, {after.Commits - before.Commits} commits, {after.RowsWritten:N0} rows, {after.FileBytes / after.RowsWritten} bytes/row on disk");
                var times = new List<double>();
                for (var i = 0; i < 200; i++)
                {
                    clock.Restart();
                    await benchmark.Read_newest_1000_klines();
                    times.Add(clock.Elapsed.TotalMilliseconds);
                }

                times.Sort();
                await output.WriteLineAsync($"{synchronous}: 1,000 klines read in {times[100]:N2} ms (median), {times[197]:N2} ms (p99)");
            }
            finally
            {
                await benchmark.Cleanup();
            }
        }
    }

    /// <summary>Final klines of one symbol, one a second.</summary>
    internal static Kline[] Klines(int first, int count, int symbol) => [.. Enumerable.Range(first, count).Select(i => Make(Start.AddSeconds(i), i + symbol))];

    private static Kline Make(DateTimeOffset openTime, int n)
    {
        var price = new Price(0.0000281m + n % 997 * 0.0000000013m);
        var order = new TradeOrder(new TradeId(398_000_000 + n, "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW"), n);
        return new Kline
        {
            Interval = KlineInterval.S1,
            OpenTime = openTime,
            Open = price,
            High = price,
            Low = price,
            Close = price,
            BaseVolume = 34_612.907731m + n,
            QuoteVolume = 0.972622707m,
            TakerBuyBaseVolume = n % 2 == 0 ? 34_612.907731m + n : 0,
            TakerBuyQuoteVolume = n % 2 == 0 ? 0.972622707m : 0,
            TradeCount = 1,
            UpdateCount = 1,
            First = order,
            Last = order,
            TradeHigh = price,
            TradeLow = price,
            FirstPrice = price,
            IsFinal = true,
        };
    }

    private sealed class Settings : ManualConfig
    {
        // Bounded: each round makes the file larger.
        public Settings() => AddJob(Job.Default.WithToolchain(InProcessEmitToolchain.Instance).WithWarmupCount(2).WithIterationCount(10).WithInvocationCount(4).WithUnrollFactor(1));
    }
}
