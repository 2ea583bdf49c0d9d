using System.Buffers;

namespace KlineOrleans.Web.Transports.EngineIo;

/// <summary>A frame in a session's queue, with the bytes for its gap and the key under which a newer one replaces it.</summary>
internal readonly record struct QueuedFrame(EngineIoFrame? Frame, ReadOnlyMemory<byte> Middle, object? Key)
{
    public int Length => Frame!.Length + Middle.Length;
}

/// <summary>The outgoing queue of a session: a ring on pooled memory, which it gives back when empty. Not thread safe: the session's lock guards it.</summary>
internal sealed class Outbox
{
    private QueuedFrame[]? _ring;
    private int _head;

    // Slots from head to tail, and those of them that hold a frame; a replaced frame leaves an empty slot.
    private int _slots;

    /// <summary>Frames that wait.</summary>
    public int Count { get; private set; }

    /// <summary>Bytes of the frames that wait; a shared frame counts in each queue.</summary>
    public long Bytes { get; private set; }

    /// <summary>Appends a frame.</summary>
    public void Enqueue(in QueuedFrame item)
    {
        if (_ring is null)
        {
            _ring = ArrayPool<QueuedFrame>.Shared.Rent(16);
            _head = 0;
        }
        else if (_slots == _ring.Length)
        {
            Grow();
        }

        _ring[Wrap(_head + _slots)] = item;
        _slots++;
        Count++;
        Bytes += item.Length;
    }

    /// <summary>Takes the oldest frame.</summary>
    public bool TryDequeue(out QueuedFrame item)
    {
        while (_slots > 0)
        {
            item = _ring![_head];
            _ring[_head] = default;
            _head = Wrap(_head + 1);
            _slots--;
            if (item.Frame is null)
                continue;

            Count--;
            Bytes -= item.Length;
            if (Count == 0)
                Release();
            return true;
        }

        item = default;
        return false;
    }

    /// <summary>Removes the frame with this key, if one waits. The newer frame then goes to the end, so that a reader sees positions only grow.</summary>
    public bool Remove(object key)
    {
        // Queues are short but for slow clients, and the same key was most likely added late: from the end.
        for (var i = _slots - 1; i >= 0; i--)
        {
            ref var slot = ref _ring![Wrap(_head + i)];
            if (slot.Frame is not null && key.Equals(slot.Key))
            {
                Count--;
                Bytes -= slot.Length;
                slot = default;
                if (Count == 0)
                    Release();
                return true;
            }
        }

        return false;
    }

    /// <summary>Moves all frames, oldest first, to <paramref name="destination"/>.</summary>
    public void DrainTo(List<QueuedFrame> destination)
    {
        while (TryDequeue(out var item))
            destination.Add(item);
    }

    /// <summary>Drops everything.</summary>
    public void Clear()
    {
        Count = 0;
        Release();
    }

    private int Wrap(int index) => index >= _ring!.Length ? index - _ring.Length : index;

    // Only when every slot is in use. Empty slots are left out, so a queue in which frames are replaced again and again does not grow.
    private void Grow()
    {
        var old = _ring!;
        var ring = Count <= old.Length / 2 ? ArrayPool<QueuedFrame>.Shared.Rent(old.Length) : ArrayPool<QueuedFrame>.Shared.Rent(old.Length * 2);
        var kept = 0;
        for (var i = 0; i < _slots; i++)
        {
            var item = old[Wrap(_head + i)];
            if (item.Frame is not null)
                ring[kept++] = item;
        }

        ArrayPool<QueuedFrame>.Shared.Return(old, clearArray: true);
        _ring = ring;
        _head = 0;
        _slots = kept;
    }

    private void Release()
    {
        if (_ring is not null)
            ArrayPool<QueuedFrame>.Shared.Return(_ring, clearArray: true);
        _ring = null;
        _head = 0;
        _slots = 0;
        Bytes = 0;
    }
}
