using BenchmarkDotNet.Attributes;
using KlineOrleans.Contracts;
using KlineOrleans.Web;

namespace KlineOrleans.Benchmarks.Micro;

/// <summary>Keeping an update for those who come back: once for each update of a followed mint, on the way of every one of them.</summary>
[MemoryDiagnoser]
public class UpdateRingBenchmarks
{
    private readonly FeedMessage[] _messages = new FeedMessage[1_024];
    private readonly UpdateRing _ring = new("S000USDT", 512);
    private int _next;

    [GlobalSetup]
    public void Make()
    {
        for (var i = 0; i < _messages.Length; i++)
        {
            var price = new Price(100_000 + (i * 0.01m));
            var update = new KlineUpdate
            {
                Symbol = "S000USDT",
                Epoch = 1,
                Seq = i + 1,
                EventTime = DateTimeOffset.UnixEpoch.AddSeconds(1_767_571_200 + i),
                ReceivedTime = DateTimeOffset.UnixEpoch.AddSeconds(1_767_571_200 + i),
                Klines = [.. KlineIntervals.All.Select((interval, at) => new Kline
                {
                    Interval = interval,
                    OpenTime = DateTimeOffset.UnixEpoch.AddSeconds(1_767_571_200),
                    Open = new Price(99_000 + at),
                    High = new Price(200_000 + at),
                    Low = new Price(90_000 - at),
                    Close = price,
                    BaseVolume = i * (at + 1) * 1.5m,
                    QuoteVolume = i * (at + 1) * 150_000.25m,
                    TradeCount = i * (at + 1),
                    UpdateCount = i * (at + 1),
                    TradeHigh = new Price(200_000 + at),
                    TradeLow = new Price(90_000 - at),
                    FirstPrice = new Price(99_000 + at),
                    First = new TradeOrder(new TradeId(7_000_000_000_000 + at)),
                    Last = new TradeOrder(new TradeId(7_000_000_000_000 + (i * 13L))),
                })],
            };
            _messages[i] = new FeedMessage(update, 1, i);
        }
    }

    /// <summary>An update of all twelve intervals.</summary>
    [Benchmark]
    public int Add()
    {
        _ring.Add(_messages[_next++ % _messages.Length]);
        return _ring.Room;
    }
}
