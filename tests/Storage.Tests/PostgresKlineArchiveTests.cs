using KlineOrleans.Contracts;

namespace KlineOrleans.Storage.Tests;

/// <summary>The PostgreSQL archive keeps every promise of the port.</summary>
public sealed class PostgresKlineArchiveTests : KlineArchiveTests
{
    private PostgresUnderTest? _store;

    protected override async Task<IKlineArchive> Create()
    {
        _store = await PostgresUnderTest.Create();
        return _store.Archive;
    }

    protected override async Task Release()
    {
        if (_store is not null)
            await _store.DisposeAsync();
    }

    [Theory]
    [InlineData(0xD800)]
    [InlineData(0xDC00)]
    [InlineData(0)]
    public async Task Text_that_would_come_back_as_other_text_is_refused_and_never_found(int code)
    {
        var text = $"half {(char)code} pair";
        var kline = SampleKlines.One(KlineInterval.S1, SampleKlines.Start);
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Archive.Write(text, [kline], Cancellation));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Archive.Write("whole", [kline with { First = new TradeOrder(new TradeId(1, text, 0), 1) }], Cancellation));
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Archive.PutSymbol(new SymbolInfo("a", text, "x", SampleKlines.Start), Cancellation));
        Assert.Empty(await All(text, KlineInterval.S1));
        Assert.Null(await Archive.GetSymbol(text, Cancellation));
        Assert.Empty(await Archive.ListSymbols(text, null, 10, Cancellation));
    }

    [Fact]
    public async Task Equal_numbers_are_equal_rows()
    {
        var kline = SampleKlines.One(KlineInterval.S1, SampleKlines.Start, 1.50m);
        await Archive.Write("a", [kline], Cancellation);
        var first = await _store!.Database.Rows("SELECT * FROM kline");
        await Archive.Write("a", [SampleKlines.One(KlineInterval.S1, SampleKlines.Start, 1.500000m) with { BaseVolume = kline.BaseVolume + 0.000000000m }], Cancellation);
        Assert.Equal(first, await _store.Database.Rows("SELECT * FROM kline"));
        Assert.Contains(",1.5,", first[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task People_read_klines_from_a_view()
    {
        await Archive.Write("a", [SampleKlines.Full(KlineInterval.M5, SampleKlines.Start), SampleKlines.One(KlineInterval.S1, SampleKlines.Start, 2m)], Cancellation);
        Assert.Equal(["(a,s1,2,2,2,2,34612.907731)", "(a,m5,1.0000000000000000000000000002,79228162514264337593543950335,0.0000000000000000000000000001,2.5,123456789.123456789)"],
            await _store!.Database.Rows("SELECT symbol, interval, open, high, low, close, base_volume FROM klines ORDER BY base_volume"));
    }
}
