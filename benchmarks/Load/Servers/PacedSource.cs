using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using KlineOrleans.Contracts;

namespace KlineOrleans.Benchmarks.Load;

/// <summary>A live source of one trade after another, round the symbols, at the pacer's rate. The price says when the trade was due.</summary>
internal sealed class PacedSource : ITradeSourceFactory, ITradeSource
{
    public const string Name = "load";

    private readonly Channel<SourceChunk> _chunks = Channel.CreateUnbounded<SourceChunk>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
    private readonly string[] _symbols;
    private readonly long _first = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds() * 10_000;
    private readonly int _active;
    private long _trades;

    /// <param name="merges">Trades of a symbol that wait for its grain make one update, as in service; otherwise each makes one.</param>
    /// <param name="active">How many of the symbols are traded.</param>
    public PacedSource(int symbols, int active, bool merges)
    {
        Sources = [new SourceDescription(Name, "Replay", new KlineRules(), IsSimulated: false, IsChain: true) { TradesPerUpdate = merges ? SourceDescription.MaxTradesPerUpdate : 1 }];
        _symbols = [.. Enumerable.Range(0, symbols).Select(LoadNames.Symbol)];
        _active = active;
        Pacer = new Pacer(Add);
    }

    public Pacer Pacer { get; }

    public ImmutableArray<SourceDescription> Sources { get; }

    public ITradeSource Create(string name) => this;

    public async IAsyncEnumerable<SourceChunk> Read(string? checkpoint, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await foreach (var chunk in _chunks.Reader.ReadAllAsync(cancellationToken))
        {
            yield return chunk;
        }
    }

    public SourceStatus GetStatus() => new() { Name = Name, Kind = "Replay", State = SourceState.Live, Trades = Volatile.Read(ref _trades) };

    private void Add(long number, long stamp)
    {
        var now = TimeProvider.System.GetUtcNow();
        var position = _first + number;
        var price = new Price(stamp);
        var trade = new Trade
        {
            Symbol = _symbols[number % _active],
            Order = new TradeOrder(new TradeId(position)),
            EventTime = now,
            ReceivedTime = now,
            Price = price,
            BaseAmount = 1.5m,
            QuoteAmount = 2.25m,
            TakerSide = number % 2 == 0 ? TakerSide.Buy : TakerSide.Sell,
        };
        _chunks.Writer.TryWrite(new SourceChunk([trade], position.ToString(CultureInfo.InvariantCulture), new SourceClock(now, IsLive: true)));
        Volatile.Write(ref _trades, number);
    }
}
