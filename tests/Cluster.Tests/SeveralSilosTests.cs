using System.Collections.Concurrent;
using System.Globalization;
using System.Runtime.CompilerServices;
using KlineOrleans.Contracts;
using KlineOrleans.Grains;
using KlineOrleans.Grains.Tests;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Archive;
using Microsoft.Extensions.DependencyInjection;
using Orleans;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Runtime;
using Orleans.Storage;
using Orleans.TestingHost;
using MemoryGrainStorage = KlineOrleans.Testing.MemoryGrainStorage;

namespace KlineOrleans.Cluster.Tests;

/// <summary>Three silos in this process over stores that outlive them: whichever goes or is slow, the archive is that of one that nothing befell.</summary>
/// <remarks>Not beside the tests that start processes: silos here give each other up after two seconds without an answer, which they can miss while those compile.</remarks>
[Collection("cluster")]
public sealed class SeveralSilosTests
{
    private const int Mints = 16;
    private const int Chunks = 40;
    private const int TradesPerChunk = 25;

    [Fact]
    public async Task Silo_that_is_killed_while_it_reads_the_source_loses_nothing()
    {
        await using var silos = await Silos.Start();
        for (var round = 1; round <= 3; round++)
        {
            await silos.ReadTo(round * Chunks / 4);
            await silos.Cluster.KillSiloAsync(await silos.Where(silos.Source));
            await silos.Cluster.StartAdditionalSiloAsync();
        }

        await silos.ReadTo(Chunks);
        await silos.CompareWithUndisturbed();
    }

    [Fact]
    public async Task Silo_that_is_killed_beside_the_one_that_reads_the_source_loses_nothing()
    {
        await using var silos = await Silos.Start();
        for (var round = 1; round <= 3; round++)
        {
            await silos.ReadTo(round * Chunks / 4);
            var reader = await silos.Where(silos.Source);
            await silos.Cluster.KillSiloAsync(silos.Cluster.Silos.First(s => !s.SiloAddress.Equals(reader.SiloAddress)));
            await silos.Cluster.StartAdditionalSiloAsync();
        }

        await silos.ReadTo(Chunks);
        await silos.CompareWithUndisturbed();
    }

    [Fact]
    public async Task Silos_that_stop_one_after_the_other_hand_over_what_they_have()
    {
        await using var silos = await Silos.Start();
        foreach (var silo in silos.Cluster.Silos.ToArray())
        {
            await silos.ReadTo(silos.Given + (Chunks / 4));
            await silos.Cluster.StopSiloAsync(silo);
            await silos.Cluster.StartAdditionalSiloAsync();
        }

        await silos.ReadTo(Chunks);
        await silos.CompareWithUndisturbed();
    }

    [Fact]
    public async Task Slow_silo_holds_up_its_own_mints_and_no_others()
    {
        await using var silos = await Silos.Start();
        await silos.ReadTo(Chunks / 2);
        await silos.Until(async () => (await Task.WhenAll(Silos.Symbols.Select(silos.TradesOf))).Sum() == Chunks / 2 * TradesPerChunk);
        var reader = (await silos.Where(silos.Source)).SiloAddress;
        var homes = new Dictionary<string, SiloAddress>(StringComparer.Ordinal);
        foreach (var symbol in Silos.Symbols)
        {
            homes.Add(symbol, (await silos.Where(silos.Mint(symbol))).SiloAddress);
        }

        // By chance they all live beside the reader once in forty million times.
        var slow = silos.Cluster.Silos.First(s => !s.SiloAddress.Equals(reader) && homes.ContainsValue(s.SiloAddress));
        using (silos.Slow(slow.Name))
        {
            await silos.ReadTo(Chunks);
            foreach (var (symbol, home) in homes.Where(h => !h.Value.Equals(slow.SiloAddress)))
            {
                await silos.Until(async () => await silos.TradesOf(symbol) == Silos.AllTrades.Count(t => t.Symbol == symbol));
            }

            await silos.Until(() => Task.FromResult(silos.Held > 0));
            Assert.NotEqual(SourceState.Ended, (await silos.Source.GetStatus()).State);
        }

        await silos.CompareWithUndisturbed();
    }

    private sealed class Silos : IAsyncDisposable
    {
        public static readonly string[] Symbols = [.. Enumerable.Range(0, Mints).Select(i => string.Create(CultureInfo.InvariantCulture, $"Mint{i}"))];

        public static readonly Trade[] AllTrades = [.. TradeMaker.InOrder(new Random(1), Chunks * TradesPerChunk, TimeSpan.FromMinutes(20), onChain: false).Select((t, i) => t with { Symbol = Symbols[i % Mints] })];

        private readonly MemoryGrainStorage _storage = new();
        private readonly MemoryKlineArchive _archive = new();
        private readonly ConcurrentDictionary<string, TaskCompletionSource> _slow = new(StringComparer.Ordinal);
        private readonly SemaphoreSlim _reached = new(0);
        private readonly Lock _lock = new();
        private TaskCompletionSource _more = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _given;
        private int _held;

        private Silos()
        {
            var sources = new FakeSources(new KlineRules(), FakeSources.Cut(AllTrades, TradesPerChunk)) { BeforeChunk = Before };
            var builder = new InProcessTestClusterBuilder(3);
            builder.Options.ConfigureFileLogging = false;
            builder.ConfigureSilo((options, silo) =>
            {
                silo.Services.AddSingleton<ITradeSourceFactory>(sources);
                silo.Services.AddSingleton<IKlineArchive>(_archive);
                silo.Services.AddSingleton<IGrainStorage>(_storage);
                silo.Services.AddKlineGrains();
                silo.Services.AddSourceKeeper(stopsSources: false);
                silo.Services.AddSingleton<PlacementStrategy, RandomPlacement>();
                silo.AddMemoryStreams(KlineStreams.Provider);
                silo.AddMemoryGrainStorage("PubSubStore");
                silo.Configure<ClusterMembershipOptions>(membership => (membership.ProbeTimeout, membership.NumMissedProbesLimit) = (TimeSpan.FromSeconds(1), 2));
                silo.AddIncomingGrainCallFilter(async call =>
                {
                    if (call.InterfaceMethod?.DeclaringType == typeof(IKlineGrain) && _slow.TryGetValue(options.SiloName, out var gate))
                    {
                        Interlocked.Increment(ref _held);
                        await gate.Task;
                    }

                    await call.Invoke();
                });
            });
            Cluster = builder.Build();
        }

        public InProcessTestCluster Cluster { get; }

        /// <summary>Calls that a slow silo has held.</summary>
        public int Held => Volatile.Read(ref _held);

        /// <summary>Chunks that a source may give.</summary>
        public int Given => Volatile.Read(ref _given);

        public ISourceGrain Source => Cluster.Client.GetGrain<ISourceGrain>(FakeSources.Name);

        public static async Task<Silos> Start()
        {
            var silos = new Silos();
            await silos.Cluster.DeployAsync();
            return silos;
        }

        public IKlineGrain Mint(string symbol) => Cluster.Client.GetGrain<IKlineGrain>(symbol);

        /// <summary>Lets the source give its chunks up to this number, and waits until it is asked for the one after them, or has ended.</summary>
        public async Task ReadTo(int chunks)
        {
            lock (_lock)
            {
                _given = chunks;
                _more.TrySetResult();
                _more = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            }

            if (chunks < Chunks)
            {
                await _reached.WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
            }
        }

        public async Task<InProcessSiloHandle> Where(IAddressable grain)
        {
            var management = Cluster.Client.GetGrain<IManagementGrain>(0);
            SiloAddress? address = null;
            await Until(async () => (address = await management.GetActivationAddress(grain)) is not null);
            return Cluster.Silos.Single(s => s.SiloAddress.Equals(address));
        }

        /// <summary>Trades that a mint has taken.</summary>
        public async Task<long> TradesOf(string symbol) => (await Mint(symbol).GetSnapshot()).Klines.Where(k => k.Interval == KlineInterval.D1).Sum(k => k.TradeCount);

        /// <summary>Holds every call to a mint on a silo until the answer is disposed.</summary>
        public IDisposable Slow(string silo)
        {
            var gate = _slow[silo] = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return new Release(() =>
            {
                _slow.Clear();
                gate.SetResult();
            });
        }

        public async Task CompareWithUndisturbed()
        {
            await Until(async () => (await Source.GetStatus()).State == SourceState.Ended);
            var archive = new MemoryKlineArchive();
            await using var undisturbed = await TestEngine.Start(services =>
            {
                services.AddSingleton<ITradeSourceFactory>(new FakeSources(new KlineRules(), FakeSources.Cut(AllTrades, TradesPerChunk)));
                services.AddSingleton<IKlineArchive>(archive);
                services.AddSingleton(TimeProvider.System);
                services.AddKlineGrains();
            });
            var source = undisturbed.GrainFactory.GetGrain<ISourceGrain>(FakeSources.Name);
            await source.Start();
            await Until(async () => (await source.GetStatus()).State == SourceState.Ended);
            foreach (var symbol in Symbols)
            {
                Assert.NotEmpty(archive.AllOf(symbol));
                Assert.Equal(archive.AllOf(symbol), _archive.AllOf(symbol));
            }
        }

        // Nothing announces a state of the cluster: it is asked for, again after each answer.
        public async Task Until(Func<Task<bool>> condition, [CallerArgumentExpression(nameof(condition))] string expression = "")
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(90));
            while (true)
            {
                try
                {
                    if (await condition())
                    {
                        return;
                    }
                }
                catch (Exception error) when (error is OrleansException or TimeoutException)
                {
                    // The silo that was asked went meanwhile.
                }

                try
                {
                    await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System, patience.Token);
                }
                catch (OperationCanceledException error)
                {
                    throw new TimeoutException($"It did not come to that: {expression}. {await Describe()}", error);
                }
            }
        }

        private async Task<string> Describe()
        {
            try
            {
                var silos = await Cluster.Client.GetGrain<IManagementGrain>(0).GetDetailedHosts();
                var source = await Source.GetStatus();
                return $"Source: {source.State} {source.Error}. Silos: {string.Join(", ", silos.Select(s => $"{s.SiloName} {s.Status}"))}";
            }
            catch (Exception error)
            {
                return $"The cluster does not say how it is: {error.Message}";
            }
        }

        public async ValueTask DisposeAsync()
        {
            lock (_lock)
            {
                _given = int.MaxValue;
                _more.TrySetResult();
            }

            await Cluster.DisposeAsync();
            _reached.Dispose();
        }

        private async Task Before(int chunk)
        {
            while (true)
            {
                Task more;
                lock (_lock)
                {
                    if (chunk < _given)
                    {
                        return;
                    }

                    more = _more.Task;
                }

                _reached.Release();
                await more;
            }
        }

        private sealed class Release(Action release) : IDisposable
        {
            public void Dispose() => release();
        }
    }
}
