using System.Buffers;
using System.Threading.Channels;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>A log frame, or a slot that the node began with, in the order in which they came.</summary>
/// <param name="Buffer">Null for a slot. Whoever takes it from the queue returns it.</param>
internal readonly record struct QueuedFrame(byte[]? Buffer, int Length, long Slot, long Root)
{
    // Longer than frames are in practice. A pool would keep room for the rare ones for ever, once for each thread.
    private const int LongestRented = 64 * 1024;

    public ReadOnlySpan<byte> Frame => Buffer.AsSpan(0, Length);

    /// <summary>A copy of the frame.</summary>
    public static QueuedFrame Copy(ReadOnlySpan<byte> frame)
    {
        var buffer = frame.Length <= LongestRented ? ArrayPool<byte>.Shared.Rent(frame.Length) : new byte[frame.Length];
        frame.CopyTo(buffer);
        return new QueuedFrame(buffer, frame.Length, 0, 0);
    }

    public void Return()
    {
        if (Buffer is { Length: <= LongestRented })
        {
            ArrayPool<byte>.Shared.Return(Buffer);
        }
    }
}

/// <summary>What was read and not yet decoded: bounded in frames and bytes. What does not fit is refused, so that reading never waits. Thread safe; one reader.</summary>
internal sealed class FrameQueue(int maxFrames, Action wake)
{
    public const long MaxBytes = 128 << 20;

    private readonly Channel<QueuedFrame> _frames = Channel.CreateBounded<QueuedFrame>(
        new BoundedChannelOptions(maxFrames) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    private long _bytes;

    public int Count => _frames.Reader.Count;

    /// <summary>So full that waiting longer would lose frames.</summary>
    public bool IsNearlyFull => Count > maxFrames / 4 * 3 || Interlocked.Read(ref _bytes) > MaxBytes / 4 * 3;

    /// <summary>Copies the frame; false if there is no room.</summary>
    public bool TryAdd(ReadOnlySpan<byte> frame)
    {
        if (Interlocked.Read(ref _bytes) + frame.Length > MaxBytes)
        {
            return false;
        }

        return TryAdd(QueuedFrame.Copy(frame));
    }

    public bool TryAddSlot(long slot, long root) => TryAdd(new QueuedFrame(null, 0, slot, root));

    public bool TryTake(out QueuedFrame frame)
    {
        if (!_frames.Reader.TryRead(out frame))
        {
            return false;
        }

        Interlocked.Add(ref _bytes, -frame.Length);
        return true;
    }

    private bool TryAdd(QueuedFrame frame)
    {
        Interlocked.Add(ref _bytes, frame.Length);
        if (!_frames.Writer.TryWrite(frame))
        {
            Interlocked.Add(ref _bytes, -frame.Length);
            frame.Return();
            return false;
        }

        wake();
        return true;
    }
}
