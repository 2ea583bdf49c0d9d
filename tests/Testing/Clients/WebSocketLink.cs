using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;

namespace KlineOrleans.Testing.Clients;

/// <summary>Texts to and from a server, one at a time each way.</summary>
public interface ITextLink : IAsyncDisposable
{
    /// <summary>What the server closed with; null before, and where it only hung up.</summary>
    int? CloseStatus { get; }

    string? CloseReason { get; }

    Task Send(string text);

    /// <summary>The next text; null when the server has closed or the connection is gone.</summary>
    Task<string?> Receive();

    /// <summary>From now on it reads as fast as messages come.</summary>
    void Hurry();

    /// <summary>Hangs up without a word.</summary>
    void Abort();
}

/// <summary>How a client connects.</summary>
public sealed record LinkOptions
{
    /// <summary>The kernel's receive buffer, in bytes, so that a client that does not read is felt by the server soon; 0: the kernel's own choice.</summary>
    public int ReceiveBuffer { get; init; }

    /// <summary>The longest segment that the client takes, in bytes; 0: that of loopback, 64 KB, for which the sender's kernel makes room for megabytes. 1,460 is Ethernet's.</summary>
    public int SegmentBytes { get; init; }

    /// <summary>Bytes a second that the client reads at most; 0: as fast as they come. By polling: what it takes is followed by a pause.</summary>
    public int BytesPerSecond { get; init; }
}

/// <summary>A WebSocket on a TCP connection of our own: its buffers can be small, its reading slow or stopped, and it can be cut.</summary>
public sealed class WebSocketLink : ITextLink
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    // TCP_MAXSEG of Linux, which Socket has no name for.
    private const int MaxSegment = 2;

    private readonly Socket _tcp;
    private readonly WebSocket _socket;
    private readonly LinkOptions _options;
    private readonly SemaphoreSlim _sending = new(1, 1);
    private readonly MemoryStream _message = new();
    private byte[] _buffer = new byte[16_384];
    private long _startedReading;
    private long _read;
    private volatile bool _isHurried;

    private WebSocketLink(Socket tcp, WebSocket socket, LinkOptions options)
    {
        _tcp = tcp;
        _socket = socket;
        _options = options;
        if (options.BytesPerSecond > 0)
        {
            _buffer = new byte[Math.Clamp(options.BytesPerSecond / 20, 256, 16_384)];
        }
    }

    public int? CloseStatus => (int?)_socket.CloseStatus;

    public string? CloseReason => _socket.CloseStatusDescription;

    /// <summary>Bytes of messages read so far.</summary>
    public long BytesRead => Volatile.Read(ref _read);

    public void Hurry() => _isHurried = true;

    /// <summary>Connects and upgrades.</summary>
    /// <exception cref="IOException">The server refused; the message is its answer.</exception>
    public static async Task<WebSocketLink> Connect(Uri address, string path, LinkOptions? options = null)
    {
        options ??= new LinkOptions();
        var tcp = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            if (options.ReceiveBuffer > 0)
            {
                // Before the connection: the window is told in its first packet.
                tcp.ReceiveBufferSize = options.ReceiveBuffer;
            }

            if (options.SegmentBytes > 0 && OperatingSystem.IsLinux())
            {
                tcp.SetRawSocketOption((int)SocketOptionLevel.Tcp, MaxSegment, BitConverter.GetBytes(options.SegmentBytes));
            }

            using var patience = new CancellationTokenSource(Patience, TimeProvider.System);
            await tcp.ConnectAsync(IPAddress.Parse(address.Host), address.Port, patience.Token);
            var stream = new NetworkStream(tcp, ownsSocket: true);
            var request = $"GET {path} HTTP/1.1\r\nHost: {address.Authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            await stream.WriteAsync(Encoding.ASCII.GetBytes(request), patience.Token);
            var head = await ReadHead(stream, patience.Token);
            if (!head.StartsWith("HTTP/1.1 101", StringComparison.Ordinal))
            {
                throw new IOException(head);
            }

            var socket = WebSocket.CreateFromStream(stream, new WebSocketCreationOptions { IsServer = false, KeepAliveInterval = TimeSpan.Zero });
            return new WebSocketLink(tcp, socket, options);
        }
        catch
        {
            tcp.Dispose();
            throw;
        }
    }

    public async Task Send(string text)
    {
        await _sending.WaitAsync();
        try
        {
            await _socket.SendAsync(Encoding.UTF8.GetBytes(text), WebSocketMessageType.Text, true, CancellationToken.None);
        }
        finally
        {
            _sending.Release();
        }
    }

    public async Task<string?> Receive()
    {
        _message.SetLength(0);
        try
        {
            while (true)
            {
                var result = await _socket.ReceiveAsync(_buffer, CancellationToken.None);
                if (result.MessageType == WebSocketMessageType.Close)
                {
                    await _socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None);
                    return null;
                }

                _message.Write(_buffer, 0, result.Count);
                await Slow(result.Count);
                if (result.EndOfMessage)
                {
                    return Encoding.UTF8.GetString(_message.GetBuffer(), 0, (int)_message.Length);
                }
            }
        }
        catch (Exception e) when (e is WebSocketException or IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            return null;
        }
    }

    public void Abort()
    {
        // A reset, as a cut cable or a killed browser shows.
        try
        {
            _tcp.LingerState = new LingerOption(true, 0);
        }
        catch (ObjectDisposedException)
        {
            // The connection is gone already.
        }

        _socket.Abort();
        _tcp.Dispose();
    }

    public ValueTask DisposeAsync()
    {
        _socket.Abort();
        _socket.Dispose();
        _tcp.Dispose();
        _message.Dispose();
        _sending.Dispose();
        return ValueTask.CompletedTask;
    }

    private static async Task<string> ReadHead(NetworkStream stream, CancellationToken cancellationToken)
    {
        // To the empty line and no further: what follows is the WebSocket's.
        var head = new StringBuilder();
        var one = new byte[1];
        while (head.Length < 65_536 && await stream.ReadAsync(one, cancellationToken) == 1)
        {
            head.Append((char)one[0]);
            if (one[0] == '\n' && head.Length >= 4 && head[^2] == '\r' && head[^3] == '\n')
            {
                break;
            }
        }

        return head.ToString();
    }

    private async Task Slow(int bytes)
    {
        _read += bytes;
        if (_options.BytesPerSecond <= 0 || _isHurried)
        {
            return;
        }

        _startedReading = _startedReading == 0 ? TimeProvider.System.GetTimestamp() : _startedReading;
        var ahead = TimeSpan.FromSeconds((double)_read / _options.BytesPerSecond) - TimeProvider.System.GetElapsedTime(_startedReading);
        if (ahead > TimeSpan.FromMilliseconds(1))
        {
            await Task.Delay(ahead, TimeProvider.System);
        }
    }
}
