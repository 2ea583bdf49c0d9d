using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Orleans.Runtime;
using Orleans.Streams;

namespace KlineOrleans.InProcess;

/// <summary>The streams of one provider. A stream is in memory only while somebody subscribes to it.</summary>
internal sealed class MemoryStreamProvider(GrainEngine engine, string name) : IStreamProvider
{
    private readonly ConcurrentDictionary<StreamId, Subscribers> _streams = new();

    public string Name => name;

    public bool IsRewindable => false;

    internal GrainEngine Engine => engine;

    /// <summary>Streams that somebody subscribes to.</summary>
    internal int Count => _streams.Count;

    public IAsyncStream<T> GetStream<T>(StreamId streamId) => new MemoryStream<T>(this, streamId);

    internal void Publish<T>(StreamId id, T item)
    {
        if (_streams.TryGetValue(id, out var stream))
        {
            stream.Publish(item);
        }
    }

    internal void Subscribe(StreamId id, Subscription subscription)
    {
        while (!_streams.GetOrAdd(id, static _ => new Subscribers()).TryAdd(subscription))
        {
            // The stream lost its last subscriber just now and is on its way out.
            Thread.Yield();
        }
    }

    internal void Unsubscribe(StreamId id, Subscription subscription)
    {
        if (_streams.TryGetValue(id, out var stream) && stream.RemoveAndIsEmpty(subscription))
        {
            _streams.TryRemove(new KeyValuePair<StreamId, Subscribers>(id, stream));
        }
    }

    /// <summary>The subscribers of one stream. The lock gives every one of them the same order.</summary>
    private sealed class Subscribers
    {
        private readonly Lock _gate = new();
        private Subscription[] _all = [];
        private long _sequence;
        private bool _isOver;

        internal void Publish<T>(T item)
        {
            lock (_gate)
            {
                var token = new SequenceToken(++_sequence);
                foreach (var subscription in _all)
                {
                    subscription.Offer(item, token);
                }
            }
        }

        internal bool TryAdd(Subscription subscription)
        {
            lock (_gate)
            {
                if (!_isOver)
                {
                    _all = [.. _all, subscription];
                }

                return !_isOver;
            }
        }

        internal bool RemoveAndIsEmpty(Subscription subscription)
        {
            lock (_gate)
            {
                _all = [.. _all.Where(s => s != subscription)];
                return _isOver = _all.Length == 0;
            }
        }
    }
}

/// <summary>One stream as a grain or a client holds it.</summary>
internal sealed class MemoryStream<T>(MemoryStreamProvider provider, StreamId id) : IAsyncStream<T>
{
    public bool IsRewindable => false;

    public string ProviderName => provider.Name;

    public StreamId StreamId => id;

    public Task OnNextAsync(T item, StreamSequenceToken? token = null)
    {
        provider.Publish(id, item);
        return Task.CompletedTask;
    }

    public Task OnErrorAsync(Exception ex) => throw new NotSupportedException("A memory stream carries no errors.");

    public Task OnCompletedAsync() => throw new NotSupportedException("A memory stream does not end.");

    public Task<StreamSubscriptionHandle<T>> SubscribeAsync(IAsyncObserver<T> observer)
    {
        ArgumentNullException.ThrowIfNull(observer);
        var subscription = new Subscription<T>(provider, id, observer, Activation.Current);
        subscription.Attach();
        provider.Subscribe(id, subscription);
        return Task.FromResult<StreamSubscriptionHandle<T>>(new SubscriptionHandle<T>(subscription));
    }
}

/// <summary>A subscriber and what waits for it. The stream's producers push, one delivery at a time pulls.</summary>
internal abstract class Subscription : Turn, IDisposable
{
    internal Guid Id { get; } = Guid.NewGuid();

    internal abstract void Offer<TItem>(TItem item, SequenceToken token);

    public abstract void Dispose();
}

/// <inheritdoc/>
internal sealed class Subscription<T>(MemoryStreamProvider provider, StreamId streamId, IAsyncObserver<T> observer, Activation? grain) : Subscription, IThreadPoolWorkItem
{
    /// <summary>How many items one delivery to a client hands over before others get the thread.</summary>
    private const int DeliveryBudget = 64;

    private readonly Queue<(T Item, SequenceToken Token)> _queue = new();
    private readonly int _capacity = provider.Engine.Options.StreamQueueCapacity;
    private bool _isDelivering;
    private bool _isOver;

    internal MemoryStreamProvider Provider => provider;

    internal StreamId StreamId => streamId;

    internal override bool AlwaysInterleaves => false;

    internal override bool IsReadOnly => false;

    internal override bool KeepsAlive => true;

    internal void Attach() => grain?.Add(this);

    internal override void Offer<TItem>(TItem item, SequenceToken token)
    {
        lock (_queue)
        {
            if (_isOver)
            {
                return;
            }

            if (_queue.Count >= _capacity || item is not T typed)
            {
                provider.Engine.Counters.StreamDropped();
                return;
            }

            _queue.Enqueue((typed, token));
            if (_isDelivering)
            {
                return;
            }

            _isDelivering = true;
        }

        Deliver();
    }

    public override void Dispose()
    {
        lock (_queue)
        {
            if (_isOver)
            {
                return;
            }

            _isOver = true;
            _queue.Clear();
        }

        provider.Unsubscribe(streamId, this);
        if (grain is not null && Activation.Current == grain)
        {
            grain.Forget(this);
        }
        else
        {
            grain?.Enqueue(new ActionItem(activation => activation.Forget(this)));
        }
    }

    void IThreadPoolWorkItem.Execute() => _ = DeliverToClient();

    internal override Task Start(Activation activation) => TryTake(out var entry) ? observer.OnNextAsync(entry.Item, entry.Token) : Task.CompletedTask;

    internal override void End(Activation activation, Task task)
    {
        if (!task.IsCompletedSuccessfully)
        {
            Failed(task.Exception?.InnerExceptions[0] ?? new TaskCanceledException(task));
        }

        if (HasMore())
        {
            Deliver();
        }
    }

    internal override void Fail(Exception exception) => Dispose();

    internal override void Forward(Activation gone) => Dispose();

    private void Deliver()
    {
        if (grain is null)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
        else
        {
            grain.Enqueue(this);
        }
    }

    private async Task DeliverToClient()
    {
        for (var i = 0; i < DeliveryBudget && TryTake(out var entry); i++)
        {
            try
            {
                await observer.OnNextAsync(entry.Item, entry.Token);
            }
            catch (Exception exception)
            {
                Failed(exception);
            }
        }

        if (HasMore())
        {
            Deliver();
        }
    }

    private bool TryTake(out (T Item, SequenceToken Token) entry)
    {
        lock (_queue)
        {
            return _queue.TryDequeue(out entry);
        }
    }

    private bool HasMore()
    {
        lock (_queue)
        {
            return _isDelivering = _queue.Count > 0;
        }
    }

    private void Failed(Exception exception)
    {
        provider.Engine.Counters.StreamCallbackFailed();
        provider.Engine.Log.LogError(1407, exception, "A subscriber of stream {Stream} has thrown; it gets the next item all the same", streamId);
    }
}

internal sealed class SubscriptionHandle<T>(Subscription<T> subscription) : StreamSubscriptionHandle<T>
{
    public override StreamId StreamId => subscription.StreamId;

    public override string ProviderName => subscription.Provider.Name;

    public override Guid HandleId => subscription.Id;

    public override Task UnsubscribeAsync()
    {
        subscription.Dispose();
        return Task.CompletedTask;
    }

    public override bool Equals(StreamSubscriptionHandle<T>? other) => other is not null && other.HandleId == HandleId;

    public override bool Equals(object? obj) => Equals(obj as StreamSubscriptionHandle<T>);

    public override int GetHashCode() => HandleId.GetHashCode();
}

/// <summary>The number of an item since its stream got its first subscriber.</summary>
internal sealed class SequenceToken(long number) : StreamSequenceToken
{
    public override long SequenceNumber { get; protected set; } = number;

    public override int EventIndex { get; protected set; }

    public override bool Equals(StreamSequenceToken? other) => other is not null && other.SequenceNumber == SequenceNumber && other.EventIndex == EventIndex;

    public override bool Equals(object? obj) => Equals(obj as StreamSequenceToken);

    public override int GetHashCode() => SequenceNumber.GetHashCode();

    public override int CompareTo(StreamSequenceToken? other) => other is null ? 1 : (SequenceNumber, EventIndex).CompareTo((other.SequenceNumber, other.EventIndex));
}
