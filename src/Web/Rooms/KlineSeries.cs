using System.Runtime.InteropServices;
using KlineOrleans.Contracts;

namespace KlineOrleans.Web;

/// <summary>Klines of one mint and interval by open time. Not thread safe.</summary>
internal sealed class KlineSeries
{
    private readonly List<Kline> _klines = [];

    public int Count => _klines.Count;

    public ReadOnlySpan<Kline> Span => CollectionsMarshal.AsSpan(_klines);

    /// <summary>Adds a kline, or replaces the one with its open time.</summary>
    public void Put(in Kline kline)
    {
        var index = IndexOf(kline.OpenTime);
        if (index < _klines.Count && _klines[index].OpenTime == kline.OpenTime)
        {
            _klines[index] = kline;
        }
        else
        {
            _klines.Insert(index, kline);
        }
    }

    public bool TryGet(DateTimeOffset openTime, out Kline kline)
    {
        var index = IndexOf(openTime);
        if (index < _klines.Count && _klines[index].OpenTime == openTime)
        {
            kline = _klines[index];
            return true;
        }

        kline = default;
        return false;
    }

    /// <summary>The index of the first kline with an open time at or after <paramref name="openTime"/>.</summary>
    public int IndexOf(DateTimeOffset openTime)
    {
        // Nearly every look is at the newest two.
        var low = 0;
        var high = _klines.Count;
        if (high > 0 && _klines[high - 1].OpenTime < openTime)
        {
            return high;
        }

        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (_klines[middle].OpenTime < openTime)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }
}
