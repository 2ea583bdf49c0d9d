using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Web.Tests;

public sealed class SessionTests
{
    private static readonly DateTimeOffset Start = TestKlines.Start;
    private readonly Lane _lane = new(0, manual: true);
    private readonly RecordingWire _wire = new() { IsSlow = true };
    private readonly ManualTimeProvider _time = new();
    private readonly TestFormat _format = new();
    private long _seq;

    [Fact]
    public void Newer_update_of_a_forming_kline_replaces_the_older_one_that_waits()
    {
        var session = Make(out var follower);
        for (var i = 1; i <= 500; i++)
        {
            Offer(follower, TestKlines.Make(KlineInterval.M1, Start, 1, i));
        }

        Assert.Equal(2, session.Pending);
        Assert.Equal(498, session.Conflated);
        Finish(session);
        Assert.Equal([1, 500], Received().Select(k => k.UpdateCount));
    }

    [Fact]
    public void Finals_and_corrections_are_never_replaced()
    {
        for (var seed = 0; seed < 300; seed++)
        {
            var random = new Random(seed);
            var wire = new RecordingWire { IsSlow = true };
            var session = new Session(_lane, wire, new OutboxLimits(1 << 20, 1_000), _time);
            Follower[] followers = [.. Enumerable.Range(0, 3).Select(i => new Follower(session, "S" + i, _format, 0xFFFF))];
            var open = new DateTimeOffset[] { Start, Start, Start };
            Dictionary<(int, DateTimeOffset), Kline> last = [];
            List<(int, Kline)> solid = [];
            for (var step = 0; step < 200; step++)
            {
                var f = random.Next(3);
                switch (random.Next(8))
                {
                    case 0:
                        Send(f, TestKlines.Make(KlineInterval.S1, open[f], 1, step + 1, isFinal: true));
                        open[f] += TimeSpan.FromSeconds(1);
                        break;
                    case 1 when open[f] > Start:
                        Send(f, TestKlines.Make(KlineInterval.S1, open[f] - TimeSpan.FromSeconds(1), 1, step + 1, isFinal: true, revision: 1));
                        break;
                    case 2:
                        wire.Take();
                        _lane.Drain();
                        break;
                    default:
                        Send(f, TestKlines.Make(KlineInterval.S1, open[f], 1, step + 1));
                        break;
                }
            }

            for (var i = 0; i < 200; i++)
            {
                wire.Take();
                _lane.Drain();
            }

            var received = wire.Received.Where(m => m.Payload is TestPayload).Select(m => (int.Parse(((TestPayload)m.Payload).Update.Symbol[1..], System.Globalization.CultureInfo.InvariantCulture), Assert.Single(((TestPayload)m.Payload).Klines))).ToList();
            for (var f = 0; f < 3; f++)
            {
                var mine = received.Where(r => r.Item1 == f).Select(r => r.Item2).ToList();
                Assert.Equal(solid.Where(s => s.Item1 == f).Select(s => s.Item2), mine.Where(k => k.IsFinal));
                Assert.Equal(mine.OrderBy(k => k.UpdateCount), mine);
                foreach (var ((_, time), kline) in last.Where(l => l.Key.Item1 == f))
                {
                    Assert.Equal(kline, mine.Last(k => k.OpenTime == time));
                }
            }

            Assert.Equal(0, session.Pending);
            Assert.Equal(0, session.PendingBytes);
            Assert.False(session.Ended.IsCompleted);

            void Send(int f, Kline kline)
            {
                last[(f, kline.OpenTime)] = kline;
                if (kline.IsFinal)
                {
                    solid.Add((f, kline));
                }

                Offer(followers[f], kline);
            }
        }
    }

    [Fact]
    public void Full_outbox_ends_the_session_as_slow_consumer()
    {
        var session = Make(out var follower, new OutboxLimits(1 << 20, 10));
        for (var i = 0; i < 10; i++)
        {
            Offer(follower, TestKlines.Make(KlineInterval.S1, Start.AddSeconds(i), 1, 1, isFinal: true));
        }

        Assert.False(session.Ended.IsCompleted);
        Offer(follower, TestKlines.Make(KlineInterval.S1, Start.AddSeconds(10), 1, 1, isFinal: true));
        Assert.Equal(DisconnectReason.SlowConsumer, _wire.Closed);
        Assert.True(session.Ended.IsCompletedSuccessfully);
        Offer(follower, TestKlines.Make(KlineInterval.S1, Start.AddSeconds(11), 1, 1, isFinal: true));
        Assert.Single(_wire.Received);
    }

    [Fact]
    public void Outbox_counts_bytes_too()
    {
        var session = Make(out var follower, new OutboxLimits(350, 1_000));
        for (var i = 0; i < 3; i++)
        {
            Offer(follower, TestKlines.Make(KlineInterval.S1, Start.AddSeconds(i), 1, 1, isFinal: true));
        }

        Assert.Equal(300, session.PendingBytes);
        Offer(follower, TestKlines.Make(KlineInterval.S1, Start.AddSeconds(3), 1, 1, isFinal: true));
        Assert.Equal(DisconnectReason.SlowConsumer, _wire.Closed);
    }

    [Fact]
    public void Nothing_that_waits_is_sent_after_an_unsubscribe()
    {
        var session = Make(out var follower);
        Offer(follower, TestKlines.Make(KlineInterval.M1, Start, 1, 1));
        Offer(follower, TestKlines.Make(KlineInterval.M1, Start, 1, 2, isFinal: true));
        follower.IsOver = true;
        Finish(session);
        Assert.Single(_wire.Received);
        Assert.Equal(0, session.Pending);
    }

    [Fact]
    public void Held_follower_waits_and_the_others_do_not()
    {
        _wire.IsSlow = false;
        var session = Make(out var held);
        held.IsHeld = true;
        var other = new Follower(session, "Other", _format, 0xFFFF);
        Offer(held, TestKlines.Make(KlineInterval.M1, Start, 1, 1, isFinal: true));
        Offer(other, TestKlines.Make(KlineInterval.M1, Start, 1, 2));
        Assert.Same(other, Assert.Single(_wire.Received).Follower);
        session.Release(held);
        _lane.Drain();
        Assert.Same(held, _wire.Received[1].Follower);
    }

    [Fact]
    public void Rate_limit_spaces_forming_updates_and_lets_finals_through_at_once()
    {
        _wire.IsSlow = false;
        var session = new Session(_lane, _wire, new OutboxLimits(1 << 20, 1_000), _time);
        var follower = new Follower(session, "S0", _format, 0xFFFF, minTicks: TimeSpan.FromSeconds(1).Ticks);
        Offer(follower, TestKlines.Make(KlineInterval.M1, Start, 1, 1));
        Offer(follower, TestKlines.Make(KlineInterval.M1, Start, 1, 2));
        Offer(follower, TestKlines.Make(KlineInterval.M1, Start, 1, 3));
        Assert.Equal([1], Received().Select(k => k.UpdateCount));
        _time.Advance(TimeSpan.FromSeconds(1.1));
        _lane.Drain();
        Assert.Equal([1, 3], Received().Select(k => k.UpdateCount));
        Offer(follower, TestKlines.Make(KlineInterval.M1, Start, 1, 4));
        Offer(follower, TestKlines.Make(KlineInterval.M1, Start, 1, 5, isFinal: true));
        Assert.Equal([1, 3, 4, 5], Received().Select(k => k.UpdateCount));
    }

    [Fact]
    public void Rate_limit_lets_no_final_overtake_a_forming_update()
    {
        var session = new Session(_lane, _wire, new OutboxLimits(1 << 20, 1_000), _time);
        var follower = new Follower(session, "S0", _format, 0xFFFF, minTicks: TimeSpan.FromSeconds(1).Ticks);
        for (var i = 0; i < 5; i++)
        {
            // The wire has taken the first; these wait behind it.
            Offer(follower, TestKlines.Make(KlineInterval.S1, Start.AddSeconds(i), 1, (2 * i) + 1));
            Offer(follower, TestKlines.Make(KlineInterval.S1, Start.AddSeconds(i), 1, (2 * i) + 2, isFinal: true));
        }

        Offer(follower, TestKlines.Make(KlineInterval.S1, Start.AddSeconds(5), 1, 11));
        Finish(session);
        Assert.Equal(Enumerable.Range(1, 10), Received().Select(k => k.UpdateCount));
        _wire.IsSlow = false;
        _time.Advance(TimeSpan.FromSeconds(1.1));
        _lane.Drain();
        Assert.Equal(Enumerable.Range(1, 11), Received().Select(k => k.UpdateCount));
    }

    [Fact]
    public void Message_larger_than_the_outbox_goes_out_when_nothing_else_waits()
    {
        var session = Make(out var follower, new OutboxLimits(50, 1_000));
        Offer(follower, TestKlines.Make(KlineInterval.S1, Start, 1, 1, isFinal: true));
        Finish(session);
        Assert.Single(Received());
    }

    [Fact]
    public void What_a_client_missed_never_ends_its_session_for_its_bytes()
    {
        var session = Make(out var follower, new OutboxLimits(250, 100));
        Assert.Equal(50, session.RoomForMissed);
        for (var i = 0; i < 50; i++)
        {
            Offer(follower, TestKlines.Make(KlineInterval.S1, Start.AddSeconds(i), 1, i, isFinal: true), isMissed: true);
        }

        Assert.Equal(0, session.RoomForMissed);
        Finish(session);
        Assert.Equal(50, Received().Count());
        Assert.Equal(50, session.RoomForMissed);
    }

    [Fact]
    public void Client_is_told_what_was_skipped_once_it_keeps_up()
    {
        var session = Make(out var follower);
        for (var i = 1; i <= 10; i++)
        {
            Offer(follower, TestKlines.Make(KlineInterval.M1, Start, 1, i));
        }

        session.Tick();
        Finish(session);
        Assert.DoesNotContain(_wire.Received, m => m.Payload is SkippedPayload);
        session.Tick();
        _lane.Drain();
        session.Flush();
        Assert.Equal(8, Assert.IsType<SkippedPayload>(_wire.Received[^1].Payload).Count);
        Assert.Equal(0, follower.Skipped);
    }

    [Fact]
    public void Client_is_told_at_once_what_was_skipped_of_all_its_symbols()
    {
        var session = new Session(_lane, _wire, new OutboxLimits(1 << 20, 1_000), _time);
        Follower[] followers = [.. Enumerable.Range(0, 5).Select(i => new Follower(session, "S" + i, _format, 0xFFFF))];
        for (var i = 0; i < 10; i++)
        {
            foreach (var follower in followers)
            {
                Offer(follower, TestKlines.Make(KlineInterval.M1, Start, 1, i));
            }
        }

        Finish(session);
        session.Tick();
        session.Flush();
        Finish(session);
        Assert.Equal(session.Conflated, _wire.Received.Sum(m => m.Payload is SkippedPayload skipped ? skipped.Count : 0));
        Assert.Equal(5, _wire.Received.Count(m => m.Payload is SkippedPayload));
    }

    [Fact]
    public void Session_is_settled_when_what_is_being_written_is_written()
    {
        var session = Make(out var follower);
        var idle = session.Settled();
        _lane.Drain();
        Assert.True(idle.IsCompletedSuccessfully);
        Offer(follower, TestKlines.Make(KlineInterval.M1, Start, 1, 1));
        follower.IsOver = true;
        var settled = session.Settled();
        _lane.Drain();
        Assert.False(settled.IsCompleted);
        Finish(session);
        Assert.True(settled.IsCompletedSuccessfully);
    }

    [Fact]
    public void Session_is_not_settled_while_what_came_before_waits_for_its_turn()
    {
        var session = Make(out _);
        session.Send(new SkippedPayload(1));
        var settled = session.Settled();
        _lane.Drain();
        Assert.False(settled.IsCompleted);
        Finish(session);
        Assert.True(settled.IsCompletedSuccessfully);
    }

    [Fact]
    public void Session_that_finishes_sends_what_waits_and_a_last_message_and_takes_nothing_more()
    {
        var session = new Session(_lane, _wire, new OutboxLimits(1 << 20, 1_000), _time);
        var limited = new Follower(session, "S0", _format, 0xFFFF, minTicks: TimeSpan.FromSeconds(10).Ticks);
        var held = new Follower(session, "S1", _format, 0xFFFF) { IsHeld = true };
        for (var i = 1; i <= 100; i++)
        {
            Offer(limited, TestKlines.Make(KlineInterval.S1, Start.AddSeconds(i), 1, i));
        }

        Offer(held, TestKlines.Make(KlineInterval.S1, Start, 1, 1, isFinal: true));
        session.Finish(DisconnectReason.ServerShutdown, () => new SkippedPayload(-1));
        _lane.Drain();
        Offer(limited, TestKlines.Make(KlineInterval.S1, Start, 1, 101, isFinal: true));
        Assert.False(session.Ended.IsCompleted);
        for (var i = 0; i < 10 && _wire.IsWriting; i++)
        {
            _wire.Take();
            _lane.Drain();
        }

        Assert.Equal(Enumerable.Range(1, 100), _wire.Received.Where(m => m.Payload is TestPayload).Select(m => ((TestPayload)m.Payload).Klines[0].UpdateCount));
        Assert.Equal(-1, Assert.IsType<SkippedPayload>(_wire.Received[^1].Payload).Count);
        Assert.Equal(DisconnectReason.ServerShutdown, _wire.Closed);
    }

    [Fact]
    public void Wire_that_throws_ends_the_session()
    {
        var wire = new ThrowingWire();
        var session = new Session(_lane, wire, new OutboxLimits(1 << 20, 1_000), _time);
        Offer(new Follower(session, "S0", _format, 0xFFFF), TestKlines.Make(KlineInterval.M1, Start, 1, 1));
        Assert.Equal(DisconnectReason.TransportClosed, wire.Closed);
        Assert.True(session.Ended.IsCompletedSuccessfully);
    }

    private Session Make(out Follower follower, OutboxLimits? limits = null)
    {
        var session = new Session(_lane, _wire, limits ?? new OutboxLimits(1 << 20, 1_000), _time);
        follower = new Follower(session, "S0", _format, 0xFFFF);
        return session;
    }

    private void Offer(Follower follower, Kline kline, bool isMissed = false)
    {
        var update = new KlineUpdate { Symbol = follower.Symbol, Epoch = 1, Seq = ++_seq, EventTime = Start, ReceivedTime = Start, Klines = [kline] };
        var message = new FeedMessage(update, 1, _seq - 1);
        _lane.Post(new Offering(follower, message, message.Encode(_format, message.Changed), isMissed), follower);
        _lane.Drain();
    }

    private void Finish(Session session)
    {
        for (var i = 0; i < 100 && _wire.IsWriting; i++)
        {
            _wire.Take();
            _lane.Drain();
        }

        Assert.False(session.Ended.IsCompleted);
    }

    private IEnumerable<Kline> Received() => _wire.Received.SelectMany(m => ((TestPayload)m.Payload).Klines);

    private sealed class Offering(Follower follower, FeedMessage message, Payload payload, bool isMissed) : ILaneWork
    {
        public void Run(object argument) => follower.Session.Offer(follower, message, message.Changed, payload, counts: !isMissed);
    }

    private sealed class ThrowingWire : ISessionWire
    {
        public DisconnectReason Closed { get; private set; }

        public ValueTask Write(ReadOnlyMemory<Outgoing> messages) => throw new IOException("gone");

        public void Close(DisconnectReason reason, Task written) => Closed = reason;
    }
}
