using System.Collections.Immutable;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Binance;
using KlineOrleans.Testing.Binance;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Ingest.Tests.Binance;

/// <summary>A source that reads from a fake venue, and everything it gave so far.</summary>
internal sealed class BinanceRun : IAsyncDisposable
{
    private static readonly TimeSpan Safety = TimeSpan.FromSeconds(60);

    private readonly CancellationTokenSource _stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
    private readonly Lock _lock = new();
    private readonly List<SourceChunk> _chunks = [];
    private readonly List<(Func<BinanceRun, bool> Condition, TaskCompletionSource Met)> _waiting = [];
    private readonly Task _reading;
    private readonly Func<Task>? _beforeNext;

    public BinanceRun(BinanceOptions options, string? checkpoint = null, TimeProvider? time = null, Func<Task>? beforeNext = null)
    {
        _beforeNext = beforeNext;
        Source = new BinanceSource(Configured(options), time ?? TimeProvider.System, Log);
        _reading = Task.Run(() => Read(checkpoint));
    }

    public BinanceSource Source { get; }

    /// <summary>What the source told its operator.</summary>
    public RunLog Log { get; } = new();

    public Dictionary<string, List<Trade>> Trades { get; } = new(StringComparer.Ordinal);

    public Dictionary<string, SymbolKlines> History { get; } = new(StringComparer.Ordinal);

    public Dictionary<string, SymbolInfo> Symbols { get; } = new(StringComparer.Ordinal);

    public int Count { get; private set; }

    public IReadOnlyList<SourceChunk> Chunks
    {
        get
        {
            lock (_lock)
            {
                return [.. _chunks];
            }
        }
    }

    /// <summary>The trades of a symbol so far.</summary>
    public IReadOnlyList<Trade> Given(string symbol)
    {
        lock (_lock)
        {
            return [.. Trades.GetValueOrDefault(symbol) ?? []];
        }
    }

    public int CountOf(string symbol) => Given(symbol).Count;

    public static SourceOptions Configured(BinanceOptions options) =>
        new() { Kind = SourceKind.Binance, Name = "binance", Rules = new KlineRules(), Binance = options };

    /// <summary>Options for the venue, with waits short enough for a test.</summary>
    public static BinanceOptions Options(FakeBinanceVenue venue, params IEnumerable<string> symbols) => new()
    {
        StreamAddress = venue.StreamAddress,
        RestAddress = venue.RestAddress,
        Symbols = [.. symbols],
        FollowNewSymbols = !symbols.Any(),
        FirstRetry = TimeSpan.FromMilliseconds(10),
        LastRetry = TimeSpan.FromMilliseconds(100),
        ScanInterval = TimeSpan.FromMilliseconds(200),
        RestWeightPerMinute = 1_000_000,
        ControlMessagesPerSecond = 4,
    };

    /// <summary>Waits until the condition holds after a chunk; looked at under the lock of the reading.</summary>
    public async Task Until(Func<BinanceRun, bool> condition, string what)
    {
        TaskCompletionSource met;
        lock (_lock)
        {
            if (condition(this))
            {
                return;
            }

            met = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiting.Add((condition, met));
        }

        var limit = Task.Delay(Safety, TimeProvider.System, TestContext.Current.CancellationToken);
        var done = await Task.WhenAny(met.Task, _reading, limit);
        if (done == _reading)
        {
            await _reading;
            Assert.Fail($"The source ended before {what}.");
        }

        var status = Source.GetStatus();
        Assert.True(done == met.Task, $"Not within {Safety}: {what}. {status.State}, {status.Trades} trades, {status.Error}, {string.Join(", ", status.Skipped)}");
    }

    public Task UntilBegun(IEnumerable<string> symbols) => Until(r => symbols.All(r.History.ContainsKey) && r.Source.GetStatus().State == SourceState.Live, "all symbols have begun");

    public Task UntilCount(int count) => Until(r => r.Count >= count, $"{count} trades");

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        try
        {
            await _reading;
        }
        catch (Exception e) when (e is OperationCanceledException or SourceException)
        {
            // As asked, or seen by the test.
        }

        _stop.Dispose();
    }

    private async Task Read(string? checkpoint)
    {
        await foreach (var chunk in Source.Read(checkpoint, _stop.Token))
        {
            List<TaskCompletionSource> met = [];
            lock (_lock)
            {
                _chunks.Add(chunk);
                Assert.True(chunk.History.IsEmpty || chunk.Trades.IsEmpty);
                foreach (var history in chunk.History)
                {
                    History[history.Symbol] = history;
                }

                foreach (var symbol in chunk.Symbols)
                {
                    Symbols[symbol.Symbol] = symbol;
                }

                foreach (var trade in chunk.Trades)
                {
                    if (!Trades.TryGetValue(trade.Symbol, out var list))
                    {
                        Trades.Add(trade.Symbol, list = []);
                    }

                    list.Add(trade);
                    Count++;
                }

                for (var i = _waiting.Count - 1; i >= 0; i--)
                {
                    if (_waiting[i].Condition(this))
                    {
                        met.Add(_waiting[i].Met);
                        _waiting.RemoveAt(i);
                    }
                }
            }

            met.ForEach(m => m.TrySetResult());
            if (_beforeNext is not null)
            {
                await _beforeNext();
            }
        }
    }

    /// <summary>The trades given are the venue's from the first given on: each once, in order, with the venue's numbers.</summary>
    public void AssertWhole(FakeBinanceVenue venue, IEnumerable<string> symbols)
    {
        lock (_lock)
        {
            foreach (var symbol in symbols)
            {
                var from = History.TryGetValue(symbol, out var history) ? history.From.ToUnixTimeMilliseconds() : 0;
                AssertSame(venue.Trades(symbol).Where(t => t.Time >= from), Trades.GetValueOrDefault(symbol) ?? []);
            }
        }
    }

    public static void AssertSame(IEnumerable<VenueTrade> expected, IEnumerable<Trade> given) =>
        Assert.Equal(
            expected.Select(t => (t.Symbol, t.Id, t.Price, t.Quantity, t.Time, t.LastId - t.FirstId + 1, t.IsBuyerMaker ? TakerSide.Sell : TakerSide.Buy)),
            given.Select(t => (t.Symbol, t.Order.Id.Position, t.Price.Value, t.BaseAmount, t.EventTime.ToUnixTimeMilliseconds(), (long)t.Count, t.TakerSide)));

    public static ImmutableArray<string> Names(int count, string quote = "USDT") => [.. Enumerable.Range(0, count).Select(i => $"S{i:000}{quote}")];

    internal sealed class RunLog : ILogger<BinanceSource>
    {
        private readonly Lock _lock = new();
        private readonly List<string> _lines = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            lock (_lock)
            {
                if (IsEnabled(logLevel))
                {
                    _lines.Add(formatter(state, exception));
                }
            }
        }

        public override string ToString()
        {
            lock (_lock)
            {
                return string.Join(Environment.NewLine, _lines);
            }
        }
    }
}
