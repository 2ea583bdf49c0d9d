using KlineOrleans.Contracts;
using KlineOrleans.Testing;

namespace KlineOrleans.Web.Tests;

/// <summary>What a burst brings to the sessions of a room.</summary>
public sealed class RoomTests
{
    private static readonly DateTimeOffset Start = TestKlines.Start;
    private readonly ManualTimeProvider _time = new();
    private readonly WebCounters _counters = new();
    private readonly TestFormat _format = new();
    private Lane _lane;
    private FeedLane _rooms;
    private long _seq;

    public RoomTests() => (_lane, _rooms) = Make(conflates: true);

    [Fact]
    public void Messages_of_a_burst_leave_in_one_write()
    {
        (_lane, _rooms) = Make(conflates: false);
        var (_, wire) = Join();
        Post(1, 2, 3);
        Assert.Empty(wire.Received);
        _lane.Drain();
        Assert.Equal([1, 2, 3], Counts(wire));
        Assert.Equal(1, wire.FrameWrites);
        Assert.Equal(3, _counters.Sent);
        Assert.Equal(3, _counters.Latency.Count);
    }

    [Fact]
    public void Newest_of_a_bursts_forming_updates_stands_for_all_and_the_client_is_told()
    {
        var (follower, wire) = Join();
        var (_, other) = Join();
        Post(1, 2, 3);
        _lane.Drain();
        Assert.Equal([3], Counts(wire));
        Assert.Equal([3], Counts(other));
        Assert.Equal(4, _counters.Conflated);
        _lane.Post(_rooms, new LaneTick(0, long.MaxValue));
        _lane.Drain();
        Assert.Equal(2, Assert.IsType<SkippedPayload>(wire.Received[^1].Payload).Count);
        Assert.Equal(2, follower.Session.Conflated);
        Post(4);
        _lane.Post(_rooms, new LaneTick(0, long.MaxValue));
        _lane.Drain();
        Assert.Equal([3, 4], Counts(wire));
        Assert.Single(wire.Received, m => m.Payload is SkippedPayload);
    }

    [Fact]
    public void Final_klines_and_corrections_of_a_burst_all_go_out_in_order()
    {
        var (_, wire) = Join();
        Post(1);
        Post(TestKlines.Make(KlineInterval.M1, Start, 1, 2, isFinal: true));
        Post(TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 1, 3));
        Post(TestKlines.Make(KlineInterval.M1, Start, 1, 4, isFinal: true, revision: 1));
        Post(TestKlines.Make(KlineInterval.M1, Start.AddMinutes(1), 1, 5));
        _lane.Drain();
        Assert.Equal([1, 2, 4, 5], Counts(wire));
    }

    [Fact]
    public void Who_joins_within_a_burst_gets_nothing_from_before()
    {
        (_lane, _rooms) = Make(conflates: false);
        var (_, first) = Join();
        Post(1, 2);
        var wire = new RecordingWire { TakesFrames = true };
        var follower = new Follower(new Session(_lane, wire, new OutboxLimits(1 << 20, 1_000), _time), "S", _format, 0xFFFF);
        _lane.Post(_rooms, new Attachment(follower, []));
        Post(3);
        _lane.Drain();
        Assert.Equal([1, 2, 3], Counts(first));
        Assert.Equal([3], Counts(wire));
    }

    [Fact]
    public void Who_left_gets_nothing_of_what_waited()
    {
        var (follower, wire) = Join();
        Post(1);
        follower.IsOver = true;
        _lane.Post(_rooms, follower);
        _lane.Drain();
        Assert.Empty(wire.Received);
        Post(2);
        _lane.Drain();
        Assert.Empty(wire.Received);
    }

    [Fact]
    public void Session_that_finishes_in_a_burst_sends_what_its_rooms_had_before()
    {
        (_lane, _rooms) = Make(conflates: false);
        var (follower, wire) = Join();
        Post(1, 2);
        follower.Session.Finish(DisconnectReason.ServerShutdown, () => new SkippedPayload(-1));
        Post(3);
        _lane.Drain();
        Assert.Equal([1, 2], Counts(wire));
        Assert.Equal(-1, Assert.IsType<SkippedPayload>(wire.Received[^1].Payload).Count);
        Assert.Equal(DisconnectReason.ServerShutdown, wire.Closed);
    }

    [Fact]
    public void What_comes_for_rooms_whose_turn_is_still_to_come_leaves_with_what_waits_there()
    {
        (_lane, _rooms) = Make(conflates: false);
        var crowd = Enumerable.Range(0, 2 * FeedLane.Stretch + 1).Select(_ => Join().Wire).ToArray();
        var others = new FeedLane(_lane, _time);
        var (_, other) = Join(rooms: others);
        Post(1);
        Post(others, 1);
        Assert.False(_lane.DrainSlice());
        Assert.Equal(FeedLane.Stretch, crowd.Sum(w => w.FrameWrites));

        // The first rooms are midway: what comes for them waits, and so does what comes after that.
        Post(others, 2);
        Post(2);
        var late = new RecordingWire { TakesFrames = true };
        _lane.Post(_rooms, new Attachment(new Follower(new Session(_lane, late, new OutboxLimits(1 << 20, 1_000), _time), "S", _format, 0xFFFF), []));
        Post(3);
        Post(others, 3);
        Assert.False(_lane.DrainSlice());
        Assert.False(_lane.DrainSlice());
        Assert.Equal(crowd.Length, crowd.Sum(w => w.FrameWrites));
        Assert.Empty(other.Received);
        Assert.All(crowd, w => Assert.Equal([1], Counts(w)));

        Assert.False(_lane.DrainSlice());
        while (!_lane.DrainSlice())
        {
        }

        Assert.Equal([1, 2, 3], Counts(other));
        Assert.Equal(1, other.FrameWrites);
        Assert.All(crowd, w => Assert.Equal([1, 2, 3], Counts(w)));
        Assert.Equal([3], Counts(late));
    }

    [Fact]
    public void Rooms_without_end_do_not_keep_sessions_from_writing()
    {
        (_lane, _rooms) = Make(conflates: false);
        var others = new FeedLane(_lane, _time);
        for (var i = 0; i <= FeedLane.Stretch; i++)
        {
            Join();
            Join(rooms: others);
        }

        // There is always one of the two that waits.
        var (follower, wire) = Join();
        follower.Session.Send(new SkippedPayload(-1));
        for (var i = 0; i < 8; i++)
        {
            Post(_rooms, i);
            Post(others, i);
            Assert.False(_lane.DrainSlice());
        }

        Assert.Contains(wire.Received, m => m.Payload is SkippedPayload);
    }

    [Fact]
    public void More_than_an_outbox_holds_between_two_turns_ends_nobody_who_keeps_up()
    {
        (_lane, _rooms) = Make(conflates: false);
        var wire = new RecordingWire { TakesFrames = true };
        var session = new Session(_lane, wire, new OutboxLimits(1 << 20, 10, false), _time);
        var others = new FeedLane(_lane, _time);
        foreach (var rooms in (FeedLane[])[_rooms, others])
        {
            _lane.Post(rooms, new Attachment(new Follower(session, "S", _format, 1 << (int)KlineInterval.M1), []));
        }

        Post([.. Enumerable.Range(1, 25)]);
        _lane.Drain();
        Assert.Equal(Enumerable.Range(1, 25), Counts(wire));
        Assert.False(session.Ended.IsCompleted);
    }

    [Fact]
    public void What_no_trade_is_behind_lets_trades_pass_and_leaves_with_the_next_of_its_room()
    {
        (_lane, _rooms) = Make(conflates: false);
        var others = new FeedLane(_lane, _time);
        var (_, wire) = Join();
        var (_, other) = Join(rooms: others);
        Kline[] final = [TestKlines.Make(KlineInterval.M1, Start, 1, 1, isFinal: true)];
        Post(_rooms, final, TakerSide.None);
        Post(others, 1);
        Assert.False(_lane.DrainSlice());
        Assert.Equal([1], Counts(other));
        Assert.Empty(wire.Received);

        // Nothing else waits.
        Assert.True(_lane.DrainSlice());
        Assert.Equal([1], Counts(wire));

        Post(_rooms, final, TakerSide.None);
        Post(others, 2);
        Post(_rooms, 2);
        Assert.False(_lane.DrainSlice());
        _lane.Drain();
        Assert.Equal([1, 1, 2], Counts(wire));
        Assert.Equal(2, wire.FrameWrites);
    }

    [Fact]
    public void What_lets_trades_pass_waits_for_a_tick_at_most()
    {
        (_lane, _rooms) = Make(conflates: false);
        var others = new FeedLane(_lane, _time);
        var (_, wire) = Join();
        for (var i = 0; i <= FeedLane.Stretch; i++)
        {
            Join(rooms: others);
        }

        Post(_rooms, [TestKlines.Make(KlineInterval.M1, Start, 1, 1, isFinal: true)], TakerSide.None);
        for (var i = 0; i < 20; i++)
        {
            // Others wait all the time.
            Post(others, i);
            _lane.DrainSlice();
            Assert.Empty(wire.Received);
        }

        _lane.Post(_rooms, new LaneTick(0, long.MaxValue));
        for (var i = 0; i < 4; i++)
        {
            Post(others, i);
            _lane.DrainSlice();
        }

        Assert.Equal([1], Counts(wire));
    }

    [Fact]
    public void Own_subscription_ids_and_shared_bytes_go_side_by_side()
    {
        (_lane, _rooms) = Make(conflates: false);
        var (_, own) = Join("\"chart-1\"");
        var (_, none) = Join();
        var (_, unnamed) = Join("null");
        Post(1, 2);
        _lane.Drain();
        Assert.Equal(["\"chart-1\"", "\"chart-1\""], own.Middles);
        Assert.Equal(["null", "null"], none.Middles);
        Assert.Equal(["null", "null"], unnamed.Middles);
        Assert.Equal([1, 2], Counts(own));
        Assert.Equal([1, 2], Counts(none));
    }

    [Fact]
    public void What_comes_while_a_write_is_under_way_waits_in_the_outbox()
    {
        var (follower, wire) = Join();
        wire.IsSlow = true;
        Post(1);
        _lane.Drain();
        Post(2);
        _lane.Drain();
        Post(3);
        _lane.Drain();
        Assert.Equal([1], Counts(wire));
        Assert.Equal(2, follower.Session.Pending);
        wire.Take();
        _lane.Drain();
        Assert.Equal([1, 3], Counts(wire));
        wire.Take();
        _lane.Drain();
        Assert.Equal(0, follower.Session.Pending);
        Assert.Equal(0, follower.Session.PendingBytes);
        Assert.Equal(2, follower.Session.Sent);
        Assert.Equal(2, _counters.Sent);
        Assert.Equal(2, _counters.Latency.Count);
    }

    [Fact]
    public void Session_in_several_rooms_writes_once_for_all_of_them()
    {
        var wire = new RecordingWire { TakesFrames = true };
        var session = new Session(_lane, wire, new OutboxLimits(1 << 20, 1_000), _time);
        Follower[] followers = [new(session, "S", _format, 1 << (int)KlineInterval.M1), new(session, "S", _format, 1 << (int)KlineInterval.H1)];
        foreach (var follower in followers)
        {
            _lane.Post(_rooms, new Attachment(follower, []));
        }

        Post(TestKlines.Make(KlineInterval.M1, Start, 1, 1), TestKlines.Make(KlineInterval.H1, Start, 1, 7));
        _lane.Drain();
        Assert.Equal([1, 7], Counts(wire));
        Assert.Equal(0, wire.FrameWrites);
        followers[1].IsOver = true;
        _lane.Post(_rooms, followers[1]);
        Post(TestKlines.Make(KlineInterval.M1, Start, 1, 2), TestKlines.Make(KlineInterval.H1, Start, 1, 8));
        _lane.Drain();
        Assert.Equal([1, 7, 2], Counts(wire));
        Assert.Equal(1, wire.FrameWrites);
    }

    [Fact]
    public void Broken_connection_ends_its_session_and_no_other()
    {
        var (broken, wire) = Join();
        var (_, sound) = Join();
        wire.IsBroken = true;
        Post(1);
        _lane.Drain();
        Assert.Equal(DisconnectReason.TransportClosed, wire.Closed);
        Assert.True(broken.Session.Ended.IsCompletedSuccessfully);
        Assert.Equal([1], Counts(sound));
        Assert.Equal(1, _counters.Failed);
    }

    [Fact]
    public void Follower_that_is_held_gets_its_messages_when_it_is_released()
    {
        (_lane, _rooms) = Make(conflates: false);
        var (follower, wire) = Join();
        follower.IsHeld = true;
        Post(1, 2);
        _lane.Drain();
        Assert.Empty(wire.Received);
        follower.Session.Release(follower);
        Post(3);
        _lane.Drain();
        Assert.Equal([1, 2, 3], Counts(wire));
    }

    private (Lane Lane, FeedLane Rooms) Make(bool conflates)
    {
        var lane = new Lane(0, manual: true) { Counters = _counters, Conflates = conflates };
        return (lane, new FeedLane(lane, _time));
    }

    private (Follower Follower, RecordingWire Wire) Join(string? middle = null, FeedLane? rooms = null)
    {
        var wire = new RecordingWire { TakesFrames = true };
        var session = new Session(_lane, wire, new OutboxLimits(1 << 20, 1_000, _lane.Conflates), _time);
        var follower = new Follower(session, "S", _format, 1 << (int)KlineInterval.M1) { Middle = middle is null ? default : System.Text.Encoding.UTF8.GetBytes(middle) };
        _lane.Post(rooms ?? _rooms, new Attachment(follower, []));
        _lane.Drain();
        return (follower, wire);
    }

    private void Post(params int[] counts)
    {
        foreach (var count in counts)
        {
            Post(_rooms, count);
        }
    }

    private void Post(FeedLane rooms, int count) => Post(rooms, [TestKlines.Make(KlineInterval.M1, Start, 1, count)]);

    private void Post(params Kline[] klines) => Post(_rooms, klines);

    private void Post(FeedLane rooms, Kline[] klines, TakerSide taker = TakerSide.Buyers)
    {
        var update = new KlineUpdate { Symbol = "S", Epoch = 1, Seq = ++_seq, EventTime = Start, ReceivedTime = Start, Klines = [.. klines] };
        _lane.Post(rooms, new FeedMessage(update, 1, _seq - 1) { Since = 1, Taker = taker });
    }

    private static IEnumerable<int> Counts(RecordingWire wire) => wire.Received.Select(m => m.Payload).OfType<TestPayload>().SelectMany(p => p.Klines).Select(k => k.UpdateCount);
}
