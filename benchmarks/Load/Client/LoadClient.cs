using System.Buffers;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace KlineOrleans.Benchmarks.Load;

/// <summary>One connection's state. Touched by the reading thread only, once it is added.</summary>
internal sealed class LoadConnection(int number, Socket socket, int firstSymbol)
{
    public int Number => number;

    public Socket Socket => socket;

    public int Fd { get; } = (int)socket.Handle;

    public int FirstSymbol => firstSymbol;

    public long[] LastSeq { get; set; } = [];

    public byte[]? Rest { get; set; }

    public int RestLength { get; set; }

    /// <summary>The beginning of a record whose end comes in a later frame.</summary>
    public byte[] Record { get; set; } = [];

    public int Subscribed { get; set; }

    public bool IsSlow { get; init; }

    public bool IsClosed { get; set; }
}

/// <summary>What a stretch of a run came to.</summary>
internal sealed record Measured(double Seconds, long Deliveries, long Bytes, long Gaps, long Disorder, int Closed, Histogram FromArrival, Histogram FromEncoding, double ClientCpu, double ServerCpu);

/// <summary>Many connections on one thread: epoll, raw sockets, frames cut by hand. About 0.1 to 0.2 microseconds a message.</summary>
internal sealed class LoadClient : IDisposable
{
    /// <summary>The feed's stamps are microseconds since 1970 modulo this, plus 1: a price must not be 0.</summary>
    public const long StampModulus = 10_000_000_000;

    private const int Ring = 4_096;

    private readonly LoadWire _wire;
    private readonly Uri _url;
    private readonly int _symbols;
    private readonly int _perConnection;
    private readonly string[] _intervals;
    private readonly byte[][] _intervalBytes;
    private readonly int _epoll = Native.EpollCreate();
    private readonly byte[] _buffer = new byte[1 << 18];
    private readonly long[][] _before;
    private readonly long[][] _after;
    private readonly Histogram _fromArrival = new();
    private readonly Histogram _fromEncoding = new();

    // Of the second that goes on.
    private readonly Histogram _recent = new();
    private readonly List<LoadConnection> _connections = [];
    private readonly Lock _lock = new();
    private readonly List<LoadConnection> _slow = [];
    private long _updates;
    private long _bytes;
    private long _gaps;
    private long _disorder;
    private int _errors;
    private int _closed;
    private int _live;
    private long _sampled;
    private volatile string? _firstError;

    public LoadClient(Uri url, LoadWire wire, int symbols, int perConnection, string[] intervals)
    {
        _url = url;
        _wire = wire;
        _symbols = symbols;
        _perConnection = perConnection;
        _intervals = intervals;
        _intervalBytes = [.. intervals.Select(Encoding.ASCII.GetBytes)];
        var rooms = symbols * (wire.HasRecords ? 1 : intervals.Length);
        _before = [.. Enumerable.Range(0, rooms).Select(_ => new long[Ring])];
        _after = [.. Enumerable.Range(0, rooms).Select(_ => new long[Ring])];
    }

    public int Live => _live;

    public int Open => _connections.Count - _closed;

    public int Errors => _errors;

    public int ServerPid { get; set; }

    /// <summary>Only connections with smaller numbers count for the latency of <see cref="Measured.FromArrival"/>.</summary>
    public int MeasuredBelow { get; set; } = int.MaxValue;

    public string? FirstError => _firstError;

    private int SubscriptionsEach => _perConnection * (_wire.HasRecords ? 1 : _intervals.Length);

    /// <summary>Opens connections in the background while the caller runs <see cref="Run"/>.</summary>
    /// <param name="slowShare">The share that reads 2 KB four times a second.</param>
    public Task Connect(int count, double slowShare, int connectors)
    {
        var next = _connections.Count - 1;
        var last = next + count;
        var slowEvery = slowShare <= 0 ? int.MaxValue : (int)Math.Round(1 / slowShare);
        return Task.WhenAll(Enumerable.Range(0, connectors).Select(_ => Task.Factory.StartNew(
            () =>
            {
                while (true)
                {
                    var number = Interlocked.Increment(ref next);
                    if (number > last)
                    {
                        return;
                    }

                    Add(number, isSlow: number % slowEvery == slowEvery - 1);
                }
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default)));
    }

    /// <summary>Closes a share of the connections, for a mass reconnect.</summary>
    public int CloseLast(int count)
    {
        lock (_lock)
        {
            var closed = _connections.TakeLast(count).ToList();
            foreach (var connection in closed)
            {
                // First: the thread that reads must not take it for closed by the server.
                if (connection.IsClosed)
                {
                    continue;
                }

                connection.IsClosed = true;
                Native.EpollRemove(_epoll, connection.Fd);
                connection.Socket.Dispose();
                if (connection.Subscribed >= SubscriptionsEach)
                {
                    _live--;
                }
            }

            _connections.RemoveRange(_connections.Count - closed.Count, closed.Count);
            return closed.Count;
        }
    }

    /// <summary>Reads until the time is over or <paramref name="until"/> says so, telling the progress each second.</summary>
    public Measured Run(TimeSpan time, Func<bool>? until = null, string? label = null)
    {
        _recent.Clear();
        _fromArrival.Clear();
        _fromEncoding.Clear();
        (_updates, _bytes, _gaps, _disorder) = (0, 0, 0, 0);
        var closedBefore = _closed;
        var clientBefore = ProcessFigures.Of(Environment.ProcessId);
        var serverBefore = ServerPid == 0 ? default : ProcessFigures.Of(ServerPid);
        var started = Stopwatch.GetTimestamp();
        var progress = TimeSpan.FromSeconds(1);
        var updatesAtProgress = 0L;
        var slowNext = TimeSpan.Zero;
        var keepAliveNext = TimeSpan.FromSeconds(15);
        var lastBeat = TimeSpan.Zero;
        Span<Native.EpollEvent> events = new Native.EpollEvent[512];
        while (true)
        {
            var elapsed = Stopwatch.GetElapsedTime(started);
            if (elapsed >= time || (until is not null && until()))
            {
                var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
                var arrival = new Histogram();
                arrival.Add(_fromArrival);
                arrival.Add(_recent);
                var encoding = new Histogram();
                encoding.Add(_fromEncoding);
                return new Measured(
                    seconds,
                    _updates,
                    _bytes,
                    _gaps,
                    _disorder,
                    _closed - closedBefore,
                    arrival,
                    encoding,
                    ProcessFigures.Of(Environment.ProcessId).CpuSeconds - clientBefore.CpuSeconds,
                    ServerPid == 0 ? 0 : ProcessFigures.Of(ServerPid).CpuSeconds - serverBefore.CpuSeconds);
            }

            if (elapsed >= progress)
            {
                if (label is not null)
                {
                    Console.Error.WriteLine($"  {label}: {elapsed.TotalSeconds,4:N0} s, {_updates - updatesAtProgress,9:N0} deliveries/s, p99 {_recent.Quantile(0.99),6:0.0} ms, {Open:N0} open, {_live:N0} live, {_gaps:N0} gaps");
                }

                _fromArrival.Add(_recent);
                _recent.Clear();
                progress += TimeSpan.FromSeconds(1);
                updatesAtProgress = _updates;
            }

            if (elapsed >= slowNext && _slow.Count > 0)
            {
                slowNext = elapsed + TimeSpan.FromMilliseconds(250);
                ReadSlowOnes();
            }

            if (elapsed - lastBeat >= keepAliveNext && _wire.KeepAlive.Length > 0)
            {
                lastBeat = elapsed;
                lock (_lock)
                {
                    _connections.ForEach(c => Native.Send(c.Fd, _wire.KeepAlive));
                }
            }

            var ready = Native.EpollWait(_epoll, events, 100);
            for (var i = 0; i < ready; i++)
            {
                if (Find(events[i].Data) is { IsClosed: false } connection)
                {
                    Read(connection, _buffer.Length / 2);
                }
            }
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _connections.ForEach(static c => c.Socket.Dispose());
        }
    }

    private readonly List<LoadConnection> _byId = [];

    private LoadConnection Find(long id)
    {
        lock (_byId)
        {
            return _byId[(int)id];
        }
    }

    private void Add(int number, bool isSlow)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            // Many addresses: as from many machines, and 28,000 ports for each.
            socket.Bind(new IPEndPoint(new IPAddress([127, 1, (byte)(1 + (number / 150 / 250 % 250)), (byte)(1 + (number / 150 % 250))]), 0));
            if (isSlow)
            {
                socket.ReceiveBufferSize = 4_096;
            }

            socket.Connect(IPAddress.Loopback, _url.Port);
            socket.Send(Encoding.ASCII.GetBytes($"GET {_wire.Path} HTTP/1.1\r\nHost: {_url.Authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"));
            socket.ReceiveTimeout = 60_000;
            var buffer = new byte[4_096];
            var length = 0;
            int end;
            while ((end = buffer.AsSpan(0, length).IndexOf("\r\n\r\n"u8)) < 0)
            {
                var read = socket.Receive(buffer.AsSpan(length));
                if (read == 0 || length + read == buffer.Length)
                {
                    throw new IOException($"the server closed: {Encoding.ASCII.GetString(buffer, 0, length)}");
                }

                length += read;
            }

            if (!buffer.AsSpan().StartsWith("HTTP/1.1 101"u8))
            {
                throw new IOException(Encoding.ASCII.GetString(buffer, 0, Math.Min(length, 300)));
            }

            var connection = new LoadConnection(number, socket, number * _perConnection % _symbols) { IsSlow = isSlow, LastSeq = new long[SubscriptionsEach] };
            if (_wire.First.Length > 0)
            {
                socket.Send(_wire.First);
            }

            var rest = length - end - 4;
            if (rest > 0)
            {
                connection.Rest = ArrayPool<byte>.Shared.Rent(rest);
                buffer.AsSpan(end + 4, rest).CopyTo(connection.Rest);
                connection.RestLength = rest;
            }

            int id;
            lock (_byId)
            {
                id = _byId.Count;
                _byId.Add(connection);
            }

            lock (_lock)
            {
                _connections.Add(connection);
                if (isSlow)
                {
                    _slow.Add(connection);
                }
            }

            // What came with the answer to the handshake may be the greeting, which wants an answer before anything more comes.
            if (_wire is RawWire)
            {
                Subscribe(connection);
            }

            if (!isSlow)
            {
                Native.EpollAdd(_epoll, connection.Fd, id);
            }
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            _firstError ??= e.Message;
            Interlocked.Increment(ref _errors);
            socket.Dispose();
        }
    }

    private void Subscribe(LoadConnection connection)
    {
        for (var i = 0; i < _perConnection; i++)
        {
            foreach (var frame in _wire.Subscribe(LoadNames.Symbol((connection.FirstSymbol + i) % _symbols), _intervals))
            {
                Native.Send(connection.Fd, frame);
            }
        }
    }

    private void ReadSlowOnes()
    {
        List<LoadConnection> slow;
        lock (_lock)
        {
            slow = [.. _slow];
        }

        foreach (var connection in slow)
        {
            if (!connection.IsClosed)
            {
                Read(connection, 2_048);
            }
        }
    }

    private void Read(LoadConnection connection, int most)
    {
        var offset = connection.RestLength;
        if (connection.Rest is { } rest)
        {
            rest.AsSpan(0, offset).CopyTo(_buffer);
            ArrayPool<byte>.Shared.Return(rest);
            connection.Rest = null;
            connection.RestLength = 0;
        }

        var read = Native.Receive(connection.Fd, _buffer.AsSpan(offset, most));
        if (read is 0 or -2)
        {
            Closed(connection);
            return;
        }

        var length = offset + Math.Max(0, read);
        _bytes += Math.Max(0, read);
        var now = TimeProvider.System.GetUtcNow().Ticks - DateTimeOffset.UnixEpoch.Ticks;
        var data = _buffer.AsSpan(0, length);
        while (data.Length >= 2)
        {
            int header = 2, size = data[1] & 0x7F;
            if (size == 126)
            {
                if (data.Length < 4)
                {
                    break;
                }

                header = 4;
                size = (data[2] << 8) | data[3];
            }
            else if (size == 127)
            {
                if (data.Length < 10)
                {
                    break;
                }

                header = 10;
                size = (int)System.Buffers.Binary.BinaryPrimitives.ReadInt64BigEndian(data[2..]);
            }

            if (data.Length < header + size)
            {
                break;
            }

            var body = data.Slice(header, size);
            switch (data[0] & 0x0F)
            {
                case 8:
                    Closed(connection);
                    return;
                case 9:
                    Native.Send(connection.Fd, LoadWire.Frame(Encoding.UTF8.GetString(body), 0x8A));
                    break;
                default:
                    Take(connection, body, now);
                    break;
            }

            data = data[(header + size)..];
        }

        if (data.Length > 0)
        {
            connection.Rest = ArrayPool<byte>.Shared.Rent(data.Length);
            data.CopyTo(connection.Rest);
            connection.RestLength = data.Length;
        }
    }

    private void Take(LoadConnection connection, ReadOnlySpan<byte> body, long now)
    {
        if (!_wire.HasRecords)
        {
            TakeMessage(connection, body, now);
            return;
        }

        if (connection.Record.Length > 0)
        {
            body = (byte[])[.. connection.Record, .. body];
            connection.Record = [];
        }

        while (body.Length > 0)
        {
            var end = body.IndexOf((byte)0x1E);
            if (end < 0)
            {
                connection.Record = body.ToArray();
                return;
            }

            TakeMessage(connection, body[..end], now);
            body = body[(end + 1)..];
        }
    }

    private void TakeMessage(LoadConnection connection, ReadOnlySpan<byte> message, long now)
    {
        switch (_wire.Kind(message))
        {
            case MessageKind.Update:
                TakeUpdate(connection, message, now / 10);
                break;
            case MessageKind.Ping:
                Native.Send(connection.Fd, _wire.Answer);
                break;
            case MessageKind.Ready when _wire is not RawWire:
                Subscribe(connection);
                break;
            case MessageKind.Subscribed:
                if (++connection.Subscribed == SubscriptionsEach)
                {
                    _live++;
                }

                break;
            case MessageKind.Error:
                _errors++;
                _firstError ??= Encoding.UTF8.GetString(message);
                break;
        }
    }

    private void TakeUpdate(LoadConnection connection, ReadOnlySpan<byte> message, long nowMicroseconds)
    {
        _updates++;
        _wire.Read(message, out var seq, out var stamp);
        var late = ((nowMicroseconds % StampModulus) - (stamp - 1) + StampModulus) % StampModulus;
        if (connection.Number < MeasuredBelow && !_wire.IsOfClock(message))
        {
            _recent.Record(late > StampModulus / 2 ? 0 : late);
        }

        if ((++_sampled & 15) == 0 && _wire is not BinaryWire)
        {
            var at = message.LastIndexOf(_wire.SentAt);
            if (at >= 0)
            {
                _fromEncoding.Record(Math.Max(0, nowMicroseconds - (LoadWire.Number(message[(at + _wire.SentAt.Length)..]) * 1000)));
            }
        }

        var place = 0;
        var room = connection.FirstSymbol;
        if (SubscriptionsEach > 1)
        {
            var symbol = _perConnection > 1 ? _wire.Symbol(message) : connection.FirstSymbol;
            var interval = 0;
            if (!_wire.HasRecords && _intervals.Length > 1)
            {
                var name = _wire.Interval(message);
                while (!name.SequenceEqual(_intervalBytes[interval]))
                {
                    interval++;
                }
            }

            var intervals = _wire.HasRecords ? 1 : _intervals.Length;
            place = ((symbol - connection.FirstSymbol + _symbols) % _symbols * intervals) + interval;
            room = (symbol * intervals) + interval;
        }

        ref var last = ref connection.LastSeq[place];
        if (last != 0 && seq > last)
        {
            Check(room, last, seq);
        }
        else if (seq < last)
        {
            _disorder++;
        }

        last = seq;
    }

    /// <summary>A hole is an update that another connection of the same room got between the same two.</summary>
    private void Check(int room, long last, long seq)
    {
        var slot = (int)(last % Ring);
        ref var next = ref _after[room][slot];
        if (_before[room][slot] != last)
        {
            _before[room][slot] = last;
            next = seq;
        }
        else if (next != seq)
        {
            _gaps++;
            next = Math.Min(next, seq);
        }
    }

    private void Closed(LoadConnection connection)
    {
        lock (_lock)
        {
            if (connection.IsClosed)
            {
                return;
            }

            connection.IsClosed = true;
            Native.EpollRemove(_epoll, connection.Fd);
            _closed++;
            if (connection.Subscribed >= SubscriptionsEach)
            {
                _live--;
            }
        }
    }
}
