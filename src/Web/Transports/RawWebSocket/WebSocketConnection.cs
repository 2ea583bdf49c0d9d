using System.Buffers;
using System.Net.WebSockets;
using KlineOrleans.Web.Transports.Direct;
using KlineOrleans.Web.Transports.EngineIo;

namespace KlineOrleans.Web.Transports.RawWebSocket;

/// <summary>A WebSocket as a session's wire: whole batches leave in one write, pings and closes between them.</summary>
/// <remarks>
/// The framework's WebSocket reads: fragments, masks, UTF-8, the close handshake. Writing is ours, because the framework's writes one message at a time, each with a
/// flush of its own: frames go straight to the socket, or, where TLS or HTTP/2 lies between, to the request's stream through one gate, so that they never mix with the
/// framework's. With permessage-deflate the framework's writes too.
/// </remarks>
internal sealed class WebSocketConnection : ISessionWire, IBatchWire, IDeadlineTarget, IAsyncDisposable
{
    private const int FirstReceiveBuffer = 4_096;

    private static readonly byte[] Ping = [0x89, 0x00];

    private readonly Action _abort;
    private readonly Stream _stream;
    private readonly DirectSocket? _direct;
    private readonly WebSocket _socket;
    private readonly WebSocketServer _server;
    private readonly bool _deflate;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly Deadline _deadline;
    private readonly TaskCompletionSource _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _readingEnded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _heard;
    private long _pingDue;
    private bool _isPinging;
    private (int Status, string Reason)? _badFrame;

    /// <param name="stream">Reads what the client sends; what is written to it goes to the client.</param>
    /// <param name="abort">Ends the connection at once.</param>
    /// <param name="direct">The socket beneath, where frames may go straight to it.</param>
    public WebSocketConnection(Stream stream, Action abort, DirectSocket? direct, WebSocketServer server, bool deflate)
    {
        _abort = abort;
        _stream = stream;
        _direct = direct;
        _server = server;
        _deflate = deflate;
        _socket = WebSocket.CreateFromStream(new Tap(this), new WebSocketCreationOptions
        {
            IsServer = true,
            KeepAliveInterval = TimeSpan.Zero,
            DangerousDeflateOptions = deflate ? new WebSocketDeflateOptions { ServerContextTakeover = false, ClientContextTakeover = false } : null,
        });
        _heard = server.Deadlines.Now;
        _pingDue = server.FirstPing(_heard);
        _deadline = new Deadline(this, 0);
    }

    /// <summary>The session whose wire this is. Set once, before anything is read.</summary>
    public Session Session { get; set; } = null!;

    /// <summary>Begins the pings.</summary>
    public void Start() => _server.Deadlines.Add(_deadline, _pingDue);

    /// <summary>Reads messages until the connection ends. The buffer is the handler's until it returns.</summary>
    public async Task Read(Func<ReadOnlyMemory<byte>, Task> handler)
    {
        try
        {
            while (true)
            {
                // Waits without a buffer: an idle connection has none.
                var result = await _socket.ReceiveAsync(Memory<byte>.Empty, CancellationToken.None);
                if (result.MessageType == WebSocketMessageType.Close)
                {
                    break;
                }

                var buffer = ArrayPool<byte>.Shared.Rent(FirstReceiveBuffer);
                try
                {
                    var length = 0;
                    while (!result.EndOfMessage)
                    {
                        if (length == buffer.Length)
                        {
                            var larger = ArrayPool<byte>.Shared.Rent(buffer.Length * 2);
                            buffer.CopyTo(larger, 0);
                            ArrayPool<byte>.Shared.Return(buffer);
                            buffer = larger;
                        }

                        result = await _socket.ReceiveAsync(buffer.AsMemory(length), CancellationToken.None);
                        length += result.Count;
                        if (result.MessageType == WebSocketMessageType.Binary)
                        {
                            break;
                        }

                        if (length > _server.MessageBytes)
                        {
                            break;
                        }
                    }

                    if (result.MessageType == WebSocketMessageType.Close)
                    {
                        break;
                    }

                    if (_badFrame is not null || Session.Ended.IsCompleted)
                    {
                        // Our own close is on its way; only the client's answer is of interest.
                        continue;
                    }

                    if (result.MessageType == WebSocketMessageType.Binary)
                    {
                        EndBadly((int)WebSocketCloseStatus.InvalidMessageType, "Only text messages are understood here.");
                    }
                    else if (length > _server.MessageBytes)
                    {
                        EndBadly((int)WebSocketCloseStatus.MessageTooBig, $"A message may have {_server.MessageBytes} bytes.");
                    }
                    else
                    {
                        await handler(buffer.AsMemory(0, length));
                    }
                }
                finally
                {
                    ArrayPool<byte>.Shared.Return(buffer);
                }
            }
        }
        catch (Exception e) when (e is WebSocketException or IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            // The connection is gone, or the client broke a rule of the protocol, of which the framework's close told it.
        }
        finally
        {
            _readingEnded.TrySetResult();
        }
    }

    public ValueTask Write(ReadOnlyMemory<Outgoing> messages)
    {
        if (_deflate)
        {
            return WriteCompressed(messages);
        }

        var buffer = WebSocketFrame.Join(messages.Span, out var length, out _);
        if (_direct is null)
        {
            return Send(buffer, length);
        }

        try
        {
            return length == 0 ? ValueTask.CompletedTask : SendDirect(_direct, buffer.AsSpan(0, length));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    public bool TryWrite(RoomBatch batch, Follower follower, out ValueTask written)
    {
        if (_deflate)
        {
            written = default;
            return false;
        }

        var frames = batch.FramesFor(follower);
        if (_direct is not null)
        {
            written = SendDirect(_direct, frames);
            return true;
        }

        var rented = ArrayPool<byte>.Shared.Rent(frames.Length);
        frames.CopyTo(rented);
        written = Send(rented, frames.Length);
        return true;
    }

    public int ReadAhead() => _direct is { } direct ? direct.ReadAhead() : 0;

    public void Close(DisconnectReason reason, Task written) => _ = CloseAsync(reason, written);

    public long OnDeadline(Deadline deadline, long now)
    {
        if (Session.Ended.IsCompleted)
        {
            return DeadlineQueue.Never;
        }

        var silentUntil = Volatile.Read(ref _heard) + _server.PingTimeout;
        if (now >= silentUntil)
        {
            Session.End(DisconnectReason.PingTimeout);
            return DeadlineQueue.Never;
        }

        if (now >= _pingDue)
        {
            _pingDue = now + _server.PingInterval;
            if (!Volatile.Read(ref _isPinging))
            {
                Volatile.Write(ref _isPinging, true);
                _ = SendPing();
            }
        }

        return Math.Min(_pingDue, silentUntil);
    }

    /// <summary>Waits until the connection is closed and nothing writes to it any more.</summary>
    public async ValueTask DisposeAsync()
    {
        _deadline.Cancel();
        await _closed.Task;
        await _gate.WaitAsync();
        _socket.Dispose();
    }

    private ValueTask SendDirect(DirectSocket direct, ReadOnlySpan<byte> frames)
    {
        var send = direct.Send(frames);
        return send.IsCompletedSuccessfully ? ValueTask.CompletedTask : Wait(send);

        async ValueTask Wait(ValueTask send)
        {
            await send;

            // Whoever takes what waited is there.
            Volatile.Write(ref _heard, _server.Deadlines.Now);
        }
    }

    private ValueTask Send(byte[] rented, int length)
    {
        if (length == 0)
        {
            ArrayPool<byte>.Shared.Return(rented);
            return ValueTask.CompletedTask;
        }

        if (!_gate.Wait(0))
        {
            return SendAfterOthers(rented, length);
        }

        ValueTask write;
        try
        {
            write = _stream.WriteAsync(rented.AsMemory(0, length));
        }
        catch (Exception e)
        {
            write = ValueTask.FromException(e);
        }

        if (!write.IsCompletedSuccessfully)
        {
            return Finish(write, rented);
        }

        write.GetAwaiter().GetResult();
        _gate.Release();
        ArrayPool<byte>.Shared.Return(rented);
        return ValueTask.CompletedTask;
    }

    private async ValueTask SendAfterOthers(byte[] rented, int length)
    {
        await _gate.WaitAsync();
        await Finish(_stream.WriteAsync(rented.AsMemory(0, length)), rented);
    }

    private async ValueTask Finish(ValueTask write, byte[] rented)
    {
        try
        {
            await write;

            // Whoever takes what waited is there.
            Volatile.Write(ref _heard, _server.Deadlines.Now);
        }
        finally
        {
            _gate.Release();
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private async ValueTask WriteCompressed(ReadOnlyMemory<Outgoing> messages)
    {
        for (var i = 0; i < messages.Length; i++)
        {
            var message = messages.Span[i];
            if (message.IsOver)
            {
                continue;
            }

            if (message.Payload is BinaryPayload binary)
            {
                for (var j = 0; j < binary.Count; j++)
                {
                    await _socket.SendAsync(binary.Message(j), WebSocketMessageType.Binary, endOfMessage: true, CancellationToken.None);
                }

                continue;
            }

            if (message.Payload is not GappedPayload gapped)
            {
                await _socket.SendAsync(message.Payload.Bytes, WebSocketMessageType.Text, endOfMessage: true, CancellationToken.None);
                continue;
            }

            for (var j = 0; j < gapped.Texts.Length; j++)
            {
                var text = gapped.Texts[j];
                await _socket.SendAsync(text.Head, WebSocketMessageType.Text, endOfMessage: false, CancellationToken.None);
                await _socket.SendAsync(message.Follower?.Middle ?? default, WebSocketMessageType.Text, endOfMessage: false, CancellationToken.None);
                await _socket.SendAsync(text.Tail, WebSocketMessageType.Text, endOfMessage: true, CancellationToken.None);
            }
        }
    }

    private async Task SendPing()
    {
        try
        {
            if (_direct is not null)
            {
                await _direct.Send(Ping);
                return;
            }

            await _gate.WaitAsync();
            try
            {
                await _stream.WriteAsync(Ping);
            }
            finally
            {
                _gate.Release();
            }
        }
        catch (Exception)
        {
            // The connection is gone, which whoever reads will see.
        }
        finally
        {
            Volatile.Write(ref _isPinging, false);
        }
    }

    private void EndBadly(int status, string reason)
    {
        _badFrame = (status, reason);
        Session.End(DisconnectReason.BadFrame);
    }

    private async Task CloseAsync(DisconnectReason reason, Task written)
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        _deadline.Cancel();
        try
        {
            // A client that still reads is told why; one that does not is not waited for.
            using var patience = new CancellationTokenSource(WebSocketServer.Patience, _server.Time);
            await written.WaitAsync(patience.Token);
            if (_socket.State is WebSocketState.Open or WebSocketState.CloseReceived)
            {
                var (status, sentence) = _badFrame ?? WebSocketServer.StatusOf(reason);
                await _socket.CloseOutputAsync((WebSocketCloseStatus)status, sentence, CancellationToken.None).WaitAsync(patience.Token);
            }

            await _readingEnded.Task.WaitAsync(patience.Token);
        }
        catch (Exception)
        {
            // It is closed either way.
        }
        finally
        {
            if (!_readingEnded.Task.IsCompleted || _socket.State != WebSocketState.Closed)
            {
                _abort();
            }

            _closed.TrySetResult();
        }
    }

    /// <summary>The stream as the framework's WebSocket sees it: its reads show that the client lives, its writes take turns with ours.</summary>
    private sealed class Tap(WebSocketConnection owner) : OneReadStream<int>
    {
        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            await owner._gate.WaitAsync(cancellationToken);
            try
            {
                await owner._stream.WriteAsync(buffer, cancellationToken);
            }
            finally
            {
                owner._gate.Release();
            }
        }

        protected override ValueTask<int> Begin(Memory<byte> buffer, CancellationToken cancellationToken) => owner._stream.ReadAsync(buffer, cancellationToken);

        protected override int End(int read, Span<byte> buffer)
        {
            Volatile.Write(ref owner._heard, owner._server.Deadlines.Now);
            return read;
        }
    }
}
