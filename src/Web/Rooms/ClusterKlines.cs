using KlineOrleans.Contracts;
using Orleans.Streams;

namespace KlineOrleans.Web;

/// <summary>The grains and the stream of the engine that the host runs. Thread safe.</summary>
internal sealed class ClusterKlines(IClusterClient cluster) : IKlineCluster
{
    public async Task<IAsyncDisposable> Subscribe(string symbol, Action<KlineUpdate> onUpdate)
    {
        var stream = cluster.GetStreamProvider(KlineStreams.Provider).GetStream<KlineUpdate>(KlineStreams.ForSymbol(symbol));
        return new Subscription(await stream.SubscribeAsync(new Observer(onUpdate)));
    }

    public Task<KlineSnapshot> GetSnapshot(string symbol) => cluster.GetGrain<IKlineGrain>(symbol).GetSnapshot();

    public Task<SourceStatus> GetStatus(string source) => cluster.GetGrain<ISourceGrain>(source).GetStatus();

    private sealed class Observer(Action<KlineUpdate> onUpdate) : IAsyncObserver<KlineUpdate>
    {
        public Task OnNextAsync(KlineUpdate item, StreamSequenceToken? token = null)
        {
            onUpdate(item);
            return Task.CompletedTask;
        }

        // A hole in the sequence shows with the next update, or when the feed next looks at the grain.
        public Task OnErrorAsync(Exception ex) => Task.CompletedTask;
    }

    private sealed class Subscription(StreamSubscriptionHandle<KlineUpdate> handle) : IAsyncDisposable
    {
        public ValueTask DisposeAsync() => new(handle.UnsubscribeAsync());
    }
}
