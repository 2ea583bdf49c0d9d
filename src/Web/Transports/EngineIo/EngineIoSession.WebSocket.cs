using System.Buffers;
using System.Net.WebSockets;
using System.Runtime.CompilerServices;
using KlineOrleans.Protocol.EngineIo;
using KlineOrleans.Web.Transports.Direct;

namespace KlineOrleans.Web.Transports.EngineIo;

// WebSocket: a loop that reads, and a writer that runs only while something waits.
public sealed partial class EngineIoSession
{
    // Small, because most messages of clients are; a larger message gets a larger buffer for its own time.
    private const int FirstReceiveBuffer = 4096;

    private static readonly ReadOnlyMemory<byte> ProbeAnswer = "3probe"u8.ToArray();

    private readonly bool _base64;
    private WebSocket? _webSocket;
    private WebSocket? _candidate;
    private bool _writing;
    private bool _writerFailed;
    private TaskCompletionSource? _writerEnded;
    private bool _closeWaits;
    private WebSocketCloseStatus _closeStatus;

    /// <summary>Puts a new session on its WebSocket.</summary>
    /// <param name="direct">The socket beneath it, where frames may be written to it directly.</param>
    internal void Attach(WebSocket webSocket, DirectSocket? direct)
    {
        lock (_gate)
        {
            _webSocket = webSocket;
            _direct = direct;
        }
    }

    /// <summary>Reads until the WebSocket ends, then ends the session.</summary>
    internal async Task RunAsync(WebSocket webSocket)
    {
        var reason = CloseReason.TransportClose;
        try
        {
            while (true)
            {
                var (outcome, message) = await ReadMessageAsync(webSocket);
                if (outcome == ReadOutcome.Closed)
                    break;

                try
                {
                    if (outcome == ReadOutcome.TooBig)
                        Close(CloseReason.TransportError, CloseMode.Discard, WebSocketCloseStatus.MessageTooBig);
                    else if (!await TakeFrameAsync(outcome, message))
                        Close(CloseReason.ParseError, CloseMode.Discard);
                }
                finally
                {
                    if (message.Array is { Length: > 0 } rented)
                        ArrayPool<byte>.Shared.Return(rented);
                }

                // After our own close only the client's answer is of interest.
                if (IsClosed)
                {
                    await DrainUntilClosedAsync(webSocket);
                    break;
                }
            }
        }
        catch (WebSocketException e)
        {
            reason = e.WebSocketErrorCode == WebSocketError.ConnectionClosedPrematurely ? CloseReason.TransportClose : CloseReason.TransportError;
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            // The connection was aborted, by us or by the server's limits.
            reason = CloseReason.TransportClose;
        }

        Close(reason, CloseMode.ByClient, WebSocketCloseStatus.NormalClosure);
        await FinishAsync(webSocket);
    }

    /// <summary>Tries to move a polling session to <paramref name="webSocket"/>; whatever happens, the WebSocket is done with when this returns.</summary>
    internal async Task UpgradeAsync(WebSocket webSocket, DirectSocket? direct)
    {
        bool first;
        lock (_gate)
        {
            first = !_closed && _webSocket is null && _candidate is null;
            if (first)
                _candidate = webSocket;
        }

        if (!first)
        {
            // Another one was first, and is not disturbed.
            await CloseStrangerAsync(webSocket);
            return;
        }

        var deadline = new Deadline(this, (int)DeadlineKind.Upgrade);
        _server.Deadlines.Add(deadline, _server.Deadlines.Now + _server.UpgradeTimeout);
        var upgraded = false;
        try
        {
            upgraded = await ProbeAsync(webSocket, direct);
        }
        catch (Exception e) when (e is WebSocketException or IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            // The candidate broke; polling goes on as if it had never been.
        }
        finally
        {
            deadline.Cancel();
            lock (_gate)
            {
                if (_candidate == webSocket)
                    _candidate = null;
            }
        }

        if (upgraded)
        {
            _server.Statistics.CountUpgraded();
            await RunAsync(webSocket);
        }
        else
        {
            await CloseStrangerAsync(webSocket);
        }
    }

    /// <summary>Closes a WebSocket that is no session's.</summary>
    internal async Task CloseStrangerAsync(WebSocket webSocket)
    {
        try
        {
            if (webSocket.State is WebSocketState.Open or WebSocketState.CloseReceived)
            {
                using var limit = new CancellationTokenSource(_server.Options.CloseTimeout, _server.Time);
                await webSocket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, limit.Token);
                await DrainUntilClosedAsync(webSocket, limit.Token);
            }
        }
        catch (Exception e) when (e is WebSocketException or IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            webSocket.Abort();
        }
    }

    // The client sends 2probe, gets 3probe, ends its polling and sends 5.
    private async Task<bool> ProbeAsync(WebSocket webSocket, DirectSocket? direct)
    {
        while (true)
        {
            var (outcome, message) = await ReadMessageAsync(webSocket);
            try
            {
                if (outcome != ReadOutcome.Text || EnginePacketReader.Read(new ReadOnlySequence<byte>(message), out var packet) != EngineReadStatus.Ok)
                    return false;

                if (packet.Type == EnginePacketType.Ping && packet.Data.FirstSpan.SequenceEqual("probe"u8))
                {
                    await webSocket.SendAsync(ProbeAnswer, WebSocketMessageType.Text, endOfMessage: true, CancellationToken.None);
                    PendingPoll? poll;
                    lock (_gate)
                        poll = _poll;

                    // The client cannot go on while a poll is open.
                    poll?.Answer(PollAnswer.Noop);
                }
                else
                {
                    return packet.Type == EnginePacketType.Upgrade && await SwitchAsync(webSocket, direct);
                }
            }
            finally
            {
                if (message.Array is { Length: > 0 } rented)
                    ArrayPool<byte>.Shared.Return(rented);
            }
        }
    }

    // From here on everything goes by the WebSocket: what waits, in its order, and what comes.
    private async Task<bool> SwitchAsync(WebSocket webSocket, DirectSocket? direct)
    {
        while (true)
        {
            Task posting;
            PendingPoll? poll;
            var write = false;
            lock (_gate)
            {
                if (_closed || _candidate != webSocket)
                    return false;

                if (!_posting)
                {
                    _candidate = null;
                    _webSocket = webSocket;
                    _direct = direct;
                    poll = _poll;
                    _poll = null;
                    if (_outbox.Count > 0 || _pingWaits)
                        _writing = write = true;
                    posting = Task.CompletedTask;
                }
                else
                {
                    // What a POST brought comes before what the WebSocket will bring.
                    _postEnded ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                    posting = _postEnded.Task;
                    poll = null;
                }
            }

            if (!posting.IsCompleted)
            {
                await posting;
                continue;
            }

            poll?.Answer(PollAnswer.Refused);
            Wake(null, write);
            return true;
        }
    }

    private async ValueTask<bool> TakeFrameAsync(ReadOutcome outcome, ArraySegment<byte> message)
    {
        var data = new ReadOnlySequence<byte>(message);
        if (outcome == ReadOutcome.Binary)
        {
            _server.Statistics.CountReceived();
            await DeliverAsync(data, isBinary: true);
            return true;
        }

        if (EnginePacketReader.Read(data, out var packet) != EngineReadStatus.Ok)
            return false;

        await ReceiveAsync(packet);
        return true;
    }

    private enum ReadOutcome
    {
        Text,
        Binary,
        Closed,
        TooBig,
    }

    // Waits without holding a buffer; then reads the whole message into a rented one, which the caller returns. Each client answers a ping every half minute: what waits for that is used again.
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<(ReadOutcome Outcome, ArraySegment<byte> Message)> ReadMessageAsync(WebSocket webSocket)
    {
        var result = await webSocket.ReceiveAsync(Memory<byte>.Empty, CancellationToken.None);
        if (result.MessageType == WebSocketMessageType.Close)
            return (ReadOutcome.Closed, default);

        var outcome = result.MessageType == WebSocketMessageType.Text ? ReadOutcome.Text : ReadOutcome.Binary;
        if (result.EndOfMessage)
            return (outcome, ArraySegment<byte>.Empty);

        var max = _server.Options.MaxPayload;
        var buffer = ArrayPool<byte>.Shared.Rent(Math.Min(FirstReceiveBuffer, max + 1));
        var length = 0;
        try
        {
            while (true)
            {
                if (length == buffer.Length)
                {
                    var larger = ArrayPool<byte>.Shared.Rent((int)Math.Min(buffer.Length * 2L, max + 1L));
                    buffer.AsSpan(0, length).CopyTo(larger);
                    ArrayPool<byte>.Shared.Return(buffer);
                    buffer = larger;
                }

                result = await webSocket.ReceiveAsync(buffer.AsMemory(length), CancellationToken.None);
                if (result.MessageType == WebSocketMessageType.Close)
                {
                    ArrayPool<byte>.Shared.Return(buffer);
                    return (ReadOutcome.Closed, default);
                }

                length += result.Count;
                if (length > max)
                    return (ReadOutcome.TooBig, new ArraySegment<byte>(buffer, 0, 0));

                if (result.EndOfMessage)
                    return (outcome, new ArraySegment<byte>(buffer, 0, length));
            }
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(buffer);
            throw;
        }
    }

    /// <summary>Runs the writer. Only one runs at a time, by <c>_writing</c>.</summary>
    void IThreadPoolWorkItem.Execute() => _ = WriteAsync();

    private async Task WriteAsync()
    {
        WebSocket webSocket;
        long messages = 0, bytes = 0;
        List<Action>? drained = null;
        lock (_gate)
            webSocket = _webSocket!;

        try
        {
            while (true)
            {
                QueuedFrame item = default;
                bool ping, close = false;
                lock (_gate)
                {
                    ping = _pingWaits;
                    _pingWaits = false;
                    if (!ping && !_outbox.TryDequeue(out item))
                    {
                        close = _closeWaits;
                        _closeWaits = false;
                        if (!close)
                        {
                            _writing = false;
                            TakeDrainWaitersUnderGate(ref drained);
                            break;
                        }
                    }
                }

                if (ping)
                {
                    await webSocket.SendAsync(EnginePacketWriter.Bare(EnginePacketType.Ping), WebSocketMessageType.Text, endOfMessage: true, CancellationToken.None);
                }
                else if (close)
                {
                    if (webSocket.State is WebSocketState.Open or WebSocketState.CloseReceived)
                        await webSocket.CloseOutputAsync(_closeStatus, SentenceFor(_reason), CancellationToken.None);
                }
                else
                {
                    messages++;
                    bytes += item.Length;
                    await SendAsync(webSocket, item);
                }
            }
        }
        catch (Exception e) when (e is WebSocketException or IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            // The connection is gone. _writing stays set, so nothing tries again.
            webSocket.Abort();
            lock (_gate)
                _writerFailed = true;

            Close(CloseReason.TransportClose, CloseMode.Discard);
        }

        _server.Statistics.CountSent(messages, bytes);
        _writerEnded?.TrySetResult();
        drained?.ForEach(static waiter => waiter());
    }

    private ValueTask SendAsync(WebSocket webSocket, in QueuedFrame item)
    {
        var frame = item.Frame!;
        if (frame.IsBinary)
        {
            return _base64
                ? SendBase64Async(webSocket, frame.Head)
                : webSocket.SendAsync(frame.Head, WebSocketMessageType.Binary, endOfMessage: true, CancellationToken.None);
        }

        return item.Length == frame.Head.Length
            ? webSocket.SendAsync(frame.Head, WebSocketMessageType.Text, endOfMessage: true, CancellationToken.None)
            : SendJoinedAsync(webSocket, item);
    }

    private static async ValueTask SendJoinedAsync(WebSocket webSocket, QueuedFrame item)
    {
        var rented = ArrayPool<byte>.Shared.Rent(item.Length);
        try
        {
            item.Frame!.Head.CopyTo(rented);
            item.Middle.CopyTo(rented.AsMemory(item.Frame.Head.Length));
            item.Frame.Tail.CopyTo(rented.AsMemory(item.Frame.Head.Length + item.Middle.Length));
            await webSocket.SendAsync(rented.AsMemory(0, item.Length), WebSocketMessageType.Text, endOfMessage: true, CancellationToken.None);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private static async ValueTask SendBase64Async(WebSocket webSocket, ReadOnlyMemory<byte> data)
    {
        using var body = new PooledBuffer(Base64Data.EncodedLength(data.Length) + 1);
        EnginePacketWriter.WriteBase64(body, data.Span);
        await webSocket.SendAsync(body.Written, WebSocketMessageType.Text, endOfMessage: true, CancellationToken.None);
    }

    // Our close has been decided; wait for the client's, or for the abort that the deadline brings.
    private static async Task DrainUntilClosedAsync(WebSocket webSocket, CancellationToken cancellation = default)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(FirstReceiveBuffer);
        try
        {
            while ((await webSocket.ReceiveAsync(buffer.AsMemory(), cancellation)).MessageType != WebSocketMessageType.Close)
            {
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    // The writer must not touch the WebSocket after the request has ended.
    private async Task FinishAsync(WebSocket webSocket)
    {
        if (webSocket.State is not (WebSocketState.CloseReceived or WebSocketState.Open or WebSocketState.CloseSent))
            webSocket.Abort();

        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        bool running;
        lock (_gate)
        {
            running = _writing && !_writerFailed;
            if (running)
                _writerEnded = ended;
        }

        if (running)
            await ended.Task;
    }

    private void EndUpgrade()
    {
        WebSocket? candidate;
        lock (_gate)
        {
            candidate = _candidate;
            _candidate = null;
        }

        candidate?.Abort();
    }

    private void AbortWebSocket()
    {
        WebSocket? webSocket;
        lock (_gate)
            webSocket = _webSocket;
        webSocket?.Abort();
    }
}
