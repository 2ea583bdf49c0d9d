using System.Text;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Solana;

namespace KlineOrleans.Ingest.Tests.Solana;

public sealed class LogFrameReaderTests
{
    private static readonly string[] Logs =
        [$"Program {ProgramCatalog.PumpId} invoke [1]", "Program log: \u6B63\u5728 \"quoted\"", $"Program data: {RecordedLogsTests.PumpBuy()}", $"Program {ProgramCatalog.PumpId} success"];

    [Fact]
    public void Members_may_stand_in_any_order()
    {
        var logs = System.Text.Json.JsonSerializer.Serialize(Logs);
        foreach (var value in new[] { $"\"err\":null,\"logs\":{logs},\"signature\":\"{Frames.Signature}\"", $"\"logs\":{logs},\"signature\":\"{Frames.Signature}\",\"err\":null" })
        {
            foreach (var frame in new[]
            {
                "{\"params\":{\"subscription\":1,\"result\":{\"value\":{" + value + "},\"context\":{\"apiVersion\":\"2.1\",\"slot\":100}}},\"method\":\"logsNotification\",\"jsonrpc\":\"2.0\"}",
                " { \"method\" : \"logsNotification\" , \"params\" : { \"result\" : { \"context\" : { \"slot\" : 100 } , \"value\" : {" + value + "} } } } ",
            })
            {
                var trade = Assert.Single(Frames.Decode(Encoding.UTF8.GetBytes(frame)).Trades);
                Assert.Equal(new TradeId(100, Frames.Signature), trade.Order.Id);
            }
        }
    }

    [Fact]
    public void Escaped_characters_in_a_line_mean_what_they_stand_for()
    {
        var frame = Encoding.UTF8.GetString(Frames.Notification(Logs)).Replace("Program data", "\\u0050rogram\\u0020data", StringComparison.Ordinal).Replace("=", "\\u003D", StringComparison.Ordinal)
            .Replace(" success", "\\u0020success", StringComparison.Ordinal);
        Assert.Single(Frames.Decode(Encoding.UTF8.GetBytes(frame)).Trades);
    }

    [Fact]
    public void Frame_cut_at_any_byte_is_refused_and_counted_once()
    {
        var frame = Frames.Notification(Logs);
        for (var length = 0; length < frame.Length; length++)
        {
            var decoded = Frames.Decode(frame[..length]);
            Assert.Equal(LogFrameKind.Malformed, decoded.Kind);
            Assert.Empty(decoded.Trades);
            Assert.Equal(new Dictionary<string, long> { ["malformedFrame"] = 1 }, decoded.Skipped.ToDictionary());
        }

        Assert.Single(Frames.Decode(frame).Trades);
    }

    [Fact]
    public void Twenty_thousand_mutations_never_throw_and_every_frame_gives_a_trade_or_a_count()
    {
        var random = new Random(20_26);
        byte[][] seeds = [Frames.Notification(Logs), Frames.Notification(Logs, extra: ",\"x\":[1,{\"y\":null}]"), "{\"slot\":5,\"blockTime\":1700000000}"u8.ToArray(), "{\"jsonrpc\":\"2.0\",\"result\":0,\"id\":\"a\"}"u8.ToArray()];
        var (trades, refused) = (0, 0);
        for (var i = 0; i < 20_000; i++)
        {
            var frame = seeds[random.Next(seeds.Length)].ToList();
            for (var m = random.Next(1, 5); m > 0; m--)
            {
                var at = random.Next(frame.Count);
                switch (random.Next(4))
                {
                    case 0:
                        frame[at] = (byte)random.Next(256);
                        break;
                    case 1:
                        frame.RemoveAt(at);
                        break;
                    case 2:
                        frame.Insert(at, (byte)"{}[]\",:\\u0e-"[random.Next(11)]);
                        break;
                    default:
                        frame.RemoveRange(at, Math.Min(frame.Count - at, random.Next(1, 40)));
                        break;
                }

                if (frame.Count == 0)
                {
                    break;
                }
            }

            var decoded = Frames.Decode([.. frame]);
            trades += decoded.Trades.Count;
            refused += decoded.Skipped.ToDictionary().IsEmpty ? 0 : 1;
            Assert.True(decoded.Trades.Count > 0 || decoded.Kind == LogFrameKind.BlockTime || !decoded.Skipped.ToDictionary().IsEmpty, Encoding.UTF8.GetString([.. frame]));
        }

        Assert.True(trades > 500 && refused > 5_000, $"{trades} trades, {refused} refused");
    }

    [Theory]
    [InlineData("{\"jsonrpc\":\"2.0\",\"result\":0,\"id\":\"x\"}", "Other")]
    [InlineData("{\"jsonrpc\":\"2.0\",\"method\":\"slotNotification\",\"params\":{\"result\":{\"parent\":75,\"root\":44,\"slot\":76},\"subscription\":0}}", "Other")]
    [InlineData("[1,2]", "Other")]
    [InlineData("3", "Other")]
    [InlineData("{\"slot\":5,\"blockTime\":1700000000}", "BlockTime")]
    [InlineData("{\"slot\":-5,\"blockTime\":1700000000}", "Other")]
    [InlineData("{\"slot\":5,\"blockTime\":\"soon\"}", "Other")]
    [InlineData("{\"method\":\"logsNotification\",\"params\":{\"result\":{\"context\":{\"slot\":5}}}}", "Malformed")]
    [InlineData("{\"method\":\"logsNotification\",\"params\":7}", "Malformed")]
    [InlineData("{\"method\":\"logsNotification\"}", "Malformed")]
    [InlineData("{} {}", "Malformed")]
    [InlineData("", "Malformed")]
    [InlineData("agg_trade_id,price", "Malformed")]
    public void Anything_else_has_its_kind(string frame, string kind) =>
        Assert.Equal(kind, Frames.Decode(Encoding.UTF8.GetBytes(frame)).Kind.ToString());

    [Fact]
    public void Deep_nesting_is_refused()
    {
        var frame = new string('[', 5_000) + new string(']', 5_000);
        Assert.Equal(LogFrameKind.Malformed, Frames.Decode(Encoding.UTF8.GetBytes(frame)).Kind);
    }

    [Fact]
    public void Event_belongs_to_the_program_on_top_and_its_index_counts_that_program_s_events()
    {
        const string Other = "JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4";
        var data = $"Program data: {RecordedLogsTests.PumpBuy()}";
        var decoded = Frames.Decode(Frames.Notification(
        [
            $"Program {Other} invoke [1]", data,
            $"Program {ProgramCatalog.PumpId} invoke [2]", data, "Program data: !!!", $"Program {Other} invoke [3]", data, $"Program {Other} failed: custom program error: 0x1", data,
            $"Program {ProgramCatalog.PumpId} success", data, $"Program {Other} success", data,
        ]));
        Assert.Equal([0, 2], decoded.Trades.Select(t => t.Order.Id.Index));
        Assert.Equal(new Dictionary<string, long> { ["badBase64"] = 1, ["wrongProgram"] = 4 }, decoded.Skipped.ToDictionary());
    }

    [Fact]
    public void Depth_of_an_invocation_mends_what_a_lost_line_broke()
    {
        var data = $"Program data: {RecordedLogsTests.PumpBuy()}";
        var decoded = Frames.Decode(Frames.Notification([$"Program {ProgramCatalog.PumpId} invoke [1]", "Program 11111111111111111111111111111111 invoke [2]", $"Program {ProgramCatalog.PumpId} invoke [1]", data, $"Program {ProgramCatalog.PumpId} success", data]));
        Assert.Single(decoded.Trades);
        Assert.Equal(1, decoded.Skipped[SkipReason.WrongProgram]);
    }

    [Theory]
    [InlineData("AAAA", "unknownEvent")]
    [InlineData("AAAAAAAAAAAAAAAA", "unknownEvent")]
    [InlineData("vdt/007mYe7TEKRU", "unknownLayout")]
    [InlineData("vdt/007mYe7TEKRU vdt/007mYe7TEKRU", "unknownEvent")]
    [InlineData("vdt/007mYe7TEKR", "badBase64")]
    [InlineData("", "unknownEvent")]
    public void Refused_event_is_counted_by_its_reason(string data, string reason)
    {
        var decoded = Frames.Decode(Frames.Notification([$"Program {ProgramCatalog.PumpId} invoke [1]", "Program data: " + data]));
        Assert.Empty(decoded.Events);
        Assert.Equal(new Dictionary<string, long> { [reason] = 1 }, decoded.Skipped.ToDictionary());
        Assert.True(SkipReasons.IsLoss(reason));
    }

    [Fact]
    public void Event_time_is_the_block_time_then_the_event_s_own_then_an_estimate()
    {
        var blockTimes = new RecordedBlockTimes();
        var times = new EventTimes(blockTimes, EventTimes.Genesis);
        Assert.Equal((EventTimes.Genesis.AddSeconds(40), true), (times.Resolve(100, 0, out var estimated), estimated));
        Assert.Equal((1_700_000_000L, false), (times.Resolve(110, 1_700_000_000, out estimated).ToUnixTimeSeconds(), estimated));
        Assert.Equal((1_700_000_004_000L, true), (times.Resolve(120, 0, out estimated).ToUnixTimeMilliseconds(), estimated));
        Assert.Equal((1_699_999_999_600L, true), (times.Resolve(109, 0, out estimated).ToUnixTimeMilliseconds(), estimated));
        blockTimes.Add(120, 1_700_000_005);
        Assert.Equal((1_700_000_005L, false), (times.Resolve(120, 1_699_000_000, out estimated).ToUnixTimeSeconds(), estimated));
        Assert.Equal((120L, 1_700_000_005L), times.Newest);
    }

    [Fact]
    public void Block_time_in_the_frame_itself_counts()
    {
        var frame = Encoding.UTF8.GetString(Frames.Notification(Logs)).Replace("\"result\":{\"context\"", "\"result\":{\"blockTime\":1757782399,\"context\"", StringComparison.Ordinal);
        Assert.Equal(1_757_782_399, Assert.Single(Frames.Decode(Encoding.UTF8.GetBytes(frame)).Trades).EventTime.ToUnixTimeSeconds());
    }

    [Fact]
    public void Names_of_skip_reasons_are_frozen_and_tell_losses_from_the_rest()
    {
        Assert.Equal(
            "notALog noEvents failedTransaction wrongProgram notATrade otherEvent emptyLine alreadySeen bufferFull notFollowed | malformedFrame malformedLine lineTooLong truncatedLog unknownEvent unknownLayout badBase64 priceOutOfRange missedSlot frameTooLarge missingAtVenue missingTransaction",
            string.Join(' ', Enum.GetValues<SkipReason>().Where(r => !r.IsLoss()).Select(r => r.Name())) + " | " + string.Join(' ', Enum.GetValues<SkipReason>().Where(r => r.IsLoss()).Select(r => r.Name())));
        Assert.False(SkipReasons.IsLoss("otherEvent:kline"));
        Assert.True(SkipReasons.IsLoss("badBase64"));
    }
}
