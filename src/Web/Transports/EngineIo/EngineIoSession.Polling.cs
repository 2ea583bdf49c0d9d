using KlineOrleans.Protocol.EngineIo;

namespace KlineOrleans.Web.Transports.EngineIo;

/// <summary>How a poll ends.</summary>
internal enum PollAnswer : byte
{
    None,

    /// <summary>With what waits.</summary>
    Drain,

    /// <summary>With a noop.</summary>
    Noop,

    /// <summary>With a close packet.</summary>
    Close,

    /// <summary>With what waits, then a close packet.</summary>
    DrainAndClose,

    /// <summary>With 400: the session has moved on to a WebSocket.</summary>
    Refused,

    /// <summary>With 400: no such session.</summary>
    Unknown,

    /// <summary>With an empty 400: another poll was open.</summary>
    Conflict,

    /// <summary>Not at all: the client has gone.</summary>
    Gone,
}

/// <summary>A GET that waits. Answered once; later answers have no effect.</summary>
internal sealed class PendingPoll
{
    private readonly TaskCompletionSource<PollAnswer> _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<PollAnswer> Task => _answer.Task;

    public void Answer(PollAnswer answer) => _answer.TrySetResult(answer);
}

// Polling: one GET waits for data, one POST at a time brings some.
public sealed partial class EngineIoSession
{
    private PendingPoll? _poll;
    private PollAnswer _farewell;
    private bool _posting;
    private TaskCompletionSource? _postEnded;

    /// <summary>Begins a poll.</summary>
    /// <returns>The answer if it is known at once, else <see cref="PollAnswer.None"/> and the poll to wait for. Then, <see cref="EndPoll"/>.</returns>
    internal PollAnswer BeginPoll(out PendingPoll? poll)
    {
        poll = null;
        var farewell = PollAnswer.None;
        lock (_gate)
        {
            if (_closed)
            {
                farewell = _farewell;
                _farewell = PollAnswer.None;
                if (farewell == PollAnswer.None)
                    return PollAnswer.Unknown;
            }
            else if (_webSocket is not null)
            {
                return PollAnswer.Refused;
            }
            else if (_poll is null)
            {
                _poll = poll = new PendingPoll();
                if (_outbox.Count > 0 || _pingWaits)
                    poll.Answer(PollAnswer.Drain);
                else if (_candidate is not null)
                    _server.Deadlines.Add(new Deadline(this, (int)DeadlineKind.PollHold), _server.Deadlines.Now + _server.UpgradePollTime);
                return PollAnswer.None;
            }
        }

        if (farewell != PollAnswer.None)
        {
            _server.Forget(this);
            return farewell;
        }

        Close(CloseReason.TransportError, CloseMode.Discard);
        return PollAnswer.Conflict;
    }

    /// <summary>Ends a poll, and takes what it delivers.</summary>
    /// <returns>The final answer: an upgrade or a close may have changed it since it was given.</returns>
    internal PollAnswer EndPoll(PendingPoll? poll, PollAnswer answer, List<QueuedFrame> frames, out bool ping)
    {
        ping = false;
        List<Action>? drained = null;
        lock (_gate)
        {
            if (poll is not null && _poll == poll)
                _poll = null;

            // Closed after the poll was ended for an upgrade: what waits has no other way out.
            if (answer == PollAnswer.Noop && _draining)
                answer = PollAnswer.DrainAndClose;

            switch (answer)
            {
                case PollAnswer.Drain when _closed && !_draining:
                    // Closed after the poll was woken: it delivers the close, which nothing else would.
                    answer = _reason == CloseReason.TransportClose ? PollAnswer.Noop : PollAnswer.Close;
                    break;

                case PollAnswer.Drain when _webSocket is not null:
                    // What had woken the poll has moved to the WebSocket.
                    answer = PollAnswer.Refused;
                    break;

                case PollAnswer.Drain or PollAnswer.DrainAndClose:
                    if (_closed)
                        answer = PollAnswer.DrainAndClose;
                    _draining = false;
                    ping = _pingWaits;
                    _pingWaits = false;
                    _outbox.DrainTo(frames);
                    TakeDrainWaitersUnderGate(ref drained);
                    if (frames.Count == 0 && !ping && answer == PollAnswer.Drain)
                        answer = PollAnswer.Noop;
                    break;
            }
        }

        drained?.ForEach(static waiter => waiter());
        return answer;
    }

    /// <summary>The client broke off a poll, and what it would have carried may be lost: the session cannot go on.</summary>
    internal void AbandonPoll(PendingPoll poll)
    {
        lock (_gate)
        {
            if (_poll == poll)
                _poll = null;
            else if (_webSocket is not null || _closed)
                return;
        }

        poll.Answer(PollAnswer.Gone);
        Close(CloseReason.TransportClose, CloseMode.Discard);
    }

    /// <summary>Begins a POST.</summary>
    /// <returns><see cref="PollAnswer.None"/> if its body may be read; then <see cref="EndPost"/> must follow.</returns>
    internal PollAnswer BeginPost()
    {
        lock (_gate)
        {
            if (_closed)
                return PollAnswer.Unknown;

            if (_webSocket is not null)
                return PollAnswer.Refused;

            if (!_posting)
            {
                _posting = true;
                return PollAnswer.None;
            }
        }

        Close(CloseReason.TransportError, CloseMode.Discard);
        return PollAnswer.Conflict;
    }

    /// <summary>Ends a POST.</summary>
    internal void EndPost()
    {
        TaskCompletionSource? ended;
        lock (_gate)
        {
            _posting = false;
            ended = _postEnded;
            _postEnded = null;
        }

        ended?.TrySetResult();
    }

    private void EndHeldPoll()
    {
        PendingPoll? poll;
        lock (_gate)
            poll = _candidate is null ? null : _poll;
        poll?.Answer(PollAnswer.Noop);
    }

    /// <summary>Writes a polling body: a ping first if one waits, then the frames, then a close packet if asked for.</summary>
    internal static long WritePayload(PooledBuffer body, List<QueuedFrame> frames, bool ping, bool close)
    {
        long bytes = 0;
        var first = true;
        if (ping)
            Next().Write(EnginePacketType.Ping);

        foreach (var (frame, middle, _) in frames)
        {
            Next();
            bytes += frame!.Length + middle.Length;
            if (frame.IsBinary)
            {
                EnginePacketWriter.WriteBase64(body, frame.Head.Span);
                continue;
            }

            System.Buffers.BuffersExtensions.Write(body, frame.Head.Span);
            System.Buffers.BuffersExtensions.Write(body, middle.Span);
            System.Buffers.BuffersExtensions.Write(body, frame.Tail.Span);
        }

        if (close)
            Next().Write(EnginePacketType.Close);
        return bytes;

        BarePackets Next()
        {
            if (!first)
                EnginePacketWriter.WriteSeparator(body);
            first = false;
            return new BarePackets(body);
        }
    }

    private readonly ref struct BarePackets(PooledBuffer body)
    {
        public void Write(EnginePacketType type) => EnginePacketWriter.Write(body, type, default);
    }
}
