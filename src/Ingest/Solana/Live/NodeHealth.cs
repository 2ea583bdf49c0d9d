using System.Globalization;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>What is known of one endpoint. Thread safe.</summary>
internal sealed class NodeHealth(SolanaEndpoint endpoint, TimeProvider time)
{
    private readonly Lock _lock = new();
    private string _state = "not tried";
    private long _slot = -1;
    private long _failures;
    private int _failuresInARow;
    private DateTimeOffset _notBefore;
    private bool _isOfCluster;

    public SolanaEndpoint Endpoint => endpoint;

    /// <summary>It is known to be of the cluster that is followed. Asked anew with every connection: an address may come to mean another machine.</summary>
    public bool IsOfCluster
    {
        get => Volatile.Read(ref _isOfCluster);
        set => Volatile.Write(ref _isOfCluster, value);
    }

    /// <summary>The newest slot it told of; -1 if none.</summary>
    public long Slot => Interlocked.Read(ref _slot);

    /// <summary>When it may be asked again.</summary>
    public DateTimeOffset NotBefore
    {
        get
        {
            lock (_lock)
            {
                return _notBefore;
            }
        }
    }

    public int FailuresInARow => Volatile.Read(ref _failuresInARow);

    /// <summary>Not the highest ever: a node that restarts begins lower.</summary>
    public void Heard(long slot) => Interlocked.Exchange(ref _slot, slot);

    public void Succeeded() => Volatile.Write(ref _failuresInARow, 0);

    public void Failed(string state, TimeSpan wait)
    {
        lock (_lock)
        {
            _failures++;
            _failuresInARow++;
            _state = state;
            var until = time.GetUtcNow() + wait;
            _notBefore = until > _notBefore ? until : _notBefore;
        }
    }

    /// <summary>Says what the subscription is doing: connected, silent, behind, the reason of the refusal.</summary>
    public void Set(string state)
    {
        lock (_lock)
        {
            _state = state;
        }
    }

    public string Describe(long best)
    {
        lock (_lock)
        {
            var slot = Slot;
            var text = new System.Text.StringBuilder(_state);
            if (slot >= 0)
            {
                text.Append(CultureInfo.InvariantCulture, $"; slot {slot}");
                if (best > slot)
                {
                    text.Append(CultureInfo.InvariantCulture, $", {best - slot} behind the best");
                }
            }

            return _failures == 0 ? text.ToString() : text.Append(CultureInfo.InvariantCulture, $"; {_failures} failures").ToString();
        }
    }
}
