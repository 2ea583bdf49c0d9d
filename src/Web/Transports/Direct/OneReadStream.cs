using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;

namespace KlineOrleans.Web.Transports.Direct;

/// <summary>A stream of one reader over another source of bytes, whose reads make no object while they wait. One read at a time.</summary>
/// <remarks>
/// What a read makes is young while its connection is old, and a collection of what is young looks at every old place that holds something young: ten thousand clients that answer
/// a ping each half minute made enough of those to cost it fifteen milliseconds.
/// </remarks>
/// <typeparam name="T">What the source reads.</typeparam>
internal abstract class OneReadStream<T> : Stream, IValueTaskSource<int>
{
    private ManualResetValueTaskSourceCore<int> _core;
    private ValueTaskAwaiter<T> _read;
    private Memory<byte> _buffer;
    private Action? _onRead;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var read = Begin(buffer, cancellationToken);
        return read.IsCompletedSuccessfully ? new ValueTask<int>(End(read.Result, buffer.Span)) : Wait(read, buffer);
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public abstract override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default);

    public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    int IValueTaskSource<int>.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) => _core.OnCompleted(continuation, state, token, flags);

    /// <summary>Begins a read of the source.</summary>
    protected abstract ValueTask<T> Begin(Memory<byte> buffer, CancellationToken cancellationToken);

    /// <summary>Ends it.</summary>
    /// <returns>How many bytes are in the buffer.</returns>
    protected abstract int End(T read, Span<byte> buffer);

    private ValueTask<int> Wait(ValueTask<T> read, Memory<byte> buffer)
    {
        _core.Reset();
        _buffer = buffer;
        _read = read.GetAwaiter();
        _read.UnsafeOnCompleted(_onRead ??= Finish);
        return new ValueTask<int>(this, _core.Version);
    }

    private void Finish()
    {
        var (read, buffer) = (_read, _buffer);
        (_read, _buffer) = (default, default);
        int length;
        try
        {
            length = End(read.GetResult(), buffer.Span);
        }
        catch (Exception e)
        {
            _core.SetException(e);
            return;
        }

        _core.SetResult(length);
    }
}
