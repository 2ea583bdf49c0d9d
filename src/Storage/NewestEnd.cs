using KlineOrleans.Contracts;

namespace KlineOrleans.Storage;

/// <summary>The end of the newest kline seen. Thread safe.</summary>
internal sealed class NewestEnd
{
    private long _ticks;

    public DateTimeOffset? Value => Interlocked.Read(ref _ticks) is > 0 and var ticks ? new DateTimeOffset(ticks, TimeSpan.Zero) : null;

    public void See(IReadOnlyList<Kline> klines)
    {
        var newest = 0L;
        foreach (var kline in klines)
            newest = Math.Max(newest, kline.EndTime.UtcTicks);
        for (var now = Interlocked.Read(ref _ticks); now < newest;)
        {
            var was = Interlocked.CompareExchange(ref _ticks, newest, now);
            if (was == now)
                return;
            now = was;
        }
    }
}
