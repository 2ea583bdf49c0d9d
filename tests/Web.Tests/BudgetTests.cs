using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Grains;
using KlineOrleans.Testing;
using KlineOrleans.Web.Transports.KlineSocketIo;
using KlineOrleans.Web.Transports.RawWebSocket;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace KlineOrleans.Web.Tests;

/// <summary>Nothing else runs beside these: they count what the whole process allocates.</summary>
[CollectionDefinition(nameof(BudgetTests), DisableParallelization = true)]
public sealed class BudgetCollection;

/// <summary>What may be allocated where it happens a million times: benchmarks/budgets.json.</summary>
[Collection(nameof(BudgetTests))]
public sealed class BudgetTests
{
    private const string Symbol = WebHost.Mint;
    private static readonly DateTimeOffset Start = TestKlines.Start;
    private readonly ManualTimeProvider _time = new();

    [Theory]
    [InlineData("raw")]
    [InlineData("socketio")]
    [InlineData("binary")]
    [InlineData("signalr")]
    [InlineData("outbox")]
    public async Task Delivery_stays_within_its_budget(string wire)
    {
        var few = await PerUpdate(wire, followers: 100);
        var many = await PerUpdate(wire, followers: 1_100);
        Check("bytesPerDelivery", wire, (many - few) / 1_000);
    }

    [Theory]
    [InlineData("raw")]
    [InlineData("socketio")]
    [InlineData("binary")]
    [InlineData("signalr")]
    public async Task Update_stays_within_its_budget(string wire) => Check("bytesPerUpdate", wire, await PerUpdate(wire, followers: 1));

    [Fact]
    public async Task Trade_through_a_grain_stays_within_its_budget()
    {
        var archive = new TestArchive();
        await using var engine = await TestEngine.Start(
            services =>
            {
                services.AddKlineGrains();
                services.AddSingleton<IKlineArchive>(archive);
                services.AddSingleton<ITradeSourceFactory>(new TestSources([new SourceDescription("test", "Replay", new KlineRules(), IsSimulated: false, IsChain: true)]));
                services.AddSingleton<TimeProvider>(_time);
            },
            options => options.GrainAssemblies.Add(typeof(KlineGrain).Assembly));
        Assert.SkipUnless(engine.GrainFactory.GetType().Assembly.GetName().Name == "KlineOrleans.InProcess", "The budget is the in-process engine's.");
        var grain = engine.GrainFactory.GetGrain<IKlineGrain>(Symbol);
        await Ingest(grain, 1, 1_000);
        var before = GC.GetTotalAllocatedBytes(precise: true);
        await Ingest(grain, 1_001, 4_000);
        Check("bytesPerTrade", "grain", (GC.GetTotalAllocatedBytes(precise: true) - before) / 4_000.0);
    }

    [Fact]
    public void Objects_of_a_client_stay_within_their_budgets()
    {
        var lane = new Lane(0, manual: true);
        var wire = new CountingWire();
        var counters = new WebCounters();
        var limits = new OutboxLimits(1 << 20, 1_000);
        var format = new TestFormat();
        var sessions = new Session[1_000];
        Check("bytesPerClient", "session", Each(i => sessions[i] = new Session(lane, wire, limits, _time)));
        Check("bytesPerClient", "follower", Each(i => new Follower(sessions[i], Symbol, format, 1)));
        Check("bytesPerClient", "client", Each(i => new Client(sessions[i], null!, counters, 100, new RateLimit(20, 100, _time), "websocket", "id")));

        static double Each(Func<int, object> make)
        {
            var made = new object[1_000];
            made[0] = make(0);
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < made.Length; i++)
            {
                made[i] = make(i);
            }

            return (GC.GetAllocatedBytesForCurrentThread() - before) / 1_000.0;
        }
    }

    private static async Task Ingest(IKlineGrain grain, int first, int count)
    {
        for (var i = first; i < first + count; i++)
        {
            // A hundred trades a second: most change a forming kline, some open the next.
            var at = Start.AddMilliseconds(i * 10);
            var trade = new Trade
            {
                Symbol = Symbol,
                Order = new TradeOrder(new TradeId(i)),
                EventTime = at,
                ReceivedTime = at,
                Price = new Price(1 + (i % 7)),
                BaseAmount = 1.5m,
                QuoteAmount = 2.25m,
            };
            await grain.Ingest(new TradeBatch { Source = "test", Trades = [trade] });
        }
    }

    /// <summary>Bytes that an update of one kline costs from its arrival at the feed to the last of its followers.</summary>
    private async Task<double> PerUpdate(string wire, int followers)
    {
        var cluster = new TestCluster();
        var mint = cluster.Mint(Symbol);
        var lane = new Lane(0, manual: true) { Counters = new WebCounters() };
        var feed = new MintFeed(Symbol, new MintFeedServices(cluster, new TestArchive(), [lane], new WebOptions.FeedOptions { Ring = 32 }, _time, NullLogger.Instance));
        await feed.Start();
        WireFormat format = wire switch
        {
            "socketio" => new SocketIoEventFormat("/kline", hasVolume: false, _time),
            "binary" => new BinaryEventFormat(hasVolume: false, _time),
            "signalr" => new SignalRFormat(exact: false, _time),
            _ => new WebSocketEventFormat(hasVolume: false, _time),
        };
        var counting = wire is "outbox" ? new CountingWire() : new CountingBatchWire();
        for (var i = 0; i < followers; i++)
        {
            var session = new Session(lane, counting, new OutboxLimits(1 << 20, 1_000), _time);
            var follower = new Follower(session, Symbol, format, 1 << (int)KlineInterval.M1);
            feed.Attach(follower, null, null, 1, 10);
            session.Release(follower);
        }

        Drain();
        KlineUpdate[] updates = [.. Enumerable.Range(1, 200).Select(i => mint.Change(Start.AddMilliseconds(i), TestKlines.Make(KlineInterval.M1, Start, 1 + (i / 1_000m), i)))];
        foreach (var update in updates[..100])
        {
            cluster.Deliver(update);
            Drain();
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 100; i < 200; i++)
        {
            cluster.Deliver(updates[i]);
            Drain();
        }

        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.Equal(200 * followers, counting.Count);
        return allocated / 100.0;

        void Drain()
        {
            while (lane.Drain())
            {
            }
        }
    }

    private static void Check(string kind, string name, double measured)
    {
        using var budgets = JsonDocument.Parse(File.ReadAllText(Path.Combine(Root(), "benchmarks", "budgets.json")));
        var budget = budgets.RootElement.GetProperty(kind).GetProperty(name).GetDouble();
        TestContext.Current.TestOutputHelper?.WriteLine($"{kind} {name}: {measured:0.##} of {budget}");
        Assert.True(measured <= budget, $"{kind}, {name}: {measured:0.##} bytes, of which benchmarks/budgets.json allows {budget}");
    }

    private static string Root()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "KlineOrleans.sln")))
        {
            folder = Path.GetDirectoryName(folder)!;
        }

        return folder;
    }

    private class CountingWire : ISessionWire
    {
        public int Count { get; protected set; }

        public ValueTask Write(ReadOnlyMemory<Outgoing> messages)
        {
            Count += messages.Length;
            return ValueTask.CompletedTask;
        }

        public void Close(DisconnectReason reason, Task written) => throw new InvalidOperationException(reason.ToString());
    }

    private sealed class CountingBatchWire : CountingWire, IBatchWire
    {
        public int ReadAhead() => 0;

        public bool TryWrite(RoomBatch batch, Follower follower, out ValueTask written)
        {
            Assert.False(batch.FramesFor(follower).IsEmpty);
            Count += batch.Count;
            written = default;
            return true;
        }
    }
}
