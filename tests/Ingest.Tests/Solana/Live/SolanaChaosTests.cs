using System.Globalization;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Solana;

namespace KlineOrleans.Ingest.Tests.Solana.Live;

/// <summary>However a node loses, doubles, cuts, delays, reorders, drops and refuses: the trades are the chain's, in its order.</summary>
public sealed class SolanaChaosTests
{
    private const int Transactions = 20_000;
    private const int Mints = 200;
    private const double Speed = 20;

    /// <summary>Three seeds, or as many as KLINE_CHAOS_SEEDS says.</summary>
    public static TheoryData<int> Seeds => new(Enumerable.Range(1, int.TryParse(Environment.GetEnvironmentVariable("KLINE_CHAOS_SEEDS"), CultureInfo.InvariantCulture, out var n) ? n : 3));

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task Twenty_thousand_transactions_of_a_node_that_does_everything_wrong_are_the_chains(int seed)
    {
        var time = new FastTimeProvider(Speed);
        var chain = new ChainGenerator(seed) { Mints = Mints, FirstBlockTime = time.GetUtcNow().ToUnixTimeSeconds() }.Generate(Transactions);
        await using var node = await FakeSolanaNode.Start(chain, FakeNodeChaos.Everything(seed), time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var playing = Task.Run(
            async () =>
            {
                for (var slot = 0; !stop.IsCancellationRequested; slot++)
                {
                    await node.PlaySlot();
                    if (slot == 200)
                    {
                        // Started again in the middle: for some slots nobody is connected.
                        node.GoDown();
                    }
                    else if (slot == 215)
                    {
                        node.ComeBack();
                    }

                    await Task.Delay(TimeSpan.FromMilliseconds(150), time, CancellationToken.None);
                }
            },
            CancellationToken.None);
        var source = LiveRun.Source(LiveRun.Options(node) with { StartSlot = chain.FirstSlot }, time);
        var run = new LiveRun();
        await run.Read(source, null, r => r.VerifiedSlot >= chain.LastSlot, TestContext.Current.CancellationToken);
        await stop.CancelAsync();
        await playing;

        TestContext.Current.TestOutputHelper?.WriteLine(run.Describe(source));
        run.AssertIs(chain.Trades, run.Describe(source));
        var details = source.GetStatus().Details;
        Assert.DoesNotContain("gaps", details.Keys);
        Assert.True(int.Parse(details["reconnects"], CultureInfo.InvariantCulture) > 0);
        Assert.True(int.Parse(details["repaired"], CultureInfo.InvariantCulture) > Transactions / 50);
        Assert.True(int.Parse(details["frames"], CultureInfo.InvariantCulture) > Transactions / 50);
        Assert.True(node.Accepted > 1);
    }
}
