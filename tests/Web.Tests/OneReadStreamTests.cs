using System.Buffers;
using System.IO.Pipelines;
using KlineOrleans.Web.Transports.Direct;

namespace KlineOrleans.Web.Tests;

/// <summary>Streams whose reads wait without an object of their own.</summary>
public sealed class OneReadStreamTests
{
    private readonly Pipe _pipe = new(new PipeOptions(readerScheduler: PipeScheduler.Inline, writerScheduler: PipeScheduler.Inline, useSynchronizationContext: false));
    private readonly byte[] _buffer = new byte[8];

    [Fact]
    public async Task What_comes_after_a_read_began_is_read()
    {
        using var stream = new PipeStream(_pipe.Reader);
        var read = Read(stream);
        Assert.False(read.IsCompleted);
        await Send(1, 2, 3);
        Assert.Equal(3, await read);
        Assert.Equal([1, 2, 3], _buffer[..3]);

        // And what was there before.
        await Send(4);
        read = Read(stream);
        Assert.True(read.IsCompletedSuccessfully);
        Assert.Equal(1, await read);
        Assert.Equal(4, _buffer[0]);
    }

    [Fact]
    public async Task Read_that_waits_ends_with_what_ended_the_source()
    {
        using var stream = new PipeStream(_pipe.Reader);
        var read = Read(stream);
        await _pipe.Writer.CompleteAsync(new IOException("gone"));
        Assert.Equal("gone", (await Assert.ThrowsAsync<IOException>(() => read)).Message);
        Assert.Equal("gone", (await Assert.ThrowsAsync<IOException>(() => Read(stream))).Message);
    }

#pragma warning disable CA2012 // Each is consumed once, as await would; an await would allocate.
    [Fact]
    public void Reads_that_wait_allocate_nothing()
    {
        using var stream = new PipeStream(_pipe.Reader);
        var total = 0;
        void Go(int times)
        {
            for (var i = 0; i < times; i++)
            {
                var read = stream.ReadAsync(_buffer, CancellationToken.None).GetAwaiter();
                total += read.IsCompleted ? 1_000_000 : 0;
                _pipe.Writer.GetSpan(1)[0] = 1;
                _pipe.Writer.Advance(1);
                _ = _pipe.Writer.FlushAsync(CancellationToken.None).IsCompleted;
                total += read.GetResult();
            }
        }

        Go(100);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Go(1_000);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(1_100, total);
    }
#pragma warning restore CA2012

    private Task<int> Read(PipeStream stream) => stream.ReadAsync(_buffer, TestContext.Current.CancellationToken).AsTask();

    private async Task Send(params byte[] bytes) => await _pipe.Writer.WriteAsync(bytes);

    private sealed class PipeStream(PipeReader reader) : OneReadStream<ReadResult>
    {
        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => throw new NotSupportedException();

        protected override ValueTask<ReadResult> Begin(Memory<byte> buffer, CancellationToken cancellationToken) => reader.ReadAsync(cancellationToken);

        protected override int End(ReadResult read, Span<byte> buffer)
        {
            var length = (int)read.Buffer.Length;
            read.Buffer.CopyTo(buffer);
            reader.AdvanceTo(read.Buffer.End);
            return length;
        }
    }
}
