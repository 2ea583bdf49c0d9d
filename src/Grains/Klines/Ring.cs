using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace KlineOrleans.Grains;

/// <summary>A queue in an array, with access by index from the oldest and insertion near the newest end. Not thread safe.</summary>
/// <remarks>Returned references are valid until the next insertion. It keeps its memory when items leave.</remarks>
internal sealed class Ring<T>
{
    private T[] _items = [];
    private int _head;

    public int Count { get; private set; }

    public ref T this[int index]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            Debug.Assert((uint)index < (uint)Count);
            return ref _items[(_head + index) & (_items.Length - 1)];
        }
    }

    public ref T Add()
    {
        if (Count == _items.Length)
        {
            Grow();
        }

        Count++;
        ref T added = ref this[Count - 1];
        added = default!;
        return ref added;
    }

    /// <summary>Makes room before the item at <paramref name="index"/>; moves what is newer.</summary>
    public ref T Insert(int index)
    {
        Add();
        for (var i = Count - 1; i > index; i--)
        {
            this[i] = this[i - 1];
        }

        ref T inserted = ref this[index];
        inserted = default!;
        return ref inserted;
    }

    /// <summary>Removes the item at <paramref name="index"/>; moves what is newer.</summary>
    public void RemoveAt(int index)
    {
        for (var i = index; i < Count - 1; i++)
        {
            this[i] = this[i + 1];
        }

        this[Count - 1] = default!;
        Count--;
    }

    public void RemoveFirst()
    {
        this[0] = default!;
        _head = (_head + 1) & (_items.Length - 1);
        Count--;
    }

    private void Grow()
    {
        var larger = new T[Math.Max(4, _items.Length * 2)];
        for (var i = 0; i < Count; i++)
        {
            larger[i] = this[i];
        }

        _items = larger;
        _head = 0;
    }
}
