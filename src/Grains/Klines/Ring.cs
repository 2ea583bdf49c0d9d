using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace KlineOrleans.Grains;

/// <summary>A queue in an array, with access by index from the oldest and insertion near the newest end. Not thread safe.</summary>
/// <remarks>
/// Returned references are valid until the next insertion or <see cref="Trim"/>. It keeps its memory when items leave, until that is called. It begins with room
/// for none and then for one: of a quiet mint's intervals most hold no item, and the others one.
/// </remarks>
internal sealed class Ring<T>
{
    private T[] _items = [];
    private int _head;

    /// <summary>The most items since <see cref="Trim"/>.</summary>
    private int _most;

    public int Count { get; private set; }

    /// <summary>Items that there is room for: a power of two, or none.</summary>
    public int Capacity => _items.Length;

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
            Resize(Math.Max(1, _items.Length * 2));
        }

        Count++;
        _most = Math.Max(_most, Count);
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

    /// <summary>Gives memory back if less than a quarter of it was needed since the last call.</summary>
    public void Trim()
    {
        if (_most < _items.Length / 4)
        {
            Resize((int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(1, _most)));
        }

        _most = Count;
    }

    private void Resize(int capacity)
    {
        var items = new T[capacity];
        for (var i = 0; i < Count; i++)
        {
            items[i] = this[i];
        }

        _items = items;
        _head = 0;
    }
}
