using System.Diagnostics;
using System.Globalization;
using KlineOrleans.Testing;

namespace KlineOrleans.Cluster.Tests;

/// <summary>Three silos and two fronts as processes on one PostgreSQL: whatever goes, clients hear everything, and the klines are those of one undisturbed process.</summary>
/// <remarks>KLINE_CLUSTER_SECONDS, KLINE_CLUSTER_CLIENTS and KLINE_CLUSTER_MINTS make them longer and larger than in ./test.</remarks>
[Collection("cluster")]
public sealed class ClusterTests(ITestOutputHelper output)
{
    private const int EventSeconds = 3_600;
    private static readonly int Seconds = Needs.Given("KLINE_CLUSTER_SECONDS", 40);
    private static readonly int Clients = Needs.Given("KLINE_CLUSTER_CLIENTS", 10);
    private static readonly int Mints = Needs.Given("KLINE_CLUSTER_MINTS", 5);
    private static readonly int Trades = Needs.Given("KLINE_CLUSTER_TRADES", 3_000);
    private static readonly TimeSpan KillEvery = TimeSpan.FromSeconds(10);

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public Task Silos_killed_one_after_the_other_cost_no_client_an_update() => Run(async (cluster, random, until) =>
    {
        var longest = TimeSpan.Zero;
        var kills = 0;
        while (Stopwatch.GetTimestamp() < until)
        {
            // Every second victim is the silo that reads the source.
            var owner = await Owner(cluster);
            var victim = kills++ % 2 == 0 ? owner : random.Next(TestCluster.Silos);
            var starts = Enumerable.Range(0, TestCluster.Silos).Select(cluster.SourceStarts).ToArray();
            await cluster.KillSilo(victim);
            var killed = Stopwatch.GetTimestamp();
            starts[victim] = 0;
            var back = cluster.StartSilo(victim);
            if (victim == owner)
            {
                using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(120));
                while (!Enumerable.Range(0, TestCluster.Silos).Any(i => (i != victim || back.IsCompleted) && cluster.SourceStarts(i) > starts[i]))
                {
                    await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, patience.Token);
                }

                var moved = Stopwatch.GetElapsedTime(killed);
                longest = moved > longest ? moved : longest;
                output.WriteLine($"silo {victim} killed; the source is read again after {moved.TotalSeconds:F1} s");
            }

            await back;
            var left = KillEvery - Stopwatch.GetElapsedTime(killed);
            if (left > TimeSpan.Zero)
            {
                await Task.Delay(left, TimeProvider.System, Cancellation);
            }
        }

        output.WriteLine($"{kills} kills");
        return longest;
    });

    [Fact]
    public Task Rolling_restart_of_every_process_costs_no_client_an_update() => Run(async (cluster, _, _) =>
    {
        for (var i = 0; i < TestCluster.Silos; i++)
        {
            Assert.Equal(0, await cluster.StopSilo(i));
            await cluster.StartSilo(i);
        }

        for (var i = 0; i < TestCluster.Fronts; i++)
        {
            Assert.Equal(0, await cluster.StopFront(i));
            await cluster.StartFront(i);
        }

        return TimeSpan.Zero;
    });

    private async Task Run(Func<TestCluster, Random, long, Task<TimeSpan>> disturb)
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

        await using var cluster = await TestCluster.Start(Source(recording, (double)EventSeconds / Seconds));
        Uri[] fronts = [.. Enumerable.Range(0, TestCluster.Fronts).Select(cluster.FrontAddress)];
        FollowingClient[] clients = [.. Enumerable.Range(0, Clients).Select(i => new FollowingClient(fronts, i % fronts.Length, $"SYM{i / fronts.Length % Mints}USDT", "m1"))];
        try
        {
            foreach (var client in clients)
            {
                client.Start();
            }

            await Task.WhenAll(clients.Select(c => c.Ready)).WaitAsync(TimeSpan.FromMinutes(2), Cancellation);
            var moved = await disturb(cluster, new Random(1), Stopwatch.GetTimestamp() + (Seconds * Stopwatch.Frequency));
            await WaitForEnd(cluster);
            await Quiet(clients);
            await Compare(clients, oracle, cluster, moved);
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
            foreach (var (time, (trades, revision)) in stored.Where(s => s.Key >= client.Klines.Keys.DefaultIfEmpty(long.MaxValue).Min()))
            {
                if (!client.Klines.TryGetValue(time, out var known))
                {
                    wrong.Add($"{client.Symbol} {time}: never told");
                }
                else if (known.GetProperty("trade_count").GetInt64() != trades || known.GetProperty("revision").GetInt64() != revision || !known.GetProperty("is_final").GetBoolean())
                {
                    wrong.Add($"{client.Symbol} {time}: told {known}, stored {trades} trades, revision {revision}");
                }
            }
        }

        output.WriteLine($"{clients.Length} clients, {clients.Sum(c => c.Updates)} updates, {clients.Sum(c => c.Reconnects)} reconnects, longest wait {clients.Max(c => c.LongestWait).TotalSeconds:F1} s; "
            + $"reordered {clients.Sum(c => c.Reordered)}, doubled {clients.Sum(c => c.Doubled)}, regressed {clients.Sum(c => c.Regressed)}, wrong {wrong.Count}; source moved within {moved.TotalSeconds:F1} s; {expected.Count} rows equal");
        Assert.True(clients.Sum(c => c.Updates) > 0, "The recording had ended before the clients came: KLINE_CLUSTER_SECONDS wants more on this machine.");
        Assert.Empty(wrong);
        Assert.Equal(0, clients.Sum(c => c.Reordered));
        Assert.Equal(0, clients.Sum(c => c.Doubled));
        Assert.InRange(clients.Max(c => c.LongestWait), TimeSpan.Zero, TimeSpan.FromSeconds(5));
        Assert.InRange(moved, TimeSpan.Zero, TimeSpan.FromSeconds(15));
    }

    private static string[] Source(string recording, double speed) =>
    [
        "--Kline:Sources:0:Kind", "Replay", "--Kline:Sources:0:Name", "trades", "--Kline:Sources:0:Format", "BinanceFrames", "--Kline:Sources:0:Path", recording,
        "--Kline:Sources:0:Speed", speed.ToString(CultureInfo.InvariantCulture),
    ];

    /// <summary>The silo that reads the source: one that has said so and still runs.</summary>
    private static async Task<int> Owner(TestCluster cluster)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (true)
        {
            for (var i = 0; i < TestCluster.Silos; i++)
            {
                if (cluster.SourceStarts(i) > 0)
                {
                    return i;
                }
            }

            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, patience.Token);
        }
    }

    private static async Task WaitForEnd(TestCluster cluster)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(120 + Seconds));
        while (true)
        {
            var health = await cluster.Front(0).Get("/health");
            if (health.GetProperty("sources") is { } sources && sources.GetArrayLength() > 0 && sources[0].TryGetProperty("state", out var state) && state.GetString() == "ended")
            {
                return;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(200), TimeProvider.System, patience.Token);
        }
    }

    // Nothing announces that no more comes: five seconds without a word, longer than a feed needs to see a loss.
    private static async Task Quiet(FollowingClient[] clients)
    {
        var began = Stopwatch.GetTimestamp();
        while (clients.Any(c => Stopwatch.GetElapsedTime(Math.Max(c.HeardAt, began)) < TimeSpan.FromSeconds(5)))
        {
            await Task.Delay(TimeSpan.FromMilliseconds(200), TimeProvider.System, Cancellation);
        }
    }
}
