using KlineOrleans.Contracts;
using KlineOrleans.Storage.Sqlite;

namespace KlineOrleans.Storage.Tests;

/// <summary>The SQLite archive keeps every promise of the port.</summary>
public sealed class SqliteKlineArchiveTests : KlineArchiveTests
{
    private readonly SqliteFile _file = new();

    protected override Task<IKlineArchive> Create() => Task.FromResult<IKlineArchive>(new SqliteKlineArchive(_file.Store()));

    protected override async Task Release() => await _file.DisposeAsync();

    [Fact]
    public async Task Text_that_would_come_back_as_other_text_is_refused()
    {
        var kline = SampleKlines.One(KlineInterval.S1, SampleKlines.Start);
        await Assert.ThrowsAnyAsync<ArgumentException>(() => Archive.Write("half \uD800 pair", [kline], Cancellation));
        await Archive.Write("whole", [kline], Cancellation);
        Assert.Single(await All("whole", KlineInterval.S1));
    }
}
