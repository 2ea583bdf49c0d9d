using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Archive;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Grains.Tests;

/// <summary>Mints that trade once and fall quiet, through the real grains.</summary>
public class QuietMintTests
{
    private readonly MemoryGrainStorage _storage = new();
    private readonly MemoryKlineArchive _archive = new();
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public async Task Killed_after_its_last_trade_a_mint_ends_with_the_archive_of_an_undisturbed_run()
    {
        List<SourceChunk> chunks = [Chunk(1, 0, Trade("A", 1, 0), Trade("B", 2, 0)), .. Enumerable.Range(1, 20).Select(i => Chunk(i + 1, i * 30, Trade("B", i + 10, i * 30)))];
        var undisturbed = new MemoryKlineArchive();
        await using (var host = await GrainHost.Start(new FakeSources(new KlineRules(), chunks), new MemoryGrainStorage(), undisturbed))
        {
            await host.Source.Start();
            await host.WaitForEnd();
        }

        var hold = new TaskCompletionSource();
        var killed = await GrainHost.Start(new FakeSources(new KlineRules(), chunks) { BeforeChunk = i => i == 3 ? hold.Task : Task.CompletedTask }, _storage, _archive, _time);
        await killed.Source.Start();
        await FakeMints.Until(_time, async () => (await killed.Source.GetStatus()).Checkpoint == "3");
        await killed.Engine.Kill();
        await using (var host = await GrainHost.Start(new FakeSources(new KlineRules(), chunks), _storage, _archive, _time))
        {
            await host.Source.Start();
            await host.WaitForEnd();
        }

        Assert.NotEmpty(undisturbed.AllOf("A"));
        Assert.Equal(undisturbed.AllOf("A"), _archive.AllOf("A"));
        Assert.Equal(undisturbed.AllOf("B"), _archive.AllOf("B"));
    }

    [Fact]
    public async Task Killed_after_the_last_checkpoint_of_a_recording_its_mints_are_settled_by_the_stored_clock()
    {
        List<SourceChunk> chunks = [Chunk(1, 0, Trade("A", 1, 0)), Chunk(2, 100, Trade("B", 2, 100))];
        await using (var host = await GrainHost.Start(new FakeSources(new KlineRules(), chunks), _storage, _archive, _time))
        {
            await host.Source.Start();
            await host.WaitForEnd();
        }

        // As if the archive's last writes had been cut off: they are in the states still.
        var archive = new MemoryKlineArchive();
        foreach (var symbol in await _archive.ListNewestSymbols(null, 10, TestContext.Current.CancellationToken))
        {
            await archive.PutSymbol(symbol, TestContext.Current.CancellationToken);
        }

        await using (var host = await GrainHost.Start(new FakeSources(new KlineRules(), chunks, ends: false), _storage, archive, _time))
        {
            await host.Source.Start();
            Assert.Equal(TradeMaker.Start.AddSeconds(100), (await host.Source.GetStatus()).Clock);
            await FakeMints.Until(_time, () => Task.FromResult(archive.AllOf("A").Count > 0));
        }

        Assert.Equal(_archive.AllOf("A"), archive.AllOf("A"));
    }

    [Fact]
    public async Task Mints_that_nothing_comes_to_leave_memory_though_their_klines_form_and_their_source_goes_on()
    {
        List<SourceChunk> chunks = [Chunk(1, 0, Trade("A", 1, 0)), Chunk(2, 100, Trade("B", 2, 100))];
        await using var host = await GrainHost.Start(new FakeSources(new KlineRules(), chunks, ends: false), _storage, _archive, _time, collectionAge: TimeSpan.FromMinutes(1));
        await host.Source.Start();
        var metrics = host.Engine.Services.GetRequiredService<GrainMetrics>();

        await FakeMints.Until(_time, async () =>
        {
            await host.Engine.CollectIdle();
            return metrics.Left >= 2;
        });

        Assert.NotEqual(SourceState.Ended, (await host.Source.GetStatus()).State);
        Assert.NotEmpty((await host.Mint("A").GetSnapshot()).Klines);
    }

    [Fact]
    public async Task A_store_that_is_away_for_twenty_minutes_loses_nothing_of_a_mint_that_traded_once()
    {
        _archive.IsUnavailable = true;
        _storage.Before = (operation, _) => operation == "write" ? throw new IOException("database away") : Task.CompletedTask;
        await using var host = await GrainHost.Start(new FakeSources(new KlineRules(), [Chunk(1, 1, Trade("A", 1, 1))], ends: false), _storage, _archive, _time);
        await host.Source.Start();
        for (var i = 0; i < 250; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(5));
            await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System, TestContext.Current.CancellationToken);
        }

        Assert.Null((await host.Source.GetStatus()).Checkpoint);
        _archive.IsUnavailable = false;
        _storage.Before = null;
        await FakeMints.Until(_time, async () => (await host.Source.GetStatus()).Checkpoint == "1");
        await host.Engine.Kill();

        await using var next = await GrainHost.Start(new FakeSources(new KlineRules(), [], ends: false), _storage, _archive, _time);
        Assert.All((await next.Mint("A").GetSnapshot()).Klines, k => Assert.Equal(1, k.TradeCount));
        Assert.NotEmpty((await next.Mint("A").GetSnapshot()).Klines);
    }

    [Fact]
    public async Task A_trade_that_came_while_the_answer_to_a_write_was_lost_is_not_lost_with_it()
    {
        var second = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var sources = new FakeSources(new KlineRules(), [Chunk(1, 1, Trade("A", 1, 0)), Chunk(2, 2, Trade("A", 2, 1))], ends: false) { BeforeChunk = i => i == 1 ? second.Task : Task.CompletedTask };
        await using var host = await GrainHost.Start(sources, _storage, _archive, _time);
        var lost = 0;
        _storage.After = async (operation, grain) =>
        {
            if (operation == "write" && grain.ToString().Contains("kline", StringComparison.OrdinalIgnoreCase) && Interlocked.Increment(ref lost) == 1)
            {
                second.SetResult();
                while ((await host.Mint("A").GetSnapshot()).Klines.Last().TradeCount < 2)
                {
                    await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
                }

                throw new IOException("the answer is lost");
            }
        };
        await host.Source.Start();
        await FakeMints.Until(_time, async () => (await host.Source.GetStatus()).Checkpoint == "2");
        await host.Engine.Kill();

        await using var next = await GrainHost.Start(new FakeSources(new KlineRules(), [], ends: false), _storage, _archive, _time);
        Assert.Equal(2, (await next.Mint("A").GetSnapshot()).Klines.Last().TradeCount);
        Assert.Equal(1, lost > 0 ? 1 : 0);
    }

    [Fact]
    public async Task A_checkpoint_whose_write_failed_is_written_again()
    {
        var failed = 0;
        _storage.Before = (operation, grain) => operation == "write" && grain.ToString().Contains("source", StringComparison.OrdinalIgnoreCase) && Interlocked.Increment(ref failed) == 1
            ? throw new IOException("away")
            : Task.CompletedTask;
        await using var host = await GrainHost.Start(new FakeSources(new KlineRules(), [Chunk(1, 1, Trade("A", 1, 1))]), _storage, _archive, _time);
        await host.Source.Start();
        await FakeMints.Until(_time, async () => (await host.Source.GetStatus()).State == SourceState.Ended);
        await host.Engine.Kill();

        await using var next = await GrainHost.Start(new FakeSources(new KlineRules(), []), _storage, _archive, _time);
        Assert.Equal("1", (await next.Source.GetStatus()).Checkpoint);
        Assert.True(failed > 1);
    }

    private static Trade Trade(string symbol, int number, double seconds) => TradeMaker.Trade(number, TradeMaker.Start.AddSeconds(seconds), 1) with { Symbol = symbol };

    private static SourceChunk Chunk(int number, double seconds, params Trade[] trades) => new([.. trades], $"{number}", new SourceClock(TradeMaker.Start.AddSeconds(seconds), IsLive: false));
}
