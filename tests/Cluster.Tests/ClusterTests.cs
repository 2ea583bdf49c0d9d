using System.Diagnostics;
using System.Globalization;
using KlineOrleans.Testing;

namespace KlineOrleans.Cluster.Tests;

/// <summary>Three silos and two fronts as processes on one PostgreSQL: whatever goes, clients hear everything, and the klines are those of one undisturbed process.</summary>
/// <remarks>KLINE_CLUSTER_SECONDS, KLINE_CLUSTER_CLIENTS, KLINE_CLUSTER_MINTS and KLINE_CLUSTER_TRADES make them longer and larger than in ./test.</remarks>
[Collection("cluster")]
public sealed class ClusterTests(ITestOutputHelper output)
{
    private const int EventSeconds = 3_600;
    private static readonly int Seconds = Needs.Given("KLINE_CLUSTER_SECONDS", 20);
    private static readonly int Clients = Needs.Given("KLINE_CLUSTER_CLIENTS", 10);
    private static readonly int Mints = Needs.Given("KLINE_CLUSTER_MINTS", 5);
    private static readonly int Trades = Needs.Given("KLINE_CLUSTER_TRADES", 3_000);
    private static readonly TimeSpan KillEvery = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Safety = TimeSpan.FromSeconds(120);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public Task Silos_killed_one_after_the_other_cost_no_client_an_update() => Run(async (cluster, clients) =>
    {
        var random = new Random(1);
        var longest = TimeSpan.Zero;
        var until = Stopwatch.GetTimestamp() + (Seconds * Stopwatch.Frequency);

        // The beat of the kills; what they lead to is waited for by its signs.
        using var beat = new PeriodicTimer(KillEvery, TimeProvider.System);
        for (var kills = 0; ; kills++)
        {
            // Every second victim is the silo that reads the source.
            var victim = kills % 2 == 0 ? cluster.Owner : random.Next(TestCluster.Silos);
            var moved = await Replace(cluster, victim, async () =>
            {
                await cluster.KillSilo(victim);
                return cluster.StartSilo(victim);
            });
            longest = moved > longest ? moved : longest;
            await GoesOn(clients, cluster);
            if (Stopwatch.GetTimestamp() >= until || !await beat.WaitForNextTickAsync(Cancellation) || Stopwatch.GetTimestamp() >= until)
            {
                output.WriteLine($"{kills + 1} kills");
                return longest;
            }
        }
    });

    [Fact]
    public Task Rolling_restart_of_every_process_costs_no_client_an_update() => Run(async (cluster, clients) =>
    {
        var longest = TimeSpan.Zero;
        for (var i = 0; i < TestCluster.Silos; i++)
        {
            var number = i;
            var moved = await Replace(cluster, number, async () =>
            {
                Assert.Equal(0, await cluster.StopSilo(number));
                return cluster.StartSilo(number);
            });
            longest = moved > longest ? moved : longest;
        }

        for (var i = 0; i < TestCluster.Fronts; i++)
        {
            Assert.Equal(0, await cluster.StopFront(i));
            await cluster.StartFront(i);
        }

        await GoesOn(clients, cluster);
        return longest;
    });

    /// <remarks>
    /// The process stands still with its connections open, as one behind a network that swallows everything. The others give it up and take over; when it goes on, it
    /// has trades, a source and states of its own, and must not write over what they did since.
    /// </remarks>
    [Fact]
    public Task Silo_that_stands_still_and_goes_on_after_the_others_gave_it_up_costs_no_client_an_update() => Run(async (cluster, clients) =>
    {
        var victim = cluster.Owner;
        await Replace(cluster, victim, () =>
        {
            cluster.Silo(victim).Suspend();
            return Task.FromResult<Task?>(null);
        });
        await GoesOn(clients, cluster);
        cluster.Silo(victim).Resume();
        using var patience = new CancellationTokenSource(Safety);
        output.WriteLine($"silo {victim} went on, found itself given up and ended with code {await cluster.Silo(victim).Ended(patience.Token)}");
        await cluster.StartSilo(victim);
        await GoesOn(clients, cluster);

        // When the others give a silent one up depends on how well they are themselves: on a busy machine they ask more patiently.
        return TimeSpan.Zero;
    });

    /// <summary>Takes a silo away. Where it read the source, waits until another reads it, and answers how long that took.</summary>
    private async Task<TimeSpan> Replace(TestCluster cluster, int victim, Func<Task<Task?>> take)
    {
        var (reads, readsSource) = (cluster.Reads, victim == cluster.Owner);
        var began = Stopwatch.GetTimestamp();
        var back = await take();
        var moved = TimeSpan.Zero;
        if (readsSource)
        {
            await cluster.SourceReadAfter(reads).WaitAsync(Safety, Cancellation);
            moved = Stopwatch.GetElapsedTime(began);
            output.WriteLine($"silo {victim} taken away; silo {cluster.Owner} reads the source after {moved.TotalSeconds:F1} s");
        }

        await (back ?? Task.CompletedTask);
        return moved;
    }

    /// <summary>Every client hears something new, unless the recording is over.</summary>
    private static Task GoesOn(FollowingClient[] clients, TestCluster cluster) =>
        Task.WhenAny(Task.WhenAll(clients.Select(c => c.Hears())), Task.WhenAny(Enumerable.Range(0, TestCluster.Silos).Select(i => cluster.Silo(i).Says("Source trades has ended")))).WaitAsync(Safety, Cancellation);

    private async Task Run(Func<TestCluster, FollowingClient[], Task<TimeSpan>> disturb)
    {
        Needs.OrleansAndPostgres();
        using var folder = new TemporaryFolder();
        var recording = folder["trades.ndjson"];
        await MadeUpTrades.WriteBinanceFrames(recording, Mints, Trades, seed: 1);
        await using var oracle = await PostgresDatabase.Create();
        await using (var undisturbed = await ServerProcess.Start([.. TestCluster.Store(oracle), .. Source(recording, 0)]))
        {
            await undisturbed.WaitForEnd();
            Assert.Equal(0, await undisturbed.Terminate());
        }

        // Nobody else may read it until the clients are there: a source that cannot be read is tried again.
        using var held = new FileStream(recording, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
        await using var cluster = await TestCluster.Start([.. Enumerable.Range(0, Mints).Select(i => $"SYM{i}USDT")], Source(recording, (double)EventSeconds / Seconds));
        Uri[] fronts = [.. Enumerable.Range(0, TestCluster.Fronts).Select(cluster.FrontAddress)];
        FollowingClient[] clients = [.. Enumerable.Range(0, Clients).Select(i => new FollowingClient(fronts, cluster.FrontIsUp, i % fronts.Length, $"SYM{i / fronts.Length % Mints}USDT", "m1"))];
        try
        {
            foreach (var client in clients)
            {
                client.Start();
            }

            await Task.WhenAll(clients.Select(c => c.Ready)).WaitAsync(Safety, Cancellation);
            await cluster.SourceReadAfter(0).WaitAsync(Safety, Cancellation);
            held.Dispose();
            await Task.WhenAll(clients.Select(c => c.Hears())).WaitAsync(Safety, Cancellation);
            var moved = await disturb(cluster, clients);
            await cluster.Front(0).WaitForEnd(Safety + TimeSpan.FromSeconds(2 * Seconds));
            await Compare(clients, oracle, cluster, moved);
        }
        catch
        {
            output.WriteLine(cluster.LastWords());
            throw;
        }
        finally
        {
            foreach (var client in clients)
            {
                await client.DisposeAsync();
            }
        }
    }

    private async Task Compare(FollowingClient[] clients, PostgresDatabase oracle, TestCluster cluster, TimeSpan moved)
    {
        const string Rows = "SELECT s.symbol, k.interval, k.open_time, k.open, k.high, k.low, k.close, k.base_volume, k.quote_volume, k.trade_count, k.revision FROM kline k JOIN kline_symbol s ON s.id = k.symbol_id ORDER BY 1, 2, 3";
        var expected = await oracle.Rows(Rows);
        Assert.True(expected.Count > Mints * 60, $"{expected.Count} rows");
        Assert.Equal(expected, await cluster.Database.Rows(Rows));

        var wrong = new List<string>();
        foreach (var client in clients)
        {
            var stored = (await oracle.Rows($"SELECT k.open_time, k.trade_count, k.revision FROM kline k JOIN kline_symbol s ON s.id = k.symbol_id WHERE s.symbol = '{client.Symbol}' AND k.interval = 5"))
                .Select(r => r.Trim('(', ')').Split(',').Select(n => long.Parse(n, CultureInfo.InvariantCulture)).ToArray()).ToDictionary(r => r[0], r => (r[1], r[2]));
            try
            {
                // The last words may still be on their way.
                await client.Until(c => c.Misses(stored).Count == 0).WaitAsync(TimeSpan.FromSeconds(60), Cancellation);
            }
            catch (TimeoutException)
            {
                wrong.AddRange(client.Misses(stored));
            }
        }

        output.WriteLine($"{clients.Length} clients, {clients.Sum(c => c.Updates)} updates, {clients.Sum(c => c.Reconnects)} reconnects, longest wait {clients.Max(c => c.LongestWait).TotalSeconds:F1} s, longest silence {clients.Max(c => c.LongestSilence).TotalSeconds:F1} s; "
            + $"reordered {clients.Sum(c => c.Reordered)}, doubled {clients.Sum(c => c.Doubled.Count)}, regressed {clients.Sum(c => c.Regressed.Count)}, wrong {wrong.Count}; source moved within {moved.TotalSeconds:F1} s; {expected.Count} rows equal");
        foreach (var doubled in clients.SelectMany(c => c.Doubled).Take(10))
        {
            output.WriteLine($"told again: {doubled}");
        }

        foreach (var regressed in clients.SelectMany(c => c.Regressed).Take(20))
        {
            output.WriteLine($"went back: {regressed}");
        }

        Assert.Empty(wrong);
        Assert.Equal(0, clients.Sum(c => c.Reordered));
        Assert.Empty(clients.SelectMany(c => c.Doubled));
        Assert.Empty(clients.SelectMany(c => c.Regressed));
        Assert.InRange(clients.Max(c => c.LongestWait), TimeSpan.Zero, TimeSpan.FromSeconds(5));
        Assert.InRange(moved, TimeSpan.Zero, TimeSpan.FromSeconds(15));
    }

    internal static string[] Source(string recording, double speed) =>
    [
        "--Kline:Sources:0:Kind", "Replay", "--Kline:Sources:0:Name", "trades", "--Kline:Sources:0:Format", "BinanceFrames", "--Kline:Sources:0:Path", recording,
        "--Kline:Sources:0:Speed", speed.ToString(CultureInfo.InvariantCulture),
    ];
}
