using System.Text;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Simulation;
using KlineOrleans.Ingest.Solana;
using KlineOrleans.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace KlineOrleans.Ingest.Tests.Simulation;

public sealed class SimulationSourceTests
{
    private const long FirstSlot = 4_419_000_000;

    [Fact]
    public void Same_seed_makes_the_same_bytes_and_another_seed_others()
    {
        Assert.Equal(Bytes(1, 500), Bytes(1, 500));
        Assert.NotEqual(Bytes(1, 500), Bytes(2, 500));
    }

    [Fact]
    public void Market_that_was_saved_and_restored_goes_on_with_the_same_bytes()
    {
        var undisturbed = new SimulatedChain(1, 12, 40);
        var restarted = new SimulatedChain(1, 12, 40);
        for (var i = 0; i < 2_000; i++)
        {
            if (i % 7 == 0)
            {
                var state = restarted.SaveState();
                restarted = new SimulatedChain(1, 12, 40);
                Assert.True(restarted.TryRestoreState(state));
            }

            Assert.Equal(Run(undisturbed, FirstSlot + i), Run(restarted, FirstSlot + i));
        }

        Assert.False(restarted.TryRestoreState("no base64"));
        Assert.False(restarted.TryRestoreState(""));
        Assert.False(restarted.TryRestoreState("AQEBAQ=="));
    }

    [Fact]
    public void Every_frame_decodes_every_event_comes_and_prices_agree_with_the_curve()
    {
        var chain = new SimulatedChain(1, 12, 40);
        var skipped = new SkipCounts();
        var decoder = new SolanaTrades("test", ProgramCatalog.Default, new EventTimes(chain, EventTimes.Genesis), skipped);
        var trades = new List<Trade>();
        var symbols = new List<SymbolInfo>();
        var events = new List<ChainEvent>();
        var types = new HashSet<string>(StringComparer.Ordinal);
        var frames = 0;
        var before = 0;
        var liquidated = 0;
        for (var i = 0; i < 10_000; i++)
        {
            var inSlot = 0;
            chain.Run(FirstSlot + i, (frame, index) =>
            {
                Assert.Equal(inSlot++, index);
                Assert.Equal(LogFrameKind.Logs, decoder.Read(frame, index, trades, symbols, events: events));
                var e = Assert.Single(decoder.Events);
                types.Add(e.Map.Layout.EventType);
                liquidated += e.Map.Layout.TryGet(e.Payload.Span, "liquidate_indices", out var list) && list.Length > 4 ? 1 : 0;
                frames++;
            });
            foreach (var mint in chain.Mints)
            {
                var last = trades.FindLastIndex(trades.Count - 1, trades.Count - before, t => t.Symbol == mint.Key.ToString());
                if (last >= 0)
                {
                    Assert.True(ExactAmount.TryFromUInt128(SimulatedCurve.Price(mint.Sol), 26, out var price));
                    Assert.Equal(price, trades[last].Price.Value);
                }
            }

            Assert.All(trades.Skip(before), t => Assert.Equal(DateTimeOffset.FromUnixTimeSeconds((long)((FirstSlot + i) * 0.4)), t.EventTime));
            before = trades.Count;
        }

        Assert.Equal(frames, events.Count);
        Assert.Equal(trades.Select(t => (t.Symbol, t.Order, t.EventTime)), events.Where(e => e.Type != "TokenCreated").Select(e => (e.Symbol, e.Order, e.EventTime)));
        Assert.Equal(["BuySell", "FullClose", "LongShort", "PartialClose", "TokenCreated"], types.Order(StringComparer.Ordinal));
        Assert.True(liquidated > 5, $"{liquidated} trades with liquidations");
        Assert.Equal(12, symbols.Count);
        Assert.Equal(12, symbols.Select(s => s.Name).Distinct(StringComparer.Ordinal).Count());
        Assert.All(symbols, s => Assert.Equal(44, s.Symbol.Length));
        Assert.Equal(frames, trades.Count + 12);
        Assert.Equal(new Dictionary<string, long> { ["notATrade"] = 12 }, skipped.ToDictionary());
        Assert.InRange(trades.Count, 10_000 * 16 * 0.8, 10_000 * 16 * 1.2);
        Assert.All(trades, t => Assert.True(t.BaseAmount > 0 && t.QuoteAmount > 0 && t.Price.Value >= 0.0000000279m));
        Assert.DoesNotContain(trades, t => t.IsEventTimeEstimated);

        // A market: it moves both ways, the mints differ, and no price runs away.
        var perMint = trades.GroupBy(t => t.Symbol, StringComparer.Ordinal).ToList();
        Assert.Equal(12, perMint.Count);
        Assert.True(perMint.Max(g => g.Count()) > 3 * perMint.Min(g => g.Count()));
        foreach (var mint in perMint)
        {
            Assert.InRange(mint.Count(t => t.TakerSide == TakerSide.Buy) / (double)mint.Count(), 0.3, 0.9);
            var settled = mint.Skip(mint.Count() / 2).Select(t => t.Price.Value).ToList();
            Assert.InRange(settled.Max() / settled.Min(), 1.02m, 30m);
        }
    }

    [Fact]
    public async Task First_start_makes_up_the_past_then_goes_live_with_our_clock()
    {
        var time = new ManualTimeProvider();
        var source = Source(time, new SimulationOptions { History = TimeSpan.FromMinutes(10) });
        var chunks = await Read(source, time, null, 30);
        var history = chunks.TakeWhile(c => !c.Clock.IsLive).ToList();
        var live = chunks.SkipWhile(c => !c.Clock.IsLive).ToList();
        Assert.NotEmpty(history);
        Assert.Equal(30, live.Count(c => c.Clock.IsLive));
        Assert.All(live, c => Assert.True(c.Clock.IsLive));
        Assert.Equal(12, history.Sum(c => c.Symbols.Length));
        Assert.All(history.SelectMany(c => c.Trades), t => Assert.Equal(t.EventTime, t.ReceivedTime));
        Assert.All(live.SelectMany(c => c.Trades), t => Assert.InRange(t.ReceivedTime - t.EventTime, TimeSpan.Zero, TimeSpan.FromSeconds(3)));
        Assert.True(chunks.Zip(chunks.Skip(1)).All(p => p.First.Clock.Time <= p.Second.Clock.Time));
        Assert.InRange(history[0].Trades[0].EventTime, new ManualTimeProvider().GetUtcNow() - TimeSpan.FromMinutes(10.1), new ManualTimeProvider().GetUtcNow() - TimeSpan.FromMinutes(9));
        Assert.Equal(SourceState.Live, source.GetStatus().State);
        Assert.True(source.GetStatus().IsSimulated);
        Assert.Equal(chunks.Sum(c => c.Trades.Length), source.GetStatus().Trades);
    }

    [Fact]
    public async Task Restart_from_any_checkpoint_gives_the_same_trades_and_makes_up_what_was_missed()
    {
        var options = new SimulationOptions { History = TimeSpan.FromMinutes(5), TradesPerSecond = 20 };
        var time = new ManualTimeProvider();
        var chunks = await Read(Source(time, options), time, null, 100);
        var all = chunks.SelectMany(c => c.Trades).Select(t => t with { ReceivedTime = default }).ToList();
        var before = 0;
        for (var i = 0; i < chunks.Count; i++)
        {
            before += chunks[i].Trades.Length;
            if (i % 9 != 0)
            {
                continue;
            }

            var later = new ManualTimeProvider(time.GetUtcNow());
            var again = (await Read(Source(later, options), later, chunks[i].Checkpoint, 1)).SelectMany(c => c.Trades).Select(t => t with { ReceivedTime = default }).ToList();
            var common = Math.Min(again.Count, all.Count - before);
            Assert.True(common > 0 || all.Count == before);
            Assert.Equal(all.Skip(before).Take(common), again.Take(common));
        }
    }

    [Fact]
    public async Task Longer_absence_than_six_hours_is_jumped_over_and_named()
    {
        var options = new SimulationOptions { History = TimeSpan.FromMinutes(1), TradesPerSecond = 1 };
        var time = new ManualTimeProvider();
        var checkpoint = (await Read(Source(time, options), time, null, 1))[^1].Checkpoint;
        var later = new ManualTimeProvider(time.GetUtcNow() + TimeSpan.FromHours(8));
        var source = Source(later, options);
        var chunks = await Read(source, later, checkpoint, 1);
        Assert.InRange(later.GetUtcNow() - chunks.SelectMany(c => c.Trades).First().EventTime, TimeSpan.FromHours(5.9), TimeSpan.FromHours(6.1));
        Assert.InRange(source.GetStatus().Skipped["missedSlot"], 17_990, 18_010);
        Assert.Contains("left out", source.GetStatus().Error, StringComparison.Ordinal);
        await Assert.ThrowsAsync<SourceException>(() => Read(Source(later, options), later, "nonsense", 1));
    }

    private static SimulationSource Source(TimeProvider time, SimulationOptions options) => new(
        new SourceOptions { Kind = SourceKind.Simulation, Name = "simulation", Rules = new KlineRules(), Simulation = options },
        time,
        NullLogger<SimulationSource>.Instance);

    // Reads until so many live chunks came, moving the clock only while the source waits for it.
    private static async Task<List<SourceChunk>> Read(SimulationSource source, ManualTimeProvider time, string? checkpoint, int live)
    {
        var chunks = new List<SourceChunk>();
        var reading = Task.Run(
            async () =>
            {
                await foreach (var chunk in source.Read(checkpoint, TestContext.Current.CancellationToken))
                {
                    chunks.Add(chunk);
                    if (chunks.Count(c => c.Clock.IsLive) == live)
                    {
                        return;
                    }
                }
            },
            TestContext.Current.CancellationToken);
        while (!reading.IsCompleted)
        {
            if (time.ArmedTimers > 0)
            {
                time.Advance(TimeSpan.FromMilliseconds(100));
            }

            await Task.Yield();
        }

        await reading;
        return chunks;
    }

    private static string Run(SimulatedChain chain, long slot)
    {
        var text = new StringBuilder();
        chain.Run(slot, (frame, _) => text.Append(Encoding.UTF8.GetString(frame)).Append('\n'));
        return text.ToString();
    }

    private static string Bytes(long seed, int slots)
    {
        var chain = new SimulatedChain(seed, 12, 20);
        return string.Concat(Enumerable.Range(0, slots).Select(i => Run(chain, FirstSlot + i)));
    }
}
