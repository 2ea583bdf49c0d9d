using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Immutable;
using KlineOrleans.Contracts;
using static KlineOrleans.Storage.Tests.SampleKlines;

namespace KlineOrleans.Storage.Tests;

/// <summary>A state comes back as it was, in either form.</summary>
public sealed class StateSerializerTests
{
    private readonly StateSerializer _serializer = new();

    [Fact]
    public void Record_with_everything_comes_back()
    {
        var state = new Everything
        {
            Name = "名 \u0001 \"quoted\"",
            Time = Start.AddTicks(1_234_567),
            Span = TimeSpan.FromTicks(7),
            Amount = 0.0000000000000000000000000001m,
            Huge = decimal.MaxValue,
            Number = long.MinValue,
            Price = new Price(1.0000000000000000000000000002m),
            Interval = KlineInterval.H4,
            Order = new TradeOrder(new TradeId(long.MaxValue, "sig:with:colons", 3), -1),
            Klines = [Full(KlineInterval.M5, Start, 3), One(KlineInterval.S1, Start)],
            ByInterval = ImmutableDictionary<KlineInterval, long>.Empty.Add(KlineInterval.S5, 3),
            Rules = new KlineRules { Intervals = [KlineInterval.S1, KlineInterval.W1], Open = OpenPolicy.PreviousClose, Grace = TimeSpan.FromMilliseconds(1.5) },
            Positional = new Positional("a", 2),
        };
        var back = RoundTrip(state);
        Assert.Equal(state with { Klines = default, ByInterval = back.ByInterval, Rules = back.Rules }, back with { Klines = default });
        Assert.Equal(state.Klines, back.Klines);
        Assert.Equal(state.ByInterval, back.ByInterval);
        Assert.Equal(state.Rules.Intervals, back.Rules!.Intervals);
        Assert.Equal(state.Rules with { Intervals = default }, back.Rules with { Intervals = default });
    }

    [Fact]
    public void Defaults_come_back_as_defaults()
    {
        var back = RoundTrip(new Everything());
        Assert.True(back.Klines.IsDefault);
        Assert.Equal(default, back.Price);
        Assert.Equal(default, back.Order);
        Assert.Null(back.Rules);
    }

    [Fact]
    public void Mutable_class_comes_back()
    {
        var back = RoundTrip(new Mutable { Counts = { [3] = "three" }, Items = { 1, 2 } });
        Assert.Equal("three", back.Counts[3]);
        Assert.Equal([1, 2], back.Items);
    }

    [Fact]
    public void Type_with_its_own_form_uses_it()
    {
        var output = new ArrayBufferWriter<byte>();
        _serializer.Serialize(new Own(0x01020304), output);
        Assert.Equal([2, 1, 2, 3, 4], output.WrittenSpan.ToArray());
        Assert.Equal(new Own(0x01020304), _serializer.Deserialize<Own>(output.WrittenMemory));
    }

    [Fact]
    public void State_stored_as_json_is_read_after_its_type_got_a_form_of_its_own()
    {
        var output = new ArrayBufferWriter<byte>();
        _serializer.Serialize(new OwnBefore(7), output);
        Assert.Equal(new Own(7), _serializer.Deserialize<Own>(output.WrittenMemory));
    }

    [Theory]
    [InlineData(new byte[0])]
    [InlineData(new byte[] { 0 })]
    [InlineData(new byte[] { 99, 1 })]
    [InlineData(new byte[] { 1, (byte)'{' })]
    [InlineData(new byte[] { 2, 1, 2, 3, 4 })]
    public void Bytes_that_are_no_state_are_refused(byte[] data) =>
        Assert.Throws<InvalidDataException>(() => _serializer.Deserialize<Everything>(data));

    private T RoundTrip<T>(T state)
    {
        var output = new ArrayBufferWriter<byte>();
        _serializer.Serialize(state, output);
        return _serializer.Deserialize<T>(output.WrittenMemory);
    }

    private sealed record Everything
    {
        public string? Name { get; init; }

        public DateTimeOffset Time { get; init; }

        public TimeSpan Span { get; init; }

        public decimal Amount { get; init; }

        public decimal Huge { get; init; }

        public long Number { get; init; }

        public Price Price { get; init; }

        public KlineInterval Interval { get; init; }

        public TradeOrder Order { get; init; }

        public ImmutableArray<Kline> Klines { get; init; }

        public ImmutableDictionary<KlineInterval, long>? ByInterval { get; init; }

        public KlineRules? Rules { get; init; }

        public Positional? Positional { get; init; }
    }

    private sealed record Positional(string Name, int Count);

    private sealed class Mutable
    {
        public Dictionary<int, string> Counts { get; set; } = [];

        public List<int> Items { get; set; } = [];
    }

    private sealed record OwnBefore(int Number);

    private sealed record Own(int Number) : IBinaryState<Own>
    {
        public void Write(IBufferWriter<byte> output)
        {
            BinaryPrimitives.WriteInt32BigEndian(output.GetSpan(4), Number);
            output.Advance(4);
        }

        public static Own Read(ReadOnlySpan<byte> data) => new(BinaryPrimitives.ReadInt32BigEndian(data));
    }
}
