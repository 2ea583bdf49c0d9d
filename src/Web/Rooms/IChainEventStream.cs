using KlineOrleans.Contracts;
using Orleans.Streams;

namespace KlineOrleans.Web;

/// <summary>What sources tell of chain events once they are stored. Thread safe. A port of its own, so that a test can repeat, lose and delay what is told.</summary>
internal interface IChainEventStream
{
    /// <summary>Follows a mint's events. Once this returns none that is told later is left out, unless the stream loses it.</summary>
    /// <param name="onUpdate">Called one update at a time. Must not block.</param>
    Task<IAsyncDisposable> Subscribe(string symbol, Action<ChainEventUpdate> onUpdate);
}

/// <summary>The streams of the engine that the host runs. Thread safe.</summary>
internal sealed class ClusterChainEvents(IClusterClient cluster) : IChainEventStream
{
    public async Task<IAsyncDisposable> Subscribe(string symbol, Action<ChainEventUpdate> onUpdate)
    {
        var stream = cluster.GetStreamProvider(KlineStreams.Provider).GetStream<ChainEventUpdate>(KlineStreams.EventsOf(symbol));
        return new Subscription(await stream.SubscribeAsync(new Observer(onUpdate)));
    }

    private sealed class Observer(Action<ChainEventUpdate> onUpdate) : IAsyncObserver<ChainEventUpdate>
    {
        public Task OnNextAsync(ChainEventUpdate item, StreamSequenceToken? token = null)
        {
            onUpdate(item);
            return Task.CompletedTask;
        }

        // A missing number shows with the next event, or when the feed next looks at the store.
        public Task OnErrorAsync(Exception ex) => Task.CompletedTask;
    }

    private sealed class Subscription(StreamSubscriptionHandle<ChainEventUpdate> handle) : IAsyncDisposable
    {
        public ValueTask DisposeAsync() => new(handle.UnsubscribeAsync());
    }
}
