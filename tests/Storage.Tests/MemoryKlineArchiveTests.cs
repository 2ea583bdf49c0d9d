using KlineOrleans.Contracts;
using KlineOrleans.Testing.Archive;

namespace KlineOrleans.Storage.Tests;

/// <summary>The fake keeps the same promises as the real stores, and its switches work.</summary>
public sealed class MemoryKlineArchiveTests : KlineArchiveTests
{
    private MemoryKlineArchive Memory => (MemoryKlineArchive)Archive;

    protected override Task<IKlineArchive> Create() => Task.FromResult<IKlineArchive>(new MemoryKlineArchive());

    protected override Task Release() => Task.CompletedTask;

    [Fact]
    public async Task Unavailable_archive_fails_every_call_and_recovers()
    {
        Memory.IsUnavailable = true;
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => Memory.Write("a", SampleKlines.Run(KlineInterval.S1, 1), Cancellation));
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => All("a", KlineInterval.S1));
        Memory.IsUnavailable = false;
        Assert.Empty(await All("a", KlineInterval.S1));
    }

    [Fact]
    public async Task Fail_next_fails_that_many_writes()
    {
        Memory.FailNext(2);
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => Memory.Write("a", SampleKlines.Run(KlineInterval.S1, 1), Cancellation));
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => Memory.PutSymbol(new SymbolInfo("a", "a", "x", SampleKlines.Start), Cancellation));
        await Memory.Write("a", SampleKlines.Run(KlineInterval.S1, 1), Cancellation);
        Assert.Single(Memory.AllOf("a"));
        Assert.Equal(1, Memory.Writes);
    }

    [Fact]
    public async Task Held_writes_store_nothing_until_released()
    {
        Task write;
        using (Memory.HoldWrites())
        {
            write = Memory.Write("a", SampleKlines.Run(KlineInterval.S1, 1), Cancellation);
            await Memory.WaitForHeldWrites(1, Cancellation);
            Assert.Empty(await All("a", KlineInterval.S1));
            Assert.False(write.IsCompleted);
        }

        await write;
        Assert.Single(await All("a", KlineInterval.S1));
    }
}
