using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Solana;
using KlineOrleans.Ingest.Tests.Solana;
using KlineOrleans.Testing;

namespace KlineOrleans.Ingest.Tests.Replay;

public sealed class ReplaySourceTests : IDisposable
{
    private const string Header = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker,is_best_match";
    private readonly string _folder = Directory.CreateTempSubdirectory("kline-replay").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    public static TheoryData<string, string, RecordingFormat> Recordings() => new()
    {
        { "pumpfun", "derived-synthetic-logsNotification.ndjson", RecordingFormat.SolanaLogs },
        { "binance-xrpeth", "XRPETH-aggTrades-2019-10-11_13.csv", RecordingFormat.BinanceAggTradesCsv },
        { "binance-ws", "BINANCE_DELIVERY-aggTrade-kline-bookTicker.ndjson", RecordingFormat.BinanceFrames },
        { "spinpet", "localnet_20251122_decoded_events.jsonl", RecordingFormat.SpinPetEventsJson },
    };

    [Theory]
    [MemberData(nameof(Recordings))]
    public async Task Restart_from_any_checkpoint_gives_the_same_trades_as_no_restart(string folder, string file, RecordingFormat format)
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        var options = Frames.Replay(RecordedData.PathOf(folder, file), format);
        var chunks = await Frames.ReadAll(Frames.Source(options));
        var all = chunks.SelectMany(c => c.Trades).ToList();
        var before = 0;
        foreach (var chunk in chunks)
        {
            before += chunk.Trades.Length;
            var after = await Frames.ReadAll(Frames.Source(options), chunk.Checkpoint);
            Assert.Equal(all.Skip(before), after.SelectMany(c => c.Trades));
        }

        Assert.Equal(all.Count, before);
    }

    [Fact]
    public async Task Restart_after_every_single_line_knows_the_clock_and_the_block_times()
    {
        // Speed above 0 gives a checkpoint after each line that moves the clock.
        var lines = new List<string>();
        for (var i = 0; i < 40; i++)
        {
            if (i % 3 == 0)
            {
                lines.Add($"{{\"slot\":{100 + i},\"blockTime\":{1_700_000_000 + (i * 2)}}}");
            }

            var creates = i % 5 == 0;
            lines.Add(Encoding.UTF8.GetString(creates
                ? Frames.Event(ProgramCatalog.PumpId, Convert.FromBase64String(RecordedLogsTests.PumpBuy(0)), 100 + i - (i % 4))
                : Frames.Event(ProgramCatalog.PumpId, Convert.FromBase64String(RecordedLogsTests.PumpBuy(1_700_000_001 + (i * 2))), 100 + i)));
        }

        var path = Write(string.Join('\n', lines));
        var options = Frames.Replay(path, RecordingFormat.SolanaLogs);
        var all = (await Frames.ReadAll(Frames.Source(options))).SelectMany(c => c.Trades).ToList();
        Assert.Equal(40, all.Count);
        Assert.Contains(all, t => t.IsEventTimeEstimated);
        Assert.Contains(all, t => t.EventTime < t.ReceivedTime);

        var paced = Frames.Replay(path, RecordingFormat.SolanaLogs, o => o with { Speed = 1_000 });
        var time = new ManualTimeProvider();
        var chunks = await ReadPaced(Frames.Source(paced, time), time, TimeSpan.FromMilliseconds(1));
        Assert.Equal(all, chunks.SelectMany(c => c.Trades));
        Assert.True(chunks.Count(c => c.Trades.Length > 0) > 10);
        var before = 0;
        foreach (var chunk in chunks)
        {
            before += chunk.Trades.Length;
            Assert.Equal(all.Skip(before), (await Frames.ReadAll(Frames.Source(options), chunk.Checkpoint)).SelectMany(c => c.Trades));
        }
    }

    [Theory]
    [InlineData("\n", true)]
    [InlineData("\n", false)]
    [InlineData("\r\n", true)]
    [InlineData("\r\n", false)]
    public async Task Line_ends_and_a_heading_make_no_difference(string end, bool hasHeading)
    {
        var rows = new[] { "1,0.5,2,10,12,1570752011620,True,True", "2,0.25,4,13,13,1570752011621,false,true" };
        foreach (var last in new[] { "", end })
        {
            var path = Write((hasHeading ? "\uFEFF" + Header + end : "") + string.Join(end, rows) + last);
            var source = Frames.Source(Frames.Replay(path, RecordingFormat.BinanceAggTradesCsv));
            var trades = (await Frames.ReadAll(source)).SelectMany(c => c.Trades).ToList();
            Assert.Equal([(1L, 3, TakerSide.Sell, 1.0m), (2L, 1, TakerSide.Buy, 1.0m)], trades.Select(t => (t.Order.Id.Position, t.Count, t.TakerSide, t.QuoteAmount)));
            Assert.Empty(source.GetStatus().Skipped);
        }
    }

    [Fact]
    public async Task Newer_archives_count_microseconds()
    {
        var path = Write("1,0.5,2,10,12,1735689600123456,True,True");
        var trade = Assert.Single((await Frames.ReadAll(Frames.Source(Frames.Replay(path, RecordingFormat.BinanceAggTradesCsv)))).SelectMany(c => c.Trades));
        Assert.Equal(DateTimeOffset.Parse("2025-01-01T00:00:00.1234560Z", CultureInfo.InvariantCulture), trade.EventTime);
    }

    [Fact]
    public async Task Broken_line_is_counted_and_named_and_the_replay_goes_on()
    {
        var path = Write(string.Join('\n', Header, "1,0.5,2,10,12,1570752011620,True,True", "broken", "2,x,2,10,12,1570752011620,True,True", "3,0,2,13,13,1570752011620,True,True", "", "4,0.5,2,14,13,1570752011620,True,True", "5,0.5,2,14,14,1570752011620,True,True"));
        var source = Frames.Source(Frames.Replay(path, RecordingFormat.BinanceAggTradesCsv));
        var trades = (await Frames.ReadAll(source)).SelectMany(c => c.Trades);
        Assert.Equal([1L, 5L], trades.Select(t => t.Order.Id.Position));
        Assert.Equal(new Dictionary<string, long> { ["emptyLine"] = 1, ["malformedLine"] = 3, ["priceOutOfRange"] = 1 }, source.GetStatus().Skipped);
        Assert.Equal($"{path}:7: a price, amount, id or time that no trade can have", source.GetStatus().Error);
        Assert.Equal(SourceState.Ended, source.GetStatus().State);
    }

    [Fact]
    public async Task Line_that_is_too_long_is_passed_over()
    {
        var row = "1,0.5,2,10,12,1570752011620,True,True";
        var path = Write(row + "\n" + new string('x', (9 * 1024 * 1024) + 5) + "\n" + row.Replace("1,", "2,", StringComparison.Ordinal) + "\n" + new string('y', 5 * 1024 * 1024));
        var source = Frames.Source(Frames.Replay(path, RecordingFormat.BinanceAggTradesCsv));
        var chunks = await Frames.ReadAll(source);
        Assert.Equal(2, chunks.Sum(c => c.Trades.Length));
        Assert.Equal(2, source.GetStatus().Skipped["lineTooLong"]);
        Assert.Empty(await Frames.ReadAll(Frames.Source(Frames.Replay(path, RecordingFormat.BinanceAggTradesCsv)), chunks[^1].Checkpoint));
    }

    [Theory]
    [InlineData(RecordingFormat.SolanaLogs)]
    [InlineData(RecordingFormat.BinanceAggTradesCsv)]
    [InlineData(RecordingFormat.BinanceFrames)]
    [InlineData(RecordingFormat.SpinPetEventsJson)]
    public async Task Empty_file_ends_at_once_even_in_a_loop(RecordingFormat format)
    {
        var source = Frames.Source(Frames.Replay(Write(""), format, o => o with { Loop = true }));
        Assert.Empty(await Frames.ReadAll(source));
        Assert.Equal(SourceState.Ended, source.GetStatus().State);
    }

    [Fact]
    public async Task Missing_file_is_an_error_that_names_it()
    {
        var path = Path.Combine(_folder, "none.csv");
        var source = Frames.Source(Frames.Replay(path, RecordingFormat.BinanceAggTradesCsv));
        var error = await Assert.ThrowsAsync<SourceException>(() => Frames.ReadAll(source));
        Assert.Contains(path, error.Message, StringComparison.Ordinal);
        Assert.Equal(SourceState.Failed, source.GetStatus().State);
    }

    [Fact]
    public async Task Checkpoint_of_another_recording_starts_from_the_beginning_and_one_of_a_cut_file_fails()
    {
        var first = Write("1,0.5,2,10,12,1570752011620,True,True\n2,0.5,2,13,13,1570752011621,True,True\n");
        var checkpoint = (await Frames.ReadAll(Frames.Source(Frames.Replay(first, RecordingFormat.BinanceAggTradesCsv))))[^1].Checkpoint;
        var other = Frames.Replay(Write("7,0.5,2,10,12,1570752011620,True,True\n8,0.5,2,13,13,1570752011621,True,True\n"), RecordingFormat.BinanceAggTradesCsv);
        Assert.Equal([7L, 8L], (await Frames.ReadAll(Frames.Source(other), checkpoint)).SelectMany(c => c.Trades).Select(t => t.Order.Id.Position));

        // Grown since: the new lines, and only they.
        await File.AppendAllTextAsync(first, "3,0.5,2,14,14,1570752011622,True,True\n", TestContext.Current.CancellationToken);
        Assert.Equal([3L], (await Frames.ReadAll(Frames.Source(Frames.Replay(first, RecordingFormat.BinanceAggTradesCsv)), checkpoint)).SelectMany(c => c.Trades).Select(t => t.Order.Id.Position));
        await Assert.ThrowsAsync<SourceException>(() => Frames.ReadAll(Frames.Source(other), "nonsense"));
    }

    [Fact]
    public async Task Received_time_and_clock_are_the_newest_event_time_so_far()
    {
        var path = Write("1,1,2,1,1,1570752001000,True,True\n2,1,2,2,2,1570752005000,True,True\n3,1,2,3,3,1570752003000,True,True\n");
        var chunk = Assert.Single(await Frames.ReadAll(Frames.Source(Frames.Replay(path, RecordingFormat.BinanceAggTradesCsv))));
        Assert.Equal([1_570_752_001L, 1_570_752_005L, 1_570_752_005L], chunk.Trades.Select(t => t.ReceivedTime.ToUnixTimeSeconds()));
        Assert.Equal(new SourceClock(DateTimeOffset.FromUnixTimeSeconds(1_570_752_005), false), chunk.Clock);
    }

    [Fact]
    public async Task Paced_replay_gives_a_line_when_it_is_due_and_never_a_clock_beyond_the_next_line()
    {
        var path = Write("1,1,2,1,1,1570752000000,True,True\n2,1,2,2,2,1570752000000,True,True\n3,1,2,3,3,1570752004000,True,True\n");
        var time = new ManualTimeProvider();
        var start = time.GetUtcNow();
        var source = Frames.Source(Frames.Replay(path, RecordingFormat.BinanceAggTradesCsv, o => o with { Speed = 2 }), time);
        var seen = new List<(TimeSpan At, int Trades, DateTimeOffset Clock)>();
        var reading = Task.Run(
            async () =>
            {
                await foreach (var chunk in source.Read(null, TestContext.Current.CancellationToken))
                {
                    lock (seen)
                    {
                        seen.Add((time.GetUtcNow() - start, chunk.Trades.Length, chunk.Clock.Time));
                    }
                }
            },
            TestContext.Current.CancellationToken);
        await Drive(reading, time, TimeSpan.FromMilliseconds(250));

        var first = DateTimeOffset.FromUnixTimeSeconds(1_570_752_000);
        Assert.Equal((TimeSpan.Zero, 2, first), seen[0]);
        Assert.Equal((TimeSpan.FromSeconds(2), 1, first.AddSeconds(4)), seen[^1]);
        Assert.Equal(9, seen.Count);
        foreach (var (at, trades, clock) in seen.Skip(1).SkipLast(1))
        {
            Assert.Equal(0, trades);
            Assert.Equal(first + (at * 2), clock);
            Assert.True(clock < first.AddSeconds(4));
        }
    }

    [Fact]
    public async Task Loop_starts_over_later_and_with_ids_of_its_own_and_restarts_anywhere()
    {
        var path = Write("10,1,2,1,1,1570752000000,True,True\n12,1,2,2,2,1570752090000,True,True\n");
        var options = Frames.Replay(path, RecordingFormat.BinanceAggTradesCsv, o => o with { Loop = true });
        var expected = new (long Id, long Seconds)[] { (10, 0), (12, 90), (13, 120), (15, 210), (16, 240), (18, 330) };
        var checkpoints = new List<string>();
        var trades = await Take(Frames.Source(options), null, 6, checkpoints);
        Assert.Equal(expected, trades.Select(t => (t.Order.Id.Position, t.EventTime.ToUnixTimeSeconds() - 1_570_752_000)));
        for (var i = 0; i < 2; i++)
        {
            Assert.Equal(trades.Skip(2 * (i + 1)).Take(2), await Take(Frames.Source(options), checkpoints[i], 2, []));
        }
    }

    [Fact]
    public async Task Frames_inside_a_recorder_s_object_or_an_array_are_read()
    {
        const string Trade = """{"e":"aggTrade","E":1,"s":"BTCUSDT","a":5,"p":"2.5","q":"4","f":1,"l":2,"T":1570752000000,"m":false}""";
        var text = System.Text.Json.JsonSerializer.Serialize(Trade);
        var path = Write(string.Join('\n', Trade, $"{{\"stream\":\"x\",\"data\":{Trade}}}", $"[{Trade},{{\"e\":\"24hrMiniTicker\"}}]", $"{{\"t\":\"recv\",\"ts\":1.5,\"data\":{text}}}", "{\"result\":null,\"id\":1}", Trade[..40], Trade.Replace("2.5", "-2.5", StringComparison.Ordinal), Trade.Replace("\"p\":\"2.5\",", "", StringComparison.Ordinal)));
        var source = Frames.Source(Frames.Replay(path, RecordingFormat.BinanceFrames));
        var trades = (await Frames.ReadAll(source)).SelectMany(c => c.Trades).ToList();
        Assert.Equal(4, trades.Count);
        Assert.All(trades, t => Assert.Equal(("BTCUSDT", 2.5m, 4m, 10m, 2, TakerSide.Buy), (t.Symbol, t.Price.Value, t.BaseAmount, t.QuoteAmount, t.Count, t.TakerSide)));
        Assert.Equal(new Dictionary<string, long> { ["malformedFrame"] = 2, ["notALog"] = 1, ["otherEvent:24hrMiniTicker"] = 1, ["priceOutOfRange"] = 1 }, source.GetStatus().Skipped);
    }

    [Fact]
    public async Task Mutated_lines_of_any_format_never_stop_the_replay()
    {
        var random = new Random(99);
        var seeds = new Dictionary<RecordingFormat, string>
        {
            [RecordingFormat.BinanceAggTradesCsv] = "1,0.5,2,10,12,1570752011620,True,True",
            [RecordingFormat.BinanceFrames] = """{"stream":"x","data":{"e":"aggTrade","E":1,"s":"BTCUSDT","a":5,"p":"2.5","q":"4","f":1,"l":2,"T":1570752000000,"m":false}}""",
            [RecordingFormat.SpinPetEventsJson] = """{"event_type":"BuySell","payer":"a","mint_account":"b","is_buy":true,"token_amount":5,"sol_amount":7,"latest_price":"2795899347623485554","timestamp":"2025-11-22T01:25:49.624143518Z","signature":"s","slot":5}""",
        };
        foreach (var (format, seed) in seeds)
        {
            var text = new List<byte>();
            for (var i = 0; i < 7_000; i++)
            {
                var line = Encoding.UTF8.GetBytes(seed).ToList();
                for (var m = random.Next(0, 4); m > 0; m--)
                {
                    var at = random.Next(line.Count);
                    var b = (byte)random.Next(256);
                    line[at] = b is (byte)'\n' ? (byte)'9' : b;
                    if (random.Next(3) == 0)
                    {
                        line.RemoveAt(random.Next(line.Count));
                    }
                }

                text.AddRange(line);
                text.Add((byte)'\n');
            }

            var path = Path.Combine(_folder, $"{format}.txt");
            await File.WriteAllBytesAsync(path, [.. text], TestContext.Current.CancellationToken);
            var source = Frames.Source(Frames.Replay(path, format));
            var trades = (await Frames.ReadAll(source)).Sum(c => c.Trades.Length);
            var skipped = source.GetStatus().Skipped.Values.Sum();
            Assert.True(trades > 1_500, $"{format}: {trades}");
            Assert.True(trades + skipped >= 7_000, $"{format}: {trades} trades, {skipped} skipped");
        }
    }

    private static async Task<List<Trade>> Take(ITradeSource source, string? checkpoint, int count, List<string> checkpoints)
    {
        var trades = new List<Trade>();
        await foreach (var chunk in source.Read(checkpoint, TestContext.Current.CancellationToken))
        {
            trades.AddRange(chunk.Trades);
            checkpoints.Add(chunk.Checkpoint);
            if (trades.Count >= count)
            {
                break;
            }
        }

        return trades;
    }

    private static async Task<List<SourceChunk>> ReadPaced(ITradeSource source, ManualTimeProvider time, TimeSpan step)
    {
        var reading = Task.Run(() => Frames.ReadAll(source), TestContext.Current.CancellationToken);
        await Drive(reading, time, step);
        return await reading;
    }

    // Moves the clock only while the source waits for it.
    private static async Task Drive(Task reading, ManualTimeProvider time, TimeSpan step)
    {
        while (!reading.IsCompleted)
        {
            if (time.ArmedTimers > 0)
            {
                time.Advance(step);
            }

            await Task.Yield();
        }

        await reading;
    }

    private string Write(string text)
    {
        var path = Path.Combine(_folder, $"{Guid.NewGuid():N}.txt");
        File.WriteAllText(path, text, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        return path;
    }
}
