using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;

namespace KlineOrleans.Web.Transports.Direct;

/// <summary>A connection's output as the framework's HTTP and SignalR write it: a flush is a send. Used as any pipe writer, by one caller at a time.</summary>
/// <remarks>Has no buffer while nothing is written, and no task of its own.</remarks>
/// <param name="owner">Told when the output is complete.</param>
internal sealed class DirectPipeWriter(DirectSocket socket, DirectConnection? owner) : PipeWriter
{
    private const int FirstBuffer = 1_024;

    private byte[] _buffer = [];
    private int _length;
    private bool _isCompleted;
    private TaskCompletionSource<FlushResult>? _pending;
    private int _cancelled;

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => _length;

    public override void Advance(int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)bytes, (uint)(_buffer.Length - _length), nameof(bytes));
        _length += bytes;
    }

    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        Ensure(sizeHint);
        return _buffer.AsMemory(_length);
    }

    public override Span<byte> GetSpan(int sizeHint = 0)
    {
        Ensure(sizeHint);
        return _buffer.AsSpan(_length);
    }

    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
    {
        if (_length > 0)
        {
            Ensure(source.Length);
            source.Span.CopyTo(_buffer.AsSpan(_length));
            _length += source.Length;
            return FlushAsync(cancellationToken);
        }

        return Send(source.Span);
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        var length = _length;
        _length = 0;
        var result = Send(_buffer.AsSpan(0, length));
        GiveBack();
        return result;
    }

    public override void CancelPendingFlush()
    {
        Interlocked.Exchange(ref _cancelled, 1);
        if (Volatile.Read(ref _pending) is { } pending && pending.TrySetResult(new FlushResult(isCanceled: true, isCompleted: false)))
        {
            Interlocked.Exchange(ref _cancelled, 0);
        }
    }

    public override void Complete(Exception? exception = null)
    {
        _isCompleted = true;
        _length = 0;
        GiveBack();
        owner?.CompleteOutput(exception);
    }

    private ValueTask<FlushResult> Send(ReadOnlySpan<byte> bytes)
    {
        if (_isCompleted)
        {
            return ValueTask.FromResult(new FlushResult(isCanceled: false, isCompleted: true));
        }

        var isCancelled = Interlocked.Exchange(ref _cancelled, 0) != 0;
        ValueTask send;
        try
        {
            send = bytes.IsEmpty ? ValueTask.CompletedTask : socket.Send(bytes);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // As a pipe whose reader has gone: whoever reads the connection learns why.
            return ValueTask.FromResult(new FlushResult(isCancelled, isCompleted: true));
        }

        if (isCancelled)
        {
            _ = Forget(send);
            return ValueTask.FromResult(new FlushResult(isCanceled: true, isCompleted: false));
        }

        if (send.IsCompletedSuccessfully)
        {
            return ValueTask.FromResult(default(FlushResult));
        }

        // A flush can be called off while what it sends goes on: it is in the socket's order already.
        var pending = new TaskCompletionSource<FlushResult>(TaskCreationOptions.RunContinuationsAsynchronously);
        Volatile.Write(ref _pending, pending);
        _ = Finish(send, pending);
        return new ValueTask<FlushResult>(pending.Task);
    }

    private async Task Finish(ValueTask send, TaskCompletionSource<FlushResult> pending)
    {
        var isBroken = false;
        try
        {
            await send;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            isBroken = true;
        }

        Interlocked.CompareExchange(ref _pending, null, pending);
        pending.TrySetResult(new FlushResult(isCanceled: false, isCompleted: isBroken));
    }

    private static async Task Forget(ValueTask send)
    {
        try
        {
            await send;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // Whoever reads the connection learns of it.
        }
    }

    private void Ensure(int sizeHint)
    {
        sizeHint = Math.Max(sizeHint, 1);
        if (_buffer.Length - _length >= sizeHint)
        {
            return;
        }

        var larger = ArrayPool<byte>.Shared.Rent(Math.Max(FirstBuffer, Math.Max(_length * 2, _length + sizeHint)));
        _buffer.AsSpan(0, _length).CopyTo(larger);
        var old = _buffer;
        _buffer = larger;
        if (old.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(old);
        }
    }

    private void GiveBack()
    {
        if (_buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = [];
        }
    }
}
