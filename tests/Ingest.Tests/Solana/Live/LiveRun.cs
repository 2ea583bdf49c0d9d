using System.Collections.Immutable;
using System.Globalization;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Solana;
using KlineOrleans.Ingest.Solana.Live;
using KlineOrleans.Testing.Solana;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace KlineOrleans.Ingest.Tests.Solana.Live;

/// <summary>A live source at a fake node, and what a consumer makes of its chunks: each trade once, corrections of order applied.</summary>
internal sealed class LiveRun
{
    /// <summary>No test waits so long unless it fails.</summary>
    public static readonly TimeSpan Safety = TimeSpan.FromMinutes(2);

    private readonly Dictionary<TradeId, Trade> _trades = [];
    private readonly Lock _lock = new();

    public static readonly ProgramCatalog Programs = new([ProgramCatalog.Shipped["SpinPet-2.3"], ProgramCatalog.Shipped["Pump"]]);

    public string? Checkpoint { get; private set; }

    public SourceClock Clock { get; private set; }

    public int Chunks { get; private set; }

    /// <summary>Every checkpoint that was given, with how many trades had been given by then.</summary>
    public List<string> Checkpoints { get; } = [];

    /// <summary>Trades that came as new though they had come before.</summary>
    public int Repeated { get; private set; }

    public long VerifiedSlot => Checkpoint is null ? -1 : long.Parse(Checkpoint.Split('|')[1], CultureInfo.InvariantCulture);

    public static SolanaOptions Options(params FakeSolanaNode[] nodes) => new()
    {
        Endpoints = [.. nodes.Select((n, i) => new SolanaEndpoint(n.Http, n.WebSocket, $"node{i + 1}"))],
        Programs = Programs,
        ScanInterval = TimeSpan.FromSeconds(5),
        ScanSlots = 40,
        SettleSlots = 10,
        BlockTimeWait = TimeSpan.FromMinutes(30),
    };

    public static SolanaSource Source(SolanaOptions options, TimeProvider time, ILogger<SolanaSource>? logger = null) =>
        new(new SourceOptions { Kind = SourceKind.Solana, Name = "solana", Rules = new KlineRules(), Solana = options }, time, logger ?? NullLogger<SolanaSource>.Instance);

    public void Add(SourceChunk chunk)
    {
        lock (_lock)
        {
            Chunks++;
            foreach (var trade in chunk.Trades)
            {
                if (_trades.TryGetValue(trade.Order.Id, out var known) && known.IsEventTimeEstimated && !trade.IsEventTimeEstimated)
                {
                    // The slot's time was learnt.
                    _trades[trade.Order.Id] = known with { EventTime = trade.EventTime, IsEventTimeEstimated = false };
                }
                else if (!_trades.TryAdd(trade.Order.Id, trade))
                {
                    Repeated++;
                }
            }

            foreach (var slot in chunk.Ordered.GroupBy(t => (t.Symbol, t.Order.Id.Position)))
            {
                // The contract: all trades of the mint in the slot, so none that was given may be missing.
                var all = slot.Select(t => t.Order.Id).ToHashSet();
                Assert.DoesNotContain(_trades.Values, t => t.Symbol == slot.Key.Symbol && t.Order.Id.Position == slot.Key.Position && !all.Contains(t.Order.Id));
                foreach (var trade in slot)
                {
                    _trades[trade.Order.Id] = trade;
                }
            }

            // The clock never runs back.
            Assert.True(chunk.Clock.Time >= Clock.Time, $"the clock ran back from {Clock.Time:O} to {chunk.Clock.Time:O}");
            Clock = chunk.Clock;
            if (chunk.Checkpoint != Checkpoint)
            {
                Checkpoints.Add(chunk.Checkpoint);
            }

            Checkpoint = chunk.Checkpoint;
        }
    }

    /// <summary>Reads until <paramref name="isDone"/>, asked after each chunk.</summary>
    public async Task Read(ITradeSource source, string? checkpoint, Func<LiveRun, bool> isDone, CancellationToken cancellationToken, Action<SourceChunk>? onChunk = null)
    {
        using var safety = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        safety.CancelAfter(Safety);
        try
        {
            await foreach (var chunk in source.Read(checkpoint, safety.Token))
            {
                Add(chunk);
                onChunk?.Invoke(chunk);
                if (isDone(this))
                {
                    return;
                }
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested && safety.IsCancellationRequested)
        {
            Assert.Fail($"not done within {Safety}: {Describe(source)}");
        }
    }

    /// <summary>Before a restart: another life of the source has another clock.</summary>
    public void ForgetClock() => (Clock, Checkpoint, Chunks) = (default, null, 0);

    public string Describe(ITradeSource source)
    {
        var status = source.GetStatus();
        return $"verified {VerifiedSlot}, {_trades.Count} trades, {status.State}, {status.Error}; "
            + string.Join(", ", status.Details.Select(d => $"{d.Key}={d.Value}")) + "; " + string.Join(", ", status.Skipped.Select(d => $"{d.Key}={d.Value}"));
    }

    /// <summary>What was given, per mint in the order that was given for it.</summary>
    public ImmutableSortedDictionary<string, List<Trade>> ByMint()
    {
        lock (_lock)
        {
            return _trades.Values.GroupBy(t => t.Symbol, StringComparer.Ordinal)
                .ToImmutableSortedDictionary(g => g.Key, g => g.OrderBy(t => t.Order).ToList(), StringComparer.Ordinal);
        }
    }

    /// <summary>The trades are those of the chain, each once, in the chain's order, with the chain's times.</summary>
    public void AssertIs(IEnumerable<ChainTrade> expected, string context)
    {
        var actual = ByMint();
        var chain = expected.GroupBy(t => t.Mint, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.ToList(), StringComparer.Ordinal);
        var missing = chain.Values.SelectMany(t => t).Count() - actual.Values.Sum(t => t.Count);
        Assert.True(missing == 0, $"{missing} trades are missing (or too many): {context}");
        Assert.Equal(chain.Keys.Order(StringComparer.Ordinal), actual.Keys);
        foreach (var (mint, trades) in actual)
        {
            var want = chain[mint].ConvertAll(t => (t.Slot, t.Signature, t.Index, t.Price, t.BaseAmount, t.QuoteAmount, t.IsBuy, t.BlockTime));
            var have = trades.ConvertAll(t => (
                t.Order.Id.Position, t.Order.Id.Signature!, t.Order.Id.Index, t.Price.Value, t.BaseAmount, t.QuoteAmount, t.TakerSide == TakerSide.Buy, t.EventTime.ToUnixTimeSeconds()));
            if (!want.SequenceEqual(have))
            {
                Assert.Fail($"{mint}: {string.Join(" | ", want.Zip(have).Where(p => p.First != p.Second).Take(3))}: {context}");
            }

            Assert.DoesNotContain(trades, t => t.IsEventTimeEstimated);
        }
    }
}
