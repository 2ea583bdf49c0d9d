using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web.Transports.Direct;

/// <summary>
/// Kestrel's own transport, but that connections write to their socket themselves (<see cref="DirectSocket"/>) and can be taken from the server (<see cref="DirectConnection"/>).
/// Thread safe.
/// </summary>
internal sealed class DirectTransport(IOptions<SocketTransportOptions> options, ILoggerFactory loggers) : IConnectionListenerFactory, IConnectionListenerFactorySelector, IHostedService
{
    /// <summary>How long a stop waits for connections to close by themselves.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    private readonly SocketTransportFactory _sockets = new(WithoutQueues(options), loggers);
    private readonly ReadQueue _reads = new();
    private readonly ILogger _log = loggers.CreateLogger<DirectTransport>();
    private readonly TaskCompletionSource _none = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly HashSet<DirectConnection> _taken = [];
    private bool _isStopping;

    /// <summary>Connections that were taken and are open.</summary>
    public int Taken
    {
        get
        {
            lock (_taken)
            {
                return _taken.Count;
            }
        }
    }

    /// <summary>The connection beneath a request, where it is the request's alone: not through TLS, and not beside other requests.</summary>
    public static DirectConnection? ConnectionOf(HttpContext context) =>
        HttpProtocol.IsHttp11(context.Request.Protocol) && context.Features.Get<ITlsHandshakeFeature>() is null ? context.Features.Get<DirectConnection>() : null;

    public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new Listener(await _sockets.BindAsync(endpoint, cancellationToken), this);

    public bool CanBind(EndPoint endpoint) => _sockets.CanBind(endpoint);

    /// <summary>A connection was taken, or is closed.</summary>
    public void SetTaken(DirectConnection connection, bool isOpen)
    {
        lock (_taken)
        {
            if (isOpen)
            {
                _taken.Add(connection);
            }
            else
            {
                _taken.Remove(connection);
            }

            if (_isStopping && _taken.Count == 0)
            {
                _none.TrySetResult();
            }
        }
    }

    /// <summary>Ends the connections that were taken, whatever they are at.</summary>
    public void AbortTaken()
    {
        List<DirectConnection> open;
        lock (_taken)
        {
            open = [.. _taken];
        }

        open.ForEach(static c => c.Abort());
    }

    public void LogFailure(Exception e) => _log.LogError(1517, e, "A WebSocket connection failed");

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Waits for the connections that the server no longer knows, which were told to close when the stop began, and ends those that take too long.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        lock (_taken)
        {
            _isStopping = true;
            if (_taken.Count == 0)
            {
                return;
            }
        }

        // Not the host's clock: who stops does not wait for one that is moved by hand.
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(Patience);
        await _none.Task.WaitAsync(patience.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        AbortTaken();
        await _none.Task.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Kestrel's transport hands nothing to the pool itself: what comes waits in the <see cref="ReadQueue"/>.</summary>
    private static IOptions<SocketTransportOptions> WithoutQueues(IOptions<SocketTransportOptions> options)
    {
        options.Value.UnsafePreferInlineScheduling = true;
        return options;
    }

    private sealed class Listener(IConnectionListener inner, DirectTransport owner) : IConnectionListener
    {
        public EndPoint EndPoint => inner.EndPoint;

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            var connection = await inner.AcceptAsync(cancellationToken);
            return connection?.Features.Get<IConnectionSocketFeature>()?.Socket is { } socket ? new DirectConnection(connection, new DirectSocket(socket), owner._reads, owner) : connection;
        }

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default) => inner.UnbindAsync(cancellationToken);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
