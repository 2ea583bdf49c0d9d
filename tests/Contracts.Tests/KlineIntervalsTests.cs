using KlineOrleans.Contracts;

namespace KlineOrleans.Contracts.Tests;

public class KlineIntervalsTests
{
    [Fact]
    public void Numbers_and_names_never_change()
    {
        Assert.Equal(
            ["1 s1 1s 1", "2 s5 5s 5", "3 s15 15s 15", "4 s30 30s 30", "5 m1 1m 60", "6 m5 5m 300", "7 m15 15m 900", "8 m30 30m 1800", "9 h1 1h 3600", "10 h4 4h 14400", "11 d1 1d 86400", "12 w1 1w 604800"],
            KlineIntervals.All.Select(i => $"{(int)i} {i.Name()} {i.ExchangeName()} {i.Seconds()}"));
    }

    [Theory]
    [InlineData("2026-01-05T00:00:00Z", "2026-01-05T00:00:00Z")]
    [InlineData("2026-01-11T23:59:59.9999999Z", "2026-01-05T00:00:00Z")]
    [InlineData("2026-01-04T23:59:59Z", "2025-12-29T00:00:00Z")]
    [InlineData("1970-01-01T00:00:00Z", "1969-12-29T00:00:00Z")]
    public void Weeks_begin_on_Monday(string time, string open) =>
        Assert.Equal(DateTimeOffset.Parse(open, null), KlineInterval.W1.OpenTime(DateTimeOffset.Parse(time, null)));

    [Fact]
    public void Every_bucket_holds_its_moment_and_nests_in_the_next_interval()
    {
        var random = new Random(1);
        for (var i = 0; i < 20_000; i++)
        {
            var time = DateTimeOffset.UnixEpoch.AddTicks(random.NextInt64(-TimeSpan.TicksPerDay * 4_000, TimeSpan.TicksPerDay * 40_000));
            foreach (var (shorter, longer) in KlineIntervals.All.Zip(KlineIntervals.All.Skip(1)))
            {
                var open = shorter.OpenTime(time);
                Assert.True(open <= time && time < open + shorter.Length());
                Assert.Equal(longer.OpenTime(time), longer.OpenTime(open));
                Assert.Equal(longer.OpenTime(time), longer.OpenTime(open + shorter.Length() - TimeSpan.FromTicks(1)));
            }
        }
    }

    [Theory]
    [InlineData("m1", KlineInterval.M1)]
    [InlineData("1m", KlineInterval.M1)]
    [InlineData("1w", KlineInterval.W1)]
    [InlineData("1M", KlineInterval.None)]
    [InlineData("m2", KlineInterval.None)]
    [InlineData("", KlineInterval.None)]
    public void Both_names_are_read_and_nothing_else(string name, KlineInterval expected)
    {
        Assert.Equal(expected != KlineInterval.None, KlineIntervals.TryParse(name, out var interval));
        Assert.Equal(expected, interval);
    }
}
