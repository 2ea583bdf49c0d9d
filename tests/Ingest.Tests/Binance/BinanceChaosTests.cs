using System.Globalization;
using KlineOrleans.Contracts;
using KlineOrleans.Testing.Binance;

namespace KlineOrleans.Ingest.Tests.Binance;

public sealed class BinanceChaosTests
{
    private const int Trades = 20_000;

    public static TheoryData<int> Seeds =>
        [.. Enumerable.Range(1, int.TryParse(Environment.GetEnvironmentVariable("KLINE_CHAOS_SEEDS"), NumberStyles.None, CultureInfo.InvariantCulture, out var count) ? count : 3)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task Trades_of_a_venue_that_loses_doubles_drops_and_refuses_all_come_once_and_in_order(int seed)
    {
        var symbols = BinanceRun.Names(50);
        await using var venue = await FakeBinanceVenue.Start(seed: seed);
        foreach (var symbol in symbols)
        {
            venue.List(symbol);
        }

        var market = new VenueMarket(seed, symbols);
        venue.Remember(Enumerable.Range(0, 500).Select(i => market.Next(venue.Now - 100_000 + i)));
        await using var run = new BinanceRun(BinanceRun.Options(venue) with { StreamsPerConnection = 20 });
        await run.UntilBegun(symbols);

        venue.Faults.Begin();
        for (var i = 0; i < Trades; i++)
        {
            venue.Publish(market.Next(venue.Now));
            if (i % 100 == 99)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System, TestContext.Current.CancellationToken);
            }
        }

        // The venue catches up; only the source's own checks can find what was lost at the end.
        venue.Faults.RestLag = 0;
        venue.Faults.Lose = 0;
        venue.Faults.Drop = 0;
        await run.Until(
            r => symbols.All(s =>
            {
                var newest = venue.Trades(s);
                return newest.Count == 0 || newest[^1].Time < r.History[s].From.ToUnixTimeMilliseconds() || (r.Trades.TryGetValue(s, out var given) && given[^1].Order.Id.Position == newest[^1].Id);
            }),
            "the newest trade of every symbol");
        run.AssertWhole(venue, symbols);
        Assert.Equal(0, venue.Violations);
        Assert.True(venue.Opened > 3, "connections were lost");

        // Once everything is there, it says so.
        await run.Until(r => r.Source.GetStatus().State == SourceState.Live, "the source is live");
        var skipped = run.Source.GetStatus().Skipped;
        Assert.True(skipped["alreadySeen"] > 0);
        Assert.True(skipped["malformedFrame"] > 0);
        Assert.False(skipped.ContainsKey("missingAtVenue"));
    }
}
