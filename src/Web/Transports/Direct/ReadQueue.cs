using System.Collections.Concurrent;

namespace KlineOrleans.Web.Transports.Direct;

/// <summary>Reads that have come to their end and wait to be gone on with, in turns with everything else the pool of threads has to do. Thread safe.</summary>
/// <remarks>
/// When ten thousand clients go or come at once, each has something to be done, and the pool works off what it has in the order in which it came: an update on its way to those who stayed would
/// wait behind all of it, and again at each of its steps. So reads stand in a line of their own here. The pool gets a few, and the next few behind whatever else waits by then.
/// </remarks>
internal sealed class ReadQueue : IThreadPoolWorkItem
{
    /// <summary>Reads that the pool gets in a row.</summary>
    public const int Few = 16;

    private readonly ConcurrentQueue<IThreadPoolWorkItem> _reads = new();
    private int _isQueued;

    public void Add(IThreadPoolWorkItem read)
    {
        _reads.Enqueue(read);
        if (Interlocked.Exchange(ref _isQueued, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    void IThreadPoolWorkItem.Execute()
    {
        for (var i = 0; i < Few; i++)
        {
            if (!_reads.TryDequeue(out var read))
            {
                Volatile.Write(ref _isQueued, 0);

                // One that was added before that has not queued this.
                Interlocked.MemoryBarrier();
                if (_reads.IsEmpty || Interlocked.Exchange(ref _isQueued, 1) != 0)
                {
                    return;
                }

                continue;
            }

            // Each by itself: one that takes long, or waits for something, holds up no other.
            ThreadPool.UnsafeQueueUserWorkItem(read, preferLocal: false);
        }

        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }
}
