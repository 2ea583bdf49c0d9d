using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Solana;
using KlineOrleans.Testing;

namespace KlineOrleans.Ingest.Tests.Solana;

/// <summary>Every event of every generation, encoded by the tests' own tables, comes back value by value.</summary>
public sealed class EventLayoutTests
{
    // What the fact table says of the payload's length: the fixed part, without discriminator. Text and lists count as their length prefix.
    private static readonly Dictionary<(string Generation, string Event), int> Lengths = new()
    {
        [("0a", "TokenCreated")] = 96 + 12,
        [("0b-july", "TokenCreated")] = 96 + 12,
        [("0b", "TokenCreated")] = 273,
        [("1", "TokenCreated")] = 273,
        [("1b", "TokenCreated")] = 273,
        [("1", "BuySell")] = 97,
        [("1", "LongShort")] = 259,
        [("1", "ForceLiquidate")] = 96,
        [("1", "FullClose")] = 169,
        [("1", "PartialClose")] = 316,
        [("1", "MilestoneDiscount")] = 101,
        [("0a", "BuySell")] = 97,
        [("0a", "LongShort")] = 259,
        [("0a", "PartialClose")] = 316,
        [("1b", "PartialClose")] = 332,
        [("2.0", "BuySell")] = 101,
        [("2.3", "BuySell")] = 101,
        [("2b", "BuySell")] = 101,
        [("2.0", "LongShort")] = 239,
        [("2.1", "LongShort")] = 255,
        [("2.2", "LongShort")] = 191,
        [("2.3", "LongShort")] = 193,
        [("2b", "LongShort")] = 201,
        [("2.0", "FullClose")] = 149,
        [("2.1", "FullClose")] = 149,
        [("2.2", "FullClose")] = 149,
        [("2.3", "FullClose")] = 151,
        [("2b", "FullClose")] = 151,
        [("2.3", "PartialClose")] = 274,
        [("2b", "PartialClose")] = 282,
        // The field list of the facts adds up to 312 (their total of 302 leaves out the ten bytes of borrow_fee and realized_sol_amount); 2.2 is 2.3 without order_index.
        [("2.0", "PartialClose")] = 312,
        [("2.1", "PartialClose")] = 312,
        [("2.2", "PartialClose")] = 272,
        [("2.3", "TokenCreated")] = 353,
        [("2.3", "MilestoneDiscount")] = 101,
    };

    public static TheoryData<string, string> IdlEvents()
    {
        var data = new TheoryData<string, string>();
        foreach (var (idl, generation) in new[] { ("spin-server", "1"), ("pinpet-server", "1b"), ("pinpet-server-v2", "2.3") })
        {
            data.Add(idl, generation);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(IdlEvents))]
    public void Events_encoded_from_the_program_s_own_IDL_come_back_value_by_value(string idl, string generation)
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        using var document = JsonDocument.Parse(File.ReadAllText(RecordedData.PathOf("spinpet", "idl", idl + ".json")));
        var types = document.RootElement.GetProperty("types").EnumerateArray().ToDictionary(t => t.GetProperty("name").GetString()!, t => t);
        var program = ProgramCatalog.Shipped[$"SpinPet-{generation}"];
        var count = 0;
        foreach (var e in document.RootElement.GetProperty("events").EnumerateArray())
        {
            var name = e.GetProperty("name").GetString()!;
            var discriminator = e.GetProperty("discriminator").EnumerateArray().Select(b => b.GetByte()).ToArray();
            Assert.Equal(Frames.Discriminator(name), discriminator);
            var fields = types[name].GetProperty("type").GetProperty("fields").EnumerateArray().Select(f => (f.GetProperty("name").GetString()!, TypeName(f.GetProperty("type")))).ToList();
            for (var seed = 1; seed <= 5; seed++)
            {
                AssertComesBack(program, name[..^5], fields, seed);
            }

            count++;
        }

        Assert.Equal(generation == "2.3" ? 6 : 7, count);
        Assert.Equal(count, program.Generation.Layouts.Length);
    }

    [Fact]
    public void Every_event_of_every_generation_comes_back_and_has_the_length_of_the_fact_table()
    {
        foreach (var program in ProgramCatalog.Shipped.Values.Where(p => !p.Generation.IsPump))
        {
            foreach (var layout in program.Generation.Layouts)
            {
                var fields = layout.Fields.Select(f => (f.Name, f.Type switch
                {
                    FieldType.PublicKey => "pubkey",
                    FieldType.Text => "string",
                    FieldType.U16List => "vec",
                    var t => t.ToString().ToLowerInvariant(),
                })).ToList();
                AssertComesBack(program, layout.EventType, fields, 11);
                if (Lengths.TryGetValue((program.Generation.Name, layout.EventType), out var length))
                {
                    Assert.Equal(length, fields.Sum(f => Encode(f.Item2, null, new Random(1)).Bytes.Length));
                }
            }
        }

        Assert.All(Lengths.Keys, k => Assert.NotNull(ProgramGeneration.Find(k.Generation)!.Layouts.SingleOrDefault(l => l.EventType == k.Event)));
    }

    [Theory]
    [InlineData("1", 7)]
    [InlineData("1b", 7)]
    [InlineData("2.3", 6)]
    [InlineData("0a", 6)]
    [InlineData("0b-july", 6)]
    [InlineData("0b", 7)]
    [InlineData("2b", 6)]
    public void Generation_has_its_events(string generation, int events) =>
        Assert.Equal(events, ProgramGeneration.Find(generation)!.Layouts.Length);

    [Fact]
    public void One_byte_more_or_less_is_refused_as_another_layout()
    {
        foreach (var program in ProgramCatalog.Default.Programs.Where(p => !p.Generation.IsPump))
        {
            foreach (var layout in program.Generation.Layouts)
            {
                var payload = Payload(layout, 5, out _);
                foreach (var wrong in new[] { [.. payload, (byte)0], payload[..^1] })
                {
                    var decoded = Frames.Decode(Frames.Event(program.Id, wrong));
                    Assert.Empty(decoded.Events);
                    Assert.Equal(1, decoded.Skipped[SkipReason.UnknownLayout]);
                }
            }
        }
    }

    [Fact]
    public void Longer_list_of_liquidations_than_there_are_bytes_is_refused()
    {
        var program = ProgramCatalog.Shipped["SpinPet-2.3"];
        var layout = program.Generation.Layouts.Single(l => l.EventType == "BuySell");
        var payload = Payload(layout, 5, out _);
        payload.AsSpan(8 + 97, 4).Fill(0xFF);
        Assert.Equal(1, Frames.Decode(Frames.Event(program.Id, payload)).Skipped[SkipReason.UnknownLayout]);
    }

    [Theory]
    [InlineData("BuySell", "is_buy", 1, TakerSide.Buy)]
    [InlineData("BuySell", "is_buy", 0, TakerSide.Sell)]
    [InlineData("LongShort", "order_type", 1, TakerSide.Buy)]
    [InlineData("LongShort", "order_type", 2, TakerSide.Sell)]
    [InlineData("FullClose", "is_close_long", 1, TakerSide.Sell)]
    [InlineData("FullClose", "is_close_long", 0, TakerSide.Buy)]
    [InlineData("PartialClose", "is_close_long", 1, TakerSide.Sell)]
    [InlineData("PartialClose", "is_close_long", 0, TakerSide.Buy)]
    public void Event_with_a_price_is_a_trade_in_every_generation(string type, string sideField, byte side, TakerSide expected)
    {
        foreach (var program in ProgramCatalog.Shipped.Values.Where(p => !p.Generation.IsPump))
        {
            var layout = program.Generation.Layouts.Single(l => l.EventType == type);
            var payload = Payload(layout, 3, out var values);
            payload[8 + layout.OffsetOf(sideField)!.Value] = side;
            var decoded = Frames.Decode(Frames.Event(program.Id, payload), new ProgramCatalog([program]));
            var trade = Assert.Single(decoded.Trades);
            var (amount, quote) = type switch
            {
                "BuySell" => ("token_amount", "sol_amount"),
                "LongShort" => ("lock_lp_token_amount", "lock_lp_sol_amount"),
                _ => ("final_token_amount", "final_sol_amount"),
            };
            Assert.Equal(values["mint_account"], trade.Symbol);
            Assert.Equal(expected, trade.TakerSide);
            Assert.Equal(decimal.Parse(values[amount], CultureInfo.InvariantCulture) / (program.TokenDecimals == 9 ? 1_000_000_000m : 1_000_000m), trade.BaseAmount);
            Assert.Equal(decimal.Parse(values[quote], CultureInfo.InvariantCulture) / 1_000_000_000m, trade.QuoteAmount);
            Assert.True(ExactAmount.TryFromUInt128(UInt128.Parse(values["latest_price"], CultureInfo.InvariantCulture), program.PriceScale, out var price));
            Assert.Equal(price, trade.Price.Value);
            Assert.Equal(type == "LongShort" ? DateTimeOffset.FromUnixTimeSeconds(long.Parse(values["start_time"], CultureInfo.InvariantCulture)) : EventTimes.Genesis.AddSeconds(40), trade.EventTime);
            Assert.Equal(type != "LongShort", trade.IsEventTimeEstimated);
        }
    }

    [Fact]
    public void Order_type_that_is_neither_long_nor_short_is_refused()
    {
        var program = ProgramCatalog.Shipped["SpinPet-2.3"];
        var layout = program.Generation.Layouts.Single(l => l.EventType == "LongShort");
        var payload = Payload(layout, 3, out _);
        payload[8 + layout.OffsetOf("order_type")!.Value] = 0;
        var decoded = Frames.Decode(Frames.Event(program.Id, payload));
        Assert.Empty(decoded.Trades);
        Assert.Equal(1, decoded.Skipped[SkipReason.UnknownLayout]);
    }

    [Fact]
    public void Price_of_zero_is_out_of_range()
    {
        var program = ProgramCatalog.Shipped["SpinPet-1"];
        var layout = program.Generation.Layouts.Single(l => l.EventType == "BuySell");
        var payload = Payload(layout, 3, out _);
        payload.AsSpan(8 + layout.OffsetOf("latest_price")!.Value, 16).Clear();
        var decoded = Frames.Decode(Frames.Event(program.Id, payload));
        Assert.Empty(decoded.Trades);
        Assert.Equal(1, decoded.Skipped[SkipReason.PriceOutOfRange]);
    }

    [Theory]
    [InlineData("idl-pump-2025-04-04.json")]
    [InlineData("idl-pump-2025-05-08.json")]
    [InlineData("idl-pump-2026-05-19.json")]
    public void Pump_trade_of_any_length_from_its_eighth_field_up_is_decoded(string idl)
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        using var document = JsonDocument.Parse(File.ReadAllText(RecordedData.PathOf("pumpfun", idl)));
        var fields = document.RootElement.GetProperty("types").EnumerateArray().Single(t => t.GetProperty("name").GetString() == "TradeEvent")
            .GetProperty("type").GetProperty("fields").EnumerateArray().Select(f => (Name: f.GetProperty("name").GetString()!, Type: TypeName(f.GetProperty("type")))).ToList();
        for (var known = 8; known <= fields.Count; known++)
        {
            var random = new Random(known);
            var parts = fields.Take(known).Select(f => (f.Name, Encode(f.Type, f.Name, random))).ToList();
            byte[] payload = [.. Frames.Discriminator("TradeEvent"), .. parts.SelectMany(p => p.Item2.Bytes)];
            var values = parts.ToDictionary(p => p.Name, p => p.Item2.Value);
            var trade = Assert.Single(Frames.Decode(Frames.Event(ProgramCatalog.PumpId, payload)).Trades);
            Assert.Equal(values["mint"], trade.Symbol);
            Assert.Equal(decimal.Parse(values["token_amount"], CultureInfo.InvariantCulture) / 1_000_000m, trade.BaseAmount);
            Assert.Equal(DateTimeOffset.FromUnixTimeSeconds(long.Parse(values["timestamp"], CultureInfo.InvariantCulture)), trade.EventTime);

            // Cut inside a field: what is whole is enough, as long as that is eight fields.
            Assert.Single(Frames.Decode(Frames.Event(ProgramCatalog.PumpId, [.. payload, 1, 2, 3])).Trades);
        }

        byte[] seven = [.. Frames.Discriminator("TradeEvent"), .. fields.Take(7).SelectMany(f => Encode(f.Type, f.Name, new Random(1)).Bytes), 1];
        Assert.Equal(1, Frames.Decode(Frames.Event(ProgramCatalog.PumpId, seven)).Skipped[SkipReason.UnknownLayout]);
    }

    private static void AssertComesBack(SolanaProgram program, string eventType, List<(string Name, string Type)> fields, int seed)
    {
        var random = new Random(seed);
        var parts = fields.Select(f => (f.Name, Encode(f.Type, f.Name, random))).ToList();
        byte[] payload = [.. Frames.Discriminator(eventType + "Event"), .. parts.SelectMany(p => p.Item2.Bytes)];
        var decoded = Frames.Decode(Frames.Event(program.Id, payload), new ProgramCatalog([program]));
        Assert.Single(decoded.Events);
        var expected = new Dictionary<string, string>(StringComparer.Ordinal) { ["event_type"] = eventType };
        foreach (var (name, (_, value)) in parts)
        {
            expected.Add(name, value);
        }

        using var json = JsonDocument.Parse(decoded.Json(0));
        Assert.Equal(expected, json.RootElement.EnumerateObject().ToDictionary(p => p.Name, p => p.Value.ValueKind == JsonValueKind.String ? p.Value.GetString()! : p.Value.GetRawText()));
        Assert.All(fields.Where(f => f.Type == "u128"), f => Assert.Equal(JsonValueKind.String, json.RootElement.GetProperty(f.Name).ValueKind));
    }

    private static byte[] Payload(EventLayout layout, int seed, out Dictionary<string, string> values)
    {
        var random = new Random(seed);
        var result = new List<byte>(Frames.Discriminator(layout.EventType + "Event"));
        values = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var field in layout.Fields)
        {
            var type = field.Type switch { FieldType.PublicKey => "pubkey", FieldType.Text => "string", FieldType.U16List => "vec", var t => t.ToString().ToLowerInvariant() };
            var (bytes, value) = Encode(type, field.Name, random);
            result.AddRange(bytes);
            values[field.Name] = value;
        }

        return [.. result];
    }

    private static string TypeName(JsonElement type) =>
        type.ValueKind == JsonValueKind.String ? type.GetString()! : type.GetProperty("vec").ValueKind == JsonValueKind.String ? "vec" : "structs";

    // The bytes of a random value, and the value as the JSON form has it. Without a name: the shortest value.
    private static (byte[] Bytes, string Value) Encode(string type, string? name, Random random)
    {
        static byte[] Number(UInt128 value, int size)
        {
            var bytes = new byte[16];
            System.Buffers.Binary.BinaryPrimitives.WriteUInt128LittleEndian(bytes, value);
            return bytes[..size];
        }

        var next = (ulong)random.NextInt64(1, long.MaxValue);
        switch (type)
        {
            case "bool":
                return ([(byte)(next % 2)], next % 2 == 1 ? "true" : "false");
            case "u8":
                var u8 = name == "order_type" ? 1 + (next % 2) : next % 256;
                return (Number(u8, 1), u8.ToString(CultureInfo.InvariantCulture));
            case "u16":
                return (Number(next % 65_536, 2), (next % 65_536).ToString(CultureInfo.InvariantCulture));
            case "u32":
                return (Number(next % 4_294_967_296, 4), (next % 4_294_967_296).ToString(CultureInfo.InvariantCulture));
            case "u64":
                return (Number(next, 8), next.ToString(CultureInfo.InvariantCulture));
            case "i64":
                var seconds = 1 + (next % 2_000_000_000);
                return (Number(seconds, 8), seconds.ToString(CultureInfo.InvariantCulture));
            case "u128":
                var wide = (UInt128)next * 1_000_003;
                return (Number(wide, 16), ((BigInteger)wide).ToString(CultureInfo.InvariantCulture));
            case "pubkey":
                var key = new byte[32];
                random.NextBytes(key);
                return (key, Base58.Encode(key));
            case "string":
                var text = name is null ? "" : string.Concat(Enumerable.Repeat("Ké名\"\\", random.Next(0, 6)));
                var utf8 = Encoding.UTF8.GetBytes(text);
                return ([.. Number((ulong)utf8.Length, 4), .. utf8], text);
            case "vec":
                var items = name is null ? [] : Enumerable.Range(0, random.Next(0, 5)).Select(_ => (ushort)random.Next(65_536)).ToArray();
                return ([.. Number((ulong)items.Length, 4), .. items.SelectMany(i => Number(i, 2))], $"[{string.Join(',', items)}]");
            case "structs":
                return (Number(0, 4), "[]");
            default:
                throw new ArgumentException(type);
        }
    }
}
