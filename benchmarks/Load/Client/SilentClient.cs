using System.Net;
using System.Net.Sockets;
using System.Text;

namespace KlineOrleans.Benchmarks.Load;

/// <summary>A client that subscribes and never reads again. Its socket takes little, as over a network, so that the server feels it soon.</summary>
internal sealed class SilentClient : IDisposable
{
    // TCP_MAXSEG of Linux. Loopback's own segments of 64 KB would have the server's kernel keep megabytes for it.
    private const int MaxSegment = 2;

    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveBufferSize = 4_096, ReceiveTimeout = 10_000 };

    /// <exception cref="SocketException">The server is not there or says nothing.</exception>
    public SilentClient(Uri url, LoadWire wire, string symbol, string[] intervals)
    {
        _socket.SetRawSocketOption((int)SocketOptionLevel.Tcp, MaxSegment, BitConverter.GetBytes(1_460));
        _socket.Connect(IPAddress.Loopback, url.Port);
        _socket.Send(Encoding.ASCII.GetBytes($"GET {wire.Path} HTTP/1.1\r\nHost: {url.Authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"));
        Await("\r\n\r\n");
        if (wire.First.Length > 0)
        {
            _socket.Send(wire.First);
            Await(wire is SignalRLoadWire ? "{}\u001e" : "40{");
        }

        foreach (var frame in wire.Subscribe(symbol, intervals))
        {
            _socket.Send(frame);
        }
    }

    public void Dispose() => _socket.Dispose();

    private void Await(string words)
    {
        var read = new StringBuilder();
        var buffer = new byte[1_024];
        while (!read.ToString().Contains(words, StringComparison.Ordinal))
        {
            var length = _socket.Receive(buffer);
            if (length == 0)
            {
                throw new IOException($"the server closed: {read}");
            }

            read.Append(Encoding.Latin1.GetString(buffer, 0, length));
        }
    }
}
