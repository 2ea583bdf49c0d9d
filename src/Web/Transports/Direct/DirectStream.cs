using System.Buffers;
using System.IO.Pipelines;

namespace KlineOrleans.Web.Transports.Direct;

/// <summary>A taken connection as the stream beneath the framework's WebSocket. One reader, any number of writers.</summary>
/// <remarks>A read into no memory waits until there is something to read, without a buffer.</remarks>
internal sealed class DirectStream(DirectConnection connection) : OneReadStream<ReadResult>
{
    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => connection.Socket.Send(buffer.Span);

    protected override ValueTask<ReadResult> Begin(Memory<byte> buffer, CancellationToken cancellationToken) => connection.Input.ReadAsync(cancellationToken);

    protected override int End(ReadResult read, Span<byte> buffer)
    {
        var length = (int)Math.Min(read.Buffer.Length, buffer.Length);
        var taken = read.Buffer.Slice(0, length);
        taken.CopyTo(buffer);
        connection.Input.AdvanceTo(taken.End);
        return read.IsCanceled ? throw new OperationCanceledException() : length;
    }

    /// <summary>Ends the connection: the WebSocket was closed before, or gives up.</summary>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            connection.Abort();
        }

        base.Dispose(disposing);
    }
}
