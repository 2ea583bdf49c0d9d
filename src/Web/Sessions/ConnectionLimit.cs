using System.Collections.Concurrent;
using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web;

/// <summary>Counts the clients of every wire together, in all and by address. Thread safe.</summary>
internal sealed class ConnectionLimit(WebCounters counters, IOptions<WebOptions> options, ILogger<ConnectionLimit> log)
{
    private readonly ConcurrentDictionary<IPAddress, int> _byAddress = new();
    private volatile bool _isClosed;

    /// <summary>From now on nobody is let in.</summary>
    public void Close() => _isClosed = true;

    /// <summary>Takes a place. Given back by disposing it, once; null if there is none left.</summary>
    public IDisposable? TryEnter(IPAddress? address)
    {
        if (_isClosed)
        {
            return null;
        }

        address ??= IPAddress.None;
        var limits = options.Value.Limits;
        var ofAddress = _byAddress.AddOrUpdate(address, 1, static (_, count) => count + 1);
        var all = counters.AddConnections(1);
        if (all <= limits.Connections && ofAddress <= limits.ConnectionsPerAddress)
        {
            return new Place(this, address);
        }

        Leave(address);
        log.LogWarning(1511, "A client from {Address} is refused: {Connections} connections, {OfAddress} of them from there", address, all - 1, ofAddress - 1);
        return null;
    }

    private void Leave(IPAddress address)
    {
        counters.AddConnections(-1);
        if (_byAddress.AddOrUpdate(address, 0, static (_, count) => count - 1) <= 0)
        {
            _byAddress.TryRemove(new KeyValuePair<IPAddress, int>(address, 0));
        }
    }

    private sealed class Place(ConnectionLimit owner, IPAddress address) : IDisposable
    {
        private int _given;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _given, 1) == 0)
            {
                owner.Leave(address);
            }
        }
    }
}
