using System.Globalization;
using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Binance;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Binance;

namespace KlineOrleans.Ingest.Tests.Binance;

public sealed class BinanceSourceTests
{
    private static readonly DateTimeOffset Monday = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    [Fact]
    public async Task Symbol_that_begins_has_the_klines_of_its_past_and_the_sums_so_far_and_then_its_trades_and_all_equal_the_venues()
    {
        // A Thursday, in the middle of every long bucket, 20 s into a minute.
        var time = new ManualTimeProvider(Monday.AddDays(3) + new TimeSpan(13, 47, 20));
        await using var venue = await FakeBinanceVenue.Start(time);
        venue.List("AAAUSDT");
        var market = new VenueMarket(5, ["AAAUSDT"]);
        var random = new Random(7);
        var start = time.GetUtcNow().AddDays(-40).ToUnixTimeMilliseconds();
        var end = time.GetUtcNow().ToUnixTimeMilliseconds();

        // Seldom at first, then often: some short buckets stay empty.
        var times = Enumerable.Range(0, 3_000).Select(i => start + (long)((end - start) * (1 - Math.Pow(random.NextDouble(), 6)))).Order().ToList();
        venue.Remember(times.Select(t => market.Next("AAAUSDT", t)));
        await using var run = new BinanceRun(BinanceRun.Options(venue, "AAAUSDT"), time: time);
        await run.UntilBegun(["AAAUSDT"]);
        for (var i = 0; i < 100; i++)
        {
            venue.Publish(market.Next("AAAUSDT", venue.Now));
        }

        var history = run.History["AAAUSDT"];
        Assert.Equal(Monday.AddDays(3) + new TimeSpan(13, 47, 0), history.From);
        var all = venue.Trades("AAAUSDT");
        var from = history.From.ToUnixTimeMilliseconds();
        await run.UntilCount(all.Count(t => t.Time >= from));
        run.AssertWhole(venue, ["AAAUSDT"]);
        Assert.Empty(history.Unknown);
        var before = all.Where(t => t.Time < from).ToList();
        foreach (var interval in KlineIntervals.All)
        {
            var name = interval.ExchangeName();
            var length = VenueKlines.Length(name);
            var expected = VenueKlines.Of(name, all).Where(k => k.OpenTime + length <= from).ToList();
            var given = history.Klines.Where(k => k.Interval == interval).ToList();
            var first = interval switch
            {
                KlineInterval.D1 => long.MinValue,
                KlineInterval.S5 or KlineInterval.S15 or KlineInterval.S30 => from - 1_000_000,
                _ => VenueKlines.OpenTime(name, from) - (1_000 * length),
            };
            AssertSame(expected.Where(k => k.OpenTime >= first), given);
            Assert.All(given, k => Assert.True(k is { IsFinal: true, IsFlat: false, Revision: 0 }));

            // Half of a long bucket is in the sums, the other half in trades: together the whole.
            var open = VenueKlines.OpenTime(name, from);
            var forming = history.Forming.Where(k => k.Interval == interval).ToList();
            AssertSame(VenueKlines.Of(name, before.Where(t => t.Time >= open)), forming);
            Assert.All(forming, k => Assert.False(k.IsFinal));
        }

        Assert.True(history.Klines.Count(k => k.Interval == KlineInterval.D1) >= 20);
        Assert.Equal(DateTimeOffset.FromUnixTimeMilliseconds(VenueKlines.OpenTime("1d", all[0].Time)), run.Symbols["AAAUSDT"].ListedTime);
    }

    [Fact]
    public async Task Futures_symbol_is_listed_by_its_onboard_date_and_contracts_count_what_they_are_worth()
    {
        var time = new ManualTimeProvider(Monday.AddHours(5).AddSeconds(20));
        await using var venue = await FakeBinanceVenue.Start(time);
        venue.List("BTCUSD_PERP", "USD", Monday.AddDays(-3).ToUnixTimeMilliseconds(), more: "\"contractType\":\"PERPETUAL\",\"contractSize\":100");
        venue.List("BTCUSD_261225", "USD", Monday.ToUnixTimeMilliseconds(), more: "\"contractType\":\"CURRENT_QUARTER\",\"contractSize\":100");
        var market = new VenueMarket(5, ["BTCUSD_PERP"]);
        venue.Remember([market.Next("BTCUSD_PERP", venue.Now - 7_200_000), market.Next("BTCUSD_PERP", venue.Now - 90_000)]);
        await using var run = new BinanceRun(BinanceRun.Options(venue) with { Venue = BinanceVenue.CoinM, QuoteAsset = "USD" }, time: time);
        await run.UntilBegun(["BTCUSD_PERP"]);
        venue.Publish(market.Next("BTCUSD_PERP", venue.Now));
        await run.UntilCount(1);
        var trade = run.Trades["BTCUSD_PERP"][0];
        Assert.Equal(trade.BaseAmount * 100, trade.QuoteAmount);
        var history = run.History["BTCUSD_PERP"];
        Assert.DoesNotContain(history.Klines, k => k.Interval < KlineInterval.M1);
        Assert.All(history.Klines, k => Assert.Equal(k.BaseVolume * 100, k.QuoteVolume));
        Assert.Equal(Monday.AddDays(-3), run.Symbols["BTCUSD_PERP"].ListedTime);
        Assert.Single(run.Symbols);
    }

    [Fact]
    public async Task Without_history_the_long_buckets_that_a_symbol_begins_in_are_named_as_unknown()
    {
        var time = new ManualTimeProvider(Monday.AddHours(4).AddSeconds(10));
        await using var venue = await FakeBinanceVenue.Start(time);
        venue.List("AAAUSDT");
        await using var run = new BinanceRun(BinanceRun.Options(venue, "AAAUSDT") with { History = false }, time: time);
        await run.UntilBegun(["AAAUSDT"]);
        Assert.Equal([KlineInterval.D1, KlineInterval.W1], run.History["AAAUSDT"].Unknown);
        Assert.Empty(run.History["AAAUSDT"].Klines);
        Assert.Equal(0, venue.Requests("/klines"));
    }

    [Fact]
    public async Task Silent_venue_is_stale_within_35_seconds_and_live_again_when_it_speaks()
    {
        var time = new ManualTimeProvider();
        await using var venue = await FakeBinanceVenue.Start(time);
        venue.List("AAAUSDT");
        var market = new VenueMarket(5, ["AAAUSDT"]);
        await using var run = new BinanceRun(BinanceRun.Options(venue, "AAAUSDT") with { ScanInterval = TimeSpan.FromMinutes(1) }, time: time);
        await run.UntilBegun(["AAAUSDT"]);
        await Drive(time, run, () => run.Chunks[^1].Clock.IsLive, TimeSpan.FromMilliseconds(250));

        // A quiet market that answers is no dead one.
        await Drive(time, run, () => time.GetUtcNow() >= Monday.AddMinutes(2), TimeSpan.FromSeconds(1));
        Assert.Equal(SourceState.Live, run.Source.GetStatus().State);

        venue.IsSilent = true;
        var silent = time.GetUtcNow();
        await Drive(time, run, () => time.GetUtcNow() >= silent.AddSeconds(10), TimeSpan.FromSeconds(1));
        Assert.False(run.Chunks[^1].Clock.IsLive);
        var stood = run.Chunks[^1].Clock.Time;
        Assert.InRange(stood, silent.AddSeconds(-2), silent.AddSeconds(2));
        await Drive(time, run, () => time.GetUtcNow() >= silent.AddSeconds(35), TimeSpan.FromSeconds(1));
        Assert.Equal(SourceState.Stale, run.Source.GetStatus().State);
        venue.PublishUnheard(market.Next("AAAUSDT", venue.Now));
        await Drive(time, run, () => time.GetUtcNow() >= silent.AddMinutes(3), TimeSpan.FromSeconds(1));
        Assert.Equal(SourceState.Stale, run.Source.GetStatus().State);
        Assert.Equal(stood, run.Chunks[^1].Clock.Time);

        venue.IsSilent = false;
        await Drive(time, run, () => run.Chunks[^1].Clock.IsLive && run.Source.GetStatus().State == SourceState.Live, TimeSpan.FromSeconds(1));
        run.AssertWhole(venue, ["AAAUSDT"]);
        Assert.Single(run.Trades["AAAUSDT"]);
        Assert.True(run.Trades["AAAUSDT"][0].ReceivedTime <= stood, "what was missed comes before the clock moves on");
    }

    [Fact]
    public async Task Clock_is_the_venues_and_stands_while_a_trade_is_missing()
    {
        var time = new ManualTimeProvider();
        await using var venue = await FakeBinanceVenue.Start(time);
        venue.ClockOffset = TimeSpan.FromMinutes(7);
        venue.List("AAAUSDT");
        venue.List("BBBUSDT");
        var market = new VenueMarket(5, ["AAAUSDT", "BBBUSDT"]);
        await using var run = new BinanceRun(BinanceRun.Options(venue, "AAAUSDT", "BBBUSDT") with { LastRetry = TimeSpan.FromSeconds(1), ScanInterval = TimeSpan.FromMinutes(1) }, time: time);
        await run.UntilBegun(["AAAUSDT", "BBBUSDT"]);
        time.Advance(TimeSpan.FromSeconds(20));
        venue.Publish(market.Next("AAAUSDT", venue.Now));
        await Drive(time, run, () => run.Count == 1 && run.Chunks[^1].Clock.IsLive, TimeSpan.FromMilliseconds(100));
        Assert.InRange(run.Chunks[^1].Clock.Time, time.GetUtcNow() + TimeSpan.FromMinutes(7) - TimeSpan.FromSeconds(3), time.GetUtcNow() + TimeSpan.FromMinutes(7));

        // REST does not have it yet either.
        venue.Faults.RestLag = 10;
        venue.PublishUnheard(market.Next("AAAUSDT", venue.Now));
        venue.Publish(market.Next("AAAUSDT", venue.Now));
        await Drive(time, run, () => run.Source.GetStatus().State == SourceState.Backfilling && !run.Chunks[^1].Clock.IsLive, TimeSpan.FromMilliseconds(100));
        var stood = run.Chunks[^1].Clock.Time;
        var until = time.GetUtcNow().AddSeconds(30);
        await Drive(time, run, () => time.GetUtcNow() >= until, TimeSpan.FromMilliseconds(500));
        venue.Publish(market.Next("BBBUSDT", venue.Now));
        await Drive(time, run, () => run.Count == 2, TimeSpan.FromMilliseconds(100));
        Assert.Equal(stood, run.Chunks[^1].Clock.Time);
        Assert.Equal("BBBUSDT", Assert.Single(run.Trades["BBBUSDT"]).Symbol);

        venue.Faults.RestLag = 0;
        await Drive(time, run, () => run.Count == 4 && run.Chunks[^1].Clock.IsLive, TimeSpan.FromMilliseconds(500));
        run.AssertWhole(venue, ["AAAUSDT", "BBBUSDT"]);
        Assert.True(run.Chunks[^1].Clock.Time > stood);
        var clocks = run.Chunks.Select(c => c.Clock.Time).ToList();
        Assert.Equal(clocks.Order(), clocks);
    }

    [Fact]
    public async Task New_symbol_in_the_mini_tickers_is_followed_from_its_first_trade_and_a_delisted_one_is_let_go()
    {
        await using var venue = await FakeBinanceVenue.Start();
        venue.List("AAAUSDT");
        venue.List("AAABTC", "BTC");
        venue.List("ZZZUSDT", status: "BREAK");
        var market = new VenueMarket(5, ["AAAUSDT", "NEWUSDT"]);
        await using var run = new BinanceRun(BinanceRun.Options(venue) with { ScanInterval = TimeSpan.FromMilliseconds(10) });
        await run.UntilBegun(["AAAUSDT"]);
        Assert.Equal(["AAAUSDT"], run.History.Keys);

        venue.List("NEWUSDT");
        venue.Remember([market.Next("NEWUSDT", venue.Now)]);
        await Repeat(() => venue.PublishTickers("AAAUSDT", "AAABTC", "NEWUSDT"), () => run.History.ContainsKey("NEWUSDT") && run.Source.GetStatus().State == SourceState.Live);
        for (var i = 0; i < 10; i++)
        {
            venue.Publish(market.Next("NEWUSDT", venue.Now));
        }

        var expected = venue.Trades("NEWUSDT").Count(t => t.Time >= run.History["NEWUSDT"].From.ToUnixTimeMilliseconds());
        await run.UntilCount(expected);
        run.AssertWhole(venue, ["NEWUSDT"]);

        // It survives a lost connection, as what the connection began with does.
        venue.DropAll();
        venue.Publish(market.Next("NEWUSDT", venue.Now));
        await run.UntilCount(expected + 1);

        venue.Delist("AAAUSDT");
        venue.List("OTHERUSDT");
        await Repeat(() => venue.PublishTickers("OTHERUSDT"), () => run.History.ContainsKey("OTHERUSDT") && venue.Connections > 0 && venue.StreamsPerConnection.Sum() == 3 * venue.Connections);
        Assert.DoesNotContain("AAAUSDT=", run.Chunks[^1].Checkpoint, StringComparison.Ordinal);
    }

    [Fact]
    public async Task More_than_1024_streams_take_several_connections_and_no_connection_is_told_too_much_at_once()
    {
        await using var venue = await FakeBinanceVenue.Start();
        var symbols = BinanceRun.Names(1_100);
        foreach (var symbol in symbols)
        {
            venue.List(symbol);
        }

        var market = new VenueMarket(5, symbols);
        venue.Remember(symbols.Select(s => market.Next(s, venue.Now - 600_000)));
        await using var run = new BinanceRun(BinanceRun.Options(venue) with { History = false, ScanInterval = TimeSpan.FromMinutes(1) });
        await run.UntilBegun(symbols);
        Assert.Equal(2, venue.Connections);
        Assert.Equal([77, 1_024], venue.StreamsPerConnection.Order());
        Assert.Equal(0, venue.Violations);
        foreach (var symbol in symbols)
        {
            venue.Publish(market.Next(symbol, venue.Now));
        }

        await run.UntilCount(symbols.Length);
        run.AssertWhole(venue, symbols);
        Assert.Equal(0, venue.Violations);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Connection_that_grows_old_or_whose_server_goes_is_replaced_and_nothing_is_missed_meanwhile(bool byServer)
    {
        var time = new ManualTimeProvider();
        await using var venue = await FakeBinanceVenue.Start(time);
        venue.List("AAAUSDT");
        var market = new VenueMarket(5, ["AAAUSDT"]);
        await using var run = new BinanceRun(BinanceRun.Options(venue, "AAAUSDT") with { ScanInterval = TimeSpan.FromHours(48), IdleTimeout = TimeSpan.FromMinutes(10), RestTimeout = TimeSpan.FromHours(1) }, time: time);
        await run.UntilBegun(["AAAUSDT"]);
        var asked = venue.Requests("/aggTrades");
        if (byServer)
        {
            venue.AnnounceShutdown();
        }
        else
        {
            // Where the clock jumps, what was sent before and after the jump arrives as if at once.
            venue.MaxMessagesPerSecond = int.MaxValue;

            // In steps, each only when the venue's answers keep up: without them the connection would be given up as dead.
            while (time.GetUtcNow() < Monday.AddHours(23))
            {
                time.Advance(TimeSpan.FromMinutes(1));
                await Drive(time, run, () => run.Chunks[^1].Clock.Time >= time.GetUtcNow() - TimeSpan.FromMinutes(3), TimeSpan.FromSeconds(1));
            }

            Assert.True(venue.Opened == 1, run.Log.ToString());
        }

        await Drive(
            time,
            run,
            () =>
            {
                venue.Publish(market.Next("AAAUSDT", venue.Now));
                return venue.Opened == 2 && venue.Connections == 1;
            },
            TimeSpan.FromSeconds(byServer ? 1 : 2));
        Assert.True(time.GetUtcNow() < Monday.AddHours(24));
        venue.Publish(market.Next("AAAUSDT", venue.Now));
        var expected = venue.Trades("AAAUSDT").Count;
        await Drive(time, run, () => run.Count >= expected, TimeSpan.FromMilliseconds(250));
        run.AssertWhole(venue, ["AAAUSDT"]);
        Assert.Equal(asked, venue.Requests("/aggTrades"));
        Assert.Equal(SourceState.Live, run.Source.GetStatus().State);
    }

    [Fact]
    public async Task Restart_from_any_checkpoint_gives_what_follows_it()
    {
        var time = new ManualTimeProvider(Monday.AddSeconds(30));
        await using var venue = await FakeBinanceVenue.Start(time, seed: 3);
        var symbols = BinanceRun.Names(10);
        foreach (var symbol in symbols)
        {
            venue.List(symbol);
        }

        var market = new VenueMarket(5, symbols);
        var options = BinanceRun.Options(venue) with { StreamsPerConnection = 6, ScanInterval = TimeSpan.FromSeconds(2), History = false };
        IReadOnlyList<SourceChunk> chunks;
        await using (var first = new BinanceRun(options, time: time))
        {
            await first.UntilBegun(symbols);
            venue.Faults.Lose = 0.1;
            venue.Faults.Drop = 0.002;
            for (var i = 0; i < 20; i++)
            {
                for (var j = 0; j < 60; j++)
                {
                    venue.Publish(market.Next(venue.Now));
                }

                var until = time.GetUtcNow().AddSeconds(1);
                await Drive(time, first, () => time.GetUtcNow() >= until, TimeSpan.FromMilliseconds(200));
            }

            chunks = first.Chunks;
        }

        venue.Faults.Lose = venue.Faults.Drop = 0;

        // What came while nothing ran.
        for (var i = 0; i < 2_500; i++)
        {
            venue.PublishUnheard(market.Next("S000USDT", venue.Now));
        }

        var checkpoints = chunks.Select(c => c.Checkpoint).Distinct().ToList();
        Assert.True(checkpoints.Count > 15);
        foreach (var checkpoint in checkpoints.Where((_, i) => i % 4 == 0))
        {
            var before = chunks.Take(1 + chunks.ToList().FindIndex(c => c.Checkpoint == checkpoint)).SelectMany(c => c.Trades).ToHashSet();
            var saved = BinanceCheckpoint.TryParse(checkpoint)!;
            await using var second = new BinanceRun(options, checkpoint, time);
            await Drive(time, second, () => second.Source.GetStatus().State == SourceState.Live && symbols.All(s => saved.Next.ContainsKey(s) || second.History.ContainsKey(s)), TimeSpan.FromMilliseconds(100));
            Assert.Equal(symbols.Where(s => !saved.Next.ContainsKey(s)).Order(), second.History.Keys.Order());
            var missed = saved.Next.Sum(n => venue.Trades(n.Key).Count(t => t.Id >= n.Value));
            await Drive(time, second, () => saved.Next.Keys.Sum(s => second.CountOf(s)) >= missed, TimeSpan.FromMilliseconds(100));
            foreach (var (symbol, next) in saved.Next)
            {
                BinanceRun.AssertSame(venue.Trades(symbol).Where(t => t.Id >= next), second.Given(symbol));

                // And what is before the checkpoint was given before it.
                var from = before.Where(t => t.Symbol == symbol).Select(t => t.Order.Id.Position).ToHashSet();
                var began = chunks.SelectMany(c => c.History).First(h => h.Symbol == symbol).From.ToUnixTimeMilliseconds();
                Assert.All(venue.Trades(symbol).Where(t => t.Id < next && t.Time >= began), t => Assert.Contains(t.Id, from));
            }
        }
    }

    [Fact]
    public async Task Last_trade_that_was_lost_is_found_even_if_the_venue_serves_it_late()
    {
        await using var venue = await FakeBinanceVenue.Start();
        venue.List("AAAUSDT");
        var market = new VenueMarket(5, ["AAAUSDT"]);
        await using var run = new BinanceRun(BinanceRun.Options(venue, "AAAUSDT") with { ScanInterval = TimeSpan.FromMilliseconds(10) });
        await run.UntilBegun(["AAAUSDT"]);
        venue.Faults.RestLag = 1;
        var asked = venue.Requests("/aggTrades");
        venue.PublishUnheard(market.Next("AAAUSDT", venue.Now));
        await Repeat(() => { }, () => venue.Requests("/aggTrades") >= asked + 3);
        Assert.Equal(0, run.Count);
        venue.Faults.RestLag = 0;
        await run.UntilCount(1);
        run.AssertWhole(venue, ["AAAUSDT"]);
    }

    [Fact]
    public async Task Absence_longer_than_the_limit_begins_every_symbol_anew_with_klines_for_what_was_missed()
    {
        var time = new ManualTimeProvider(Monday.AddHours(40).AddSeconds(30));
        await using var venue = await FakeBinanceVenue.Start(time);
        venue.List("AAAUSDT");
        var market = new VenueMarket(5, ["AAAUSDT"]);
        venue.Remember(Enumerable.Range(0, 40).Select(i => market.Next("AAAUSDT", Monday.AddHours(i).ToUnixTimeMilliseconds())));
        var saved = new BinanceCheckpoint(BinanceVenue.Spot, Monday.AddHours(10), new Dictionary<string, long> { ["AAAUSDT"] = 11 });
        await using var run = new BinanceRun(BinanceRun.Options(venue, "AAAUSDT"), saved.ToString(), time);
        await run.UntilBegun(["AAAUSDT"]);
        Assert.Equal(Monday.AddHours(40), run.History["AAAUSDT"].From);
        Assert.Equal(40, run.History["AAAUSDT"].Klines.Count(k => k.Interval == KlineInterval.H1));
        Assert.Contains("longer than MaxGap", run.Source.GetStatus().Error, StringComparison.Ordinal);

        // What was held lacks trades: nothing of it becomes final before it is replaced.
        var chunks = run.Chunks;
        var began = chunks.ToList().FindIndex(c => !c.History.IsEmpty);
        Assert.Equal(Monday.AddHours(10), run.History["AAAUSDT"].WholeTo);
        Assert.All(chunks.Take(began + 1), c => Assert.Equal(new SourceClock(Monday.AddHours(10), IsLive: false), c.Clock));
        Assert.Equal(["AAAUSDT"], chunks.Skip(began).SelectMany(c => c.CaughtUp));
    }

    [Fact]
    public async Task Symbol_that_has_not_caught_up_when_the_server_stops_catches_up_where_it_was_and_is_told_then()
    {
        var time = new ManualTimeProvider(Monday.AddHours(4).AddSeconds(50));
        await using var venue = await FakeBinanceVenue.Start(time);
        venue.List("AAAUSDT");
        var market = new VenueMarket(5, ["AAAUSDT"]);
        venue.Remember(Enumerable.Range(0, 3_000).Select(i => market.Next("AAAUSDT", Monday.AddHours(4).AddMilliseconds(10 * i).ToUnixTimeMilliseconds())));
        string checkpoint;
        await using (var first = new BinanceRun(BinanceRun.Options(venue, "AAAUSDT"), time: time))
        {
            await first.UntilBegun(["AAAUSDT"]);
            checkpoint = first.Chunks.First(c => !c.History.IsEmpty).Checkpoint;
            Assert.DoesNotContain(first.Chunks.TakeWhile(c => c.CaughtUp.IsEmpty), c => BinanceCheckpoint.TryParse(c.Checkpoint)!.FirstFill.Count == 0);
            Assert.Empty(BinanceCheckpoint.TryParse(first.Chunks.First(c => !c.CaughtUp.IsEmpty).Checkpoint)!.FirstFill);
        }

        await using var second = new BinanceRun(BinanceRun.Options(venue, "AAAUSDT"), checkpoint, time);
        await second.Until(r => r.Source.GetStatus().State == SourceState.Live && r.Count == 3_000, "all trades");
        Assert.Empty(second.History);
        var told = second.Chunks.ToList().FindIndex(c => !c.CaughtUp.IsEmpty);
        Assert.Equal(3_000, second.Chunks.Take(told).Sum(c => c.Trades.Length));

        // As before the stop: no trade is received at a later time than its own.
        Assert.All(second.Given("AAAUSDT"), t => Assert.True(t.ReceivedTime <= t.EventTime));
    }

    [Fact]
    public async Task Full_buffer_is_counted_and_what_it_lost_is_fetched()
    {
        await using var venue = await FakeBinanceVenue.Start();
        var symbols = BinanceRun.Names(5);
        foreach (var symbol in symbols)
        {
            venue.List(symbol);
        }

        var market = new VenueMarket(5, symbols);
        using var gate = new SemaphoreSlim(1);
        var isSlow = false;
        await using var run = new BinanceRun(
            BinanceRun.Options(venue) with { BufferedFrames = 64, ScanInterval = TimeSpan.FromHours(1) },
            beforeNext: async () =>
            {
                if (Volatile.Read(ref isSlow))
                {
                    await gate.WaitAsync(TestContext.Current.CancellationToken);
                    gate.Release();
                }
            });
        await run.UntilBegun(symbols);
        await gate.WaitAsync(TestContext.Current.CancellationToken);
        Volatile.Write(ref isSlow, true);
        for (var i = 0; i < 3_000; i++)
        {
            venue.Publish(market.Next(venue.Now));
        }

        await Repeat(() => { }, () => run.Source.GetStatus().Skipped.GetValueOrDefault("bufferFull") > 0);
        gate.Release();
        await run.UntilCount(3_000);
        run.AssertWhole(venue, symbols);
        Assert.DoesNotContain("missingAtVenue", run.Source.GetStatus().Skipped.Keys);
    }

    [Fact]
    public async Task Nonsense_of_every_kind_is_counted_and_the_source_lives_on()
    {
        await using var venue = await FakeBinanceVenue.Start();
        venue.List("AAAUSDT");
        var market = new VenueMarket(5, ["AAAUSDT"]);
        await using var run = new BinanceRun(BinanceRun.Options(venue, "AAAUSDT"));
        await run.UntilBegun(["AAAUSDT"]);
        var opened = venue.Opened;
        var random = new Random(11);
        var frame = "{\"stream\":\"aaausdt@aggTrade\",\"data\":" + new VenueTrade("AAAUSDT", 0, 1, 1, 1, 1, 1, IsBuyerMaker: true).ToFrame(1) + "}";
        for (var i = 0; i < 2_000; i++)
        {
            var text = frame.ToCharArray();
            for (var changes = random.Next(1, 6); changes > 0; changes--)
            {
                text[random.Next(text.Length)] = (char)random.Next(32, 127);
            }

            // Never one that is a good trade of the symbol: that it would have to give.
            var broken = new string(text, 0, random.Next(1, text.Length)).Replace("AAAUSDT", "XXX", StringComparison.Ordinal);
            venue.SendRaw(broken);
        }

        venue.SendRaw(new string('[', 10_000));
        venue.SendRaw("{\"stream\":\"x\",\"data\":[[[[[{}]]]]]}");
        venue.SendRaw("\"" + new string('x', 10_000_000) + "\"");
        venue.SendRaw("{\"e\":\"depthUpdate\"}");
        venue.Publish(market.Next("AAAUSDT", venue.Now));
        await run.UntilCount(1);
        run.AssertWhole(venue, ["AAAUSDT"]);
        var skipped = run.Source.GetStatus().Skipped;
        Assert.Equal(1, skipped["frameTooLarge"]);
        Assert.True(skipped["malformedFrame"] > 1_900);
        Assert.Equal(1, skipped["otherEvent:depthUpdate"]);
        Assert.Equal(opened, venue.Opened);
    }

    [Fact]
    public async Task Symbol_that_the_venue_does_not_trade_is_named()
    {
        await using var venue = await FakeBinanceVenue.Start();
        venue.List("AAAUSDT");
        await using var run = new BinanceRun(BinanceRun.Options(venue, "AAAUSDT", "NOUSDT"));
        var error = await Assert.ThrowsAsync<SourceException>(() => run.Until(_ => false, "never"));
        Assert.Contains("NOUSDT", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Venue_that_is_down_is_asked_until_it_is_back()
    {
        await using var venue = await FakeBinanceVenue.Start();
        venue.List("AAAUSDT");
        venue.IsDown = true;
        await using var run = new BinanceRun(BinanceRun.Options(venue, "AAAUSDT"));
        await Repeat(() => { }, () => run.Source.GetStatus().Error?.Contains("503", StringComparison.Ordinal) == true);
        venue.IsDown = false;
        await run.UntilBegun(["AAAUSDT"]);
        var market = new VenueMarket(5, ["AAAUSDT"]);
        venue.IsDown = true;
        venue.DropAll();
        venue.PublishUnheard(market.Next("AAAUSDT", venue.Now));
        await Repeat(() => { }, () => run.Source.GetStatus() is { State: SourceState.Backfilling, Error: not null });
        venue.IsDown = false;
        await run.UntilCount(1);
        run.AssertWhole(venue, ["AAAUSDT"]);
        await run.Until(r => r.Source.GetStatus() is { State: SourceState.Live, Error: null }, "live without an error");
    }

    [Fact]
    public async Task Recorded_trades_of_XRPETH_through_the_venue_give_the_official_klines()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        var official = JsonDocument.Parse(await File.ReadAllBytesAsync(RecordedData.PathOf("binance-xrpeth", "XRP_ETH-1m.json"), TestContext.Current.CancellationToken)).RootElement;
        var trades = File.ReadLines(RecordedData.PathOf("binance-xrpeth", "XRPETH-aggTrades-2019-10-11_13.csv")).Select(l => l.Split(',')).Where(p => long.TryParse(p[0], out _))
            .Select(p => new VenueTrade("XRPETH", Long(p[0]), Exact(p[1]), Exact(p[2]), Long(p[3]), Long(p[4]), Long(p[5]), bool.Parse(p[6]))).ToList();
        var time = new ManualTimeProvider(DateTimeOffset.FromUnixTimeMilliseconds(VenueKlines.OpenTime("1m", trades[0].Time)).AddSeconds(6));
        await using var venue = await FakeBinanceVenue.Start(time, seed: 9);
        venue.List("XRPETH", "ETH");
        venue.Remember([trades[0] with { Id = trades[0].Id - 1, Time = trades[0].Time - 3_600_000 }]);
        await using var run = new BinanceRun(BinanceRun.Options(venue, "XRPETH") with { History = false }, time: time);
        await run.UntilBegun(["XRPETH"]);
        venue.Faults.Lose = 0.05;
        venue.Faults.Duplicate = 0.05;
        foreach (var trade in trades)
        {
            venue.Publish(trade);
        }

        await Drive(time, run, () => run.Count >= trades.Count, TimeSpan.FromMilliseconds(200));
        run.AssertWhole(venue, ["XRPETH"]);
        var given = run.Trades["XRPETH"].Select(t => new VenueTrade(t.Symbol, t.Order.Id.Position, t.Price.Value, t.BaseAmount, 0, t.Count - 1, t.EventTime.ToUnixTimeMilliseconds(), t.TakerSide == TakerSide.Sell));
        var klines = VenueKlines.Of("1m", given).ToDictionary(k => k.OpenTime);
        var compared = 0;
        foreach (var item in official.EnumerateArray())
        {
            if (!klines.TryGetValue(item[0].GetInt64(), out var kline))
            {
                continue;
            }

            Assert.Equal((Exact(item[1]), Exact(item[2]), Exact(item[3]), Exact(item[4]), Exact(item[5])), (kline.Open, kline.High, kline.Low, kline.Close, kline.Volume));
            compared++;
        }

        Assert.Equal(2_469, compared);
    }

    [Fact]
    public async Task Recorded_frames_of_the_coin_venue_give_the_recorded_klines_between_any_two_of_their_frames()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);

        // The recording begins in the middle of a minute, so that no kline is covered from its open: what changes from one kline frame to the next is.
        var lines = File.ReadAllLines(RecordedData.PathOf("binance-ws", "BINANCE_DELIVERY-aggTrade-kline-bookTicker.ndjson"));
        var frames = lines.Select(l => JsonDocument.Parse(l).RootElement.GetProperty("data")).ToList();
        var firsts = frames.Where(f => f.GetProperty("e").ValueEquals("aggTrade")).Select(VenueTrade.Parse).DistinctBy(t => t.Symbol).ToList();
        var time = new ManualTimeProvider(DateTimeOffset.FromUnixTimeMilliseconds(firsts.Min(t => VenueKlines.OpenTime("1m", t.Time))).AddSeconds(6));
        await using var venue = await FakeBinanceVenue.Start(time);
        foreach (var first in firsts)
        {
            venue.List(first.Symbol, "USD", listed: 1_600_000_000_000, more: "\"contractSize\":10");
            venue.Remember([first with { Id = first.Id - 1, Time = first.Time - 3_600_000 }]);
        }

        await using var run = new BinanceRun(BinanceRun.Options(venue, firsts.Select(f => f.Symbol)) with { Venue = BinanceVenue.CoinM, History = false }, time: time);
        await run.UntilBegun(firsts.Select(f => f.Symbol));
        var sent = lines.Count(l => venue.PublishRecorded(l) is not null);
        Assert.Equal(51, sent);
        await run.UntilCount(sent);
        run.AssertWhole(venue, firsts.Select(f => f.Symbol));
        Assert.Equal(33, run.Source.GetStatus().Skipped["otherEvent:kline"]);

        var compared = 0;
        foreach (var klines in frames.Where(f => f.GetProperty("e").ValueEquals("kline")).Select(f => f.GetProperty("k")).GroupBy(k => (k.GetProperty("s").GetString(), k.GetProperty("t").GetInt64())))
        {
            var trades = venue.Trades(klines.Key.Item1!);
            foreach (var (a, b) in klines.Zip(klines.Skip(1)))
            {
                var (from, to) = (a.GetProperty("L").GetInt64(), b.GetProperty("L").GetInt64());
                var between = trades.Where(t => t.FirstId > from && t.LastId <= to).ToList();

                // Covered: whole aggregate trades from the one frame to the other, none missing.
                if (between.Count == 0 || between[0].FirstId != from + 1 || between[^1].LastId != to || between.Sum(t => t.LastId - t.FirstId + 1) != to - from)
                {
                    continue;
                }

                var given = run.Trades[klines.Key.Item1!].Where(t => between.Any(x => x.Id == t.Order.Id.Position)).ToList();
                Assert.Equal(Exact(b.GetProperty("v")) - Exact(a.GetProperty("v")), given.Sum(t => t.BaseAmount));
                Assert.Equal(Exact(b.GetProperty("V")) - Exact(a.GetProperty("V")), given.Where(t => t.TakerSide == TakerSide.Buy).Sum(t => t.BaseAmount));
                Assert.Equal(b.GetProperty("n").GetInt64() - a.GetProperty("n").GetInt64(), given.Sum(t => t.Count));
                Assert.Equal(Exact(b.GetProperty("c")), given[^1].Price.Value);
                Assert.Equal(Exact(b.GetProperty("h")), Math.Max(Exact(a.GetProperty("h")), given.Max(t => t.Price.Value)));
                Assert.Equal(Exact(b.GetProperty("l")), Math.Min(Exact(a.GetProperty("l")), given.Min(t => t.Price.Value)));
                compared++;
            }
        }

        Assert.True(compared >= 5, $"{compared} compared");
    }

    private static long Long(string text) => long.Parse(text, CultureInfo.InvariantCulture);

    private static decimal Exact(string text) => decimal.Parse(text, CultureInfo.InvariantCulture);

    private static decimal Exact(JsonElement json) => json.ValueKind == JsonValueKind.String ? Exact(json.GetString()!) : json.GetDecimal();

    private static void AssertSame(IEnumerable<VenueKline> expected, IEnumerable<Kline> given) =>
        Assert.Equal(
            expected,
            given.Select(k => new VenueKline(k.OpenTime.ToUnixTimeMilliseconds(), k.Open.Value, k.High.Value, k.Low.Value, k.Close.Value, k.BaseVolume, k.QuoteVolume, k.TradeCount, k.TakerBuyBaseVolume, k.TakerBuyQuoteVolume)));

    /// <summary>Moves the clock in steps, with a breath for the sockets between them, until the condition holds.</summary>
    private static Task Drive(ManualTimeProvider time, BinanceRun run, Func<bool> until, TimeSpan step) =>
        Repeat(() => time.Advance(step), until, () => $"{run.Source.GetStatus()}");

    private static async Task Repeat(Action action, Func<bool> until, Func<string>? describe = null)
    {
        var limit = TimeProvider.System.GetTimestamp();
        while (!until())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(limit) < TimeSpan.FromSeconds(60), "Not within 60 s. " + describe?.Invoke());
            action();
            await Task.Delay(TimeSpan.FromMilliseconds(2), TimeProvider.System, TestContext.Current.CancellationToken);
        }
    }
}
