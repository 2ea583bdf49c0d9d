using System.Globalization;
using KlineOrleans.Testing;
using KlineOrleans.Testing.Clients;

namespace KlineOrleans.Silo.Tests.Delivery;

/// <summary>Whatever clients do, on every wire at once: each subscription gets everything once, in order, and ends with what the archive has.</summary>
public class ChurnTests(ITestOutputHelper output)
{
    private const int UpdatesPerSecond = 2_000;
    private const int SymbolCount = 100;

    private static readonly int Operations = Number("KLINE_OPERATIONS", 1_500);
    private static readonly int Seed = Number("KLINE_SEED", 1);
    private static readonly int PerSecond = Number("KLINE_OPERATIONS_PER_SECOND", 400);
    private static readonly string[] Intervals = ["s1", "s5", "m1"];

    [Fact]
    public async Task Nothing_is_missing_doubled_or_out_of_order_whatever_clients_do()
    {
        using var folder = new TemporaryFolder();
        var symbols = TradeRecording.Symbols(SymbolCount);
        var length = TimeSpan.FromSeconds((Operations * 1.15 / PerSecond) + 6);
        TradeRecording.Write(folder["trades.jsonl"], symbols, UpdatesPerSecond, length, Seed);
        await using var server = await ServerProcess.Start(
            "--Kline:Sources:0:Kind", "Replay",
            "--Kline:Sources:0:Format", "BinanceFrames",
            "--Kline:Sources:0:Path", folder["trades.jsonl"],
            "--Kline:Sources:0:Speed", "1",
            "--Kline:Intervals", string.Join(',', Intervals),
            "--Kline:Storage:Path", folder["kline.db"],
            "--Kline:Web:Feed:Ring", ChurnRun.Ring.ToString(CultureInfo.InvariantCulture),
            // The witness gets everything over four connections, and must not be what is slow.
            "--Kline:Web:Outbox:Messages", "100000",
            "--Kline:Web:Outbox:Bytes", "268435456",
            "--Kline:Web:Limits:SubscriptionsPerClient", "1000",
            "--Kline:Web:Limits:ConnectionsPerAddress", "10000",
            "--Kline:Web:Limits:MessagesPerSecond", "100000",
            "--Kline:Web:Limits:MessageBurst", "100000",
            "--Kline:Web:Limits:RequestsPerSecond", "1000000",
            "--Kline:Web:Limits:RequestBurst", "1000000");
        await server.WaitFor("/api/v1/symbols?limit=1000", s => s.GetProperty("symbols").GetArrayLength() == SymbolCount);
        using var http = new HttpClient(new SocketsHttpHandler()) { Timeout = TimeSpan.FromSeconds(100) };
        await using var witness = await Witness.Start(server.Address, http, symbols, Intervals, connections: 4);
        var run = new ChurnRun(server.Address, http, symbols, Intervals, witness, Operations, PerSecond);
        var random = new Random(Seed);
        var clients = Enumerable.Range(0, 150).Select(i => new ChurnClient((Wire)(i % 5), random.Next(), run)).ToList();
        var acting = Task.WhenAll(clients.Select(c => c.Run()));
        while (!acting.IsCompleted)
        {
            await Task.WhenAny(acting, Task.Delay(TimeSpan.FromMilliseconds(500), TimeProvider.System));
            run.CheckEnded(isLast: false);
        }

        try
        {
            await acting;
        }
        catch (Exception e)
        {
            Assert.Fail($"Seed {Seed}: {e}\n{run.Figures}\n{string.Join('\n', run.Violations.Take(20))}\n{server.Output}");
        }

        var flowed = (await server.Get("/health")).GetProperty("sources")[0].GetProperty("state").GetString();
        await server.WaitForEnd();
        await Task.WhenAll(clients.Select(c => c.Finish()));
        run.CheckEnded(isLast: true);
        Assert.True(witness.IsWhole, $"Seed {Seed}: the witness was disconnected\n{server.Output}");
        var compared = await witness.CompareWithArchive(server, Intervals);
        output.WriteLine($"Seed {Seed}: {run.Figures}; {witness.Updates} updates ({witness.Gaps()} of them skipped for the witness), {compared} klines equal to the archive's; after the last operation the source was {flowed}");
        Assert.True(run.Violations.Count == 0, $"Seed {Seed}: {run.Figures}\n{string.Join('\n', run.Violations.Take(20))}");

        // What was left out is told within a second, once all else has arrived.
        for (var i = 0; i < 100 && witness.Skipped < witness.Gaps(); i++)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System);
        }

        Assert.Equal(witness.Gaps(), witness.Skipped);
    }

    private static int Number(string variable, int byDefault) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : byDefault;
}
