using System.Globalization;
using System.Text;
using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Solana;
using KlineOrleans.Testing;

namespace KlineOrleans.Ingest.Tests.Solana;

/// <summary>Logs that real nodes sent are decoded or refused for the right reason.</summary>
public sealed class RecordedLogsTests
{
    [Fact]
    public void Local_validator_s_frames_name_two_new_mints_and_nothing_else()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        var decoded = File.ReadAllLines(RecordedData.PathOf("spinpet", "localnet_20250712_ws_frames.jsonl")).Select(l => Frames.Decode(Encoding.UTF8.GetBytes(l))).ToList();
        Assert.Equal([LogFrameKind.Other, LogFrameKind.Logs, LogFrameKind.Logs, LogFrameKind.Logs, LogFrameKind.Logs, LogFrameKind.Logs], decoded.Select(d => d.Kind));
        Assert.All(decoded, d => Assert.Empty(d.Trades));
        Assert.Equal(1, decoded[0].Skipped[SkipReason.NotALog]);
        Assert.Equal(1, decoded[1].Skipped[SkipReason.NoEvents]);
        Assert.Equal(1, decoded[2].Skipped[SkipReason.NoEvents]);
        Assert.Equal(["81WZbeJwfo9mTBRZsBqaUBWa2jeRKH2LQi54uwXdZYoa Hello", "GRRoF4X8V5VdRwRdEPksiA7kVVeKXWKuK2a6NyJJJyi5 AAA"], decoded.SelectMany(d => d.Symbols).Select(s => $"{s.Symbol} {s.Name}"));
        Assert.All(decoded, d => Assert.DoesNotContain(d.Skipped.ToDictionary().Keys, SkipReasons.IsLoss));

        var expected = JsonDocument.Parse(File.ReadAllText(RecordedData.PathOf("spinpet", "program_data_decoded.json"))).RootElement[0];
        using var json = JsonDocument.Parse(decoded[3].Json(0));
        foreach (var name in new[] { "payer", "mint_account", "curve_account", "name", "symbol", "uri" })
        {
            Assert.Equal(expected.GetProperty(name).GetString(), json.RootElement.GetProperty(name).GetString());
        }

        Assert.Equal("TokenCreated", json.RootElement.GetProperty("event_type").GetString());
    }

    [Fact]
    public void Line_that_says_successfully_does_not_end_the_program()
    {
        var buy = PumpBuy();
        var decoded = Frames.Decode(Frames.Notification(
        [
            $"Program {ProgramCatalog.PumpId} invoke [1]", "Program log: Parameters updated successfully!", "Program log: it failed: really", "Program returned success",
            $"Program {ProgramCatalog.PumpId} consumed 2003 of 565975 compute units", $"Program data: {buy}", $"Program {ProgramCatalog.PumpId} success",
        ]));
        Assert.Single(decoded.Trades);
    }

    [Fact]
    public void Truncated_Sell_gives_its_three_liquidations_and_names_the_cut()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        var decoded = Frames.Decode(File.ReadAllBytes(RecordedData.PathOf("spinpet", "localnet_202510_sell_log_truncated.json")));
        Assert.Equal(LogFrameKind.Logs, decoded.Kind);
        Assert.Empty(decoded.Trades);
        Assert.Equal(1, decoded.Skipped[SkipReason.TruncatedLog]);
        Assert.Equal(3, decoded.Skipped[SkipReason.NotATrade]);
        Assert.Equal([0, 1, 2], decoded.Events.Select(e => e.Index));
        Assert.Equal(
            JsonDocument.Parse(File.ReadAllText(RecordedData.PathOf("spinpet", "program_data_decoded.json"))).RootElement.EnumerateArray().Skip(2).Select(e => e.GetProperty("order_pda").GetString()),
            decoded.Events.Select((_, i) => JsonDocument.Parse(decoded.Json(i)).RootElement.GetProperty("order_pda").GetString()));
        Assert.True(SkipReasons.IsLoss("truncatedLog"));
    }

    [Fact]
    public void Event_after_the_cut_is_not_attributed()
    {
        var decoded = Frames.Decode(Frames.Notification([$"Program {ProgramCatalog.PumpId} invoke [1]", $"Program data: {PumpBuy()}", "Log truncated", $"Program data: {PumpBuy()}"]));
        Assert.Single(decoded.Trades);
        Assert.Equal(2, decoded.Skipped[SkipReason.TruncatedLog]);
    }

    [Fact]
    public void TensorSwap_s_event_of_the_same_name_is_refused_for_its_program_and_for_its_layout()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        using var document = JsonDocument.Parse(File.ReadAllText(RecordedData.PathOf("spinpet", "negative_tensorswap_tx_logs.json")));
        var logs = document.RootElement.GetProperty("logs").EnumerateArray().Select(l => l.GetString()!).ToList();
        var decoded = Frames.Decode(Frames.Notification(logs, 173514514, document.RootElement.GetProperty("signature").GetString()!));
        Assert.Empty(decoded.Events);
        Assert.Equal(new Dictionary<string, long> { ["wrongProgram"] = 1 }, decoded.Skipped.ToDictionary());

        foreach (var line in File.ReadAllLines(RecordedData.PathOf("spinpet", "negative_discriminator_collision_tensorswap.tsv")).Skip(1))
        {
            foreach (var program in ProgramCatalog.Shipped.Values.Where(p => !p.Generation.IsPump))
            {
                decoded = Frames.Decode(Frames.Event(program.Id, Convert.FromBase64String(line.Split('\t')[5])), new ProgramCatalog([program]));
                Assert.Empty(decoded.Events);
                Assert.Equal(1, decoded.Skipped[SkipReason.UnknownLayout]);
            }
        }
    }

    [Fact]
    public void Failed_transaction_is_dropped_whatever_its_events_say()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        var decoded = Frames.Decode(File.ReadAllBytes(RecordedData.PathOf("solana-logs", "mainnet-logsNotification-failed-tx-slot309999820.json")));
        Assert.Equal(LogFrameKind.Logs, decoded.Kind);
        Assert.Equal(new Dictionary<string, long> { ["failedTransaction"] = 1 }, decoded.Skipped.ToDictionary());

        var failed = Frames.Decode(Frames.Notification([$"Program {ProgramCatalog.PumpId} invoke [1]", $"Program data: {PumpBuy()}", $"Program {ProgramCatalog.PumpId} failed: custom program error: 0x1"], err: """{"InstructionError":[0,{"Custom":1}]}"""));
        Assert.Empty(failed.Trades);
        Assert.Equal(1, failed.Skipped[SkipReason.FailedTransaction]);
    }

    [Fact]
    public void Main_network_s_pump_logs_give_their_trades()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        using var single = JsonDocument.Parse(File.ReadAllText(RecordedData.PathOf("solana-logs", "mainnet-pump-buy-logs-c1r5.json")));
        var decoded = Frames.Decode(Frames.Notification(single.RootElement.EnumerateArray().Select(l => l.GetString()!)));
        var trade = Assert.Single(decoded.Trades);
        Assert.Equal(TakerSide.Buy, trade.TakerSide);
        Assert.Empty(decoded.Skipped.ToDictionary());

        using var many = JsonDocument.Parse(File.ReadAllText(RecordedData.PathOf("solana-logs", "mainnet-pump-onLogs-sol-logv1.json")));
        var trades = 0;
        var without = 0;
        foreach (var value in many.RootElement.EnumerateArray())
        {
            var logs = value.GetProperty("logs").EnumerateArray().Select(l => l.GetString()!).ToList();
            decoded = Frames.Decode(Frames.Notification(logs, signature: value.GetProperty("signature").GetString()!));
            trades += decoded.Trades.Count;
            without += (int)decoded.Skipped[SkipReason.NoEvents];
            Assert.DoesNotContain(decoded.Skipped.ToDictionary().Keys, SkipReasons.IsLoss);
            Assert.All(decoded.Trades, t => Assert.Equal(2024, t.EventTime.Year));
            Assert.All(decoded.Trades, t => Assert.EndsWith("pump", t.Symbol, StringComparison.Ordinal));
        }

        Assert.Equal((10, 2), (trades, without));
    }

    [Fact]
    public void Other_programs_logs_give_nothing()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        var body = Frames.Decode(File.ReadAllBytes(RecordedData.PathOf("solana-logs", "mixin-simulation-failure-1.json")));
        Assert.Equal(LogFrameKind.Other, body.Kind);
        using var route = JsonDocument.Parse(File.ReadAllText(RecordedData.PathOf("solana-logs", "mixin-simulation-failure-2.json")));
        var decoded = Frames.Decode(Frames.Notification(route.RootElement.EnumerateArray().Select(l => l.GetString()!)));
        Assert.Equal(new Dictionary<string, long> { ["wrongProgram"] = 1 }, decoded.Skipped.ToDictionary());

        using var anchor = JsonDocument.Parse(File.ReadAllText(RecordedData.PathOf("solana-logs", "anchor-spec-logs.json")));
        var cases = 0;
        foreach (var e in anchor.RootElement.EnumerateArray())
        {
            decoded = Frames.Decode(Frames.Notification(e.GetProperty("logs").EnumerateArray().Select(l => l.GetString()!)));
            Assert.Equal(new Dictionary<string, long> { ["noEvents"] = 1 }, decoded.Skipped.ToDictionary());
            cases++;
        }

        Assert.Equal(15, cases);
    }

    [Fact]
    public void Decoder_vectors_of_pump_come_back_and_all_others_are_refused_for_program_or_layout()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        using var document = JsonDocument.Parse(File.ReadAllText(RecordedData.PathOf("decoder-vectors", "event-vectors.json")));
        var (pump, refused) = (0, 0);
        foreach (var vector in document.RootElement.EnumerateArray())
        {
            var bytes = Convert.FromBase64String(vector.GetProperty("event_b64").GetString()!);
            var isPump = vector.GetProperty("source").GetString() == "tests/pumpfun/pumpfun.rs";
            var isTradeLike = vector.GetProperty("discriminator").GetString() == "bddb7fd34ee661ee";
            if (!isPump)
            {
                // Its own program is not followed, whatever the bytes look like.
                var own = Frames.Decode(Frames.Event("LanMV9sAd7wArD4vJFi2qDdfnVhFxYSUg6eADduJ3uj", bytes));
                Assert.Empty(own.Events);
                Assert.Equal(new Dictionary<string, long> { ["wrongProgram"] = 1 }, own.Skipped.ToDictionary());
                foreach (var program in ProgramCatalog.Shipped.Values.Where(p => !p.Generation.IsPump || !isTradeLike))
                {
                    var other = Frames.Decode(Frames.Event(program.Id, bytes), new ProgramCatalog([program]));
                    Assert.Empty(other.Events);
                    Assert.Single(other.Skipped.ToDictionary(), s => s.Key is "unknownEvent" or "unknownLayout");
                }

                refused++;
                continue;
            }

            pump++;
            var decoded = Frames.Decode(Frames.Event(ProgramCatalog.PumpId, bytes));
            Assert.Single(decoded.Events);
            using var json = JsonDocument.Parse(decoded.Json(0));
            var fields = vector.GetProperty("decoded").GetProperty("fields").EnumerateObject().ToList();
            foreach (var field in fields)
            {
                Assert.Equal(field.Value.ToString(), json.RootElement.GetProperty(SnakeCase(field.Name)).ToString());
            }

            if (isTradeLike)
            {
                var trade = Assert.Single(decoded.Trades);
                decimal Value(string name) => fields.Single(f => SnakeCase(f.Name) == name).Value.GetDecimal();
                Assert.Equal(Value("virtual_sol_reserves") / 1_000_000_000m / (Value("virtual_token_reserves") / 1_000_000m), trade.Price.Value);
                Assert.Equal(fields.Single(f => SnakeCase(f.Name) == "is_buy").Value.GetBoolean() ? TakerSide.Buy : TakerSide.Sell, trade.TakerSide);
            }
            else
            {
                Assert.Equal("GOBO", Assert.Single(decoded.Symbols).Name);
            }
        }

        Assert.Equal((6, 18), (pump, refused));
    }

    internal static string PumpBuy(long timestamp = 1_757_782_395)
    {
        var payload = new byte[113];
        Frames.Discriminator("TradeEvent").CopyTo(payload, 0);
        payload[8] = 7;
        BitConverter.TryWriteBytes(payload.AsSpan(40), 1_000_000_000UL);
        BitConverter.TryWriteBytes(payload.AsSpan(48), 5_000_000UL);
        payload[56] = 1;
        BitConverter.TryWriteBytes(payload.AsSpan(89), timestamp);
        BitConverter.TryWriteBytes(payload.AsSpan(97), 31_000_000_000UL);
        BitConverter.TryWriteBytes(payload.AsSpan(105), 1_038_387_096_774_194UL);
        return Convert.ToBase64String(payload);
    }

    private static string SnakeCase(string name) =>
        string.Concat(name.Select(c => char.IsAsciiLetterUpper(c) ? "_" + char.ToLower(c, CultureInfo.InvariantCulture) : c.ToString()));
}
