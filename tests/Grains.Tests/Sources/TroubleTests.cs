using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Archive;
using Orleans;
using Orleans.Runtime;

namespace KlineOrleans.Grains.Tests;

/// <summary>
/// A source with busy and quiet mints while processes are killed, stores are away, answers to writes are lost and grains leave memory: whatever comes together, the archive
/// ends as that of an undisturbed run.
/// </summary>
public class TroubleTests
{
    private static readonly KlineRules Rules = new() { Open = OpenPolicy.PreviousClose };

    // Many more with KLINE_RUNS.
    private static readonly int Runs = int.TryParse(Environment.GetEnvironmentVariable("KLINE_RUNS"), out var runs) ? Math.Max(1, runs / 10) : 2;

    [Fact]
    public async Task Whatever_troubles_come_together_the_archive_ends_as_that_of_an_undisturbed_run()
    {
        for (var seed = 0; seed < Runs; seed++)
        {
            var chunks = Chunks(seed);
            var expected = await new Run(chunks, troubles: null).ToEnd();
            var run = new Run(chunks, new Random(seed));
            var actual = await run.ToEnd();
            foreach (var symbol in chunks.SelectMany(c => c.Trades).Select(t => t.Symbol).Distinct())
            {
                Assert.True(expected.AllOf(symbol).SequenceEqual(actual.AllOf(symbol)), $"Run {seed}, {run.Told}: {symbol} differs: {expected.AllOf(symbol).Except(actual.AllOf(symbol)).FirstOrDefault()}; {actual.AllOf(symbol).Except(expected.AllOf(symbol)).FirstOrDefault()}");
            }

            Assert.NotEqual("", run.Told);
        }
    }

    /// <summary>Mint0 to Mint3 trade all the time, Mint4 to the third minute only, Mint5 between the tenth and the twelfth.</summary>
    private static List<SourceChunk> Chunks(int seed)
    {
        var random = new Random(seed);
        var trades = TradeMaker.InOrder(random, 300, TimeSpan.FromMinutes(40), onChain: true).Select(t => t with
        {
            Symbol = (t.EventTime - TradeMaker.Start).TotalMinutes switch
            {
                < 3 when random.Next(3) == 0 => "Mint4",
                > 10 and < 12 when random.Next(2) == 0 => "Mint5",
                _ => $"Mint{random.Next(4)}",
            },
        }).ToList();
        var clock = DateTimeOffset.MinValue;
        return FakeSources.Cut([.. TradeMaker.Delayed(random, trades, TimeSpan.FromMinutes(2)).Select(t =>
        {
            // The recording's clock is one for all mints.
            clock = t.ReceivedTime > clock ? t.ReceivedTime : clock;
            return t with { ReceivedTime = clock };
        })], 12);
    }

    private sealed class Run(List<SourceChunk> chunks, Random? troubles)
    {
        private readonly MemoryGrainStorage _storage = new();
        private readonly MemoryKlineArchive _archive = new();
        private readonly ManualTimeProvider _time = new();
        private readonly Lock _lock = new();
        private readonly List<string> _told = [];
        private int _steps;
        private int _awayUntil;
        private int _kills;

        public string Told => string.Join(", ", _told.GroupBy(t => t).Select(g => $"{g.Key} {g.Count()}"));

        public async Task<MemoryKlineArchive> ToEnd()
        {
            if (troubles is not null)
            {
                _storage.Before = (operation, _) => IsAway && operation != "read" ? throw new IOException("away") : Task.CompletedTask;
                _storage.After = (_, _) => Chance(20, "answer lost") ? throw new IOException("the answer is lost") : Task.CompletedTask;
            }

            using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(2));
            while (true)
            {
                var killed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                var sources = new FakeSources(Rules, chunks) { BeforeChunk = _ => BeforeChunk(killed) };
                var host = await GrainHost.Start(sources, _storage, new MortalArchive(_archive, killed.Task), _time, collectionAge: TimeSpan.FromMinutes(1));
                while (!killed.Task.IsCompleted)
                {
                    patience.Token.ThrowIfCancellationRequested();
                    _steps++;
                    _archive.IsUnavailable = IsAway;
                    _time.Advance(TimeSpan.FromSeconds(1));
                    await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
                    if (_steps % 5 == 1)
                    {
                        // As the service does that keeps sources running.
                        _ = Ignore(host.Source.Start());
                    }

                    if (Chance(300, "all leave memory"))
                    {
                        _ = Ignore(host.Engine.DeactivateAll());
                    }

                    if (Chance(100, "newer state found"))
                    {
                        var id = ((IAddressable)host.Mint($"Mint{_steps % 6}")).GetGrainId();
                        if (_storage.Peek<KlineGrainState>("kline", id) is { } state)
                        {
                            _storage.Put("kline", id, state);
                        }
                    }

                    var status = host.Source.GetStatus();
                    await Task.WhenAny(status, Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System));
                    if (status.IsCompletedSuccessfully && (await status).State == SourceState.Ended)
                    {
                        await host.DisposeAsync();
                        return _archive;
                    }
                }

                await host.Engine.Kill();
            }
        }

        private bool IsAway => _steps < _awayUntil;

        private async Task BeforeChunk(TaskCompletionSource killed)
        {
            if (troubles is null)
            {
                return;
            }

            int until;
            lock (_lock)
            {
                until = _steps + troubles.Next(25);
            }

            if (Chance(8, "stores away"))
            {
                _awayUntil = _steps + 40;
            }

            while (_steps < until && !killed.Task.IsCompleted)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
            }

            if (killed.Task.IsCompleted || (_kills < 3 && Chance(12, "killed")))
            {
                _kills++;
                killed.TrySetResult();
                await new TaskCompletionSource().Task;
            }
        }

        private bool Chance(int oneIn, string what)
        {
            lock (_lock)
            {
                if (troubles is null || _told.Count >= 40 || troubles.Next(oneIn) != 0)
                {
                    return false;
                }

                _told.Add(what);
                return true;
            }
        }

        private static async Task Ignore(Task task)
        {
            try
            {
                await task;
            }
            catch (Exception)
            {
                // The next try, or the next process.
            }
        }
    }

    /// <summary>Dies with its process: what comes after the kill happens in no archive.</summary>
    private sealed class MortalArchive(MemoryKlineArchive archive, Task killed) : IKlineArchive
    {
        public async Task Write(string symbol, IReadOnlyList<Kline> klines, CancellationToken cancellationToken = default) => await (await Alive()).Write(symbol, klines, cancellationToken);

        public async Task<IReadOnlyList<Kline>> Read(string symbol, KlineInterval interval, KlineRange range, CancellationToken cancellationToken = default) =>
            await (await Alive()).Read(symbol, interval, range, cancellationToken);

        public async Task<IReadOnlyList<Kline>> ReadEndingAfter(string symbol, DateTimeOffset endAfter, CancellationToken cancellationToken = default) =>
            await (await Alive()).ReadEndingAfter(symbol, endAfter, cancellationToken);

        public async Task PutSymbol(SymbolInfo symbol, CancellationToken cancellationToken = default) => await (await Alive()).PutSymbol(symbol, cancellationToken);

        public async Task<SymbolInfo?> GetSymbol(string symbol, CancellationToken cancellationToken = default) => await (await Alive()).GetSymbol(symbol, cancellationToken);

        public async Task<IReadOnlyList<SymbolInfo>> ListSymbols(string query, SymbolInfo? after, int limit, CancellationToken cancellationToken = default) =>
            await (await Alive()).ListSymbols(query, after, limit, cancellationToken);

        public async Task<IReadOnlyList<SymbolInfo>> ListNewestSymbols(SymbolInfo? before, int limit, CancellationToken cancellationToken = default) =>
            await (await Alive()).ListNewestSymbols(before, limit, cancellationToken);

        private async ValueTask<IKlineArchive> Alive()
        {
            if (killed.IsCompleted)
            {
                await new TaskCompletionSource().Task;
            }

            return archive;
        }
    }
}
