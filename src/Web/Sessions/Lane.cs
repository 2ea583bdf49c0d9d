using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace KlineOrleans.Web;

/// <summary>Something that happens on a lane.</summary>
internal interface ILaneWork
{
    void Run(object argument);
}

/// <summary>Runs work one piece at a time, in the order it came. Posting is thread safe.</summary>
/// <remarks>
/// Every session lives on one lane, and only work of that lane touches it: rooms, followers and outboxes need no lock, and a room's followers are spread
/// over the lanes without hurting the order of any. A lane is not a thread: while nothing comes it costs nothing. After the work that came every session
/// it touched writes once, so several messages leave together. What waits in a room goes to most of its sessions as one piece of memory.
/// Writing to ten thousand sessions takes a tenth of a second of one core. It is done in slices, between which the thread does what else there is: or whatever brings
/// the next update here, which takes several steps on the same threads, would wait for all of it at each step. Between slices the lane takes what came, too: rooms write in the order
/// in which something first came for them, and what comes for a room before its turn leaves with it. So an update waits for one round of writes at most, and not for the end of
/// one and then for its place in the next; and the longer a round, the more of them a write takes.
/// What no trade is behind, as the finals of a thousand mints when a minute ends, gives way to what there is: it leaves with the next update of its room, or when nothing else waits, or within a second.
/// </remarks>
internal sealed class Lane : IThreadPoolWorkItem
{
    /// <summary>The most work between two slices of writes.</summary>
    private const int Burst = 1_024;

    /// <summary>How long a slice of writes may take.</summary>
    private static readonly long Slice = TimeProvider.System.TimestampFrequency / 1_000;

    private const long Unlimited = long.MaxValue;

    private readonly ConcurrentQueue<(ILaneWork Work, object Argument)> _queue = new();
    private readonly Queue<Session> _touched = [];
    private readonly bool _manual;
    private readonly ILogger _log;
    private readonly Stack<Outgoing[]> _batches = [];
    private readonly Queue<FeedLane> _unsettled = [];
    private readonly Queue<FeedLane> _later = [];

    // How far a round of writes is, whose slice is over: rooms, then sessions, that it still has to do, and the rooms that are done in part.
    private int _roomsLeft;
    private int _sessionsLeft;
    private bool _isFlushing;
    private FeedLane? _midway;
    private (ILaneWork Work, object Argument)? _held;
    private long _sentBytes;
    private int _sent;
    private OutboxNode? _free;
    private int _scheduled;

    /// <param name="manual">Runs only in <see cref="Drain"/>: for tests that choose the order of things.</param>
    public Lane(int number = 0, bool manual = false, ILogger? log = null) => (Number, _manual, _log) = (number, manual, log ?? NullLogger.Instance);

    /// <summary>Where its sessions count what they send; null: nowhere.</summary>
    public WebCounters? Counters { get; init; }

    /// <summary>Whether rooms replace an older update of forming klines that waits with a newer one.</summary>
    public bool Conflates { get; init; } = true;

    /// <summary>The lane's place among the lanes.</summary>
    public int Number { get; }

    public void Post(ILaneWork work, object argument)
    {
        _queue.Enqueue((work, argument));
        if (!_manual && Interlocked.Exchange(ref _scheduled, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    void IThreadPoolWorkItem.Execute()
    {
        if (!RunBurst(Slice))
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
            return;
        }

        // Others wait for this thread too: a lane with more to do queues up again.
        Volatile.Write(ref _scheduled, 0);
        Interlocked.MemoryBarrier();
        if (!_queue.IsEmpty && Interlocked.Exchange(ref _scheduled, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    /// <summary>Runs what was posted, on a manual lane. False if there was nothing.</summary>
    public bool Drain()
    {
        var any = !_queue.IsEmpty;
        while (!RunBurst(Unlimited))
        {
        }

        return any;
    }

    /// <summary>Runs what was posted and the shortest slice of writes, on a manual lane. False if more is to follow.</summary>
    public bool DrainSlice() => RunBurst(0) && _queue.IsEmpty;

    /// <summary>The session writes when the rooms have. Only on this lane.</summary>
    public void Touch(Session session) => _touched.Enqueue(session);

    /// <summary>The rooms give their sessions what came when it is their turn. Only on this lane.</summary>
    public void Touch(FeedLane rooms) => _unsettled.Enqueue(rooms);

    /// <summary>The rooms give their sessions what came when no other rooms wait. Only on this lane.</summary>
    public void TouchLater(FeedLane rooms)
    {
        if (!rooms.IsInLater)
        {
            rooms.IsInLater = true;
            _later.Enqueue(rooms);
        }
    }

    /// <summary>Counts messages that a transport took. Told to <see cref="Counters"/> once a burst. Only on this lane.</summary>
    public void CountSent(int messages, long bytes)
    {
        _sent += messages;
        _sentBytes += bytes;
    }

    /// <summary>All rooms give their sessions what came for them so far. Only on this lane.</summary>
    public void Settle()
    {
        while (TakeLater())
        {
        }

        _roomsLeft = _unsettled.Count;
        Settle(long.MaxValue);
        if (!_isFlushing)
        {
            // The round's rooms are done.
            _isFlushing = true;
            _sessionsLeft = _touched.Count;
        }
    }

    public OutboxNode Rent()
    {
        var node = _free;
        if (node is null)
        {
            return new OutboxNode();
        }

        _free = node.Next;
        node.Next = null;
        return node;
    }

    public void Return(OutboxNode node)
    {
        node.Clear();
        node.Next = _free;
        _free = node;
    }

    /// <summary>Memory for what a session writes at once: a session has it only while it writes, so an idle one costs none.</summary>
    public Outgoing[] RentBatch() => _batches.TryPop(out var batch) ? batch : new Outgoing[Session.BatchSize];

    /// <summary>Gives cleared memory back.</summary>
    public void ReturnBatch(Outgoing[] batch) => _batches.Push(batch);

    /// <summary>Runs what came, then goes on with a round of writes.</summary>
    /// <returns>False if the time was over before the end of the round, or another is to follow.</returns>
    /// <param name="slice">How long it may write, by the system's clock. The work before does not count, or writes would hardly go on while there is much of it.</param>
    private bool RunBurst(long slice)
    {
        TakeWork();
        var deadline = slice == Unlimited ? long.MaxValue : TimeProvider.System.GetTimestamp() + slice;
        if (!_isFlushing)
        {
            if (_unsettled.Count == 0)
            {
                TakeLater();
            }

            _roomsLeft = _roomsLeft == 0 ? _unsettled.Count : _roomsLeft;
            _isFlushing = Settle(deadline);
            _sessionsLeft = _touched.Count;
        }

        _isFlushing = _isFlushing && !Flush(deadline);
        if (_sent > 0)
        {
            Counters?.AddSent(_sent, _sentBytes);
            _sent = 0;
            _sentBytes = 0;
        }

        return _unsettled.Count == 0 && _later.Count == 0 && _touched.Count == 0 && _held is null;
    }

    /// <summary>Runs what came until something comes for rooms that are midway in their writes: they are in no state to take it.</summary>
    private void TakeWork()
    {
        for (var done = 0; done < Burst; done++)
        {
            if (_held is not { } item && !_queue.TryDequeue(out item))
            {
                return;
            }

            // Taken, and kept if need be: a queue that was peeked into holds on to all that passes through it.
            _held = item.Work == _midway ? item : null;
            if (_held is not null)
            {
                return;
            }

            try
            {
                item.Work.Run(item.Argument);
            }
            catch (Exception e)
            {
                // One session's fault must not stop the others of the lane.
                _log.LogError(1515, e, "Work on lane {Lane} failed", Number);
            }
        }
    }

    /// <summary>It is the turn of rooms that could wait. False if there are none.</summary>
    private bool TakeLater()
    {
        if (!_later.TryDequeue(out var rooms))
        {
            return false;
        }

        rooms.IsInLater = false;
        _unsettled.Enqueue(rooms);
        return true;
    }

    private bool Settle(long deadline)
    {
        while (_roomsLeft > 0)
        {
            _midway = _unsettled.Peek();
            try
            {
                if (!_midway.Settle(deadline))
                {
                    return false;
                }
            }
            catch (Exception e)
            {
                // One session's fault: the others of its room come next.
                _log.LogError(1514, e, "A room of lane {Lane} could not deliver to a session", Number);
                continue;
            }

            _midway = null;
            _unsettled.Dequeue();
            _roomsLeft--;
            if (_roomsLeft > 0 && TimeProvider.System.GetTimestamp() >= deadline)
            {
                return false;
            }
        }

        return true;
    }

    private bool Flush(long deadline)
    {
        for (var done = 1; _sessionsLeft > 0; done++)
        {
            _sessionsLeft--;
            try
            {
                _touched.Dequeue().Flush();
            }
            catch (Exception e)
            {
                _log.LogError(1516, e, "A session of lane {Lane} could not write", Number);
            }

            if (done % FeedLane.Stretch == 0 && _sessionsLeft > 0 && TimeProvider.System.GetTimestamp() >= deadline)
            {
                return false;
            }
        }

        return true;
    }
}

/// <summary>A message in an outbox. Belongs to one lane, which uses it again.</summary>
internal sealed class OutboxNode
{
    public OutboxNode? Previous { get; set; }

    public OutboxNode? Next { get; set; }

    public Payload? Payload { get; set; }

    /// <summary>Null for a message of no subscription.</summary>
    public Follower? Follower { get; set; }

    /// <summary>Set for an update that a newer one may replace.</summary>
    public FeedMessage? Forming { get; set; }

    public int Intervals { get; set; }

    /// <summary>What it counts in the outbox, in bytes.</summary>
    public int Length { get; set; }

    /// <summary>Completed when the transport took it; null where nobody waits for that.</summary>
    public TaskCompletionSource? Sent { get; set; }

    /// <summary>See <see cref="FeedMessage.Since"/>; 0 where how long it took says nothing.</summary>
    public long Since { get; set; }

    public void Clear()
    {
        Sent = null;
        Previous = null;
        Payload = null;
        Follower = null;
        Forming = null;
    }
}
