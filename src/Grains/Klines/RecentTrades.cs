using System.Numerics;
using KlineOrleans.Contracts;

namespace KlineOrleans.Grains;

/// <summary>Which trades were seen, so that each counts once however often it is delivered. Not thread safe.</summary>
/// <remarks>
/// Exchange ids are nearly consecutive and kept as ranges, for ever. Chain ids are kept as 128-bit hashes of (slot, signature, index) until a trade
/// of that event time would be too late anyway. Two different trades with one hash are as likely as 2^-128 per pair.
/// </remarks>
internal sealed class RecentTrades
{
    /// <summary>Ranges kept. Beyond it the oldest hole is closed: an id in it then counts as seen.</summary>
    private const int MostRanges = 4_096;

    /// <summary>Room for so many chain ids is not given back.</summary>
    private const int LeastRoom = 64;

    private readonly List<(long From, long To)> _ranges = [];
    private readonly HashSet<UInt128> _hashes = [];
    private readonly Ring<(long EventSeconds, UInt128 Hash)> _byTime = new();

    /// <summary>Chain ids held now.</summary>
    public int Hashes => _byTime.Count;

    /// <summary>Chain ids that there is room for.</summary>
    public int Room => Math.Max(_hashes.Capacity, _byTime.Capacity);

    public bool Contains(in TradeId id) => id.Signature is null ? FindRange(id.Position) >= 0 : _hashes.Contains(Hash(id));

    /// <summary>False if the trade was seen before.</summary>
    public bool TryAdd(in TradeId id, long eventSeconds)
    {
        if (id.Signature is null)
        {
            return TryAddToRanges(id.Position);
        }

        var hash = Hash(id);
        if (!_hashes.Add(hash))
        {
            return false;
        }

        _byTime.Add() = (eventSeconds, hash);
        return true;
    }

    /// <summary>Forgets chain ids with an event time before <paramref name="eventSeconds"/>.</summary>
    /// <param name="eventSeconds">Unix seconds.</param>
    /// <param name="clockSeconds">The clock, Unix seconds. Ids of later event times wait behind the others, so that one from far ahead keeps none of them.</param>
    public void ForgetBefore(long eventSeconds, long clockSeconds)
    {
        for (var left = _byTime.Count; left > 0; left--)
        {
            var oldest = _byTime[0];
            if (oldest.EventSeconds < eventSeconds)
            {
                _hashes.Remove(oldest.Hash);
            }
            else if (oldest.EventSeconds <= clockSeconds)
            {
                break;
            }
            else
            {
                _byTime.Add() = oldest;
            }

            _byTime.RemoveFirst();
        }

        Trim();
    }

    public void Clear()
    {
        _ranges.Clear();
        _hashes.Clear();
        while (_byTime.Count > 0)
        {
            _byTime.RemoveFirst();
        }

        Trim();
    }

    public void Write(StateWriter writer)
    {
        writer.Write(_ranges.Count);
        foreach (var (from, to) in _ranges)
        {
            writer.Write(from);
            writer.Write(to);
        }

        writer.Write(_byTime.Count);
        for (var i = 0; i < _byTime.Count; i++)
        {
            writer.Write(_byTime[i].EventSeconds);
            writer.Write((ulong)(_byTime[i].Hash >> 64));
            writer.Write((ulong)_byTime[i].Hash);
        }
    }

    public void Read(ref StateReader reader)
    {
        for (var n = reader.ReadInt32(); n > 0; n--)
        {
            _ranges.Add((reader.ReadInt64(), reader.ReadInt64()));
        }

        for (var n = reader.ReadInt32(); n > 0; n--)
        {
            var seconds = reader.ReadInt64();
            var hash = new UInt128(reader.ReadUInt64(), reader.ReadUInt64());
            _hashes.Add(hash);
            _byTime.Add() = (seconds, hash);
        }
    }

    /// <summary>A burst is over: its room is given back.</summary>
    private void Trim()
    {
        _byTime.Trim();
        if (_hashes.Capacity > LeastRoom && _hashes.Count < _hashes.Capacity / 8)
        {
            _hashes.TrimExcess(Math.Max(LeastRoom, _hashes.Count * 2));
        }
    }

    private bool TryAddToRanges(long id)
    {
        if (_ranges.Count > 0)
        {
            var newest = _ranges[^1];
            if (id == newest.To + 1)
            {
                _ranges[^1] = (newest.From, id);
                return true;
            }

            if (id < newest.To + 1)
            {
                return TryAddToOlderRanges(id);
            }
        }

        _ranges.Add((id, id));
        CloseOldestHole();
        return true;
    }

    private bool TryAddToOlderRanges(long id)
    {
        var at = FindRange(id);
        if (at >= 0)
        {
            return false;
        }

        at = ~at;
        var joinsBefore = at > 0 && _ranges[at - 1].To == id - 1;
        var joinsAfter = at < _ranges.Count && _ranges[at].From == id + 1;
        if (joinsBefore && joinsAfter)
        {
            _ranges[at - 1] = (_ranges[at - 1].From, _ranges[at].To);
            _ranges.RemoveAt(at);
        }
        else if (joinsBefore)
        {
            _ranges[at - 1] = (_ranges[at - 1].From, id);
        }
        else if (joinsAfter)
        {
            _ranges[at] = (id, _ranges[at].To);
        }
        else
        {
            _ranges.Insert(at, (id, id));
            CloseOldestHole();
        }

        return true;
    }

    private void CloseOldestHole()
    {
        if (_ranges.Count > MostRanges)
        {
            _ranges[0] = (_ranges[0].From, _ranges[1].To);
            _ranges.RemoveAt(1);
        }
    }

    /// <summary>The range that holds <paramref name="id"/>, or the complement of the first range after it.</summary>
    private int FindRange(long id)
    {
        int low = 0, high = _ranges.Count - 1;
        while (low <= high)
        {
            var middle = (low + high) >> 1;
            var (from, to) = _ranges[middle];
            if (id < from)
            {
                high = middle - 1;
            }
            else if (id > to)
            {
                low = middle + 1;
            }
            else
            {
                return middle;
            }
        }

        return ~low;
    }

    // A stable hash, because it is stored: multiply and mix over the characters, two independent halves.
    private static UInt128 Hash(in TradeId id)
    {
        var a = 0x9E3779B97F4A7C15UL ^ (ulong)id.Position;
        var b = 0xC2B2AE3D27D4EB4FUL ^ (uint)id.Index;
        foreach (var c in id.Signature!)
        {
            a = BitOperations.RotateLeft((a ^ c) * 0xFF51AFD7ED558CCDUL, 29);
            b = BitOperations.RotateLeft((b ^ c) * 0xC4CEB9FE1A85EC53UL, 31);
        }

        a = Mix(a ^ (uint)id.Index);
        b = Mix(b ^ (ulong)id.Position);
        return new UInt128(a, b);
    }

    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 33)) * 0xFF51AFD7ED558CCDUL;
        value = (value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53UL;
        return value ^ (value >> 33);
    }
}
