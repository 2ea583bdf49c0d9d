using System.Buffers;
using System.Net.Sockets;

namespace KlineOrleans.Web.Transports.Direct;

/// <summary>A connection's socket, written from whatever thread has something to write. Thread safe: each <see cref="Send"/> leaves whole, in the order of the calls.</summary>
/// <remarks>
/// The framework hands what is written to a pipe, and a task of the connection's own carries it to the socket: one wake-up for each write, which costs several times what the
/// send itself does. Here the send happens in the call; only what the socket has no room for waits, in a rented copy, until it does.
/// </remarks>
internal sealed class DirectSocket
{
    private const int Free = 0;
    private const int Busy = 1;
    private const int Awaited = 2;

    private readonly Socket _socket;
    private Queue<TaskCompletionSource>? _waiting;
    private int _state;

    public DirectSocket(Socket socket)
    {
        _socket = socket;

        // A send that finds no room must say so instead of waiting for it.
        socket.Blocking = false;
    }

    /// <summary>Reads what a send needs, to have it near.</summary>
    public int ReadAhead() => _socket.Blocking ? 1 : _state;

    /// <summary>Sends all of it. Complete when the socket took it. The bytes are the caller's again when this returns.</summary>
    /// <exception cref="SocketException">The connection is broken.</exception>
    /// <exception cref="ObjectDisposedException">The connection was closed.</exception>
    public ValueTask Send(ReadOnlySpan<byte> bytes)
    {
        if (Interlocked.CompareExchange(ref _state, Busy, Free) != Free)
        {
            var waiting = ArrayPool<byte>.Shared.Rent(bytes.Length);
            bytes.CopyTo(waiting);
            return SendAfterOthers(waiting, bytes.Length, Enter());
        }

        int sent;
        SocketError error;
        try
        {
            sent = _socket.Send(bytes, SocketFlags.None, out error);
        }
        catch
        {
            Exit();
            throw;
        }

        if (sent == bytes.Length && error == SocketError.Success)
        {
            Exit();
            return ValueTask.CompletedTask;
        }

        if (error is not (SocketError.Success or SocketError.WouldBlock or SocketError.IOPending))
        {
            Exit();
            throw new SocketException((int)error);
        }

        var left = bytes[sent..];
        var rented = ArrayPool<byte>.Shared.Rent(left.Length);
        left.CopyTo(rented);
        return Finish(rented, left.Length);
    }

    private async ValueTask SendAfterOthers(byte[] rented, int length, Task turn)
    {
        await turn;
        await Finish(rented, length);
    }

    private async ValueTask Finish(byte[] rented, int length)
    {
        try
        {
            var sent = 0;
            while (sent < length)
            {
                sent += await _socket.SendAsync(rented.AsMemory(sent, length - sent), SocketFlags.None);
            }
        }
        finally
        {
            Exit();
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    /// <summary>Waits for a turn.</summary>
    private Task Enter()
    {
        var turn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (this)
        {
            while (true)
            {
                if (Interlocked.CompareExchange(ref _state, Busy, Free) == Free)
                {
                    return Task.CompletedTask;
                }

                if (Interlocked.CompareExchange(ref _state, Awaited, Busy) != Free)
                {
                    (_waiting ??= new Queue<TaskCompletionSource>()).Enqueue(turn);
                    return turn.Task;
                }
            }
        }
    }

    private void Exit()
    {
        if (Interlocked.CompareExchange(ref _state, Free, Busy) == Busy)
        {
            return;
        }

        TaskCompletionSource next;
        lock (this)
        {
            next = _waiting!.Dequeue();
            if (_waiting.Count == 0)
            {
                _waiting = null;
                Volatile.Write(ref _state, Busy);
            }
        }

        next.SetResult();
    }
}
