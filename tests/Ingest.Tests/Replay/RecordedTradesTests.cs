using System.Globalization;
using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Ingest.Tests.Replay;

/// <summary>Every recording of trades gives exactly the trades that are in it.</summary>
public sealed class RecordedTradesTests
{
    [Fact]
    public async Task Pump_frames_give_the_trades_of_the_derived_list_field_by_field_and_none_is_skipped()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        var source = Frames.Source(Frames.Replay(RecordedData.PathOf("pumpfun", "derived-synthetic-logsNotification.ndjson"), RecordingFormat.SolanaLogs));
        var chunks = await Frames.ReadAll(source);
        var trades = chunks.SelectMany(c => c.Trades).ToList();
        var expected = (await File.ReadAllLinesAsync(RecordedData.PathOf("pumpfun", "derived-chain-ordered-trades.ndjson"), TestContext.Current.CancellationToken))
            .Select(l => JsonDocument.Parse(l).RootElement).ToList();

        Assert.Equal(2_293, expected.Count);
        Assert.Equal(expected.Count, trades.Count);
        Assert.Empty(source.GetStatus().Skipped);
        Assert.Equal(2_293, source.GetStatus().Trades);
        Assert.Equal(SourceState.Ended, source.GetStatus().State);
        Assert.Equal(1, source.GetStatus().Progress);

        var clock = DateTimeOffset.MinValue;
        var indexes = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var i = 0; i < trades.Count; i++)
        {
            var (trade, row) = (trades[i], expected[i]);
            decimal Number(string name) => decimal.Parse(row.GetProperty(name).GetString()!, CultureInfo.InvariantCulture);
            var time = DateTimeOffset.FromUnixTimeSeconds(row.GetProperty("block_time").GetInt64());
            clock = time > clock ? time : clock;
            Assert.Equal(row.GetProperty("mint").GetString(), trade.Symbol);
            Assert.Equal(row.GetProperty("slot").GetInt64(), trade.Order.Id.Position);
            Assert.Equal(row.GetProperty("signature").GetString(), trade.Order.Id.Signature);
            // A transaction with two trades has two frames in this recording.
            Assert.Equal(indexes.GetValueOrDefault(trade.Order.Id.Signature!), trade.Order.Id.Index);
            indexes[trade.Order.Id.Signature!] = trade.Order.Id.Index + 1;
            Assert.Equal(i + 1, trade.Order.Sequence);
            Assert.Equal(time, trade.EventTime);
            Assert.False(trade.IsEventTimeEstimated);
            Assert.Equal(clock, trade.ReceivedTime);
            Assert.Equal(Number("virtual_sol_reserves") / 1_000_000_000m / (Number("virtual_token_reserves") / 1_000_000m), trade.Price.Value);
            Assert.Equal(Number("token_amount") / 1_000_000m, trade.BaseAmount);
            Assert.Equal(Number("sol_amount") / 1_000_000_000m, trade.QuoteAmount);
            Assert.Equal(row.GetProperty("is_buy").GetBoolean() ? TakerSide.Buy : TakerSide.Sell, trade.TakerSide);
            Assert.Equal(1, trade.Count);
        }

        Assert.Equal(402, indexes.Values.Count(n => n == 2));
        Assert.Equal(trades.Count, trades.Select(t => t.Order.Id).Distinct().Count());
        Assert.Equal(clock, chunks[^1].Clock.Time);
        Assert.All(chunks, c => Assert.False(c.Clock.IsLive));
    }

    [Fact]
    public async Task Aggregate_trades_of_the_archive_come_line_by_line()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        var path = RecordedData.PathOf("binance-xrpeth", "XRPETH-aggTrades-2019-10-11_13.csv");
        var source = Frames.Source(Frames.Replay(path, RecordingFormat.BinanceAggTradesCsv));
        var trades = (await Frames.ReadAll(source)).SelectMany(c => c.Trades).ToList();
        var rows = (await File.ReadAllLinesAsync(path, TestContext.Current.CancellationToken)).Skip(1).Select(l => l.Split(',')).ToList();

        Assert.Equal(12_477, rows.Count);
        Assert.Equal(rows.Count, trades.Count);
        Assert.Empty(source.GetStatus().Skipped);
        foreach (var (trade, row) in trades.Zip(rows))
        {
            var (price, quantity) = (decimal.Parse(row[1], CultureInfo.InvariantCulture), decimal.Parse(row[2], CultureInfo.InvariantCulture));
            Assert.Equal("XRPETH", trade.Symbol);
            Assert.Equal(row[0], trade.Order.Id.ToString());
            Assert.Equal(price, trade.Price.Value);
            Assert.Equal(quantity, trade.BaseAmount);
            Assert.Equal(price * quantity, trade.QuoteAmount);
            Assert.Equal(int.Parse(row[4], CultureInfo.InvariantCulture) - int.Parse(row[3], CultureInfo.InvariantCulture) + 1, trade.Count);
            Assert.Equal(long.Parse(row[5], CultureInfo.InvariantCulture), trade.EventTime.ToUnixTimeMilliseconds());
            Assert.Equal(row[6] == "True" ? TakerSide.Sell : TakerSide.Buy, trade.TakerSide);
        }
    }

    [Fact]
    public async Task Decoded_events_of_the_public_server_come_sorted_by_their_timestamp()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        var path = RecordedData.PathOf("spinpet", "localnet_20251122_decoded_events.jsonl");
        var source = Frames.Source(Frames.Replay(path, RecordingFormat.SpinPetEventsJson));
        var chunks = await Frames.ReadAll(source);
        var trades = chunks.SelectMany(c => c.Trades).ToList();
        var rows = (await File.ReadAllLinesAsync(path, TestContext.Current.CancellationToken)).Select(l => JsonDocument.Parse(l).RootElement)
            .Where(e => e.GetProperty("event_type").GetString() == "LongShort").OrderBy(e => e.GetProperty("timestamp").GetString(), StringComparer.Ordinal).ToList();

        Assert.Equal(62, trades.Count);
        Assert.Equal(1, source.GetStatus().Skipped["notATrade"]);
        Assert.Single(source.GetStatus().Skipped);
        for (var i = 0; i < trades.Count; i++)
        {
            var (trade, row) = (trades[i], rows[i]);
            var text = row.GetProperty("timestamp").GetString()!;
            Assert.Equal(DateTimeOffset.Parse(text[..27] + "Z", CultureInfo.InvariantCulture), trade.EventTime);
            Assert.Equal(text[27..29], (trade.Order.Sequence % 100).ToString("00", CultureInfo.InvariantCulture));
            Assert.Equal(decimal.Parse(row.GetProperty("latest_price").GetString()!, CultureInfo.InvariantCulture) / 10_000_000_000_000m / 10_000_000_000_000m, trade.Price.Value);
            Assert.Equal(row.GetProperty("lock_lp_token_amount").GetDecimal() / 1_000_000m, trade.BaseAmount);
            Assert.Equal(row.GetProperty("lock_lp_sol_amount").GetDecimal() / 1_000_000_000m, trade.QuoteAmount);
            Assert.Equal(row.GetProperty("order_type").GetInt32() == 1 ? TakerSide.Buy : TakerSide.Sell, trade.TakerSide);
            Assert.Equal(row.GetProperty("signature").GetString(), trade.Order.Id.Signature);
            Assert.Equal(row.GetProperty("slot").GetInt64(), trade.Order.Id.Position);
        }

        Assert.True(trades.Zip(trades.Skip(1)).All(p => p.First.Order < p.Second.Order && p.First.EventTime <= p.Second.EventTime));
        var symbol = Assert.Single(chunks.SelectMany(c => c.Symbols));
        Assert.Equal(new SymbolInfo("AgDBATryhzzyfxJrMn5va3qvQdoAEpoQYannRXwXgPJN", "AutoCreatedToken", "replay", DateTimeOffset.Parse("2025-11-22T01:19:19.600Z", CultureInfo.InvariantCulture)), symbol);
    }

    [Fact]
    public async Task Decoded_events_come_whole_as_the_public_server_recorded_them()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        var path = RecordedData.PathOf("spinpet", "localnet_20251122_decoded_events.jsonl");
        var events = (await Frames.ReadAll(Frames.Source(Frames.Replay(path, RecordingFormat.SpinPetEventsJson, o => o with { PriceScale = 26 })))).SelectMany(c => c.Events).ToList();
        var recorded = File.ReadLines(path).Select(l => JsonDocument.Parse(l).RootElement).ToList();
        Assert.Equal(63, recorded.Count);
        Assert.Equal(63, events.Count);
        var left = recorded.ToDictionary(r => (r.GetProperty("signature").GetString(), r.GetProperty("timestamp").GetString()![..19]));
        foreach (var e in events)
        {
            Assert.True(left.Remove((e.Order.Id.Signature, e.EventTime.ToString("yyyy-MM-dd'T'HH:mm:ss", CultureInfo.InvariantCulture)), out var line));
            Assert.Equal((line.GetProperty("slot").GetInt64(), line.GetProperty("mint_account").GetString(), line.GetProperty("event_type").GetString()), (e.Order.Id.Position, e.Symbol, e.Type));
            using var own = JsonDocument.Parse(e.Fields);
            Assert.Equal(
                line.EnumerateObject().Where(m => m.Name is not ("timestamp" or "signature" or "slot")).Select(m => (m.Name, m.Value.GetRawText())),
                own.RootElement.EnumerateObject().Select(m => (m.Name, m.Value.GetRawText())));
        }
    }

    [Fact]
    public async Task Raw_aggTrade_frames_come_and_other_events_are_counted_by_name()
    {
        Assert.SkipUnless(RecordedData.Exists, RecordedData.SkipReason);
        var source = Frames.Source(Frames.Replay(RecordedData.PathOf("binance-ws", "BINANCE_DELIVERY-aggTrade-kline-bookTicker.ndjson"), RecordingFormat.BinanceFrames));
        var trades = (await Frames.ReadAll(source)).SelectMany(c => c.Trades).ToList();

        Assert.Equal(51, trades.Count);
        Assert.Equal(33, source.GetStatus().Skipped["otherEvent:kline"]);
        Assert.DoesNotContain(source.GetStatus().Skipped.Keys, SkipReasons.IsLoss);
        var first = trades[0];
        Assert.Equal(("BCHUSD_PERP", 427.91m, 3m, 11285749L, 1, TakerSide.Sell), (first.Symbol, first.Price.Value, first.BaseAmount, first.Order.Id.Position, first.Count, first.TakerSide));
        Assert.Equal(1_626_916_403_852, first.EventTime.ToUnixTimeMilliseconds());

        var others = Frames.Source(Frames.Replay(RecordedData.PathOf("binance-ws", "unicorn-fy-real-frames.ndjson"), RecordingFormat.BinanceFrames));
        trades = (await Frames.ReadAll(others)).SelectMany(c => c.Trades).ToList();
        Assert.Equal(["BTCUSDT", "BTCUSD_PERP"], trades.Select(t => t.Symbol));
        Assert.Equal(1, others.GetStatus().Skipped["otherEvent:trade"]);
        Assert.DoesNotContain(others.GetStatus().Skipped.Keys, SkipReasons.IsLoss);
    }
}
