using FsCheck;
using FsCheck.Fluent;
using KlineOrleans.Contracts;
using static KlineOrleans.Storage.Tests.SampleKlines;

namespace KlineOrleans.Storage.Tests;

/// <summary>What every archive promises. Each store runs all of it.</summary>
public abstract class KlineArchiveTests : IAsyncLifetime
{
    private const string Symbol = "6zRWT4aBUDVYQhYTdWvXnFVZxfMqA8TyqFsbLFqcpump";

    protected IKlineArchive Archive { get; private set; } = null!;

    protected static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => Archive = await Create();

    public async ValueTask DisposeAsync()
    {
        await Release();
        GC.SuppressFinalize(this);
    }

    protected abstract Task<IKlineArchive> Create();

    protected abstract Task Release();

    protected Task<IReadOnlyList<Kline>> All(string symbol, KlineInterval interval) =>
        Archive.Read(symbol, interval, new KlineRange(null, null, 100_000, false), Cancellation);

    [Fact]
    public async Task Empty_archive_answers_nothing()
    {
        Assert.Empty(await All(Symbol, KlineInterval.S1));
        Assert.Empty(await Archive.ReadEndingAfter(Symbol, DateTimeOffset.MinValue, Cancellation));
        Assert.Null(await Archive.GetSymbol(Symbol, Cancellation));
        Assert.Empty(await Archive.ListSymbols("", null, 1_000, Cancellation));
    }

    [Fact]
    public async Task Every_field_of_a_kline_comes_back()
    {
        var full = Full(KlineInterval.M5, Start);
        await Archive.Write(Symbol, [full], Cancellation);
        Assert.Equal([full], await All(Symbol, KlineInterval.M5));
    }

    [Fact]
    public async Task Kline_of_one_trade_comes_back()
    {
        var bought = One(KlineInterval.S1, Start);
        var sold = One(KlineInterval.S1, Start.AddSeconds(1), buy: false);
        await Archive.Write(Symbol, [bought, sold], Cancellation);
        Assert.Equal([bought, sold], await All(Symbol, KlineInterval.S1));
    }

    [Fact]
    public void Any_kline_comes_back_as_it_was() =>
        Prop.ForAll(Any.ArrayOf().Select(a => a.DistinctBy(k => (k.Interval, k.OpenTime)).ToArray()).ToArbitrary(), Gen.Choose(0, int.MaxValue).ToArbitrary(), (klines, number) =>
        {
            var symbol = $"any{number}-{Guid.NewGuid():N}";
            Archive.Write(symbol, klines, Cancellation).GetAwaiter().GetResult();
            foreach (var group in klines.GroupBy(k => k.Interval))
                Assert.Equal(group.OrderBy(k => k.OpenTime), All(symbol, group.Key).GetAwaiter().GetResult());
        }).QuickCheckThrowOnFailure();

    [Fact]
    public async Task Same_write_again_changes_nothing()
    {
        var klines = Run(KlineInterval.M1, 50);
        await Archive.Write(Symbol, klines, Cancellation);
        await Archive.Write(Symbol, klines, Cancellation);
        await Archive.Write(Symbol, klines[10..20], Cancellation);
        Assert.Equal(klines, await All(Symbol, KlineInterval.M1));
    }

    [Fact]
    public async Task Higher_revision_replaces_every_field()
    {
        await Archive.Write(Symbol, [Full(KlineInterval.M1, Start)], Cancellation);
        var corrected = One(KlineInterval.M1, Start, 5m, revision: 1);
        await Archive.Write(Symbol, [corrected], Cancellation);
        Assert.Equal([corrected], await All(Symbol, KlineInterval.M1));
    }

    [Fact]
    public async Task Lower_revision_changes_nothing()
    {
        var newest = One(KlineInterval.M1, Start, 5m, revision: 2);
        await Archive.Write(Symbol, [newest], Cancellation);
        await Archive.Write(Symbol, [One(KlineInterval.M1, Start, 4m, revision: 1), One(KlineInterval.M1, Start.AddMinutes(1))], Cancellation);
        Assert.Equal([newest, One(KlineInterval.M1, Start.AddMinutes(1))], await All(Symbol, KlineInterval.M1));
    }

    [Fact]
    public async Task Last_revision_in_one_write_stays()
    {
        await Archive.Write(Symbol, [One(KlineInterval.M1, Start, 4m), One(KlineInterval.M1, Start, 5m, 2), One(KlineInterval.M1, Start, 6m, 1)], Cancellation);
        Assert.Equal([One(KlineInterval.M1, Start, 5m, 2)], await All(Symbol, KlineInterval.M1));
    }

    [Fact]
    public async Task Symbols_and_intervals_are_kept_apart()
    {
        await Archive.Write("a", Run(KlineInterval.S1, 3), Cancellation);
        await Archive.Write("A", Run(KlineInterval.S1, 4), Cancellation);
        await Archive.Write("a", Run(KlineInterval.S5, 5), Cancellation);
        Assert.Equal(Run(KlineInterval.S1, 3), await All("a", KlineInterval.S1));
        Assert.Equal(Run(KlineInterval.S1, 4), await All("A", KlineInterval.S1));
        Assert.Equal(Run(KlineInterval.S5, 5), await All("a", KlineInterval.S5));
        Assert.Empty(await All("A", KlineInterval.S5));
    }

    [Fact]
    public async Task Range_includes_its_start_and_not_its_end()
    {
        await Archive.Write(Symbol, Run(KlineInterval.S1, 10), Cancellation);
        var read = await Archive.Read(Symbol, KlineInterval.S1, new KlineRange(Start.AddSeconds(2), Start.AddSeconds(5), 100, false), Cancellation);
        Assert.Equal(Run(KlineInterval.S1, 3, 2), read);
    }

    [Fact]
    public async Task Range_within_a_second_starts_and_ends_at_the_next_one()
    {
        await Archive.Write(Symbol, Run(KlineInterval.S1, 10), Cancellation);
        var read = await Archive.Read(Symbol, KlineInterval.S1, new KlineRange(Start.AddSeconds(1.5), Start.AddSeconds(4.5), 100, true), Cancellation);
        Assert.Equal(Run(KlineInterval.S1, 3, 2), read);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Limit_keeps_the_asked_end_oldest_first(bool newest)
    {
        await Archive.Write(Symbol, [.. Run(KlineInterval.S1, 10).Reverse()], Cancellation);
        var read = await Archive.Read(Symbol, KlineInterval.S1, new KlineRange(null, null, 4, newest), Cancellation);
        Assert.Equal(Run(KlineInterval.S1, 4, newest ? 6 : 0), read);
    }

    [Fact]
    public async Task Pages_in_either_direction_meet_without_gap_or_overlap()
    {
        var all = Run(KlineInterval.S1, 103);
        await Archive.Write(Symbol, all, Cancellation);

        var forward = new List<Kline>();
        for (DateTimeOffset? from = null; ;)
        {
            var page = await Archive.Read(Symbol, KlineInterval.S1, new KlineRange(from, null, 10, false), Cancellation);
            if (page.Count == 0)
                break;
            forward.AddRange(page);
            from = page[^1].EndTime;
        }

        var backward = new List<Kline>();
        for (DateTimeOffset? to = null; ;)
        {
            var page = await Archive.Read(Symbol, KlineInterval.S1, new KlineRange(null, to, 10, true), Cancellation);
            if (page.Count == 0)
                break;
            backward.InsertRange(0, page);
            to = page[0].OpenTime;
        }

        Assert.Equal(all, forward);
        Assert.Equal(all, backward);
    }

    [Fact]
    public async Task Extreme_bounds_read_everything()
    {
        await Archive.Write(Symbol, Run(KlineInterval.D1, 3), Cancellation);
        var read = await Archive.Read(Symbol, KlineInterval.D1, new KlineRange(DateTimeOffset.MinValue, DateTimeOffset.MaxValue, 100_000, true), Cancellation);
        Assert.Equal(Run(KlineInterval.D1, 3), read);
    }

    [Fact]
    public async Task Ending_after_reads_all_intervals_shortest_first()
    {
        foreach (var interval in KlineIntervals.All.Reverse())
            await Archive.Write(Symbol, Run(interval, 20), Cancellation);
        foreach (var endAfter in new[] { Start.AddSeconds(-1), Start, Start.AddSeconds(5), Start.AddSeconds(5.25), Start.AddMinutes(3), Start.AddDays(30), Start.AddYears(1), DateTimeOffset.MinValue, DateTimeOffset.MaxValue })
        {
            var expected = KlineIntervals.All.SelectMany(i => Run(i, 20)).Where(k => k.EndTime > endAfter);
            Assert.Equal(expected, await Archive.ReadEndingAfter(Symbol, endAfter, Cancellation));
        }
    }

    [Fact]
    public async Task Forming_flat_and_malformed_klines_are_refused_and_nothing_is_stored()
    {
        var good = One(KlineInterval.M1, Start);
        Kline[] bad =
        [
            good with { IsFinal = false },
            Kline.Flat(KlineInterval.M1, Start, new Price(1), isFinal: true),
            good with { OpenTime = Start.AddSeconds(1) },
            good with { Interval = KlineInterval.None },
            good with { Interval = (KlineInterval)13 },
            good with { Close = default },
        ];
        foreach (var kline in bad)
            await Assert.ThrowsAnyAsync<ArgumentException>(() => Archive.Write(Symbol, [good, kline], Cancellation));
        Assert.Empty(await All(Symbol, KlineInterval.M1));
    }

    [Fact]
    public async Task Wrong_arguments_are_refused()
    {
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Archive.Write("", [One(KlineInterval.M1, Start)], Cancellation));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Archive.Read(Symbol, KlineInterval.None, new KlineRange(null, null, 1, true), Cancellation));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Archive.Read(Symbol, KlineInterval.M1, new KlineRange(null, null, 0, true), Cancellation));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Archive.Read(Symbol, KlineInterval.M1, new KlineRange(null, null, 100_001, true), Cancellation));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Archive.PutSymbol(new SymbolInfo("", "a", "x", Start), Cancellation));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Archive.PutSymbol(new SymbolInfo("a", null!, "x", Start), Cancellation));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Archive.ListSymbols("", null, 0, Cancellation));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Archive.ListSymbols("", null, 1_001, Cancellation));
    }

    [Fact]
    public async Task Cancelled_calls_do_nothing()
    {
        var cancelled = new CancellationToken(canceled: true);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Archive.Write(Symbol, Run(KlineInterval.S1, 3), cancelled));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Archive.Read(Symbol, KlineInterval.S1, new KlineRange(null, null, 3, true), cancelled));
        Assert.Empty(await All(Symbol, KlineInterval.S1));
    }

    [Fact]
    public async Task Write_of_no_klines_is_done_at_once()
    {
        await Archive.Write(Symbol, [], Cancellation);
        Assert.Empty(await Archive.ReadEndingAfter(Symbol, DateTimeOffset.MinValue, Cancellation));
    }

    [Fact]
    public async Task Concurrent_writers_and_readers_see_whole_writes_only()
    {
        await Parallel.ForEachAsync(Enumerable.Range(0, 40), Cancellation, async (i, token) =>
        {
            for (var part = 0; part < 5; part++)
            {
                await Archive.Write($"s{i % 8}", Run(KlineInterval.S1, 10, part * 10), token);
                var read = await Archive.Read($"s{i % 8}", KlineInterval.S1, new KlineRange(null, null, 1_000, false), token);
                Assert.Equal(0, read.Count % 10);
                Assert.True(read.Count >= (part + 1) * 10);
            }
        });
        for (var s = 0; s < 8; s++)
            Assert.Equal(Run(KlineInterval.S1, 50), await All($"s{s}", KlineInterval.S1));
    }

    [Fact]
    public async Task Symbol_comes_back_and_case_counts()
    {
        var info = new SymbolInfo(Symbol, "Ünïcode 币", "simulation", Start.AddMilliseconds(123));
        await Archive.PutSymbol(info, Cancellation);
        Assert.Equal(info, await Archive.GetSymbol(Symbol, Cancellation));
        Assert.Null(await Archive.GetSymbol(Symbol.ToUpperInvariant(), Cancellation));
    }

    [Fact]
    public async Task Known_symbol_keeps_its_earliest_listing_time_and_takes_the_new_name()
    {
        await Archive.PutSymbol(new SymbolInfo("a", "old", "one", Start), Cancellation);
        await Archive.PutSymbol(new SymbolInfo("a", "new", "two", Start.AddDays(1)), Cancellation);
        Assert.Equal(new SymbolInfo("a", "new", "two", Start), await Archive.GetSymbol("a", Cancellation));
        await Archive.PutSymbol(new SymbolInfo("a", "new", "two", Start.AddDays(-1)), Cancellation);
        Assert.Equal(Start.AddDays(-1), (await Archive.GetSymbol("a", Cancellation))!.ListedTime);
        Assert.Empty(await Archive.ListSymbols("old", null, 10, Cancellation));
    }

    [Fact]
    public async Task Symbol_with_klines_is_in_the_index_only_once_put()
    {
        await Archive.Write("a", Run(KlineInterval.S1, 1), Cancellation);
        Assert.Null(await Archive.GetSymbol("a", Cancellation));
        Assert.Empty(await Archive.ListSymbols("", null, 10, Cancellation));
        await Archive.PutSymbol(new SymbolInfo("a", "a", "x", Start), Cancellation);
        Assert.Single(await Archive.ListSymbols("", null, 10, Cancellation));
        Assert.Equal(Run(KlineInterval.S1, 1), await All("a", KlineInterval.S1));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(1_000)]
    public async Task Newest_symbols_page_is_the_index_backwards(int limit)
    {
        for (var i = 0; i < 11; i++)
        {
            await Archive.PutSymbol(new SymbolInfo($"s{i * 7 % 11}", "name", "x", Start.AddSeconds(i / 3)), Cancellation);
        }

        List<SymbolInfo> backwards = [];
        while (await Archive.ListNewestSymbols(backwards.LastOrDefault(), limit, Cancellation) is { Count: > 0 } page)
        {
            Assert.True(page.Count <= limit);
            backwards.AddRange(page);
        }

        Assert.Equal(11, backwards.Count);
        Assert.Equal((await Archive.ListSymbols("", null, 1_000, Cancellation)).Reverse(), backwards);
    }

    [Fact]
    public async Task Listing_time_is_kept_in_whole_milliseconds()
    {
        await Archive.PutSymbol(new SymbolInfo("a", "a", "x", Start.AddTicks(12_345)), Cancellation);
        Assert.Equal(Start.AddMilliseconds(1), (await Archive.GetSymbol("a", Cancellation))!.ListedTime);
    }

    [Fact]
    public async Task Symbols_are_listed_by_time_then_ordinal_in_pages()
    {
        SymbolInfo[] expected = [.. new[] { "B", "Z", "_", "a", "b", "币" }.SelectMany(s => new[] { 0, 1, 2 }, (s, day) => new SymbolInfo($"{s}{day}", s, "x", Start.AddDays(day))).OrderBy(s => s.ListedTime).ThenBy(s => s.Symbol, StringComparer.Ordinal)];
        foreach (var info in expected.Reverse())
            await Archive.PutSymbol(info, Cancellation);
        var listed = new List<SymbolInfo>();
        for (SymbolInfo? after = null; ;)
        {
            var page = await Archive.ListSymbols("", after, 4, Cancellation);
            if (page.Count == 0)
                break;
            listed.AddRange(page);
            after = page[^1];
        }

        Assert.Equal(expected, listed);
    }

    [Theory]
    [InlineData("sol", "SOLUSDT,xSoLx,named")]
    [InlineData("ÉCLAIR", "cake")]
    [InlineData("%", "per")]
    [InlineData("_", "")]
    [InlineData("币安", "币安人生USDT")]
    [InlineData("named", "named")]
    [InlineData("dw", "")]
    public async Task Query_finds_part_of_symbol_or_name_whatever_the_case(string query, string expected)
    {
        foreach (var (symbol, name) in new[] { ("SOLUSDT", "SOLUSDT"), ("xSoLx", "x"), ("named", "Wrapped Sol"), ("cake", "éclair"), ("per", "100%"), ("币安人生USDT", "币安人生") })
            await Archive.PutSymbol(new SymbolInfo(symbol, name, "x", Start), Cancellation);
        var found = await Archive.ListSymbols(query, null, 10, Cancellation);
        Assert.Equal(expected.Split(',', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal), found.Select(s => s.Symbol));
    }
}
