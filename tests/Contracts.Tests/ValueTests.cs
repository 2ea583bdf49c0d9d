using KlineOrleans.Contracts;

namespace KlineOrleans.Contracts.Tests;

public class ValueTests
{
    [Theory]
    [InlineData("1.10", "1.1")]
    [InlineData("0.00141342000", "0.00141342")]
    [InlineData("100", "100")]
    [InlineData("0.0000000279589934762348555452", "0.0000000279589934762348555452")]
    [InlineData("-0.50", "-0.5")]
    [InlineData("0.000", "0")]
    public void Equal_numbers_are_equal_text(string number, string text)
    {
        Assert.True(ExactDecimal.TryParse(number, out var value));
        Span<byte> utf8 = stackalloc byte[ExactDecimal.MaxLength];
        Assert.True(ExactDecimal.TryFormat(value, utf8, out var written));

        Assert.Equal(text, ExactDecimal.Format(value));
        Assert.Equal(text, System.Text.Encoding.UTF8.GetString(utf8[..written]));
    }

    [Theory]
    [InlineData("1e5")]
    [InlineData("1,000")]
    [InlineData(" 1")]
    [InlineData("")]
    [InlineData("NaN")]
    public void Anything_but_a_plain_number_is_refused(string text) => Assert.False(ExactDecimal.TryParse(text, out _));

    [Theory]
    [InlineData("0")]
    [InlineData("-1")]
    public void A_price_is_above_zero(string value) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new Price(decimal.Parse(value, System.Globalization.CultureInfo.InvariantCulture)));

    [Theory]
    [InlineData("13519807")]
    [InlineData("366586929:5xk1fk8eZFh7N6ydZc9YpaXx1QGEqbTDTFJX5WX7RhYucdxgiAvbG9NR4icwDhJgdasdYJh544GmQRZfv5s77BM:1")]
    public void A_trade_id_survives_its_text(string text)
    {
        Assert.True(TradeId.TryParse(text, out var id));
        Assert.Equal(text, id.ToString());
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("-1")]
    [InlineData("1:a")]
    [InlineData("1:a:b")]
    [InlineData("1:a:99999999999")]
    public void Text_that_is_no_trade_id_is_refused(string? text) => Assert.False(TradeId.TryParse(text, out _));

    [Fact]
    public void Trades_are_ordered_by_position_then_sequence_then_transaction_then_index()
    {
        TradeOrder[] ordered = [default, Order(1, "b", 1, 0), Order(2, "a", 0, 0), Order(2, "a", 0, 1), Order(2, "b", 0, 0), Order(2, "a", 1, 0), Order(3, "a", 0, 0)];

        Assert.Equal(ordered, ordered.Reverse().Order());

        static TradeOrder Order(long slot, string signature, long sequence, int index) => new(new TradeId(slot, signature, index), sequence);
    }

    [Fact]
    public void A_live_clock_runs_on_for_two_seconds_and_a_standing_one_not_at_all()
    {
        var time = DateTimeOffset.UnixEpoch;

        Assert.Equal(time.AddSeconds(1), new SourceClock(time, IsLive: true).After(TimeSpan.FromSeconds(1)).Time);
        Assert.Equal(time.AddSeconds(2), new SourceClock(time, IsLive: true).After(TimeSpan.FromHours(1)).Time);
        Assert.Equal(time, new SourceClock(time, IsLive: true).After(TimeSpan.FromSeconds(-1)).Time);
        Assert.Equal(time, new SourceClock(time, IsLive: false).After(TimeSpan.FromSeconds(1)).Time);
    }
}
