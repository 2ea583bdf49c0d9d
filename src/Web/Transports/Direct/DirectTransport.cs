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
internal sealed class DirectTransport(IOptions<SocketTransportOptions> options, IOptions<WebOptions> web, ILoggerFactory loggers) : IConnectionListenerFactory, IConnectionListenerFactorySelector, IHostedService
{
    private readonly SocketTransportFactory _sockets = new(options, loggers);
    private readonly ILogger _log = loggers.CreateLogger<DirectTransport>();
    private readonly TaskCompletionSource _none = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _taken;
    private bool _isStopping;

    /// <summary>Connections that were taken and are open.</summary>
    public int Taken => Volatile.Read(ref _taken);

    /// <summary>The connection beneath a request, where it is the request's alone: not through TLS, and not beside other requests.</summary>
    public static DirectConnection? ConnectionOf(HttpContext context) =>
        HttpProtocol.IsHttp11(context.Request.Protocol) && context.Features.Get<ITlsHandshakeFeature>() is null ? context.Features.Get<DirectConnection>() : null;

    public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new Listener(await _sockets.BindAsync(endpoint, cancellationToken), this);

    public bool CanBind(EndPoint endpoint) => _sockets.CanBind(endpoint);

    /// <summary>Counts connections that were taken and are open.</summary>
    public void AddTaken(int by)
    {
        if (Interlocked.Add(ref _taken, by) == 0 && Volatile.Read(ref _isStopping))
        {
            _none.TrySetResult();
        }
    }

    public void LogFailure(Exception e) => _log.LogError(e, "A WebSocket connection failed");

    /// <summary>Says how many connections the system's limit of open files lets this process hold.</summary>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        var wanted = web.Value.Limits.Connections;
        if (OpenFileLimit.Read() is { } files)
        {
            var room = Math.Max(0, files - OpenFileLimit.NotForConnections);
            if (room < wanted)
            {
                _log.LogWarning("The system lets this process hold about {Room} connections ({Files} open files), fewer than {Section}:Limits:Connections allows ({Wanted}); raise ulimit -n", room, files, WebOptions.Section, wanted);
            }
            else
            {
                _log.LogInformation("The system lets this process hold about {Room} connections ({Files} open files)", room, files);
            }
        }

        return Task.CompletedTask;
    }

    /// <summary>Waits for the connections that the server no longer knows: they were told to close when the stop began.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        Volatile.Write(ref _isStopping, true);
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref _taken) == 0)
        {
            return;
        }

        await _none.Task.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private sealed class Listener(IConnectionListener inner, DirectTransport owner) : IConnectionListener
    {
        public EndPoint EndPoint => inner.EndPoint;

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            var connection = await inner.AcceptAsync(cancellationToken);
            return connection?.Features.Get<IConnectionSocketFeature>()?.Socket is { } socket ? new DirectConnection(connection, new DirectSocket(socket), owner) : connection;
        }

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default) => inner.UnbindAsync(cancellationToken);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
