using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace KlineOrleans.Testing;

/// <summary>A way to a server that can be shut as networks and servers shut it: closed, or open and silent. Loopback only.</summary>
public sealed class TcpGate : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly ConcurrentDictionary<Socket, byte> _sockets = new();
    private readonly CancellationTokenSource _end = new();
    private readonly string _host;
    private readonly int _port;
    private readonly Task _accepting;
    private volatile TaskCompletionSource? _paused;
    private volatile bool _closed;

    public TcpGate(string host, int port)
    {
        (_host, _port) = (host, port);
        _listener.Start();
        Port = ((IPEndPoint)_listener.LocalEndpoint).Port;
        _accepting = Accept();
    }

    public int Port { get; }

    /// <summary>Ends every connection, and ends new ones at once: the server is gone.</summary>
    public void Close()
    {
        _closed = true;
        Cut();
    }

    /// <summary>Ends every connection; new ones work.</summary>
    public void Cut()
    {
        foreach (var socket in _sockets.Keys)
            socket.Dispose();
    }

    /// <summary>Connections stay open, new ones too, and nothing passes any more: the server hangs.</summary>
    public void Pause() => _paused ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>All is as before; what a pause held back passes now.</summary>
    public void Open()
    {
        _closed = false;
        var paused = _paused;
        _paused = null;
        paused?.SetResult();
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        _listener.Stop();
        Close();
        _paused?.TrySetResult();
        await _accepting;
        _end.Dispose();
    }

    private async Task Accept()
    {
        while (!_end.IsCancellationRequested)
        {
            try
            {
                _ = Serve(await _listener.AcceptSocketAsync(_end.Token));
            }
            catch (Exception error) when (error is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                return;
            }
        }
    }

    private async Task Serve(Socket client)
    {
        using var server = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        client.NoDelay = true;
        _sockets[client] = 0;
        _sockets[server] = 0;
        try
        {
            if (_closed)
                return;
            await server.ConnectAsync(_host, _port);
            await Task.WhenAny(Pass(client, server), Pass(server, client));
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            // Its client sees it.
        }
        finally
        {
            _sockets.TryRemove(client, out _);
            _sockets.TryRemove(server, out _);
            client.Dispose();
        }
    }

    private async Task Pass(Socket from, Socket to)
    {
        var buffer = new byte[16_384];
        try
        {
            while (await from.ReceiveAsync(buffer) is > 0 and var count)
            {
                if (_paused is { } paused)
                    await paused.Task;
                await to.SendAsync(buffer.AsMemory(0, count));
            }
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException)
        {
            // Either end is gone.
        }
    }
}
