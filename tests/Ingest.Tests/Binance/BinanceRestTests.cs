using KlineOrleans.Ingest.Binance;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Binance;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace KlineOrleans.Ingest.Tests.Binance;

public sealed class BinanceRestTests
{
    [Fact]
    public async Task Refusal_for_the_rate_stops_all_requests_for_as_long_as_the_venue_says()
    {
        var time = new ManualTimeProvider();
        await using var venue = await FakeBinanceVenue.Start(time);
        venue.Faults.Refuse = 1;
        venue.Faults.RetryAfter = 40;
        using var rest = Rest(venue, time);
        var first = rest.SyncTime(TestContext.Current.CancellationToken);
        await Until(() => rest.RateRefusals == 1);
        venue.Faults.Refuse = 0;
        var second = rest.NewestIds(TestContext.Current.CancellationToken);
        for (var i = 0; i < 39; i++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Breathe();
        }

        Assert.Equal(1, venue.Requests("/time") + venue.Requests("/ticker/24hr"));
        Assert.Contains("429", rest.Error, StringComparison.Ordinal);
        await Until(() =>
        {
            time.Advance(TimeSpan.FromSeconds(1));
            return first.IsCompleted && second.IsCompleted;
        });
        Assert.Null(rest.Error);
    }

    [Fact]
    public async Task Ban_without_a_word_how_long_is_waited_out_for_two_minutes()
    {
        var time = new ManualTimeProvider();
        await using var venue = await FakeBinanceVenue.Start(time);
        venue.WeightLimit = 0;
        venue.Faults.RetryAfter = null;
        using var rest = Rest(venue, time);
        var request = rest.NewestIds(TestContext.Current.CancellationToken);
        await Until(() => rest.RateRefusals == 1);
        venue.WeightLimit = int.MaxValue;
        for (var i = 0; i < 119; i++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await Breathe();
        }

        Assert.Equal(1, venue.Requests("/ticker/24hr"));
        await Until(() =>
        {
            time.Advance(TimeSpan.FromSeconds(1));
            return request.IsCompleted;
        });
    }

    [Fact]
    public async Task No_minute_takes_more_weight_than_allowed_and_history_only_half_of_it()
    {
        var time = new ManualTimeProvider();
        await using var venue = await FakeBinanceVenue.Start(time);
        venue.List("AAAUSDT");
        venue.WeightLimit = 100;
        using var rest = Rest(venue, time, weight: 100);
        var cancel = TestContext.Current.CancellationToken;
        var history = Enumerable.Range(0, 20).Select(_ => rest.NewestTrade("AAAUSDT", cancel)).ToList();
        await Until(() => history.Count(t => t.IsCompleted) == 12);

        // 12 of weight 4 are half of the minute; a gap still has the other half.
        var gap = Enumerable.Range(0, 20).Select(_ => rest.TradesFrom("AAAUSDT", 0, cancel)).ToList();
        await Until(() => gap.Count(t => t.IsCompleted) == 13);
        await Breathe();
        Assert.Equal(25, venue.Requests("/aggTrades"));
        time.Advance(TimeSpan.FromSeconds(61));
        await Until(() =>
        {
            time.Advance(TimeSpan.FromSeconds(1));
            return history.TrueForAll(t => t.IsCompletedSuccessfully) && gap.TrueForAll(t => t.IsCompletedSuccessfully);
        });
        Assert.Equal(0, rest.RateRefusals);
    }

    [Fact]
    public async Task Weight_that_others_at_our_address_spend_counts()
    {
        var time = new ManualTimeProvider();
        await using var venue = await FakeBinanceVenue.Start(time);
        venue.List("AAAUSDT");
        using var other = Rest(venue, time);
        using var rest = Rest(venue, time, weight: 100);
        await other.NewestIds(TestContext.Current.CancellationToken);
        await rest.TradesFrom("AAAUSDT", 0, TestContext.Current.CancellationToken);
        var more = Enumerable.Range(0, 10).Select(_ => rest.TradesFrom("AAAUSDT", 0, TestContext.Current.CancellationToken)).ToList();
        await Until(() => more.Count(t => t.IsCompleted) >= 4);
        await Breathe();
        Assert.InRange(more.Count(t => t.IsCompleted), 4, 8);
    }

    [Fact]
    public async Task Request_that_the_venue_refuses_for_good_is_not_sent_again()
    {
        await using var venue = await FakeBinanceVenue.Start();
        using var rest = Rest(venue, TimeProvider.System);
        var error = await Assert.ThrowsAsync<BinanceRefusedException>(() => rest.TradesFrom("NONE", 0, TestContext.Current.CancellationToken));
        Assert.Contains("Invalid symbol", error.Message, StringComparison.Ordinal);
        Assert.Equal(1, venue.Requests("/aggTrades"));
    }

    [Fact]
    public async Task Silent_venue_is_asked_again_after_the_timeout()
    {
        var time = new ManualTimeProvider();
        await using var venue = await FakeBinanceVenue.Start(time);
        venue.IsSilent = true;
        using var rest = Rest(venue, time);
        var request = rest.SyncTime(TestContext.Current.CancellationToken);
        await Until(() => venue.Requests("/time") == 1);
        venue.IsSilent = false;
        await Until(() =>
        {
            time.Advance(TimeSpan.FromSeconds(1));
            return request.IsCompletedSuccessfully;
        });
        Assert.True(time.GetUtcNow() - new ManualTimeProvider().GetUtcNow() >= TimeSpan.FromSeconds(15));
        Assert.Equal(2, venue.Requests("/time"));
    }

    [Fact]
    public async Task Venue_that_is_away_is_a_warning_once_and_not_with_every_try()
    {
        var time = new ManualTimeProvider();
        var log = new BinanceRun.RunLog();
        await using var venue = await FakeBinanceVenue.Start(time);
        venue.IsSilent = true;
        using var rest = Rest(venue, time, log: log);
        var request = rest.SyncTime(TestContext.Current.CancellationToken);
        await Until(() =>
        {
            time.Advance(TimeSpan.FromSeconds(1));
            return venue.Requests("/time") >= 3;
        });
        venue.IsSilent = false;
        await Until(() =>
        {
            time.Advance(TimeSpan.FromSeconds(1));
            return request.IsCompletedSuccessfully;
        });

        Assert.Equal(1, log.ToString().Split("does not answer requests").Length - 1);
    }

    private static BinanceRest Rest(FakeBinanceVenue venue, TimeProvider time, int weight = 100_000, ILogger? log = null) =>
        new(BinanceRun.Options(venue) with { RestWeightPerMinute = weight, FirstRetry = TimeSpan.FromMilliseconds(100) }, time, new SkipCounts(), log ?? NullLogger.Instance);

    private static Task Breathe() => Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System, TestContext.Current.CancellationToken);

    private static async Task Until(Func<bool> condition)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(started) < TimeSpan.FromSeconds(60), "Not within 60 s.");
            await Breathe();
        }
    }
}
