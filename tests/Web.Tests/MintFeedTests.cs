using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace KlineOrleans.Web.Tests;

public sealed class MintFeedTests
{
    private const string Symbol = "S";
    private static readonly DateTimeOffset Start = TestKlines.Start;
    private static readonly KlineInterval[] Intervals = [KlineInterval.S1, KlineInterval.S5, KlineInterval.M1];

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public async Task Followers_miss_nothing_and_get_nothing_twice_whatever_arrives_when(bool lossy, bool slowWires)
    {
        for (var seed = 0; seed < 120; seed++)
        {
            var run = new Run(seed, lossy, slowWires);
            await Task.Run(run.Play);
        }
    }

    [Fact]
    public async Task Everyone_who_comes_while_the_feed_starts_waits_for_one_snapshot_and_loses_nothing()
    {
        var world = new World();
        var answer = new TaskCompletionSource();
        world.Cluster.BeforeSnapshotAnswer = _ => answer.Task;
        var start = world.Feed.Start();
        world.Cluster.Deliver(world.Change(1));
        world.Cluster.Deliver(world.Change(2));
        Assert.False(world.Feed.Ready.IsCompleted);
        answer.SetResult();
        await start;
        await world.Feed.Ready;
        var (follower, attached) = world.Attach();
        Assert.Equal(2, attached.Seq);
        Assert.Equal(1, world.Cluster.Snapshots);
        Assert.Equal(2, attached.View!.Klines[(int)KlineInterval.M1][0].UpdateCount);
        Assert.True(follower.IsHeld);
    }

    [Fact]
    public async Task Hole_is_healed_by_what_changed_and_nothing_else()
    {
        var world = new World();
        world.Change(1);
        world.Mint.Change(Start, TestKlines.Make(KlineInterval.H1, Start, 1, 9));
        await world.Feed.Start();
        var (follower, _) = world.Attach(KlineInterval.M1, KlineInterval.H1);
        world.Release(follower);

        world.Change(2);
        world.Change(3);
        world.Cluster.Deliver(world.Change(4));
        await world.Settle(5);

        var healed = Assert.IsType<TestPayload>(Assert.Single(world.Wire.Received).Payload);
        var kline = Assert.Single(healed.Klines);
        Assert.Equal((KlineInterval.M1, 4), (kline.Interval, kline.UpdateCount));
        Assert.Equal(1, world.Feed.Heals);
    }

    [Fact]
    public async Task Followers_of_a_grain_that_comes_back_from_an_older_state_are_told_neither_less_than_before_nor_the_same_again()
    {
        var world = new World();
        world.Change(1);
        await world.Feed.Start();
        var (follower, _) = world.Attach();
        world.Release(follower);
        world.Cluster.Deliver(world.Change(2));
        world.Cluster.Deliver(world.Change(3));
        var final = TestKlines.Make(KlineInterval.M1, Start, 1, 3, isFinal: true);
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(63), final));
        world.Drain();
        world.Wire.Received.Clear();

        // Its state held two trades; it takes the third again, and ends the kline again.
        world.Mint.BeginEpoch();
        world.Cluster.Deliver(world.Change(2));
        await world.Settle(1);
        Assert.True(world.Feed.TryGetView(1 << (int)KlineInterval.M1, out var held));
        Assert.Equal(final, Assert.Single(held!.Klines[(int)KlineInterval.M1]));
        world.Cluster.Deliver(world.Change(3));
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(63), final));
        world.Drain();
        Assert.Empty(world.Wire.Received.SelectMany(r => Assert.IsType<TestPayload>(r.Payload).Klines));

        // What goes beyond is told.
        var corrected = TestKlines.Make(KlineInterval.M1, Start, 1, 4, isFinal: true, revision: 1);
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(64), corrected));
        world.Drain();
        Assert.Equal(corrected, Assert.Single(world.Wire.Received.SelectMany(r => Assert.IsType<TestPayload>(r.Payload).Klines)));
    }

    [Fact]
    public async Task Bucket_that_begins_again_without_trades_does_not_take_back_those_that_were_told()
    {
        var world = new World(new KlineRules { Intervals = [KlineInterval.M1], Empty = EmptyPolicy.Flat });
        world.Change(1);
        await world.Feed.Start();
        var (follower, _) = world.Attach();
        world.Release(follower);
        var first = TestKlines.Make(KlineInterval.M1, Start, 1, 1, isFinal: true);
        var second = TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 2, 3);
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(63), first, second));
        world.Drain();
        world.Wire.Received.Clear();

        // Its state was from the first minute; the second begins for it, and its trades come again.
        world.Mint.BeginEpoch(Start.AddSeconds(60));
        world.Cluster.Deliver(world.Change(1));
        await world.Settle(1);
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(60), Kline.Flat(KlineInterval.M1, Start.AddMinutes(1), first.Close, isFinal: false)));
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(61), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 2, 1)));
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(63), first, second));
        world.Drain();
        Assert.Empty(world.Wire.Received.SelectMany(r => Assert.IsType<TestPayload>(r.Payload).Klines));

        // A bucket that nobody was told of is told, and so is what goes beyond.
        var more = TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 2, 4, isFinal: true);
        var third = Kline.Flat(KlineInterval.M1, Start.AddMinutes(2), more.Close, isFinal: false);
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(123), more, third));
        world.Drain();
        Assert.Equal([more, third], world.Wire.Received.SelectMany(r => Assert.IsType<TestPayload>(r.Payload).Klines));
    }

    [Fact]
    public async Task Kline_that_a_grain_has_stored_again_with_fewer_trades_than_were_told_is_not_told_again()
    {
        var world = new World();
        world.Change(1);
        await world.Feed.Start();
        var (follower, _) = world.Attach();
        world.Release(follower);
        var final = TestKlines.Make(KlineInterval.M1, Start, 1, 3, isFinal: true);
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(63), final));
        var corrected = TestKlines.Make(KlineInterval.M1, Start, 1, 4, isFinal: true, revision: 1);
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(64), corrected));
        world.Drain();
        world.Wire.Received.Clear();

        // It comes back from before the end of the kline, ends it again, and stores and forgets it before the late trade comes again and before the feed looks.
        world.Mint.BeginEpoch();
        world.Mint.Change(Start.AddSeconds(63), final);
        await world.Mint.Archive(world.Archive, KlineInterval.M1, Start.AddSeconds(60));
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(63.5), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 1, 1)));
        await world.Settle(2);
        world.Drain();
        Assert.DoesNotContain(world.Wire.Received.SelectMany(r => Assert.IsType<TestPayload>(r.Payload).Klines), k => k.OpenTime == Start);
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(64), corrected));
        world.Drain();
        Assert.DoesNotContain(world.Wire.Received.SelectMany(r => Assert.IsType<TestPayload>(r.Payload).Klines), k => k.OpenTime == Start);

        // What goes beyond is told.
        var more = TestKlines.Make(KlineInterval.M1, Start, 1, 5, isFinal: true, revision: 2);
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(65), more));
        world.Drain();
        Assert.Equal(more, Assert.Single(world.Wire.Received.SelectMany(r => Assert.IsType<TestPayload>(r.Payload).Klines), k => k.OpenTime == Start));
    }

    [Fact]
    public async Task Correction_that_the_archive_held_before_the_feed_began_is_not_told_by_its_first_healing()
    {
        var world = new World();
        world.Mint.Change(Start.AddSeconds(64), TestKlines.Make(KlineInterval.M1, Start, 1, 4, isFinal: true, revision: 1));
        await world.Mint.Archive(world.Archive, KlineInterval.M1, Start.AddSeconds(60));
        await world.Feed.Start();
        var (follower, _) = world.Attach();
        world.Release(follower);
        world.Mint.Change(Start.AddSeconds(65), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 1, 2));
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(65), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 1, 3)));
        await world.SettleUntil(() => world.Feed.Heals == 1 && world.Feed.TryGetView(1 << (int)KlineInterval.M1, out var _));
        Assert.Equal(Start.AddMinutes(1), Assert.Single(world.Wire.Received.SelectMany(r => Assert.IsType<TestPayload>(r.Payload).Klines)).OpenTime);
    }

    [Fact]
    public async Task Correction_that_the_archive_holds_is_not_told_again_by_every_healing()
    {
        var world = new World();
        world.Change(1);
        await world.Feed.Start();
        var (follower, _) = world.Attach();
        world.Release(follower);
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(63), TestKlines.Make(KlineInterval.M1, Start, 1, 3, isFinal: true)));
        var corrected = TestKlines.Make(KlineInterval.M1, Start, 1, 4, isFinal: true, revision: 1);
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(64), corrected));
        await world.Mint.Archive(world.Archive, KlineInterval.M1, Start.AddSeconds(60));
        world.Drain();
        world.Wire.Received.Clear();

        for (var heal = 1; heal <= 3; heal++)
        {
            world.Mint.Change(Start.AddSeconds(64 + heal), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 1, heal * 2));
            world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(64 + heal), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 1, (heal * 2) + 1)));
            await world.SettleUntil(() => world.Feed.Heals == heal && world.Feed.TryGetView(1 << (int)KlineInterval.M1, out var _));
        }

        var told = world.Wire.Received.SelectMany(r => Assert.IsType<TestPayload>(r.Payload).Klines).ToArray();
        Assert.Equal([3, 5, 7], told.Select(k => k.UpdateCount));

        // One that was made while nobody heard is told.
        await world.Archive.Write(Symbol, [corrected with { Revision = 2 }], CancellationToken.None);
        world.Mint.Change(Start.AddSeconds(70), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 1, 8));
        world.Cluster.Deliver(world.Mint.Change(Start.AddSeconds(70), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 1, 9)));
        await world.SettleUntil(() => world.Feed.Heals == 4 && world.Feed.TryGetView(1 << (int)KlineInterval.M1, out var _));
        Assert.Equal((2, 9), (world.Wire.Received.SelectMany(r => Assert.IsType<TestPayload>(r.Payload).Klines).Skip(3).First().Revision, world.Wire.Received.SelectMany(r => Assert.IsType<TestPayload>(r.Payload).Klines).Last().UpdateCount));
    }

    [Fact]
    public async Task Followers_are_told_less_than_before_where_the_trades_do_not_come_again()
    {
        var world = new World();
        world.Change(1);
        await world.Feed.Start();
        var (follower, _) = world.Attach();
        world.Release(follower);
        world.Cluster.Deliver(world.Change(3));
        world.Drain();
        world.Wire.Received.Clear();
        world.Mint.BeginEpoch();
        world.Cluster.Deliver(world.Change(2));
        await world.Settle(1);
        world.Time.Advance(TimeSpan.FromMinutes(1));
        world.Feed.Tick(new LaneTick(0, long.MaxValue));
        await world.SettleUntil(() => world.Feed.TryGetView(1 << (int)KlineInterval.M1, out var view) && view!.Klines[(int)KlineInterval.M1][0].TradeCount == 2);
        Assert.Equal(2, world.Wire.Received.Select(r => r.Payload).OfType<TestPayload>().SelectMany(p => p.Klines).Last().TradeCount);
    }

    [Fact]
    public async Task Lost_last_update_is_found_when_the_feed_looks_at_the_grain()
    {
        var world = new World();
        world.Change(1);
        await world.Feed.Start();
        var (follower, _) = world.Attach();
        world.Release(follower);
        world.Change(2);
        world.Time.Advance(TimeSpan.FromMinutes(5));
        world.Feed.Tick(new LaneTick(0, long.MaxValue));
        await world.SettleUntil(() => world.Cluster.Snapshots == 2);
        Assert.Empty(world.Wire.Received);
        for (var i = 0; i < 50 && world.Wire.Received.Count == 0; i++)
        {
            world.Time.Advance(TimeSpan.FromSeconds(1));
            world.Feed.Tick(new LaneTick(0, long.MaxValue));
            await world.Yield();
        }

        Assert.Equal(2, Assert.Single(Assert.IsType<TestPayload>(Assert.Single(world.Wire.Received).Payload).Klines).UpdateCount);
    }

    [Fact]
    public async Task Flat_klines_that_were_lost_are_healed_too()
    {
        var world = new World(new KlineRules { Intervals = [KlineInterval.M1], Empty = EmptyPolicy.Flat });
        world.Change(1);
        await world.Feed.Start();
        var (follower, _) = world.Attach();
        world.Release(follower);

        // Lost: the final of the first minute and two flat ones; then a trade in the fourth.
        var first = TestKlines.Make(KlineInterval.M1, Start, 1, 1, isFinal: true);
        world.Mint.Change(Start.AddMinutes(3), first);
        world.Cluster.Deliver(world.Mint.Change(Start.AddMinutes(3).AddSeconds(5), TestKlines.Make(KlineInterval.M1, Start.AddMinutes(3), 2)));
        await world.Settle(3);

        var klines = Assert.IsType<TestPayload>(Assert.Single(world.Wire.Received).Payload).Klines;
        Assert.Equal([0, 1, 2, 3], klines.Select(k => (int)(k.OpenTime - Start).TotalMinutes));
        Assert.Equal([false, true, true, false], klines.Select(k => k.IsFlat));
        Assert.Equal([true, true, true, false], klines.Select(k => k.IsFinal));
        Assert.Equal(first.Close, klines[2].Close);
    }

    [Fact]
    public async Task Update_is_encoded_once_however_many_follow()
    {
        var world = new World();
        await world.Feed.Start();
        for (var i = 0; i < 100; i++)
        {
            world.Release(world.Attach().Follower);
        }

        world.Cluster.Deliver(world.Change(1));
        world.Drain();
        Assert.Equal(1, world.Format.Encoded);
        Assert.Equal(100, world.Wire.Received.Count);
    }

    [Fact]
    public async Task Delivery_allocates_nothing_per_follower()
    {
        var world = new World();
        var wire = new CountingWire();
        await world.Feed.Start();
        for (var i = 0; i < 2_000; i++)
        {
            var session = new Session(world.Lanes[0], wire, new OutboxLimits(1 << 20, 1000), world.Time);
            var follower = new Follower(session, Symbol, world.Format, 1 << (int)KlineInterval.M1);
            world.Feed.Attach(follower, null, null, 1, 10);
            session.Release(follower);
        }

        world.Drain();
        List<KlineUpdate> updates = [.. Enumerable.Range(1, 40).Select(world.Change)];
        foreach (var update in updates.Take(20))
        {
            world.Cluster.Deliver(update);
            world.Drain();
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        foreach (var update in updates.Skip(20))
        {
            world.Cluster.Deliver(update);
            world.Drain();
        }

        var perDelivery = (GC.GetAllocatedBytesForCurrentThread() - before) / (20.0 * 2_000);
        Assert.Equal(40 * 2_000, wire.Count);
        Assert.True(perDelivery < 1, $"{perDelivery} bytes per delivery");
    }

    private sealed class CountingWire : ISessionWire
    {
        public int Count { get; private set; }

        public ValueTask Write(ReadOnlyMemory<Outgoing> messages)
        {
            Count += messages.Length;
            return ValueTask.CompletedTask;
        }

        public void Close(DisconnectReason reason, Task written) => throw new InvalidOperationException(reason.ToString());
    }

    private class World
    {
        public World(KlineRules? rules = null, int ring = 64)
        {
            Cluster = new TestCluster { Rules = rules ?? new KlineRules { Intervals = [.. Intervals, KlineInterval.H1] } };
            Mint = Cluster.Mint(Symbol);
            Lanes = [new Lane(0, manual: true), new Lane(1, manual: true)];
            Feed = new MintFeed(Symbol, new MintFeedServices(Cluster, Archive, Lanes, new WebOptions.FeedOptions { Ring = ring }, Time, NullLogger.Instance));
        }

        public ManualTimeProvider Time { get; } = new();

        public TestArchive Archive { get; } = new();

        public TestCluster Cluster { get; }

        public TestMint Mint { get; }

        public Lane[] Lanes { get; }

        public MintFeed Feed { get; }

        public TestFormat Format { get; } = new();

        public RecordingWire Wire { get; } = new();

        public KlineUpdate Change(int updates) => Mint.Change(Start.AddSeconds(updates), TestKlines.Make(KlineInterval.M1, Start, 1, updates));

        public (Follower Follower, Attached Attached) Attach(params KlineInterval[] intervals)
        {
            var session = new Session(Lanes[0], Wire, new OutboxLimits(1 << 20, 1000), Time);
            var follower = new Follower(session, Symbol, Format, IntervalBits.Of(intervals.Length == 0 ? [KlineInterval.M1] : intervals));
            return (follower, Feed.Attach(follower, null, null, 100, 10));
        }

        public void Release(Follower follower)
        {
            follower.Session.Release(follower);
            Drain();
        }

        public void Drain()
        {
            while (Lanes[0].Drain() | Lanes[1].Drain())
            {
            }
        }

        public async Task Yield()
        {
            await Task.Yield();
            Drain();
        }

        public Task Settle(long seq) => SettleUntil(() => Feed.TryGetView(0, out var view) && view!.Seq == seq && view.Epoch == Mint.Epoch);

        public async Task SettleUntil(Func<bool> condition)
        {
            for (var i = 0; i < 100_000 && !condition(); i++)
            {
                await Yield();
            }

            Assert.True(condition());
            Drain();
        }
    }

    /// <summary>One seeded interleaving of everything that can happen to a feed, and what every follower must have seen of it.</summary>
    private sealed class Run(int seed, bool lossy, bool slowWires) : World(new KlineRules { Intervals = [.. Intervals] }, ring: 48)
    {
        private readonly Random _random = new(seed);
        private readonly List<Watcher> _watchers = [];
        private readonly List<Watcher> _gone = [];
        private readonly List<TaskCompletionSource> _snapshots = [];
        private readonly Queue<KlineUpdate> _late = [];
        private DateTimeOffset _clock = Start;
        private bool _looked;

        public async Task Play()
        {
            Cluster.BeforeSnapshotAnswer = _ =>
            {
                var gate = new TaskCompletionSource();
                lock (_snapshots)
                {
                    _snapshots.Add(gate);
                }

                return gate.Task;
            };
            Trade();
            _late.Clear();
            var start = Feed.Start();
            for (var step = 0; step < 250; step++)
            {
                await Step();
            }

            // The stream comes to rest with one update that arrives; then everyone must have everything.
            Trade();
            while (_late.TryDequeue(out var update))
            {
                Cluster.Deliver(update);
            }

            Cluster.Deliver(Mint.Change(_clock, TestKlines.Make(KlineInterval.M1, Open(KlineInterval.M1, _clock), 5_000, 5_000)));
            for (var i = 0; i < 100_000 && !(Feed.TryGetView(0, out var view) && view!.Seq == Mint.Seq && view.Epoch == Mint.Epoch); i++)
            {
                AnswerSnapshots(all: true);
                Time.Advance(TimeSpan.FromMilliseconds(500));
                await Yield();
            }

            await start;
            Assert.True(Feed.TryGetView(0, out var end) && end!.Seq == Mint.Seq, $"seed {seed}: the feed did not come to rest");
            foreach (var watcher in _watchers)
            {
                watcher.Follower.Session.Release(watcher.Follower);
                watcher.Wire.IsSlow = false;
            }

            for (var i = 0; i < 200; i++)
            {
                _watchers.ForEach(w => w.Wire.Take());
                Drain();
            }

            foreach (var watcher in _watchers)
            {
                watcher.Read(seed);
                Assert.Equal(DisconnectReason.None, watcher.Wire.Closed);
                var expected = Mint.All.Where(k => (watcher.Intervals & (1 << (int)k.Interval)) != 0).ToDictionary(k => (k.Interval, k.OpenTime));
                Assert.True(expected.Count == watcher.Klines.Count && expected.All(p => watcher.Klines[p.Key].Equals(p.Value)), $"seed {seed}: a follower ends with other klines than the grain");
            }

            if (!lossy && !_looked)
            {
                Assert.Equal(0, Feed.Heals);
            }
        }

        private async Task Step()
        {
            switch (_random.Next(10))
            {
                case 0:
                    AnswerSnapshots(all: false);
                    break;
                case 1 when Feed.Ready.IsCompletedSuccessfully && _watchers.Count < 8:
                    await Join();
                    break;
                case 2 when _watchers.Count > 0:
                    Leave(_watchers[_random.Next(_watchers.Count)]);
                    break;
                case 3:
                    Lanes[_random.Next(2)].Drain();
                    break;
                case 4:
                    foreach (var watcher in _watchers.Where(_ => _random.Next(2) == 0))
                    {
                        watcher.Follower.Session.Release(watcher.Follower);
                        watcher.Wire.Take();
                    }

                    break;
                case 5:
                    while (_late.TryDequeue(out var update))
                    {
                        Cluster.Deliver(update);
                    }

                    Time.Advance(TimeSpan.FromMilliseconds(_random.Next(200)));
                    break;
                case 6 when _random.Next(4) == 0:
                    await Mint.Archive(Archive, Intervals[_random.Next(3)], _clock.AddSeconds(-_random.Next(60)));
                    break;
                case 7 when lossy && _random.Next(12) == 0:
                    Mint.BeginEpoch();
                    break;
                case 8 when _random.Next(6) == 0:
                    // What is late by more than seconds then counts as lost.
                    _looked = true;
                    Time.Advance(TimeSpan.FromMinutes(5));
                    Feed.Tick(new LaneTick(0, long.MaxValue));
                    break;
                default:
                    Trade();
                    break;
            }
        }

        /// <summary>Some time passes: buckets end, one kline of each interval changes, now and then an old one is corrected.</summary>
        private void Trade()
        {
            List<Kline> changed = [];
            var before = _clock;
            _clock += TimeSpan.FromMilliseconds(_random.Next(3) == 0 ? _random.Next(4_000) : _random.Next(300));
            foreach (var interval in Intervals)
            {
                var old = Open(interval, before);
                var open = Open(interval, _clock);
                var all = Mint.All.Where(k => k.Interval == interval).ToDictionary(k => k.OpenTime);
                if (old != open && all.TryGetValue(old, out var forming) && !forming.IsFinal)
                {
                    changed.Add(forming with { IsFinal = true });
                }

                var count = all.TryGetValue(open, out var now) ? now.UpdateCount : 0;
                changed.Add(TestKlines.Make(interval, open, 1 + _random.Next(1_000), count + 1));
                if (_random.Next(8) == 0 && all.Values.Where(k => k.IsFinal && k.OpenTime < old).ToList() is { Count: > 0 } finals)
                {
                    var late = finals[_random.Next(finals.Count)];
                    changed.Add(TestKlines.Make(interval, late.OpenTime, 1 + _random.Next(1_000), late.UpdateCount + 1, isFinal: true, late.Revision + 1));
                }
            }

            var update = Mint.Change(_clock, [.. changed]);
            switch (_random.Next(lossy ? 8 : 4))
            {
                case 0:
                    _late.Enqueue(update);
                    break;
                case 1 when _late.Count == 0:
                    Cluster.Deliver(update);
                    Cluster.Deliver(update);
                    break;
                case 4:
                    // Lost.
                    break;
                default:
                    if (lossy && _random.Next(10) == 0)
                    {
                        // Out of order.
                        Cluster.Deliver(update);
                        break;
                    }

                    while (_late.TryDequeue(out var earlier))
                    {
                        Cluster.Deliver(earlier);
                    }

                    Cluster.Deliver(update);
                    break;
            }
        }

        private static DateTimeOffset Open(KlineInterval interval, DateTimeOffset time) => interval.OpenTime(time);

        private async Task Join()
        {
            Watcher watcher;
            (long, long)? resume = null;
            if (_gone.Count > 0 && _random.Next(2) == 0)
            {
                watcher = _gone[_random.Next(_gone.Count)];
                _gone.Remove(watcher);
                resume = watcher.Position;
            }
            else
            {
                watcher = new Watcher(_random.Next(1, 8) switch { var bits => Intervals.Where((_, i) => (bits & (1 << i)) != 0).Aggregate(0, (all, i) => all | (1 << (int)i)) });
            }

            watcher.Wire = new RecordingWire { IsSlow = slowWires && _random.Next(2) == 0, TakesFrames = _random.Next(2) == 0 };
            var session = new Session(Lanes[_random.Next(2)], watcher.Wire, new OutboxLimits(1 << 20, 1_000), Time);
            watcher.Follower = new Follower(session, Symbol, Format, watcher.Intervals);
            var attached = Feed.Attach(watcher.Follower, null, resume, int.MaxValue, 1_000);
            Assert.True(!attached.Recovered || resume is not null);
            if (!attached.Recovered)
            {
                watcher.Klines.Clear();
                foreach (var interval in IntervalBits.In(watcher.Intervals))
                {
                    var page = await new KlineHistory(Archive).Read(attached.View!, new HistoryQuery(interval, null, null, 100_000, Newest: true), CancellationToken.None);
                    foreach (var kline in page.Klines)
                    {
                        watcher.Klines[(kline.Interval, kline.OpenTime)] = kline;
                    }
                }
            }

            watcher.Position = (attached.Epoch, attached.Seq);
            _watchers.Add(watcher);
        }

        private void Leave(Watcher watcher)
        {
            Feed.Detach(watcher.Follower);
            watcher.Read(seed);
            _watchers.Remove(watcher);
            _gone.Add(watcher);
        }

        private void AnswerSnapshots(bool all)
        {
            List<TaskCompletionSource> answers;
            lock (_snapshots)
            {
                answers = all || _snapshots.Count == 0 ? [.. _snapshots] : [_snapshots[_random.Next(_snapshots.Count)]];
                answers.ForEach(a => _snapshots.Remove(a));
            }

            answers.ForEach(a => a.SetResult());
        }
    }

    /// <summary>A client's own copy of the klines, as it puts them together from what it gets.</summary>
    private sealed class Watcher(int intervals)
    {
        private RecordingWire _wire = new();
        private int _read;

        public int Intervals => intervals;

        public Dictionary<(KlineInterval, DateTimeOffset), Kline> Klines { get; } = [];

        public (long Epoch, long Seq) Position { get; set; }

        public Follower Follower { get; set; } = null!;

        public RecordingWire Wire
        {
            get => _wire;
            set
            {
                _wire = value;
                _read = 0;
            }
        }

        public void Read(int seed)
        {
            foreach (var message in _wire.Received.Skip(_read))
            {
                if (message.Payload is not TestPayload payload)
                {
                    continue;
                }

                var position = (payload.Update.Epoch, payload.Update.Seq);
                Assert.True(position.CompareTo(Position) > 0, $"seed {seed}: {position} came after {Position}");
                Position = position;
                foreach (var kline in payload.Klines)
                {
                    Assert.True(!Klines.TryGetValue((kline.Interval, kline.OpenTime), out var known) || !known.Equals(kline) || kline.Revision > 0, $"seed {seed}: {kline.Interval} {kline.OpenTime:T} came twice, with {position} of {payload.Klines.Length} klines");
                    Klines[(kline.Interval, kline.OpenTime)] = kline;
                }
            }

            _read = _wire.Received.Count;
        }
    }
}
