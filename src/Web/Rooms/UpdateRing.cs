using System.Buffers;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web;

/// <summary>The newest updates of a mint, for those who come back, in one piece of memory. Not thread safe.</summary>
/// <remarks>
/// Kept as objects, a few hundred updates of each followed mint were most of what a collection of garbage had to look at and to move, a millisecond for each few thousand updates; and four times
/// the memory.
/// </remarks>
/// <param name="symbol">The mint of all of them.</param>
/// <param name="most">Updates kept. At least 1.</param>
internal sealed class UpdateRing(string symbol, int most)
{
    private const int LeastBytes = 1_024;

    private readonly Dictionary<long, FeedMessage> _read = [];
    private Entry[] _entries = [];
    private byte[] _bytes = [];
    private long _end;
    private int _count;
    private int _used;

    /// <summary>Bytes that it holds on to.</summary>
    public int Room => _bytes.Length;

    public void Add(FeedMessage message)
    {
        var klines = message.Update.Klines.AsSpan();
        var packed = ArrayPool<byte>.Shared.Rent(PackedKlines.Longest(klines));
        var length = PackedKlines.Write(packed, klines);
        if (_count == most)
        {
            _used -= _entries[(_end - _count) % _entries.Length].Length;
            _count--;
            if (_bytes.Length > LeastBytes && _used < _bytes.Length / 4)
            {
                // An update of very many klines, as healing makes them, has left.
                Move(Math.Max(LeastBytes, _used * 2));
            }
        }

        if (_count == _entries.Length)
        {
            var entries = new Entry[Math.Min(most, Math.Max(4, _entries.Length * 2))];
            for (var i = _end - _count; i < _end; i++)
            {
                entries[i % entries.Length] = _entries[i % _entries.Length];
            }

            _entries = entries;
        }

        var start = PlaceFor(length);
        packed.AsSpan(0, length).CopyTo(_bytes.AsSpan(start));
        ArrayPool<byte>.Shared.Return(packed);
        var update = message.Update;
        _entries[_end++ % _entries.Length] = new Entry(message.SymbolId, message.BeforeEpoch, message.BeforeSeq, update.Epoch, update.Seq, update.EventTime, update.ReceivedTime, message.Taker, start, length, klines.Length);
        _count++;
        _used += length;
    }

    /// <summary>The updates after a position; null where it does not reach back to that, or there are more than wanted.</summary>
    public List<FeedMessage>? After((long Epoch, long Seq) position, int wanted)
    {
        for (var i = _end - 1; i >= _end - _count && _end - i <= wanted; i--)
        {
            ref readonly var entry = ref _entries[i % _entries.Length];
            if (entry.BeforeEpoch == position.Epoch && entry.BeforeSeq == position.Seq)
            {
                List<FeedMessage> messages = new((int)(_end - i));
                for (var j = i; j < _end; j++)
                {
                    messages.Add(Read(j));
                }

                return messages;
            }
        }

        return null;
    }

    /// <summary>Forgets what was read. Until then all who come back share it, and what is encoded of it.</summary>
    public void ForgetRead()
    {
        if (_read.Count > 0)
        {
            _read.Clear();
            _read.TrimExcess();
        }
    }

    private FeedMessage Read(long number)
    {
        if (!_read.TryGetValue(number, out var message))
        {
            ref readonly var entry = ref _entries[number % _entries.Length];
            message = new FeedMessage(
                new KlineUpdate
                {
                    Symbol = symbol,
                    Epoch = entry.Epoch,
                    Seq = entry.Seq,
                    EventTime = entry.EventTime,
                    ReceivedTime = entry.ReceivedTime,
                    Klines = PackedKlines.Read(_bytes.AsSpan(entry.Start, entry.Length), entry.Count),
                },
                entry.BeforeEpoch,
                entry.BeforeSeq)
            { SymbolId = entry.SymbolId, Taker = entry.Taker };
            _read.Add(number, message);
        }

        return message;
    }

    /// <summary>Where so many bytes fit behind the newest, or before the oldest; makes more room where they do not.</summary>
    private int PlaceFor(int length)
    {
        if (_count == 0)
        {
            if (_bytes.Length < length)
            {
                _bytes = new byte[Math.Max(LeastBytes, length)];
            }

            return 0;
        }

        // Something stays free before the oldest, or an empty ring would look as a full one.
        ref readonly var newest = ref _entries[(_end - 1) % _entries.Length];
        var end = newest.Start + newest.Length;
        var oldest = _entries[(_end - _count) % _entries.Length].Start;
        if (newest.Start < oldest)
        {
            if (oldest - end > length)
            {
                return end;
            }
        }
        else if (_bytes.Length - end >= length)
        {
            return end;
        }
        else if (oldest > length)
        {
            return 0;
        }

        return Move((int)Math.Min(Array.MaxLength, Math.Max(_bytes.Length * 2L, _bytes.Length + (long)length)));
    }

    /// <summary>Puts what is kept, one behind the other, into so many bytes, and says where it ends.</summary>
    private int Move(int room)
    {
        var bytes = new byte[room];
        var end = 0;
        for (var i = _end - _count; i < _end; i++)
        {
            ref var entry = ref _entries[i % _entries.Length];
            _bytes.AsSpan(entry.Start, entry.Length).CopyTo(bytes.AsSpan(end));
            entry = entry with { Start = end };
            end += entry.Length;
        }

        _bytes = bytes;
        return end;
    }

    private readonly record struct Entry(
        uint SymbolId, long BeforeEpoch, long BeforeSeq, long Epoch, long Seq, DateTimeOffset EventTime, DateTimeOffset ReceivedTime, TakerSide Taker, int Start, int Length, int Count);
}
