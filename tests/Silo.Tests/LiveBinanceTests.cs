using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Binance;

namespace KlineOrleans.Silo.Tests;

/// <summary>The real server at an exchange that loses, doubles, reorders, drops and refuses: past and present together are the klines of all its trades.</summary>
public class LiveBinanceTests
{
    // A Monday by the venue's clock: in the middle of the run the buckets of every interval end, most of which had begun before the server came.
    private static readonly DateTimeOffset Monday = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    public static TheoryData<int, int> Runs => [.. Enumerable.Range(LiveRun.FirstSeed, LiveRun.Seeds).Select(seed => (seed, LiveRun.Kills))];

    [Theory]
    [MemberData(nameof(Runs))]
    public async Task Klines_of_a_venue_that_does_everything_wrong_are_those_of_all_its_trades_however_often_the_server_is_killed(int seed, int kills)
    {
        using var folder = new TemporaryFolder();
        var random = new Random(seed);
        var (lead, tail) = LiveRun.Trades > 5_000 ? (45, 20) : (10, 3);
        await using var venue = await FakeBinanceVenue.Start(TimeProvider.System, seed);
        var start = Monday.AddSeconds(-lead);
        venue.ClockOffset = start - TimeProvider.System.GetUtcNow();
        List<string> symbols = [.. Enumerable.Range(0, Math.Max(6, LiveRun.Trades / 400)).Select(i => $"S{i:000}USDT")];
        var market = new VenueMarket(seed, symbols);
        symbols.ForEach(s => venue.List(s));
        venue.Remember(Past(random, start).Select(market.Next));

        venue.Faults.Begin();
        await using var run = new LiveRun(folder["kline.db"], () =>
        [
            "--Kline:Sources:0:Kind", "Binance",
            "--Kline:Sources:0:StreamAddress", venue.StreamAddress.AbsoluteUri,
            "--Kline:Sources:0:RestAddress", venue.RestAddress.AbsoluteUri,
            "--Kline:Sources:0:FirstRetry", "00:00:00.010",
            "--Kline:Sources:0:LastRetry", "00:00:00.200",
            "--Kline:Sources:0:ScanInterval", "00:00:05",
            "--Kline:Sources:0:RestWeightPerMinute", "100000",
            "--Kline:Sources:0:StreamsPerConnection", "20",
        ]);
        await run.Start();

        // Trades at an even pace, some of which no connection hears; in the middle two symbols are new.
        var published = 0;
        var trading = Task.Run(
            async () =>
            {
                using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20), TimeProvider.System);
                var ticks = (lead + tail) * 50;
                for (var tick = 0; tick < ticks; tick++)
                {
                    await timer.WaitForNextTickAsync();
                    while (published < (long)LiveRun.Trades * tick / ticks)
                    {
                        var trade = published % 50 == 7 && tick > ticks / 2 ? market.Next($"NEW{published / 50 % 2}USDT", venue.Now) : market.Next(venue.Now);
                        if (published % 97 == 3)
                        {
                            venue.PublishUnheard(trade);
                        }
                        else
                        {
                            venue.Publish(trade);
                        }

                        Interlocked.Increment(ref published);
                    }

                    if (tick == ticks / 2)
                    {
                        venue.List("NEW0USDT");
                        venue.List("NEW1USDT");
                    }

                    if (tick % 50 == 0)
                    {
                        venue.PublishTickers(tick > ticks / 2 ? [.. symbols, "NEW0USDT", "NEW1USDT"] : symbols);
                    }
                }
            },
            CancellationToken.None);
        foreach (var moment in Enumerable.Range(0, kills).Select(_ => random.Next(LiveRun.Trades)).Order())
        {
            await run.Until(() => Task.FromResult(Volatile.Read(ref published) >= moment), () => Task.FromResult($"trade {moment}"));
            await run.KillAndStart();
        }

        await trading;
        venue.Faults.RestLag = 0;
        venue.Faults.Lose = 0;
        venue.Faults.Drop = 0;
        symbols.AddRange(["NEW0USDT", "NEW1USDT"]);
        var newest = DateTimeOffset.FromUnixTimeMilliseconds(symbols.Max(s => venue.Trades(s) is [.., var last] ? last.Time : 0));
        using var tickers = TimeProvider.System.CreateTimer(_ => venue.PublishTickers(symbols), null, TimeSpan.Zero, TimeSpan.FromSeconds(1));

        // All of them are there: the last ones that were lost too, which only a scan finds.
        Dictionary<string, long> counts = [];
        Dictionary<string, long> wanted = symbols.ToDictionary(s => s, s => venue.Trades(s).Sum(t => t.LastId - t.FirstId + 1), StringComparer.Ordinal);
        await run.Until(
            async () =>
            {
                foreach (var symbol in symbols.Where(s => counts.GetValueOrDefault(s, -1) != wanted[s]))
                {
                    counts[symbol] = await run.CountTrades(symbol);
                }

                return symbols.All(s => counts[s] == wanted[s]);
            },
            () => Task.FromResult(string.Join(", ", symbols.Where(s => counts[s] != wanted[s]).Select(s => $"{s}: {counts[s]} of {wanted[s]} trades"))));
        var clock = newest + TimeSpan.FromSeconds(5);
        await run.Until(async () => (await run.Server.Get("/health")).GetProperty("sources")[0].GetProperty("clock").GetInt64() >= clock.ToUnixTimeMilliseconds(), () => Task.FromResult("the clock"));
        foreach (var symbol in symbols)
        {
            await run.CountTrades(symbol);
        }

        var output = run.Output;
        var archive = await run.StopAndRead(symbols);
        var compared = 0;
        foreach (var symbol in symbols)
        {
            foreach (var interval in KlineIntervals.All)
            {
                // The newest thousand of an interval are fetched, of a day all; of the intervals that the venue does not serve as many as its seconds reach.
                var reach = interval < KlineInterval.M1 ? start.AddSeconds(-700) : interval == KlineInterval.D1 ? DateTimeOffset.MinValue : start - (interval.Length() * Math.Min(900, 36_500 / interval.Length().TotalDays));
                var expected = VenueKlines.Of(interval.ExchangeName(), venue.Trades(symbol))
                    .Select(Values).Where(k => k.Open >= reach && k.Open + interval.Length() + TimeSpan.FromSeconds(2) <= clock).ToList();
                var stored = archive[symbol].Where(k => k.Interval == interval && k.OpenTime >= reach && k.EndTime + TimeSpan.FromSeconds(2) <= clock).Select(Values).ToList();
                compared += expected.Count;
                Assert.True(expected.SequenceEqual(stored), $"{symbol} {interval}:\nexpected {string.Join("\n", expected.Except(stored).Take(3))}\nstored {string.Join("\n", stored.Except(expected).Take(3))}\n{output}");
            }
        }

        Assert.All(symbols.Where(s => venue.Trades(s).Any(t => t.Time < Monday.ToUnixTimeMilliseconds())), s => Assert.Contains(archive[s], k => k.Interval == KlineInterval.W1 && k.EndTime == Monday));
        Assert.Equal(0, venue.Violations);
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}: {published} trades, {compared} klines compared, {kills} kills, {archive.Values.Sum(k => k.Count(x => x.Revision > 0))} corrected, {venue.Opened} connections");
    }

    /// <summary>Times of trades before the server came, in Unix ms: days ago, in the last hours, and in the last minutes.</summary>
    private static List<long> Past(Random random, DateTimeOffset start)
    {
        var times = new List<double>();
        times.AddRange(Enumerable.Range(0, 60).Select(_ => 86_400 + (random.NextDouble() * 20 * 86_400)));
        times.AddRange(Enumerable.Range(0, 400).Select(_ => random.NextDouble() * 36_000));
        times.AddRange(Enumerable.Range(0, 600).Select(_ => random.NextDouble() * 900));
        return [.. times.Select(seconds => start.AddSeconds(-seconds).ToUnixTimeMilliseconds()).Order()];
    }

    private static (DateTimeOffset Open, decimal First, decimal High, decimal Low, decimal Close, decimal Volume, decimal Quote, decimal Taker, decimal TakerQuote, long Count) Values(VenueKline k) =>
        (DateTimeOffset.FromUnixTimeMilliseconds(k.OpenTime), k.Open, k.High, k.Low, k.Close, k.Volume, k.QuoteVolume, k.TakerVolume, k.TakerQuoteVolume, k.Count);

    private static (DateTimeOffset Open, decimal First, decimal High, decimal Low, decimal Close, decimal Volume, decimal Quote, decimal Taker, decimal TakerQuote, long Count) Values(Kline k) =>
        (k.OpenTime, k.Open.Value, k.High.Value, k.Low.Value, k.Close.Value, k.BaseVolume, k.QuoteVolume, k.TakerBuyBaseVolume, k.TakerBuyQuoteVolume, k.TradeCount);
}
