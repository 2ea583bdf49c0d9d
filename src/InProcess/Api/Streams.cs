using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime;
using Orleans.Streams;

namespace Orleans.Streams
{
    /// <summary>Gives streams by name. Thread safe.</summary>
    public interface IStreamProvider
    {
        string Name { get; }

        /// <summary>The stream; it exists as long as somebody subscribes to it.</summary>
        IAsyncStream<T> GetStream<T>(StreamId streamId);

        bool IsRewindable { get; }
    }

    /// <summary>The position of an item in its stream; grows with each item while the stream has a subscriber.</summary>
    public abstract class StreamSequenceToken : IEquatable<StreamSequenceToken?>, IComparable<StreamSequenceToken?>
    {
        public abstract long SequenceNumber { get; protected set; }

        public abstract int EventIndex { get; protected set; }

        public abstract bool Equals(StreamSequenceToken? other);

        public abstract int CompareTo(StreamSequenceToken? other);
    }

    /// <summary>Receives items of a stream in order, one at a time. Publishing to a stream is the same shape.</summary>
    public interface IAsyncObserver<in T>
    {
        Task OnNextAsync(T item, StreamSequenceToken? token = null);

        Task OnCompletedAsync() => Task.CompletedTask;

        Task OnErrorAsync(Exception ex);
    }

    /// <summary>Can be subscribed to. In a grain, callbacks are turns of the grain; elsewhere they run on the thread pool.</summary>
    public interface IAsyncObservable<T>
    {
        Task<StreamSubscriptionHandle<T>> SubscribeAsync(IAsyncObserver<T> observer);
    }

    /// <summary>Which stream it is.</summary>
    public interface IAsyncStream
    {
        bool IsRewindable { get; }

        string ProviderName { get; }

        StreamId StreamId { get; }
    }

    /// <summary>A stream. Publishing never waits for a subscriber. Thread safe.</summary>
    public interface IAsyncStream<T> : IAsyncStream, IAsyncObservable<T>, IAsyncObserver<T>;

    /// <summary>A subscription.</summary>
    public abstract class StreamSubscriptionHandle<T> : IEquatable<StreamSubscriptionHandle<T>?>
    {
        public abstract StreamId StreamId { get; }

        public abstract string ProviderName { get; }

        public abstract Guid HandleId { get; }

        /// <summary>Ends the subscription. Harmless to repeat. What waited is dropped; a callback that has begun goes on. A grain's subscription also ends with its activation.</summary>
        public abstract Task UnsubscribeAsync();

        public abstract bool Equals(StreamSubscriptionHandle<T>? other);
    }

    public static class AsyncObservableExtensions
    {
        private static readonly Func<Exception, Task> IgnoreError = _ => Task.CompletedTask;
        private static readonly Func<Task> IgnoreCompletion = () => Task.CompletedTask;

        /// <summary>Subscribes delegates in place of an observer.</summary>
        public static Task<StreamSubscriptionHandle<T>> SubscribeAsync<T>(
            this IAsyncObservable<T> obs, Func<T, StreamSequenceToken?, Task> onNextAsync, Func<Exception, Task> onErrorAsync, Func<Task> onCompletedAsync) =>
            obs.SubscribeAsync(new DelegateObserver<T>(onNextAsync, onErrorAsync, onCompletedAsync));

        /// <inheritdoc cref="SubscribeAsync{T}(IAsyncObservable{T}, Func{T, StreamSequenceToken?, Task}, Func{Exception, Task}, Func{Task})"/>
        public static Task<StreamSubscriptionHandle<T>> SubscribeAsync<T>(
            this IAsyncObservable<T> obs, Func<T, StreamSequenceToken?, Task> onNextAsync, Func<Exception, Task> onErrorAsync) =>
            obs.SubscribeAsync(onNextAsync, onErrorAsync, IgnoreCompletion);

        /// <inheritdoc cref="SubscribeAsync{T}(IAsyncObservable{T}, Func{T, StreamSequenceToken?, Task}, Func{Exception, Task}, Func{Task})"/>
        public static Task<StreamSubscriptionHandle<T>> SubscribeAsync<T>(
            this IAsyncObservable<T> obs, Func<T, StreamSequenceToken?, Task> onNextAsync, Func<Task> onCompletedAsync) =>
            obs.SubscribeAsync(onNextAsync, IgnoreError, onCompletedAsync);

        /// <inheritdoc cref="SubscribeAsync{T}(IAsyncObservable{T}, Func{T, StreamSequenceToken?, Task}, Func{Exception, Task}, Func{Task})"/>
        public static Task<StreamSubscriptionHandle<T>> SubscribeAsync<T>(
            this IAsyncObservable<T> obs, Func<T, StreamSequenceToken?, Task> onNextAsync) =>
            obs.SubscribeAsync(onNextAsync, IgnoreError, IgnoreCompletion);

        private sealed class DelegateObserver<T>(Func<T, StreamSequenceToken?, Task> onNext, Func<Exception, Task> onError, Func<Task> onCompleted) : IAsyncObserver<T>
        {
            private readonly Func<T, StreamSequenceToken?, Task> _onNext = onNext ?? throw new ArgumentNullException(nameof(onNext));

            public Task OnNextAsync(T item, StreamSequenceToken? token = null) => _onNext(item, token);

            public Task OnErrorAsync(Exception ex) => onError(ex);

            public Task OnCompletedAsync() => onCompleted();
        }
    }
}

namespace Orleans
{
    public static class GrainStreamingExtensions
    {
        /// <exception cref="KeyNotFoundException">No stream provider has this name.</exception>
        public static IStreamProvider GetStreamProvider(this Grain grain, string name) => GetStreamProvider((IGrainBase)grain, name);

        /// <inheritdoc cref="GetStreamProvider(Grain, string)"/>
        public static IStreamProvider GetStreamProvider(this IGrainBase grain, string name) => Find(grain.GrainContext.ActivationServices, name);

        internal static IStreamProvider Find(IServiceProvider services, string name)
        {
            ArgumentException.ThrowIfNullOrWhiteSpace(name);
            return services.GetKeyedService<IStreamProvider>(name) ?? throw new KeyNotFoundException($"There is no stream provider '{name}'.");
        }
    }

    public static class ClientStreamingExtensions
    {
        /// <exception cref="KeyNotFoundException">No stream provider has this name.</exception>
        public static IStreamProvider GetStreamProvider(this IClusterClient client, string name) => GrainStreamingExtensions.Find(client.ServiceProvider, name);
    }
}
