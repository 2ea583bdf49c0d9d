using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Solana;

namespace KlineOrleans.Silo.Tests;

/// <summary>The real server at a node that loses, doubles, cuts, delays, reorders, drops and refuses: the archive ends with the klines of the chain.</summary>
public class LiveSolanaTests
{
    // A Monday: every interval ends within the run.
    private static readonly DateTimeOffset Monday = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    public static TheoryData<int, int> Runs => [.. Enumerable.Range(LiveRun.FirstSeed, LiveRun.Seeds).Select(seed => (seed, LiveRun.Kills))];

    [Theory]
    [MemberData(nameof(Runs))]
    public async Task Klines_of_a_node_that_does_everything_wrong_are_the_chains_however_often_the_server_is_killed(int seed, int kills)
    {
        using var folder = new TemporaryFolder();
        var random = new Random(seed);
        var mints = Math.Max(5, LiveRun.Trades / 100);
        var chain = new ChainGenerator(seed)
        {
            Mints = mints,
            TransactionsPerSlot = LiveRun.Trades > 5_000 ? 40 : 15,
            FirstBlockTime = Monday.AddSeconds(LiveRun.Trades > 5_000 ? -60 : -20).ToUnixTimeSeconds(),
        }.Generate(LiveRun.Trades);
        await using var node = await FakeSolanaNode.Start(chain, FakeNodeChaos.Everything(seed));
        await using var run = new LiveRun(folder["kline.db"], () =>
        [
            "--Kline:Sources:0:Kind", "Solana",
            "--Kline:Sources:0:Endpoints:0:Http", node.Http.AbsoluteUri,
            "--Kline:Sources:0:Endpoints:0:WebSocket", node.WebSocket.AbsoluteUri,
            "--Kline:Sources:0:StartSlot", $"{chain.FirstSlot}",
            "--Kline:Sources:0:ScanInterval", "00:00:01",
            "--Kline:Sources:0:ScanSlots", "40",
            "--Kline:Sources:0:SettleSlots", "10",
            "--Kline:Sources:0:MaxRequests", "32",
        ]);
        await run.Start();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var played = 0;
        var playing = Task.Run(
            async () =>
            {
                while (!stop.IsCancellationRequested)
                {
                    await node.PlaySlot();
                    Interlocked.Increment(ref played);
                    await Task.Delay(TimeSpan.FromMilliseconds(kills > 5 ? 150 : 80), TimeProvider.System, CancellationToken.None);
                }
            },
            CancellationToken.None);

        foreach (var moment in Enumerable.Range(0, kills).Select(_ => random.Next(chain.Blocks.Length)).Order())
        {
            await run.Until(() => Task.FromResult(Volatile.Read(ref played) >= moment), () => Task.FromResult($"slot {moment}"));
            await run.KillAndStart();
        }

        // Everything is there, with nothing doubled; then the order of what came last is looked at.
        var expected = chain.Trades.GroupBy(t => t.Mint, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.Select(AsTrade).ToList(), StringComparer.Ordinal);
        Dictionary<string, long> counts = [];
        await run.Until(
            async () =>
            {
                foreach (var mint in expected.Keys.Where(m => counts.GetValueOrDefault(m) != expected[m].Count))
                {
                    counts[mint] = await run.CountTrades(mint);
                }

                return expected.All(m => counts[m.Key] == m.Value.Count);
            },
            () => Task.FromResult(string.Join(", ", expected.Where(m => counts[m.Key] != m.Value.Count).Select(m => $"{m.Key}: {counts[m.Key]} of {m.Value.Count} trades"))));
        await PlayOn(80);

        // Weeks pass, and each mint's klines of every length are final.
        node.Chaos = new FakeNodeChaos();
        node.TimeAhead = TimeSpan.FromDays(9);
        var clock = Monday.AddDays(8);
        await run.Until(async () => (await run.Server.Get("/health")).GetProperty("sources")[0].GetProperty("clock").GetInt64() >= clock.ToUnixTimeMilliseconds(), () => Task.FromResult("the clock"));
        foreach (var mint in expected.Keys)
        {
            await run.CountTrades(mint);
        }

        var output = run.Output;
        var archive = await run.StopAndRead(expected.Keys);
        await stop.CancelAsync();
        await playing;

        var rules = new KlineRules { Open = OpenPolicy.PreviousClose };
        var compared = 0;
        foreach (var (mint, trades) in expected)
        {
            var klines = rules.Intervals.SelectMany(i => KlineOracle.Build(rules, i, trades, clock)).Select(Values).ToList();
            var stored = archive[mint].Select(Values).ToList();
            compared += klines.Count;
            Assert.True(klines.SequenceEqual(stored), $"{mint}:\nexpected {string.Join("\n", klines.Except(stored).Take(3))}\nstored {string.Join("\n", stored.Except(klines).Take(3))}\n{output}");
        }

        Assert.True(compared > expected.Count * rules.Intervals.Length, $"{compared} klines");
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}: {chain.Trades.Length} trades, {compared} klines compared, {kills} kills, {archive.Values.Sum(k => k.Count(x => x.Revision > 0))} corrected");

        async Task PlayOn(int slots)
        {
            var until = Volatile.Read(ref played) + slots;
            await run.Until(() => Task.FromResult(Volatile.Read(ref played) >= until), () => Task.FromResult("slots"));
        }
    }

    private static Trade AsTrade(ChainTrade trade) => new()
    {
        Symbol = trade.Mint,
        Order = new TradeOrder(new TradeId(trade.Slot, trade.Signature, trade.Index), trade.Place),
        EventTime = DateTimeOffset.FromUnixTimeSeconds(trade.BlockTime),
        ReceivedTime = DateTimeOffset.FromUnixTimeSeconds(trade.BlockTime),
        Price = new Price(trade.Price),
        BaseAmount = trade.BaseAmount,
        QuoteAmount = trade.QuoteAmount,
        TakerSide = trade.IsBuy ? TakerSide.Buy : TakerSide.Sell,
    };

    /// <summary>What the chain alone decides: not how often it was corrected, nor the number that says the order within a slot.</summary>
    private static Kline Values(Kline kline) => kline with { Revision = 0, First = new TradeOrder(kline.First.Id), Last = new TradeOrder(kline.Last.Id) };
}
