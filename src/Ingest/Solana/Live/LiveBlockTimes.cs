namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>Block times that nodes told, of the newest <see cref="Capacity"/> slots asked for. One user at a time.</summary>
internal sealed class LiveBlockTimes : IBlockTimes
{
    public const int Capacity = 8_192;

    private readonly Dictionary<long, long> _seconds = [];
    private readonly Queue<long> _order = new();

    public void Add(long slot, long seconds)
    {
        if (!_seconds.TryAdd(slot, seconds))
        {
            _seconds[slot] = seconds;
            return;
        }

        _order.Enqueue(slot);
        if (_order.Count > Capacity)
        {
            _seconds.Remove(_order.Dequeue());
        }
    }

    public bool TryGet(long slot, out long seconds) => _seconds.TryGetValue(slot, out seconds);
}
