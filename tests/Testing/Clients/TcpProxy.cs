using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace KlineOrleans.Testing.Clients;

/// <summary>A link that can be cut, stalled and mended, between clients and a server on loopback. Thread safe.</summary>
public sealed class TcpProxy : IAsyncDisposable
{
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly IPEndPoint _target;
    private readonly ConcurrentDictionary<Pair, byte> _pairs = [];
    private readonly Task _accepting;
    private volatile TaskCompletionSource _flow = Open();
    private volatile bool _isCut;

    public TcpProxy(Uri target)
    {
        ArgumentNullException.ThrowIfNull(target);
        _target = new IPEndPoint(IPAddress.Parse(target.Host), target.Port);
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen(4_096);
        Address = new Uri($"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndPoint!).Port}");
        _accepting = Accept();
    }

    /// <summary>Where clients connect.</summary>
    public Uri Address { get; }

    /// <summary>Connections that go through it now.</summary>
    public int Connections => _pairs.Count;

    /// <summary>Breaks every connection and refuses new ones, until <see cref="Mend"/>.</summary>
    /// <param name="reset">Both ends see a reset; else they see the end of the other's data.</param>
    public void Cut(bool reset = true)
    {
        _isCut = true;
        foreach (var pair in _pairs.Keys)
        {
            pair.Break(reset);
        }
    }

    /// <summary>Lets nothing through, and tells nobody: connections stay open, as when a cable is pulled.</summary>
    public void Stall()
    {
        if (_flow.Task.IsCompleted)
        {
            _flow = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    /// <summary>Ends a cut or a stall. What was on its way through a stalled link arrives.</summary>
    public void Mend()
    {
        _isCut = false;
        _flow.TrySetResult();
    }

    public async ValueTask DisposeAsync()
    {
        Cut();
        _flow.TrySetResult();
        _listener.Dispose();
        await _accepting;
    }

    private static TaskCompletionSource Open()
    {
        var open = new TaskCompletionSource();
        open.SetResult();
        return open;
    }

    private async Task Accept()
    {
        while (true)
        {
            Socket client;
            try
            {
                client = await _listener.AcceptAsync();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }

            _ = Serve(client);
        }
    }

    private async Task Serve(Socket client)
    {
        var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        client.NoDelay = true;
        var pair = new Pair(client, server);
        _pairs.TryAdd(pair, 0);
        try
        {
            if (_isCut)
            {
                return;
            }

            await server.ConnectAsync(_target);
            await Task.WhenAny(Copy(client, server), Copy(server, client));
        }
        catch (SocketException)
        {
            // The server is gone, or the link was cut.
        }
        catch (ObjectDisposedException)
        {
            // The link was cut.
        }
        finally
        {
            pair.Break(reset: true);
            _pairs.TryRemove(pair, out _);
        }
    }

    private async Task Copy(Socket from, Socket to)
    {
        var buffer = new byte[16_384];
        try
        {
            while (await from.ReceiveAsync(buffer, SocketFlags.None) is > 0 and var length)
            {
                await _flow.Task;
                for (var sent = 0; sent < length;)
                {
                    sent += await to.SendAsync(buffer.AsMemory(sent, length - sent), SocketFlags.None);
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The other direction sees it too.
        }
    }

    private sealed class Pair(Socket client, Socket server)
    {
        public void Break(bool reset)
        {
            foreach (var socket in (Socket[])[client, server])
            {
                try
                {
                    if (reset)
                    {
                        socket.LingerState = new LingerOption(true, 0);
                    }

                    socket.Dispose();
                }
                catch (Exception e) when (e is SocketException or ObjectDisposedException)
                {
                    // It is broken already.
                }
            }
        }
    }
}
