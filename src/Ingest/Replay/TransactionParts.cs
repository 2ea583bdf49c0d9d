using System.Globalization;
using System.Text;
using KlineOrleans.Ingest.Solana;

namespace KlineOrleans.Ingest.Replay;

/// <summary>Tells further events of a transaction from the same ones again, where a recording spreads one transaction over several frames. One user at a time.</summary>
/// <remarks>
/// A node sends a transaction's log in one frame, and repeats it whole. Recordings made from single events have a frame for each, with one signature:
/// their events are numbered on. Frames of one transaction are known to belong together while their slot is the newest line's.
/// </remarks>
internal sealed class TransactionParts
{
    private readonly Dictionary<string, List<ulong>> _events = new(StringComparer.Ordinal);
    private long _slot = -1;

    /// <summary>The number of the frame's first event in its transaction.</summary>
    public int FirstIndex(long slot, string signature, List<DecodedEvent> events)
    {
        if (slot != _slot)
        {
            _slot = slot;
            _events.Clear();
        }

        if (events.Count == 0)
        {
            return 0;
        }

        // By index: a refused event leaves a hole, which is part of the picture.
        var frame = new ulong[events[^1].Index + 1];
        foreach (var e in events)
        {
            frame[e.Index] = Hash(e.Payload.Span);
        }

        if (!_events.TryGetValue(signature, out var known))
        {
            _events.Add(signature, [.. frame]);
            return 0;
        }

        for (var first = 0; first < known.Count; first++)
        {
            var common = Math.Min(frame.Length, known.Count - first);
            var isAgain = true;
            for (var i = 0; i < common && isAgain; i++)
            {
                isAgain = known[first + i] == frame[i];
            }

            if (isAgain)
            {
                // The same again, or the same and more: a log that had been cut.
                known.AddRange(frame[common..]);
                return first;
            }
        }

        known.AddRange(frame);
        return known.Count - frame.Length;
    }

    /// <summary>As text, without the characters <c>|</c> and <c>,</c>.</summary>
    public string Save()
    {
        var text = new StringBuilder().Append(CultureInfo.InvariantCulture, $"{_slot}");
        foreach (var (signature, hashes) in _events)
        {
            text.Append(';').Append(signature);
            foreach (var hash in hashes)
            {
                text.Append(CultureInfo.InvariantCulture, $":{hash:x}");
            }
        }

        return text.ToString();
    }

    /// <summary>Goes on from what <see cref="Save"/> gave; false if that is no such text.</summary>
    public bool TryRestore(string text)
    {
        var parts = text.Split(';');
        if (!long.TryParse(parts[0], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _slot))
        {
            return false;
        }

        foreach (var part in parts.AsSpan(1))
        {
            var fields = part.Split(':');
            var hashes = new List<ulong>();
            foreach (var field in fields.AsSpan(1))
            {
                if (!ulong.TryParse(field, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var hash))
                {
                    return false;
                }

                hashes.Add(hash);
            }

            _events[fields[0]] = hashes;
        }

        return true;
    }

    // FNV-1a: stable, because checkpoints hold it. Not 0, which stands for a refused event.
    private static ulong Hash(ReadOnlySpan<byte> payload)
    {
        var hash = 0xCBF29CE484222325UL;
        foreach (var b in payload)
        {
            hash = (hash ^ b) * 0x100000001B3UL;
        }

        return hash | 1;
    }
}
