using System.Net.Sockets;
using KlineOrleans.Web.Transports.Direct;

namespace KlineOrleans.Web.Transports.EngineIo;

// Ready-made WebSocket frames of a fan-out: straight to the socket, while nothing else is on its way to the client.
public sealed partial class EngineIoSession
{
    private DirectSocket? _direct;

    /// <summary>Whether <see cref="TryWriteFrames"/> has a chance.</summary>
    internal bool CanWriteFrames => Volatile.Read(ref _direct) is not null;

    /// <summary>Reads what a send needs, to have it near.</summary>
    internal int ReadAhead() => _direct is { } direct ? direct.ReadAhead() + _outbox.Count + (_writing ? 1 : 0) + (_gate.IsHeldByCurrentThread ? 1 : 0) : 0;

    /// <summary>Writes whole WebSocket frames, if the session is on a WebSocket and nothing waits or is being written.</summary>
    /// <remarks>The framework's own frames (answers to a client's pings and closes) go through the same socket and stay whole.</remarks>
    /// <param name="frames">The caller's again when this returns.</param>
    /// <param name="messages">How many messages they are, for the figures.</param>
    /// <param name="written">Complete when the transport took them. Never fails: a broken connection ends the session.</param>
    /// <returns>False, and nothing is written, where they must go through the queue.</returns>
    internal bool TryWriteFrames(ReadOnlySpan<byte> frames, int messages, out ValueTask written)
    {
        written = default;
        lock (_gate)
        {
            if (_closed || _webSocket is null || _direct is null || _writing || _pingWaits || _outbox.Count > 0)
                return false;

            _writing = true;
        }

        _server.Statistics.CountSent(messages, frames.Length);
        ValueTask send;
        try
        {
            send = _direct.Send(frames);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            FailFrames();
            return true;
        }

        if (send.IsCompletedSuccessfully)
            EndFrames();
        else
            written = FinishFrames(send);
        return true;
    }

    private async ValueTask FinishFrames(ValueTask send)
    {
        try
        {
            await send;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            FailFrames();
            return;
        }

        EndFrames();
    }

    // What came meanwhile goes by the writer.
    private void EndFrames()
    {
        List<Action>? drained = null;
        TaskCompletionSource? ended = null;
        bool more;
        lock (_gate)
        {
            more = _outbox.Count > 0 || _pingWaits || _closeWaits;
            if (!more)
            {
                _writing = false;
                ended = _writerEnded;
                TakeDrainWaitersUnderGate(ref drained);
            }
        }

        ended?.TrySetResult();
        drained?.ForEach(static waiter => waiter());
        if (more)
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    // As when the writer fails: _writing stays set, so nothing tries again.
    private void FailFrames()
    {
        System.Net.WebSockets.WebSocket? webSocket;
        lock (_gate)
        {
            _writerFailed = true;
            webSocket = _webSocket;
        }

        webSocket?.Abort();
        Close(CloseReason.TransportClose, CloseMode.Discard);
        _writerEnded?.TrySetResult();
    }
}
