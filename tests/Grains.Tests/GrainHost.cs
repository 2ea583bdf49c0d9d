using System.Threading.Channels;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Archive;
using Microsoft.Extensions.DependencyInjection;
using Orleans;
using Orleans.Storage;
using Orleans.Streams;
using MemoryGrainStorage = KlineOrleans.Testing.MemoryGrainStorage;

namespace KlineOrleans.Grains.Tests;

/// <summary>The grains of this room on an engine, over stores that outlive it, so that a test can kill the one and keep the other.</summary>
internal sealed class GrainHost : IAsyncDisposable
{
    private GrainHost(TestEngine engine) => Engine = engine;

    public TestEngine Engine { get; }

    public ISourceGrain Source => Engine.GrainFactory.GetGrain<ISourceGrain>(FakeSources.Name);

    public IKlineGrain Mint(string symbol = TradeMaker.Symbol) => Engine.GrainFactory.GetGrain<IKlineGrain>(symbol);

    public static async Task<GrainHost> Start(ITradeSourceFactory sources, MemoryGrainStorage storage, IKlineArchive archive, TimeProvider? time = null, IChainEventStore? events = null, TimeSpan? collectionAge = null) =>
        new(await TestEngine.Start(
            services =>
            {
                services.AddSingleton(sources);
                services.AddSingleton(archive);
                services.AddSingleton(events ?? new NoChainEvents());
                services.AddSingleton(time ?? TimeProvider.System);
                services.AddKeyedSingleton<IGrainStorage>("Default", storage);
                services.AddKlineGrains();
            },
            options =>
            {
                options.GrainAssemblies.Add(typeof(KlineGrain).Assembly);

                // Tests move the clock by hours at once; no call is late for that.
                options.ResponseTimeout = TimeSpan.FromDays(1);
                options.CollectionAge = collectionAge;
            }));

    /// <summary>What is published for a mint from here on.</summary>
    public async Task<ChannelReader<KlineUpdate>> Follow(string symbol = TradeMaker.Symbol)
    {
        var updates = Channel.CreateUnbounded<KlineUpdate>();
        await Engine.Client.GetStreamProvider(KlineStreams.Provider).GetStream<KlineUpdate>(KlineStreams.ForSymbol(symbol))
            .SubscribeAsync((update, _) => updates.Writer.WriteAsync(update).AsTask());
        return updates.Reader;
    }

    /// <summary>Waits until the source has ended and everything is saved.</summary>
    public async Task WaitForEnd()
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while ((await Source.GetStatus()).State != SourceState.Ended)
        {
            patience.Token.ThrowIfCancellationRequested();
            await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
        }
    }

    public ValueTask DisposeAsync() => Engine.DisposeAsync();
}
