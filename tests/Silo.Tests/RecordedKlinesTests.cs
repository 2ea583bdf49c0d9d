using System.Globalization;
using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Silo.Tests;

/// <summary>The whole path on real data: a recording goes in at the command line, klines come out over HTTP, and equal those of the exchange or the old server.</summary>
public class RecordedKlinesTests
{
    private static readonly string[] Csv = ["--Kline:Sources:0:Kind", "Replay", "--Kline:Sources:0:Format", "BinanceAggTradesCsv", "--Kline:Sources:0:Symbol", "XRPETH", "--Kline:Sources:0:Speed", "0"];

    public enum Order
    {
        AsRecorded,
        ShuffledWithinMinutes,
        DelayedUpToAMinute,
        EveryTradeTwice,
        TheWholeFileTwice,
    }

    [Theory]
    [InlineData(Order.AsRecorded)]
    [InlineData(Order.ShuffledWithinMinutes)]
    [InlineData(Order.DelayedUpToAMinute)]
    [InlineData(Order.EveryTradeTwice)]
    [InlineData(Order.TheWholeFileTwice)]
    public async Task Binance_klines_are_the_exchanges_own(Order order)
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        using var folder = new TemporaryFolder();
        var lines = await File.ReadAllLinesAsync(RecordedData.PathOf("binance-xrpeth", "XRPETH-aggTrades-2019-10-11_13.csv"));
        await File.WriteAllLinesAsync(folder["trades.csv"], [lines[0], .. Reorder(lines[1..], order)]);
        await using var server = await ServerProcess.Start([.. Csv, "--Kline:Sources:0:Path", folder["trades.csv"], "--Kline:Storage:Path", folder["kline.db"]]);
        await server.WaitForEnd();

        Assert.Equal(3_560, await CountEqual(server, "m1", "XRP_ETH-1m.json"));
        Assert.Equal(712, await CountEqual(server, "m5", "XRP_ETH-5m.json"));
        Assert.Equal(0, await server.Terminate());
    }

    [Fact]
    public async Task Spin_Pet_klines_with_wicks_that_ignore_the_open_are_the_public_servers()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        using var folder = new TemporaryFolder();
        await using var server = await ServerProcess.Start([.. SpinPet(folder), "--Compat:WicksIgnoreOpen", "true"]);
        await server.WaitForEnd();

        var expected = await File.ReadAllLinesAsync(RecordedData.PathOf("spinpet", "derived_candles_impl_rules_20251122.tsv"), TestContext.Current.CancellationToken);
        var compared = 0;
        foreach (var line in expected.Skip(1))
        {
            var fields = line.Split('\t');
            var time = long.Parse(fields[1], CultureInfo.InvariantCulture) * 1_000;
            var kline = Assert.Single(await server.GetKlines(SpinPetMint, fields[0], time, time + 1));
            Assert.Equal(
                fields[2..6].Select(f => decimal.Parse(f, NumberStyles.Float, CultureInfo.InvariantCulture)),
                new[] { "open", "high", "low", "close" }.Select(f => Math.Round(Exact(kline, f), 12, MidpointRounding.AwayFromZero)));
            Assert.Equal(int.Parse(fields[8], CultureInfo.InvariantCulture), kline.GetProperty("updates").GetInt32());
            compared++;
        }

        Assert.Equal(73, compared);
        foreach (var (interval, count) in new[] { ("s1", 56), ("s30", 14), ("m5", 3) })
        {
            Assert.Equal(count, (await server.GetKlines(SpinPetMint, interval, 0, 4_000_000_000_000)).Count);
        }
    }

    [Fact]
    public async Task Spin_Pet_klines_hold_their_open_between_low_and_high()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        using var folder = new TemporaryFolder();
        await using var server = await ServerProcess.Start(SpinPet(folder));
        await server.WaitForEnd();

        var seen = 0;
        foreach (var interval in KlineIntervals.All)
        {
            decimal? close = null;
            foreach (var kline in await server.GetKlines(SpinPetMint, interval.Name(), 0, 4_000_000_000_000))
            {
                Assert.InRange(Exact(kline, "open"), Exact(kline, "low"), Exact(kline, "high"));
                Assert.Equal(close ?? Exact(kline, "open"), Exact(kline, "open"));
                close = Exact(kline, "close");
                seen++;
            }
        }

        Assert.True(seen > 73, $"{seen} klines");
    }

    [Fact]
    public async Task Pump_klines_of_every_interval_are_those_of_the_trades_in_chain_order()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        using var folder = new TemporaryFolder();
        await using var server = await ServerProcess.Start(
            "--Kline:Sources:0:Kind", "Replay",
            "--Kline:Sources:0:Format", "SolanaLogs",
            "--Kline:Sources:0:Path", RecordedData.PathOf("pumpfun", "derived-synthetic-logsNotification.ndjson"),
            "--Kline:Storage:Path", folder["kline.db"]);
        var health = await server.WaitForEnd();
        Assert.Equal(2_293, health.GetProperty("sources")[0].GetProperty("trades").GetInt64());
        Assert.Equal(0, health.GetProperty("sources")[0].GetProperty("skipped").GetInt64());

        var compared = 0;
        foreach (var mint in File.ReadLines(RecordedData.PathOf("pumpfun", "derived-chain-ordered-trades.ndjson")).Select(l => PumpTrade.Read(l)).GroupBy(t => t.Mint))
        {
            foreach (var interval in KlineIntervals.All)
            {
                var expected = PumpTrade.Klines([.. mint], interval);
                var klines = await server.GetKlines(mint.Key, interval.Name(), 0, 4_000_000_000_000);
                Assert.Equal(expected.Count, klines.Count);
                foreach (var (wanted, kline) in expected.Zip(klines))
                {
                    Assert.Equal(wanted.Time * 1_000, kline.GetProperty("openTime").GetInt64());
                    Assert.Equal(wanted.Values, PumpTrade.Fields.Select(f => Exact(kline, f)));
                    Assert.Equal(wanted.Trades, kline.GetProperty("trades").GetInt32());
                    compared++;
                }
            }
        }

        Assert.Equal(2_195, compared);
    }

    private const string SpinPetMint = "AgDBATryhzzyfxJrMn5va3qvQdoAEpoQYannRXwXgPJN";

    private static string[] SpinPet(TemporaryFolder folder) =>
    [
        "--Kline:Sources:0:Kind", "Replay",
        "--Kline:Sources:0:Format", "SpinPetEventsJson",
        "--Kline:Sources:0:Path", RecordedData.PathOf("spinpet", "localnet_20251122_decoded_events.jsonl"),
        "--Kline:Storage:Path", folder["kline.db"],
    ];

    private static decimal Exact(JsonElement kline, string field) => decimal.Parse(kline.GetProperty(field).GetString()!, CultureInfo.InvariantCulture);

    private static IEnumerable<string> Reorder(string[] trades, Order order)
    {
        var random = new Random(20191011);
        return order switch
        {
            Order.ShuffledWithinMinutes => trades.GroupBy(t => Time(t) / 60_000).SelectMany(minute => minute.OrderBy(_ => random.Next())),
            Order.DelayedUpToAMinute => trades.OrderBy(t => Time(t) + random.Next(60_000)),
            Order.EveryTradeTwice => trades.SelectMany(t => new[] { t, t }),
            Order.TheWholeFileTwice => trades.Concat(trades),
            _ => trades,
        };

        static long Time(string trade) => long.Parse(trade.Split(',')[5], CultureInfo.InvariantCulture);
    }

    private static async Task<int> CountEqual(ServerProcess server, string interval, string file)
    {
        using var official = JsonDocument.Parse(await File.ReadAllBytesAsync(RecordedData.PathOf("binance-xrpeth", file)));
        var rows = official.RootElement.EnumerateArray().ToList();
        var klines = await server.GetKlines("XRPETH", interval, rows[0][0].GetInt64(), rows[^1][0].GetInt64() + 1);
        Assert.Equal(rows.Select(r => r[0].GetInt64()), klines.Select(k => k.GetProperty("openTime").GetInt64()));
        return rows.Zip(klines).Count(pair =>
        {
            var (row, kline) = pair;
            string[] fields = ["open", "high", "low", "close", "baseVolume"];
            return fields.Index().All(f => row[f.Index + 1].GetDecimal() == Exact(kline, f.Item));
        });
    }
}
