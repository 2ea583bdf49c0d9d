using System.Globalization;
using KlineOrleans.Contracts;
using KlineOrleans.Testing.Archive;

namespace KlineOrleans.Web.Tests;

/// <summary>A source's chain events as the web room sees them: a store, and a stream that a test can repeat, lose and delay. Thread safe.</summary>
internal sealed class TestChainEvents : IChainEventStream
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, List<Action<ChainEventUpdate>>> _subscribers = [];

    public MemoryChainEvents Store { get; init; } = new();

    /// <summary>What an answer to a subscription waits for, once it is made.</summary>
    public Func<Task>? BeforeSubscribeAnswer { get; set; }

    public int Subscribers(string symbol)
    {
        lock (_lock)
        {
            return _subscribers.TryGetValue(symbol, out var list) ? list.Count : 0;
        }
    }

    /// <summary>An event of generation 2.3, as the program emits it.</summary>
    public static ChainEvent Event(int slot, int index = 0, string symbol = WebHost.Mint, string type = "BuySell") => new()
    {
        Symbol = symbol,
        Order = new TradeOrder(new TradeId(slot, string.Create(CultureInfo.InvariantCulture, $"4Ux45p8fnMniLTrafw6RCtiEkDKKVvMU{slot}"), index)),
        Type = type,
        EventTime = TestKlines.Start.AddSeconds(slot).AddMilliseconds(250),
        Fields = $$"""{"event_type":"{{type}}","payer":"8iGFeUkRpyRx8w5uoUMbfZepUr6BfTdPuJmqGoNBntdb","mint_account":"{{symbol}}","is_buy":true,"token_amount":1745358321,"sol_amount":2361530,"latest_price":"3489005136874711364","liquidate_indices":[]}""",
    };

    /// <summary>Stores events, and tells of them unless a test wants that lost.</summary>
    public async Task<ChainEventUpdate> Emit(bool tell, params ChainEvent[] events)
    {
        var numbers = await Store.Write(events);
        var update = new ChainEventUpdate { Symbol = events[0].Symbol, Events = [.. events.Select((e, i) => new StoredEvent(numbers[i], e))] };
        if (tell)
        {
            Tell(update);
        }

        return update;
    }

    public Task<ChainEventUpdate> Emit(params ChainEvent[] events) => Emit(tell: true, events);

    /// <summary>Tells whoever is subscribed now.</summary>
    public void Tell(ChainEventUpdate update)
    {
        List<Action<ChainEventUpdate>> targets;
        lock (_lock)
        {
            targets = _subscribers.TryGetValue(update.Symbol, out var list) ? [.. list] : [];
        }

        targets.ForEach(t => t(update));
    }

    public async Task<IAsyncDisposable> Subscribe(string symbol, Action<ChainEventUpdate> onUpdate)
    {
        lock (_lock)
        {
            if (!_subscribers.TryGetValue(symbol, out var list))
            {
                _subscribers[symbol] = list = [];
            }

            list.Add(onUpdate);
        }

        if (BeforeSubscribeAnswer is { } before)
        {
            await before();
        }

        return new Subscription(this, symbol, onUpdate);
    }

    private sealed class Subscription(TestChainEvents owner, string symbol, Action<ChainEventUpdate> onUpdate) : IAsyncDisposable
    {
        public ValueTask DisposeAsync()
        {
            lock (owner._lock)
            {
                owner._subscribers[symbol].Remove(onUpdate);
            }

            return ValueTask.CompletedTask;
        }
    }
}
