using System.Diagnostics;

namespace KlineOrleans.Web;

/// <summary>Where a session's messages go: one transport's connection.</summary>
internal interface ISessionWire
{
    /// <summary>Sends messages in order. Complete when the transport took them, which is what slows a session down to its client's speed.</summary>
    /// <remarks>One call at a time. Messages for which <see cref="Outgoing.IsOver"/> says true by the time they are written must be left out.</remarks>
    /// <param name="messages">The session's memory: valid until the task is complete.</param>
    ValueTask Write(ReadOnlyMemory<Outgoing> messages);

    /// <summary>The session has ended: tells the client why if it still can, and closes the connection. Called once, must not block.</summary>
    /// <param name="written">Complete when the last <see cref="Write"/> is.</param>
    void Close(DisconnectReason reason, Task written);
}

/// <summary>A wire that takes what a room has for all of its sessions as one piece.</summary>
internal interface IBatchWire
{
    /// <summary>Writes a room's messages, as <see cref="ISessionWire.Write"/> does a session's and never beside it.</summary>
    /// <param name="batch">Not to be used when this has returned.</param>
    /// <param name="written">Complete when the transport took them.</param>
    /// <returns>False, and nothing is written, where the client is not to be reached this way now.</returns>
    bool TryWrite(RoomBatch batch, Follower follower, out ValueTask written);

    /// <summary>Reads what <see cref="TryWrite"/> is going to read, for nothing but to have it near.</summary>
    /// <returns>Something of what it read, so that reading it is not left out.</returns>
    int ReadAhead();
}

/// <summary>A message on its way out.</summary>
/// <param name="Since">See <see cref="FeedMessage.Since"/>.</param>
internal readonly record struct Outgoing(Payload Payload, Follower? Follower, long Since = 0)
{
    /// <summary>The client has unsubscribed or subscribed anew since: it must not get this any more.</summary>
    public bool IsOver => Follower is { IsOver: true };
}

/// <summary>What a session may hold back for its client.</summary>
/// <param name="Conflate">A newer update of a forming kline takes the place of an older one that waits.</param>
internal readonly record struct OutboxLimits(int Bytes, int Messages, bool Conflate = true);

/// <summary>One client's side of the fan-out: a bounded outbox and its only writer, whatever the transport.</summary>
/// <remarks>
/// A newer update of forming klines replaces the older one of the same subscription (counted); finals, corrections and messages of other kinds are neither
/// replaced nor dropped. An outbox that is full all the same ends the session as <see cref="DisconnectReason.SlowConsumer"/>: one slow reader must not
/// hold the room, and must not cost unbounded memory.
/// Lives on its lane: members are for work of that lane, except those that say thread safe.
/// </remarks>
internal sealed class Session : ILaneWork
{
    /// <summary>The most messages that one write takes.</summary>
    public const int BatchSize = 64;

    private static readonly object WrittenSignal = new();
    private static readonly object FlushSignal = new();

    private readonly ISessionWire _wire;
    private readonly IBatchWire? _batches;
    private readonly OutboxLimits _limits;
    private readonly TimeProvider _time;
    private readonly List<Follower> _skipping = [];
    private List<TaskCompletionSource>? _answers;
    private readonly TaskCompletionSource<DisconnectReason> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Action _onWritten;

    // The lane's, while a write is under way.
    private Outgoing[]? _batch;
    private int _batchBytes;
    private long _batchSize;
    private int _batchCount;
    private ValueTask _write;
    private bool _writing;
    private TaskCompletionSource? _written;
    private OutboxNode? _head;
    private OutboxNode? _tail;
    private int _messages;
    private int _bytes;
    private bool _touched;
    private DisconnectReason? _finishing;

    // Counts of skipped updates in the outbox: they do not show that a client falls behind.
    private int _told;
    private ITimer? _timer;
    private long _sent;
    private long _batchSince;
    private bool _hasEnded;
    private readonly long _started;

    public Session(Lane lane, ISessionWire wire, OutboxLimits limits, TimeProvider time)
    {
        Lane = lane;
        _wire = wire;
        _batches = wire as IBatchWire;
        _limits = limits;
        _time = time;
        _started = time.GetTimestamp();
        _onWritten = () => Lane.Post(this, WrittenSignal);
    }

    public Lane Lane { get; }

    /// <summary>Why the session ended; complete once it has. Thread safe.</summary>
    public Task<DisconnectReason> Ended => _ended.Task;

    /// <summary>How long ago it began. Thread safe.</summary>
    public TimeSpan Age => _time.GetElapsedTime(_started);

    /// <summary>Messages that the transport took so far. Thread safe.</summary>
    public long Sent => Volatile.Read(ref _sent);

    /// <summary>Updates that newer ones replaced so far.</summary>
    public long Conflated { get; private set; }

    /// <summary>How many missed updates a client that comes back may be sent now; where it missed more it begins anew, rather than with a full outbox. Thread safe: an estimate.</summary>
    public int RoomForMissed => Math.Max(0, (_limits.Messages / 2) - Pending);

    /// <summary>Its followers in rooms. For their lanes' work.</summary>
    public int Followers { get; set; }

    /// <summary>Messages that wait, those being written included.</summary>
    public int Pending => _messages + _batchCount;

    /// <summary>Bytes that wait, those being written included.</summary>
    public int PendingBytes => _bytes + _batchBytes;

    /// <summary>Sends a message of no subscription. Thread safe.</summary>
    public void Send(Payload payload) => Lane.Post(this, payload);

    /// <summary>Sends an answer and waits until the transport took it, or the session ended. Thread safe.</summary>
    /// <remarks>
    /// Does not count against the outbox: whoever answers a client's requests one after another has at most one of these waiting, however long the answers
    /// are. A client that does not read its answers is not heard further.
    /// </remarks>
    public Task SendAnswer(Payload payload)
    {
        var answer = new Answer(payload);
        Lane.Post(this, answer);
        return answer.Sent.Task;
    }

    /// <summary>Ends the session. Harmless to repeat. Thread safe.</summary>
    public void End(DisconnectReason reason) => Lane.Post(this, reason);

    /// <summary>Waits until nothing is being written that was begun before. Thread safe.</summary>
    /// <remarks>
    /// For a wire whose answers do not go through the session: a message of a follower that is over since can be past the last look at that, and would
    /// otherwise come after the answer.
    /// </remarks>
    public Task Settled()
    {
        var settling = new Settling();
        Lane.Post(this, settling);
        return settling.Done.Task;
    }

    /// <summary>Takes nothing more, sends what waits and a last message, then ends the session. What waits for an answer that has not come is left out. Harmless to repeat. Thread safe.</summary>
    /// <param name="last">Makes the last message; null: none.</param>
    public void Finish(DisconnectReason reason, Func<Payload>? last) => Lane.Post(this, new Finishing(reason, last));

    /// <summary>Lets a follower's messages go that waited for the answer to its subscription. Thread safe.</summary>
    public void Release(Follower follower) => Lane.Post(this, follower);

    void ILaneWork.Run(object argument)
    {
        switch (argument)
        {
            case Payload payload:
                Add(payload, null, null, 0);
                break;
            case Follower follower:
                if (follower.IsHeld)
                {
                    follower.IsHeld = false;
                    MoveToEnd(follower);
                }

                Touch();
                break;
            case Answer answer:
                Add(answer.Payload, null, null, 0, sent: answer.Sent);
                break;
            case DisconnectReason reason:
                EndNow(reason);
                break;
            case Finishing finishing:
                BeginFinish(finishing);
                break;
            case Settling settling:
                // What its rooms gave it before leaves before whatever the settling is for.
                Flush();
                if (_writing && !_ended.Task.IsCompleted)
                {
                    (_answers ??= []).Add(settling.Done);
                    break;
                }

                settling.Done.TrySetResult();
                break;
            default:
                if (argument == WrittenSignal)
                {
                    FinishWrite();
                }

                Touch();
                break;
        }
    }

    /// <summary>Takes a room's message for the client.</summary>
    /// <param name="since">The message's <see cref="FeedMessage.Since"/>; 0 for one that is sent later than it came because the client was away.</param>
    /// <param name="counts">False for what the client missed: its number is bounded before it is sent, and to end the session for its bytes would only bring the client back for the same.</param>
    public void Offer(Follower follower, FeedMessage message, int intervals, Payload payload, long since = 0, bool counts = true)
    {
        if (_ended.Task.IsCompleted || follower.IsOver)
        {
            return;
        }

        if (message.IsSolid(intervals))
        {
            Add(payload, follower, null, intervals, since, counts: counts);
            return;
        }

        if (_limits.Conflate && follower.LastForming is { } older && message.Covers(older.Forming!, older.Intervals & older.Forming!.Changed, intervals))
        {
            Remove(older);
            Lane.Counters?.AddConflated(1);
            AddSkipped(follower, 1);
        }

        Add(payload, follower, message, intervals, since, counts: counts);
    }

    /// <summary>Writes what a room has for it, without a place in the outbox, if it has nothing else to write and nothing keeps the follower back.</summary>
    /// <remarks>This is what most deliveries are: one send of bytes that the room's other sessions get too.</remarks>
    /// <returns>False, and nothing is done, where each message must be offered.</returns>
    public bool TryWrite(Follower follower, RoomBatch batch)
    {
        if (_batches is null || _writing || _messages > 0 || Followers > 1 || follower.IsHeld || follower.MinTicks > 0)
        {
            return false;
        }

        if (_hasEnded || _finishing is not null || follower.IsOver)
        {
            return true;
        }

        ValueTask write;
        try
        {
            if (!_batches.TryWrite(batch, follower, out write))
            {
                return false;
            }
        }
        catch (Exception)
        {
            // Whatever a transport throws means that it is gone.
            Lane.Counters?.AddFailed(batch.Count);
            EndNow(DisconnectReason.TransportClosed);
            return true;
        }

        if (write.IsCompletedSuccessfully)
        {
            _sent += batch.Count;
            Lane.CountSent(batch.Count, batch.Bytes);
            batch.Written++;
            return true;
        }

        _writing = true;
        _batchCount = batch.Count;
        _batchBytes = batch.Bytes;
        _batchSize = batch.Bytes;
        _batchSince = batch.Since;
        _write = write;
        _write.GetAwaiter().UnsafeOnCompleted(_onWritten);
        return true;
    }

    /// <summary>See <see cref="IBatchWire.ReadAhead"/>.</summary>
    public int ReadAhead() => _batches is { } wire ? wire.ReadAhead() + _messages + (int)_sent + (_writing ? 1 : 0) : 0;

    /// <summary>Counts updates that newer ones replaced before they came to this session.</summary>
    public void AddSkipped(Follower follower, long count)
    {
        Conflated += count;
        if (follower.Skipped == 0)
        {
            _skipping.Add(follower);
        }

        follower.Skipped += count;
    }

    /// <summary>Once a second: tells what was skipped.</summary>
    public void Tick()
    {
        for (var i = _skipping.Count - 1; i >= 0; i--)
        {
            // A client that does not keep up gets the count later, in one.
            var follower = _skipping[i];
            if (!follower.IsOver && Pending > _told)
            {
                continue;
            }

            _skipping.RemoveAt(i);
            if (!follower.IsOver && follower.Format.EncodeSkipped(follower.Symbol, follower.Skipped) is { } payload)
            {
                Add(payload, null, null, 0);
                _told++;
            }

            follower.Skipped = 0;
        }
    }

    /// <summary>Writes what waits, unless a write is under way.</summary>
    public void Flush()
    {
        _touched = false;
        while (!_writing && _messages > 0 && !_ended.Task.IsCompleted)
        {
            if (!TakeBatch())
            {
                break;
            }

            _writing = true;
#pragma warning disable CA2012 // Consumed once, in FinishWrite: at once or when it calls back, as await would.
            try
            {
                _write = _wire.Write(_batch.AsMemory(0, _batchCount));
            }
            catch (Exception e)
            {
                _write = ValueTask.FromException(e);
            }
#pragma warning restore CA2012

            if (!_write.IsCompleted)
            {
                _write.GetAwaiter().UnsafeOnCompleted(_onWritten);
                break;
            }

            FinishWrite();
        }

        if (_finishing is { } reason && _messages == 0)
        {
            // The transport has the last: it closes behind it.
            EndNow(reason);
        }
    }

    /// <summary>Writes before its turn if what waits fills half of the outbox: a client that keeps up must not be ended for what came between two turns.</summary>
    public void FlushIfFilling()
    {
        if (!_writing && (_messages > _limits.Messages / 2 || _bytes > _limits.Bytes / 2))
        {
            Flush();
        }
    }

    private void BeginFinish(Finishing finishing)
    {
        if (_finishing is not null || _ended.Task.IsCompleted)
        {
            return;
        }

        // What its rooms had before still leaves.
        Lane.Settle();
        for (var node = _head; node is not null;)
        {
            var next = node.Next;
            if (node.Follower is { IsHeld: true })
            {
                Remove(node);
            }

            node = next;
        }

        if (finishing.Last is { } last)
        {
            Add(last(), null, null, 0, sent: new TaskCompletionSource());
        }

        _finishing = finishing.Reason;
        Touch();
    }

    private bool TakeBatch()
    {
        var batch = _batch ??= Lane.RentBatch();
        var now = 0L;
        var wait = long.MaxValue;
        var node = _head;
        while (node is not null && _batchCount < BatchSize)
        {
            var next = node.Next;
            var follower = node.Follower;
            if (follower is { IsOver: true })
            {
                Remove(node);
            }
            else if (follower is { IsHeld: true })
            {
                // Waits for the answer to its subscription.
            }
            else if (_finishing is null && follower is { MinTicks: > 0, SolidWaiting: 0 } && node.Forming is not null && follower.NotBefore > (now = now == 0 ? _time.GetTimestamp() : now))
            {
                wait = Math.Min(wait, follower.NotBefore - now);
            }
            else
            {
                batch[_batchCount++] = new Outgoing(node.Payload!, follower, node.Since);
                _batchBytes += node.Length;
                _batchSize += node.Payload!.Length;
                if (node.Sent is { } sent)
                {
                    (_answers ??= []).Add(sent);
                    node.Sent = null;
                }

                if (follower is { MinTicks: > 0 })
                {
                    follower.NotBefore = (now == 0 ? _time.GetTimestamp() : now) + follower.MinTicks;
                }

                Remove(node);
            }

            node = next;
        }

        if (wait != long.MaxValue)
        {
            var due = TimeSpan.FromSeconds((double)wait / _time.TimestampFrequency) + TimeSpan.FromMilliseconds(1);
            _timer ??= _time.CreateTimer(static s => ((Session)s!).Lane.Post((Session)s, FlushSignal), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            _timer.Change(due, Timeout.InfiniteTimeSpan);
        }

        if (_batchCount == 0)
        {
            GiveBatchBack();
        }

        return _batchCount > 0;
    }

    private void GiveBatchBack()
    {
        _told = _messages == 0 ? 0 : _told;
        if (_batch is { } batch)
        {
            batch.AsSpan(0, _batchCount).Clear();
            Lane.ReturnBatch(batch);
            _batch = null;
        }

        _batchSince = 0;
        _batchCount = 0;
        _batchBytes = 0;
        _batchSize = 0;
    }

    private void FinishWrite()
    {
        Debug.Assert(_writing);
        _writing = false;
        var write = _write;
        _write = default;
        try
        {
            write.GetAwaiter().GetResult();
            _sent += _batchCount;
            Lane.CountSent(_batchCount, _batchSize);
            if (Lane.Counters is { } counters)
            {
                Measure(counters);
            }

            GiveBatchBack();
        }
        catch (Exception)
        {
            // Whatever a transport throws means that it is gone.
            Lane.Counters?.AddFailed(_batchCount);
            GiveBatchBack();
            EndNow(DisconnectReason.TransportClosed);
        }

        FinishAnswers();
        _written?.TrySetResult();
    }

    private void FinishAnswers()
    {
        if (_answers is { Count: > 0 })
        {
            _answers.ForEach(static a => a.TrySetResult());
            _answers.Clear();
        }
    }

    private void Measure(WebCounters counters)
    {
        var now = _time.GetTimestamp();
        var longest = TimeSpan.Zero;
        if (_batch is null && _batchSince != 0)
        {
            // Of a room's batch only the oldest message is remembered: none took longer.
            longest = _time.GetElapsedTime(_batchSince, now);
            counters.Latency.Record(longest, _batchCount);
        }

        foreach (ref readonly var message in _batch is null ? [] : _batch.AsSpan(0, _batchCount))
        {
            if (message.Since != 0)
            {
                var took = _time.GetElapsedTime(message.Since, now);
                counters.Latency.Record(took, 1);
                longest = took > longest ? took : longest;
            }
        }

        if (longest > TimeSpan.Zero)
        {
            counters.WriteTook?.Invoke(longest.TotalSeconds);
        }
    }

    private void Add(Payload payload, Follower? follower, FeedMessage? forming, int intervals, long since = 0, TaskCompletionSource? sent = null, bool counts = true)
    {
        if (_finishing is not null || _ended.Task.IsCompleted)
        {
            sent?.TrySetResult();
            return;
        }

        // A single message always fits, or a client could come back for it for ever.
        var length = sent is null && counts ? payload.Length : 0;
        if (sent is null && Pending > 0 && (Pending + 1 > _limits.Messages || (length > 0 && PendingBytes + length > _limits.Bytes)))
        {
            EndNow(DisconnectReason.SlowConsumer);
            return;
        }

        var node = Lane.Rent();
        node.Payload = payload;
        node.Follower = follower;
        node.Forming = forming;
        node.Intervals = intervals;
        node.Sent = sent;
        node.Length = length;
        node.Since = since;
        Append(node);
        _messages++;
        _bytes += node.Length;
        if (follower is not null)
        {
            if (forming is null)
            {
                follower.SolidWaiting++;
            }
            else
            {
                follower.LastForming = node;
            }
        }

        Touch();
    }

    /// <summary>What waited for an answer goes after it, though it may have come before.</summary>
    private void MoveToEnd(Follower follower)
    {
        var node = _head;
        for (var left = _messages; left > 0 && node is not null; left--)
        {
            var next = node.Next;
            if (node.Follower == follower && node != _tail)
            {
                Unlink(node);
                Append(node);
            }

            node = next;
        }
    }

    private void Append(OutboxNode node)
    {
        node.Next = null;
        node.Previous = _tail;
        if (_tail is null)
        {
            _head = node;
        }
        else
        {
            _tail.Next = node;
        }

        _tail = node;
    }

    private void Remove(OutboxNode node)
    {
        Unlink(node);
        if (node.Follower is { } follower)
        {
            if (node.Forming is null)
            {
                follower.SolidWaiting--;
            }
            else if (follower.LastForming == node)
            {
                follower.LastForming = null;
            }
        }

        _messages--;
        _bytes -= node.Length;
        node.Sent?.TrySetResult();
        Lane.Return(node);
    }

    private void Unlink(OutboxNode node)
    {
        if (node.Previous is null)
        {
            _head = node.Next;
        }
        else
        {
            node.Previous.Next = node.Next;
        }

        if (node.Next is null)
        {
            _tail = node.Previous;
        }
        else
        {
            node.Next.Previous = node.Previous;
        }
    }

    private void Touch()
    {
        if (!_touched && !_ended.Task.IsCompleted)
        {
            _touched = true;
            Lane.Touch(this);
        }
    }

    private void EndNow(DisconnectReason reason)
    {
        if (!_ended.TrySetResult(reason))
        {
            return;
        }

        _hasEnded = true;
        Lane.Counters?.AddEnded(reason);
        while (_head is not null)
        {
            Remove(_head);
        }

        _skipping.Clear();
        FinishAnswers();
        _timer?.Dispose();
        if (_writing)
        {
            _written = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        _wire.Close(reason, _written?.Task ?? Task.CompletedTask);
    }

    private sealed record Settling
    {
        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed record Finishing(DisconnectReason Reason, Func<Payload>? Last);

    private sealed record Answer(Payload Payload)
    {
        public TaskCompletionSource Sent { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
