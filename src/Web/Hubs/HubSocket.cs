using System.IO.Pipelines;
using System.Net.WebSockets;
using KlineOrleans.Web.Transports.Direct;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Connections;
using Microsoft.AspNetCore.Http.Features;

namespace KlineOrleans.Web;

/// <summary>The WebSocket beneath a hub connection: SignalR's own messages pass through it, and frames of rooms go to the socket between two of them.</summary>
/// <remarks>
/// SignalR puts each message into a pipe, and a task of the connection's own carries it to the WebSocket: a wake-up for each connection and write. What a room has for a thousand
/// connections is sent by the lane instead (<see cref="TrySend"/>), whenever nothing of SignalR's is on its way: then every message leaves in the order in which it was made.
/// </remarks>
internal sealed class HubSocket
{
    private const int Idle = 0;
    private const int Direct = 1;
    private const int InMessage = 2;
    private const int Closed = 3;

    private readonly DirectSocket _direct;
    private WebSocket? _webSocket;
    private int _state;
    private bool _isMaking;
    private long _queued;
    private long _sent;

    /// <param name="direct">The socket to which the WebSocket writes.</param>
    public HubSocket(DirectSocket direct) => _direct = direct;

    /// <summary>For requests to the hub: gives a WebSocket request its <see cref="HubSocket"/>, where the connection beneath is its own.</summary>
    public static Task Attach(HttpContext context, RequestDelegate next)
    {
        if (context.Features.Get<IHttpWebSocketFeature>() is { IsWebSocketRequest: true } inner && DirectTransport.ConnectionOf(context)?.Socket is { } direct)
        {
            context.Features.Set<IHttpWebSocketFeature>(new Feature(inner, new HubSocket(direct)));
        }

        return next(context);
    }

    /// <summary>For connections of the hub: counts what SignalR writes.</summary>
    public static Task Count(ConnectionContext connection, ConnectionDelegate next)
    {
        if (connection.GetHttpContext()?.Features.Get<IHttpWebSocketFeature>() is Feature { Socket: { } socket })
        {
            connection.Transport = new Duplex(connection.Transport.Input, socket.Counted(connection.Transport.Output));
            connection.Features.Set(socket);
        }

        return next(connection);
    }

    /// <summary>What SignalR is to write to: one message at a time.</summary>
    public PipeWriter Counted(PipeWriter output) => new Output(output, this);

    /// <summary>What carries that to the client: one message at a time, in fragments or whole.</summary>
    public WebSocket Gated(WebSocket webSocket)
    {
        _webSocket = webSocket;
        return new Gate(webSocket, this);
    }

    /// <summary>Reads what a send needs, to have it near.</summary>
    public int ReadAhead() => _direct.ReadAhead() + _state + (int)_queued + (_webSocket?.State == WebSocketState.Open ? 1 : 0);

    /// <summary>Sends whole frames, if nothing of SignalR's is on its way. One call at a time, beside any others.</summary>
    /// <param name="sent">Complete when the socket took them.</param>
    /// <returns>False, and nothing is sent, where they must go the way of SignalR's own messages.</returns>
    /// <exception cref="System.Net.Sockets.SocketException">The connection is broken.</exception>
    /// <exception cref="ObjectDisposedException">The connection was closed.</exception>
    public bool TrySend(ReadOnlySpan<byte> frames, out ValueTask sent)
    {
        sent = default;

        // In this order: what is made is counted before it is no longer being made.
        if (Volatile.Read(ref _isMaking) || Volatile.Read(ref _queued) != Volatile.Read(ref _sent) || Interlocked.CompareExchange(ref _state, Direct, Idle) != Idle)
        {
            return false;
        }

        try
        {
            // The framework's WebSocket closes by itself where the client breaks the protocol.
            if (_webSocket is not { State: WebSocketState.Open or WebSocketState.CloseReceived })
            {
                return false;
            }

            sent = _direct.Send(frames);
            return true;
        }
        finally
        {
            Volatile.Write(ref _state, Idle);
        }
    }

    /// <summary>Waits out a send of frames, which takes microseconds, and keeps others off.</summary>
    private void Enter(int state)
    {
        var spin = default(SpinWait);
        while (true)
        {
            var current = Volatile.Read(ref _state);
            if (current == Closed || (current != Direct && Interlocked.CompareExchange(ref _state, state, current) == current))
            {
                return;
            }

            spin.SpinOnce();
        }
    }

    private void LeaveMessage(int length, bool isWhole)
    {
        if (isWhole)
        {
            Interlocked.CompareExchange(ref _state, Idle, InMessage);
        }

        Volatile.Write(ref _sent, _sent + length);
    }

    private sealed class Feature(IHttpWebSocketFeature inner, HubSocket socket) : IHttpWebSocketFeature
    {
        public HubSocket Socket => socket;

        public bool IsWebSocketRequest => inner.IsWebSocketRequest;

        public async Task<WebSocket> AcceptAsync(WebSocketAcceptContext context) => socket.Gated(await inner.AcceptAsync(context));
    }

    private sealed class Duplex(PipeReader input, PipeWriter output) : IDuplexPipe
    {
        public PipeReader Input => input;

        public PipeWriter Output => output;
    }

    private sealed class Output(PipeWriter inner, HubSocket socket) : PipeWriter
    {
        public override bool CanGetUnflushedBytes => inner.CanGetUnflushedBytes;

        public override long UnflushedBytes => inner.UnflushedBytes;

        public override void Advance(int bytes)
        {
            Volatile.Write(ref socket._queued, socket._queued + bytes);
            inner.Advance(bytes);
        }

        public override Memory<byte> GetMemory(int sizeHint = 0)
        {
            Volatile.Write(ref socket._isMaking, true);
            return inner.GetMemory(sizeHint);
        }

        public override Span<byte> GetSpan(int sizeHint = 0)
        {
            Volatile.Write(ref socket._isMaking, true);
            return inner.GetSpan(sizeHint);
        }

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            Volatile.Write(ref socket._isMaking, false);
            return inner.FlushAsync(cancellationToken);
        }

        public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
        {
            Volatile.Write(ref socket._queued, socket._queued + source.Length);
            Volatile.Write(ref socket._isMaking, false);
            return inner.WriteAsync(source, cancellationToken);
        }

        public override void CancelPendingFlush() => inner.CancelPendingFlush();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);

        public override ValueTask CompleteAsync(Exception? exception = null) => inner.CompleteAsync(exception);
    }

    private sealed class Gate(WebSocket inner, HubSocket socket) : WebSocket
    {
        public override WebSocketCloseStatus? CloseStatus => inner.CloseStatus;

        public override string? CloseStatusDescription => inner.CloseStatusDescription;

        public override WebSocketState State => inner.State;

        public override string? SubProtocol => inner.SubProtocol;

        public override void Abort() => inner.Abort();

        public override Task CloseAsync(WebSocketCloseStatus closeStatus, string? statusDescription, CancellationToken cancellationToken)
        {
            socket.Enter(Closed);
            return inner.CloseAsync(closeStatus, statusDescription, cancellationToken);
        }

        public override Task CloseOutputAsync(WebSocketCloseStatus closeStatus, string? statusDescription, CancellationToken cancellationToken)
        {
            socket.Enter(Closed);
            return inner.CloseOutputAsync(closeStatus, statusDescription, cancellationToken);
        }

        public override void Dispose()
        {
            socket.Enter(Closed);
            inner.Dispose();
        }

        public override Task<WebSocketReceiveResult> ReceiveAsync(ArraySegment<byte> buffer, CancellationToken cancellationToken) => inner.ReceiveAsync(buffer, cancellationToken);

        public override ValueTask<ValueWebSocketReceiveResult> ReceiveAsync(Memory<byte> buffer, CancellationToken cancellationToken) => inner.ReceiveAsync(buffer, cancellationToken);

        public override Task SendAsync(ArraySegment<byte> buffer, WebSocketMessageType messageType, bool endOfMessage, CancellationToken cancellationToken) =>
            SendAsync(buffer.AsMemory(), messageType, endOfMessage, cancellationToken).AsTask();

        public override async ValueTask SendAsync(ReadOnlyMemory<byte> buffer, WebSocketMessageType messageType, bool endOfMessage, CancellationToken cancellationToken)
        {
            // A message in several fragments has nothing between them.
            socket.Enter(InMessage);
            await inner.SendAsync(buffer, messageType, endOfMessage, cancellationToken);
            socket.LeaveMessage(buffer.Length, endOfMessage);
        }

        public override async ValueTask SendAsync(ReadOnlyMemory<byte> buffer, WebSocketMessageType messageType, WebSocketMessageFlags messageFlags, CancellationToken cancellationToken)
        {
            socket.Enter(InMessage);
            await inner.SendAsync(buffer, messageType, messageFlags, cancellationToken);
            socket.LeaveMessage(buffer.Length, messageFlags.HasFlag(WebSocketMessageFlags.EndOfMessage));
        }
    }
}
