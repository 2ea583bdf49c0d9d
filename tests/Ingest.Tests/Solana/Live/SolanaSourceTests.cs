using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Solana;
using KlineOrleans.Ingest.Solana.Live;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Solana;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Ingest.Tests.Solana.Live;

public sealed class SolanaSourceTests
{
    private const string SellId = "JBMmrp6jhksqnxDBskkmVvWHhJLaPBjgiMHEroJbUTBZ";
    private const string JulyId = "2uA6nkQRmnPTPWuw73pStTQRWnX15BkzV6zSsEG1nKyC";

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("pumpfun/derived-synthetic-logsNotification.ndjson", ProgramCatalog.PumpId, 1_891, 1_891)]
    [InlineData("spinpet/localnet_20250712_ws_frames.jsonl", JulyId, 0, 2)]
    [InlineData("spinpet/localnet_202510_sell_log_truncated.json", SellId, 0, 3)]
    [InlineData("solana-logs/mainnet-logsNotification-failed-tx-slot309999820.json", ProgramCatalog.PumpId, 0, 0)]
    public async Task Recorded_frames_through_a_node_give_the_same_events_as_from_a_replay(string file, string program, int expected, int events)
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        var path = RecordedData.PathOf(file.Split('/'));
        var replay = Frames.Source(Frames.Replay(path, RecordingFormat.SolanaLogs));
        var recorded = await Frames.ReadAll(replay);
        var lines = (await File.ReadAllLinesAsync(path, Cancelled)).Where(l => l.Contains("\"logsNotification\"", StringComparison.Ordinal));

        var time = new FastTimeProvider(20);
        var chain = FakeChain.FromFrames(lines, [program], 1_752_307_199);
        await using var node = await FakeSolanaNode.Start(chain, null, time);
        var symbols = new List<SymbolInfo>();
        var source = LiveRun.Source(LiveRun.Options(node) with { Programs = ProgramCatalog.Default, StartSlot = chain.FirstSlot }, time);
        var run = new LiveRun();
        using var stop = new CancellationTokenSource();
        var playing = PlayWhenSubscribed(node, ProgramCatalog.Default.Programs.Length, time, stop.Token);
        await run.Read(source, null, r => r.VerifiedSlot >= chain.LastSlot, Cancelled, c => symbols.AddRange(c.Symbols));
        await stop.CancelAsync();
        await playing;

        // One file has a frame for each event; a node has one log for a transaction, and of two with one signature serves the first.
        var want = recorded.SelectMany(c => c.Trades).DistinctBy(t => (t.Order.Id.Position, t.Order.Id.Signature)).GroupBy(t => t.Symbol).ToDictionary(g => g.Key, g => g.Select(Told).ToList());
        var have = run.ByMint();
        Assert.Equal(expected, have.Values.Sum(t => t.Count));
        Assert.Equal(want.Keys.Order(StringComparer.Ordinal), have.Keys);
        Assert.All(have, m => Assert.Equal(want[m.Key], m.Value.Select(Told)));
        Assert.Equal(recorded.SelectMany(c => c.Symbols).Select(s => (s.Symbol, s.Name)).Distinct(), symbols.Select(s => (s.Symbol, s.Name)).Distinct());

        // One recording spreads a transaction over several frames, of which a node has the first.
        var isSpread = file.StartsWith("pumpfun", StringComparison.Ordinal);
        Assert.Equal(
            recorded.SelectMany(c => c.Events).Where(e => !isSpread || e.Order.Id.Index == 0).Select(Said).Order(StringComparer.Ordinal),
            run.Events.Select(Said).Order(StringComparer.Ordinal));
        Assert.Equal(events, run.Events.Count);
        var (before, after) = (replay.GetStatus().Skipped, source.GetStatus().Skipped);
        foreach (var reason in new[] { SkipReason.NotATrade, SkipReason.WrongProgram, SkipReason.UnknownEvent, SkipReason.UnknownLayout, SkipReason.BadBase64, SkipReason.FailedTransaction, SkipReason.TruncatedLog })
        {
            Assert.Equal(before.GetValueOrDefault(reason.Name()), after.GetValueOrDefault(reason.Name()));
        }

        if (file.Contains("truncated", StringComparison.Ordinal))
        {
            Assert.Equal("1", source.GetStatus().Details["gaps"]);
            Assert.Contains("3ctEwQsF6irHPmvJ2VV466zHX18VxqPA9zwDtT7iNJLxJguCqtfwV9WuzMEDStZ6JB67qdCYrWVwKRkEugxxn6Wp of slot 25865", source.GetStatus().Details["newestGap"], StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Node_that_falls_silent_makes_the_source_stale_within_35_seconds_and_the_next_node_makes_it_live_again()
    {
        var time = new ManualTimeProvider();
        var chain = new ChainGenerator(11) { Mints = 10, FirstBlockTime = time.GetUtcNow().ToUnixTimeSeconds(), TransactionsPerSlot = 4 }.Generate(400);
        await using var first = await FakeSolanaNode.Start(chain, null, time);
        await using var second = await FakeSolanaNode.Start(chain, null, time);
        var source = LiveRun.Source(LiveRun.Options(first, second) with { StartSlot = chain.FirstSlot, ScanInterval = TimeSpan.FromSeconds(5) }, time);
        var run = new LiveRun();
        var isDone = false;
        var reading = Task.Run(() => run.Read(source, null, r => Volatile.Read(ref isDone) && r.VerifiedSlot >= chain.LastSlot, Cancelled), Cancelled);

        async Task Play()
        {
            await first.PlaySlot();
            await second.PlaySlot();
        }

        await Until(() => first.LogSubscriptions == 2, time);
        await Until(() => source.GetStatus().State == SourceState.Live && run.Clock.IsLive, time, Play);
        Assert.Equal(0, second.Accepted);

        first.IsSilent = true;
        var silentSince = time.GetUtcNow();
        await Until(() => source.GetStatus().State == SourceState.Stale, time);
        Assert.InRange(time.GetUtcNow() - silentSince, TimeSpan.FromSeconds(25), TimeSpan.FromSeconds(35));
        await Until(() => !run.Clock.IsLive, time);
        await Until(() => source.GetStatus().Details["endpoint:node1"].StartsWith("silent", StringComparison.Ordinal), time);

        await Until(() => second.LogSubscriptions == 2, time);
        await Until(() => source.GetStatus().State == SourceState.Live && run.Clock.IsLive, time, Play);
        Volatile.Write(ref isDone, true);
        await Until(() => reading.IsCompleted, time, Play);
        await reading;
        run.AssertIs(chain.Trades, run.Describe(source));
    }

    [Fact]
    public async Task Node_far_behind_the_other_is_left()
    {
        var time = new FastTimeProvider(20);
        var chain = new ChainGenerator(12) { Mints = 10, TransactionsPerSlot = 4 }.Generate(1_000);
        await using var behind = await FakeSolanaNode.Start(chain, null, time);
        await using var good = await FakeSolanaNode.Start(chain, null, time);
        good.SkipTo(chain.LastSlot);
        var source = LiveRun.Source(LiveRun.Options(behind, good) with { StartSlot = chain.FirstSlot, MaxLagSlots = 50 }, time);
        var run = new LiveRun();
        using var stop = new CancellationTokenSource();
        var playing = Task.WhenAll(behind.PlayForEver(TimeSpan.FromSeconds(1), stop.Token), good.PlayForEver(TimeSpan.FromSeconds(1), stop.Token)).ContinueWith(_ => { }, TaskScheduler.Default);
        await run.Read(source, null, r => r.VerifiedSlot >= chain.LastSlot, Cancelled);
        await stop.CancelAsync();
        await playing;
        Assert.True(good.Accepted > 0);
        run.AssertIs(chain.Trades, run.Describe(source));
    }

    [Fact]
    public async Task Restart_from_every_checkpoint_loses_nothing_whatever_was_given_after_it()
    {
        var time = new FastTimeProvider(20);
        var chain = new ChainGenerator(13) { Mints = 20, TransactionsPerSlot = 12 }.Generate(1_500);
        await using var node = await FakeSolanaNode.Start(chain, FakeNodeChaos.Everything(13) with { TooManyRequests = 0, Slow = 0, Drop = 0.03 }, time);
        using var stop = new CancellationTokenSource();
        var playing = PlayWhenSubscribed(node, 2, time, stop.Token);
        var options = LiveRun.Options(node) with { StartSlot = chain.FirstSlot, ScanInterval = TimeSpan.FromSeconds(2) };
        var chunks = new List<SourceChunk>();
        var source = LiveRun.Source(options, time);
        var whole = new LiveRun();
        await whole.Read(source, null, r => r.VerifiedSlot >= chain.LastSlot, Cancelled, chunks.Add);
        whole.AssertIs(chain.Trades, whole.Describe(source));

        var starts = chunks.Select((c, i) => (c.Checkpoint, Index: i)).GroupBy(c => c.Checkpoint).Select(g => g.First()).ToList();
        Assert.True(starts.Count > 5, $"{starts.Count} checkpoints");
        var random = new Random(13);
        foreach (var (checkpoint, index) in starts)
        {
            // The consumer has all chunks up to the checkpoint's, and some more that it took before it died.
            var after = new LiveRun();
            foreach (var chunk in chunks.Take(index + 1 + random.Next(chunks.Count - index)))
            {
                after.Add(chunk);
            }

            var again = LiveRun.Source(options, time);
            after.ForgetClock();
            await after.Read(again, checkpoint, r => r.VerifiedSlot >= chain.LastSlot && r.Chunks > 1, Cancelled);
            after.AssertIs(chain.Trades, $"from {checkpoint}: {after.Describe(again)}");
        }

        await stop.CancelAsync();
        await playing;
    }

    [Fact]
    public async Task Frames_that_find_the_queue_full_are_fetched()
    {
        var time = new FastTimeProvider(20);
        var chain = new ChainGenerator(14) { Mints = 20, TransactionsPerSlot = 20 }.Generate(1_000);
        await using var node = await FakeSolanaNode.Start(chain, null, time);
        var source = LiveRun.Source(LiveRun.Options(node) with { StartSlot = chain.FirstSlot, MaxQueuedFrames = 16 }, time);
        var run = new LiveRun();
        var playing = Task.CompletedTask;
        using var stop = new CancellationTokenSource();
        await run.Read(source, null, r => r.VerifiedSlot >= chain.LastSlot, Cancelled, chunk =>
        {
            if (playing == Task.CompletedTask && chunk.Clock.IsLive is false && node.LogSubscriptions == 2)
            {
                // The consumer takes nothing until the chain is told to its end.
                node.PlayAll(TimeSpan.Zero, Cancelled).Wait(Cancelled);
                playing = node.PlayForEver(TimeSpan.FromMilliseconds(400), stop.Token).ContinueWith(_ => { }, TaskScheduler.Default);
            }
        });
        await stop.CancelAsync();
        await playing;
        Assert.True(long.Parse(source.GetStatus().Details["overflowedFrames"], CultureInfo.InvariantCulture) > 100);
        run.AssertIs(chain.Trades, run.Describe(source));
    }

    [Fact]
    public async Task Log_cut_on_every_copy_is_a_gap_that_names_the_transaction_and_loses_no_other()
    {
        var time = new FastTimeProvider(20);
        var chain = new ChainGenerator(15) { Mints = 10, TransactionsPerSlot = 10, TruncatedPerTenThousand = 300, FailedPercent = 0 }.Generate(300);
        var cut = chain.Blocks.SelectMany(b => b.Transactions).Where(t => t.IsTruncatedForEver).ToList();
        Assert.NotEmpty(cut);
        await using var node = await FakeSolanaNode.Start(chain, null, time);
        var source = LiveRun.Source(LiveRun.Options(node) with { StartSlot = chain.FirstSlot }, time);
        var run = new LiveRun();
        using var stop = new CancellationTokenSource();
        var playing = PlayWhenSubscribed(node, 2, time, stop.Token);
        await run.Read(source, null, r => r.VerifiedSlot >= chain.LastSlot, Cancelled);
        await stop.CancelAsync();
        await playing;
        run.AssertIs(chain.Trades, run.Describe(source));
        Assert.Equal(cut.Count.ToString(CultureInfo.InvariantCulture), source.GetStatus().Details["gaps"]);
        Assert.Contains(cut, t => source.GetStatus().Details["newestGap"].Contains(t.Signature, StringComparison.Ordinal));
        Assert.Equal(cut.Count, source.GetStatus().Skipped["missingTransaction"]);
    }

    [Fact]
    public async Task Trades_whose_block_time_is_learnt_late_are_given_with_an_estimate_and_again_with_the_right_time()
    {
        var time = new FastTimeProvider(20);
        var chain = new ChainGenerator(16) { Mints = 10, TransactionsPerSlot = 10, FailedPercent = 0, SkippedPercent = 0 }.Generate(200);

        // From the middle on every slot is ten seconds later than slots tell.
        var middle = chain.Blocks[chain.Blocks.Length / 2].Slot;
        chain = chain with { Blocks = [.. chain.Blocks.Select(b => b.Slot < middle ? b : b with { BlockTime = b.BlockTime + 10 })] };
        await using var node = await FakeSolanaNode.Start(chain, null, time);
        var options = LiveRun.Options(node) with { StartSlot = chain.FirstSlot, BlockTimeWait = TimeSpan.FromSeconds(2) };
        var source = LiveRun.Source(options, time);
        var run = new LiveRun();
        using var stop = new CancellationTokenSource();
        var estimated = new TaskCompletionSource();
        var playing = Task.Run(
            async () =>
            {
                while (node.LogSubscriptions < 2 || source.GetStatus().State != SourceState.Live)
                {
                    await Task.Delay(TimeSpan.FromMilliseconds(400), time, stop.Token);
                    if (node.LogSubscriptions == 2 && node.Head < middle - 5)
                    {
                        await node.PlaySlot();
                    }
                }

                node.Refuses = "getBlockTime";
                await Task.Delay(TimeSpan.FromSeconds(4), time, stop.Token);
                await node.PlayAll(TimeSpan.FromMilliseconds(400), stop.Token);
                await estimated.Task;
                node.Refuses = null;
                await node.PlayForEver(TimeSpan.FromMilliseconds(400), stop.Token);
            },
            CancellationToken.None).ContinueWith(_ => { }, TaskScheduler.Default);
        await run.Read(source, null, r => r.VerifiedSlot >= chain.LastSlot, Cancelled, chunk =>
        {
            if (chunk.Trades.Any(t => t.IsEventTimeEstimated))
            {
                estimated.TrySetResult();
            }
        });
        await stop.CancelAsync();
        await playing;
        Assert.True(estimated.Task.IsCompleted);
        Assert.True(int.Parse(source.GetStatus().Details["wrongTimes"], CultureInfo.InvariantCulture) > 0);
        Assert.Equal(chain.Trades.Length, source.GetStatus().Trades);

        // No checkpoint passes an estimate: at the last one every time is right.
        run.AssertIs(chain.Trades.Select(t => t.Slot < middle ? t : t with { BlockTime = t.BlockTime + 10 }), run.Describe(source));
    }

    [Fact]
    public async Task Node_of_another_cluster_is_refused_and_named_and_the_others_serve()
    {
        var time = new FastTimeProvider(20);
        var chain = new ChainGenerator(18) { Mints = 10, TransactionsPerSlot = 10 }.Generate(300);
        var other = new ChainGenerator(19) { Mints = 10, TransactionsPerSlot = 10 }.Generate(300);
        await using var right = await FakeSolanaNode.Start(chain, null, time);
        await using var foreign = await FakeSolanaNode.Start(other, null, time);
        foreign.GenesisHash = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG";
        foreign.SkipTo(other.LastSlot);
        var saved = $"solana1|{chain.FirstSlot - 1}|{right.GenesisHash}";
        var source = LiveRun.Source(LiveRun.Options(foreign, right), time);
        var run = new LiveRun();
        using var stop = new CancellationTokenSource();
        var playing = PlayWhenSubscribed(right, 2, time, stop.Token);
        await run.Read(source, saved, r => r.VerifiedSlot >= chain.LastSlot, Cancelled);
        await stop.CancelAsync();
        await playing;

        run.AssertIs(chain.Trades, run.Describe(source));
        Assert.Equal(0, foreign.Accepted);
        var told = source.GetStatus().Details["endpoint:node1"];
        Assert.Contains("another cluster", told, StringComparison.Ordinal);
        Assert.Contains(foreign.GenesisHash, told, StringComparison.Ordinal);
        Assert.EndsWith($"|{right.GenesisHash}", run.Checkpoint, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Node_of_another_cluster_alone_gives_nothing_and_the_status_says_why()
    {
        var time = new ManualTimeProvider();
        var chain = new ChainGenerator(18) { Mints = 10, TransactionsPerSlot = 10, FirstBlockTime = time.GetUtcNow().ToUnixTimeSeconds() }.Generate(100);
        await using var node = await FakeSolanaNode.Start(chain, null, time);
        var source = LiveRun.Source(LiveRun.Options(node), time);
        var run = new LiveRun();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        var reading = Task.Run(() => run.Read(source, $"solana1|{chain.FirstSlot - 1}|EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG", _ => false, stop.Token), Cancelled);

        await Until(() => source.GetStatus() is { State: SourceState.Stale, Error: not null }, time, node.PlaySlot);
        Assert.Contains("another cluster", source.GetStatus().Error, StringComparison.Ordinal);
        Assert.Contains(node.GenesisHash, source.GetStatus().Error, StringComparison.Ordinal);
        Assert.Equal(0, node.Accepted);
        Assert.Empty(run.ByMint());

        // The same address may come to mean the right cluster.
        node.GenesisHash = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG";
        await Until(() => source.GetStatus().State == SourceState.Live, time, node.PlaySlot);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading);
    }

    [Fact]
    public async Task First_start_begins_now_and_gives_nothing_of_the_past()
    {
        var time = new FastTimeProvider(20);
        var chain = new ChainGenerator(17) { Mints = 10, TransactionsPerSlot = 10 }.Generate(400);
        await using var node = await FakeSolanaNode.Start(chain, null, time);
        var start = chain.Blocks[chain.Blocks.Length / 2].Slot;
        node.SkipTo(start);
        var source = LiveRun.Source(LiveRun.Options(node), time);
        var run = new LiveRun();
        using var stop = new CancellationTokenSource();
        var playing = PlayWhenSubscribed(node, 2, time, stop.Token);
        await run.Read(source, null, r => r.VerifiedSlot >= chain.LastSlot, Cancelled);
        await stop.CancelAsync();
        await playing;
        run.AssertIs(chain.Trades.Where(t => t.Slot > start), run.Describe(source));
    }

    [Fact]
    public async Task Checkpoint_of_another_kind_is_refused_with_a_sentence()
    {
        await using var node = await FakeSolanaNode.Start(new ChainGenerator(1) { Mints = 2 }.Generate(10));
        var source = LiveRun.Source(LiveRun.Options(node), TimeProvider.System);
        var error = await Assert.ThrowsAsync<SourceException>(() => new LiveRun().Read(source, "replay1|7", _ => true, Cancelled));
        Assert.Contains("replay1|7", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Frames_of_any_content_are_counted_logged_once_a_minute_and_survived()
    {
        var seconds = double.TryParse(Environment.GetEnvironmentVariable("KLINE_FUZZ_SECONDS"), CultureInfo.InvariantCulture, out var n) ? n : 0;
        var time = new FastTimeProvider(1);
        var chain = new ChainGenerator(18) { Mints = 10, TransactionsPerSlot = 10 }.Generate(400);
        await using var node = await FakeSolanaNode.Start(chain, null, time);
        var logger = new CountingLogger();
        var source = LiveRun.Source(LiveRun.Options(node) with { StartSlot = chain.FirstSlot, ScanInterval = TimeSpan.FromSeconds(1) }, time, logger);
        var run = new LiveRun();
        var isFuzzed = false;
        var (memory, after) = (0L, 0L);
        var sent = 0;
        using var stop = new CancellationTokenSource();
        var playing = Task.Run(
            async () =>
            {
                while (node.LogSubscriptions < 2)
                {
                    await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System, stop.Token);
                }

                var random = new Random(18);
                await node.SendRaw(new byte[10 << 20], fragments: 320);

                // What has the shape of a frame and values of other kinds.
                foreach (var wrong in WrongTypes)
                {
                    await node.SendRaw(Encoding.UTF8.GetBytes(wrong));
                }

                var began = time.GetTimestamp();
                for (var round = 0; round < 4_000 || time.GetElapsedTime(began).TotalSeconds < seconds; round++)
                {
                    while (node.LogSubscriptions < 2)
                    {
                        await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System, stop.Token);
                    }

                    await node.SendRaw(Fuzzed(chain, random));
                    Interlocked.Increment(ref sent);
                    if (round % 20_000 == 19_999)
                    {
                        await node.SendRaw(new byte[10 << 20], fragments: 320);
                    }

                    if (round % 500 == 499)
                    {
                        await node.PlaySlot();
                    }

                    if (round % 5_000 == 4_999)
                    {
                        // No faster than they are read, or most would be dropped at the queue.
                        await Drained(source);
                    }

                    if (round == 2_000)
                    {
                        memory = await Settled(node, source);
                    }
                }

                after = await Settled(node, source);
                Volatile.Write(ref isFuzzed, true);
                await node.PlayForEver(TimeSpan.FromMilliseconds(10), stop.Token);
            },
            CancellationToken.None).ContinueWith(t => t.Exception is null ? 0 : throw t.Exception, TaskScheduler.Default);
        await run.Read(source, null, r => Volatile.Read(ref isFuzzed) && r.VerifiedSlot >= chain.LastSlot, Cancelled, longer: TimeSpan.FromSeconds(seconds));
        await stop.CancelAsync();

        var genuine = chain.Trades.Select(t => new TradeId(t.Slot, t.Signature, t.Index)).ToHashSet();
        Assert.Subset(run.ByMint().Values.SelectMany(t => t).Select(t => t.Order.Id).ToHashSet(), genuine);
        var skipped = source.GetStatus().Skipped;
        foreach (var reason in new[] { SkipReason.FrameTooLarge, SkipReason.MalformedFrame, SkipReason.BadBase64, SkipReason.UnknownEvent, SkipReason.UnknownLayout })
        {
            Assert.True(skipped.GetValueOrDefault(reason.Name()) > 0, $"{reason}: {run.Describe(source)}");
        }

        TestContext.Current.TestOutputHelper?.WriteLine(
            string.Create(CultureInfo.InvariantCulture, $"{sent} frames; managed memory {memory >> 10} KB after 2,000, {after >> 10} KB at the end, working set {Environment.WorkingSet >> 20} MB; {source.GetStatus().Details["seenTransactions"]} transactions remembered; {string.Join(", ", skipped.Select(s => $"{s.Key} {s.Value}"))}"));

        // Each kind of warning once a minute at most.
        Assert.All(logger.Messages, m => Assert.InRange(m.Value, 1, 1 + (int)(seconds / 60) + 1));
        // Flat: everything was taken when it was measured, the first time after 2,000 frames.
        Assert.InRange(after - memory, long.MinValue, 16 << 20);
    }

    // What is held once everything sent was taken and everything that can be collected is.
    private static async Task<long> Settled(FakeSolanaNode node, ITradeSource source)
    {
        while (node.Unsent > 0)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System, CancellationToken.None);
        }

        await Drained(source);
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        return GC.GetTotalMemory(forceFullCollection: true);
    }

    private static async Task Drained(ITradeSource source)
    {
        while (source.GetStatus().Details["queuedFrames"] != "0")
        {
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System, CancellationToken.None);
        }
    }

    private static readonly string[] WrongTypes =
    [
        "null", "7", "\"logsNotification\"", "[]", "{}", "[[[[[[[[]]]]]]]]",
        """{"jsonrpc":"2.0","method":"logsNotification"}""",
        """{"jsonrpc":"2.0","method":"logsNotification","params":[]}""",
        """{"jsonrpc":"2.0","method":"logsNotification","params":{"result":{"context":{"slot":"seven"},"value":{"signature":"a","err":null,"logs":[]}},"subscription":1}}""",
        """{"jsonrpc":"2.0","method":"logsNotification","params":{"result":{"context":{"slot":-1},"value":{"signature":"a","err":null,"logs":[]}},"subscription":1}}""",
        """{"jsonrpc":"2.0","method":"logsNotification","params":{"result":{"context":{"slot":1e300},"value":{"signature":"a","err":null,"logs":[]}},"subscription":1}}""",
        """{"jsonrpc":"2.0","method":"logsNotification","params":{"result":{"context":{"slot":5},"value":{"signature":7,"err":null,"logs":[]}},"subscription":1}}""",
        """{"jsonrpc":"2.0","method":"logsNotification","params":{"result":{"context":{"slot":5},"value":{"signature":"a","err":null,"logs":"none"}},"subscription":1}}""",
        """{"jsonrpc":"2.0","method":"logsNotification","params":{"result":{"context":{"slot":5},"value":{"signature":"a","err":null,"logs":[1,null,{}]}},"subscription":1}}""",
        """{"jsonrpc":"2.0","method":"slotNotification","params":{"result":{"slot":"x","parent":[],"root":null},"subscription":2}}""",
        """{"jsonrpc":"2.0","method":"slotNotification","params":{"result":7,"subscription":"two"}}""",
        """{"jsonrpc":"2.0","id":"1","result":{}}""",
        """{"jsonrpc":"2.0","id":99999999999999999999999,"result":1}""",
    ];

    // A frame of the chain with a few bytes changed, cut or doubled; sometimes still well formed, but never with a signature of the chain.
    private static byte[] Fuzzed(FakeChain chain, Random random)
    {
        var block = chain.Blocks[random.Next(chain.Blocks.Length)];
        var transaction = block.Transactions.IsEmpty ? chain.Blocks[0].Transactions.FirstOrDefault() : block.Transactions[random.Next(block.Transactions.Length)];
        var logs = transaction?.Logs.ToList() ?? [];
        var data = logs.FindIndex(l => l.StartsWith("Program data: ", StringComparison.Ordinal));
        if (data >= 0)
        {
            logs[data] = random.Next(6) switch
            {
                // As a later generation of the program would: a known event with more behind it.
                5 => "Program data: " + Convert.ToBase64String([.. Convert.FromBase64String(logs[data]["Program data: ".Length..])[..8], .. new byte[random.Next(8, 400)]]),
                0 => "Program data: !!!not base64!!!",
                1 => "Program data: " + Convert.ToBase64String(new byte[20]),
                2 => logs[data][..^8],
                3 => "Program data: " + new string('A', random.Next(4_000)),
                _ => logs[data] + "AAAA",
            };
        }

        var signature = new string([.. Enumerable.Range(0, 88).Select(_ => "123456789ABCDEFGH"[random.Next(17)])]);
        var frame = Frames.Notification(logs, block.Slot, signature).ToList();
        switch (random.Next(6))
        {
            case 0:
                frame = frame[..random.Next(frame.Count)];
                break;
            case 1:
                for (var i = 0; i < 5; i++)
                {
                    // Bytes that are no text end the connection; that happens too, but rarely.
                    frame[random.Next(frame.Count)] = (byte)(random.Next(2_000) == 0 ? 0xFF : random.Next(32, 127));
                }

                break;
            case 2:
                frame.InsertRange(random.Next(frame.Count), Encoding.UTF8.GetBytes("{\"a\":["));
                break;
            case 3:
                return [.. Encoding.UTF8.GetBytes(new string('[', random.Next(2_000)))];
        }

        return [.. frame];
    }

    private static Task PlayWhenSubscribed(FakeSolanaNode node, int subscriptions, TimeProvider time, CancellationToken cancellationToken) => Task.Run(
        async () =>
        {
            while (node.LogSubscriptions < subscriptions)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(200), time, cancellationToken);
            }

            await node.PlayForEver(TimeSpan.FromMilliseconds(200), cancellationToken);
        },
        CancellationToken.None).ContinueWith(_ => { }, TaskScheduler.Default);

    // Moves the clock in small steps until the condition holds; real time passes only for what goes over the wire.
    private static async Task Until(Func<bool> condition, ManualTimeProvider time, Func<Task>? step = null)
    {
        using var safety = new CancellationTokenSource(LiveRun.Safety);
        while (!condition())
        {
            Assert.False(safety.IsCancellationRequested, "the condition did not come about");
            if (step is not null)
            {
                await step();
            }

            time.Advance(TimeSpan.FromMilliseconds(400));
            await Task.Delay(TimeSpan.FromMilliseconds(8), TimeProvider.System, CancellationToken.None);
        }
    }

    private static string Said(ChainEvent e) => $"{e.Symbol} {e.Order.Id} {e.Type} {e.Fields}";

    private static (long, string?, int, decimal, decimal, decimal, TakerSide) Told(Trade t) =>
        (t.Order.Id.Position, t.Order.Id.Signature, t.Order.Id.Index, t.Price.Value, t.BaseAmount, t.QuoteAmount, t.TakerSide);

    private sealed class CountingLogger : ILogger<SolanaSource>
    {
        public ConcurrentDictionary<string, int> Messages { get; } = new(StringComparer.Ordinal);

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        // What varies within one kind of message is digits and signatures.
        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Messages.AddOrUpdate(new string([.. string.Join(' ', formatter(state, exception).Split(' ').Where(w => w.Length < 40)).Where(c => !char.IsAsciiDigit(c))]), 1, static (_, count) => count + 1);
    }
}
