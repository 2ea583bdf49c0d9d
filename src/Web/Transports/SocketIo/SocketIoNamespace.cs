using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using KlineOrleans.Web.Transports.EngineIo;

namespace KlineOrleans.Web.Transports.SocketIo;

/// <summary>A refusal of a client that wants to join a namespace. It ends as the client's <c>connect_error</c>.</summary>
/// <param name="Message">A sentence for the client.</param>
/// <param name="Data">More for the client, as JSON; empty for none.</param>
public sealed record SocketIoRefusal(string Message, ReadOnlyMemory<byte> Data = default);

/// <summary>A namespace: what happens to its sockets, and the sockets themselves.</summary>
/// <remarks>
/// Describe it before the endpoint is mapped. The handlers of one client run one after another in the order of its packets, and those of different clients at the same time.
/// A handler that throws is logged, and the socket lives on. The set of sockets is thread safe.
/// </remarks>
public sealed class SocketIoNamespace
{
    private readonly List<Func<SocketIoSocket, ValueTask<SocketIoRefusal?>>> _middleware = [];
    private readonly List<Func<SocketIoSocket, ValueTask>> _connect = [];
    private readonly List<Func<SocketIoSocket, SocketIoEvent, ValueTask>> _any = [];
    private readonly Dictionary<string, Func<SocketIoSocket, SocketIoEvent, ValueTask>> _events = new(StringComparer.Ordinal);
    private readonly List<Func<SocketIoSocket, SocketIoDisconnectReason, ValueTask>> _disconnect = [];
    private readonly ConcurrentDictionary<string, SocketIoSocket> _sockets = new(StringComparer.Ordinal);

    private readonly SocketIoOptions _options;

    internal SocketIoNamespace(string name, SocketIoOptions options)
    {
        _options = options;
        Name = name;
        Utf8Name = Encoding.UTF8.GetBytes(name);
    }

    /// <summary>The name, with its slash.</summary>
    public string Name { get; }

    /// <summary>The sockets that have joined, at about this moment.</summary>
    public ICollection<SocketIoSocket> Sockets => _sockets.Values;

    /// <summary>How many sockets have joined.</summary>
    public int Count => _sockets.Count;

    /// <summary>The sockets in a room, at this moment; none if nobody has joined it.</summary>
    public IReadOnlyCollection<SocketIoSocket> Room(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return Array.AsReadOnly(Rooms.In(name));
    }

    internal byte[] Utf8Name { get; }

    internal SocketIoRooms Rooms { get; } = new();

    /// <summary>Adds a check of each client that wants to join, in the order added; the first refusal counts. The socket cannot send yet.</summary>
    public SocketIoNamespace Use(Func<SocketIoSocket, ValueTask<SocketIoRefusal?>> check)
    {
        _middleware.Add(check);
        return this;
    }

    /// <summary>Adds what happens when a client has joined. Its consent has been sent: what the handler sends comes after it, and before the client's own events are looked at.</summary>
    public SocketIoNamespace OnConnect(Func<SocketIoSocket, ValueTask> handler)
    {
        _connect.Add(handler);
        return this;
    }

    /// <inheritdoc cref="OnConnect(Func{SocketIoSocket, ValueTask})"/>
    public SocketIoNamespace OnConnect(Action<SocketIoSocket> handler) => OnConnect(socket =>
    {
        handler(socket);
        return ValueTask.CompletedTask;
    });

    /// <summary>Sets what happens on an event of this name.</summary>
    /// <exception cref="ArgumentException">The event has a handler already.</exception>
    public SocketIoNamespace On(string name, Func<SocketIoSocket, SocketIoEvent, ValueTask> handler)
    {
        _events.Add(name, handler);
        return this;
    }

    /// <inheritdoc cref="On(string, Func{SocketIoSocket, SocketIoEvent, ValueTask})"/>
    public SocketIoNamespace On(string name, Action<SocketIoSocket, SocketIoEvent> handler) => On(name, (socket, e) =>
    {
        handler(socket, e);
        return ValueTask.CompletedTask;
    });

    /// <summary>Adds what happens on every event, known or not, before the event's own handler.</summary>
    public SocketIoNamespace OnAny(Func<SocketIoSocket, SocketIoEvent, ValueTask> handler)
    {
        _any.Add(handler);
        return this;
    }

    /// <summary>Adds what happens when a socket has left. Called once for each socket whose connect handlers have run, after its last event.</summary>
    public SocketIoNamespace OnDisconnect(Func<SocketIoSocket, SocketIoDisconnectReason, ValueTask> handler)
    {
        _disconnect.Add(handler);
        return this;
    }

    /// <inheritdoc cref="OnDisconnect(Func{SocketIoSocket, SocketIoDisconnectReason, ValueTask})"/>
    public SocketIoNamespace OnDisconnect(Action<SocketIoSocket, SocketIoDisconnectReason> handler) => OnDisconnect((socket, reason) =>
    {
        handler(socket, reason);
        return ValueTask.CompletedTask;
    });

    /// <summary>Encodes an event of this namespace, for one socket or many.</summary>
    /// <inheritdoc cref="SocketIoPacket.Event" path="/param"/>
    public SocketIoPacket Encode(string name, ReadOnlySpan<byte> arguments, ReadOnlySpan<ReadOnlyMemory<byte>> attachments = default) =>
        SocketIoPacket.Event(Name, name, arguments, attachments);

    /// <summary>Sends an event with one argument to a room, or to all sockets of this namespace. Encoded once, and not at all where nobody is.</summary>
    /// <param name="room">Null for all sockets of this namespace.</param>
    /// <param name="except">A socket that is left out, such as the one whose event this answers.</param>
    /// <returns>How many sockets took it.</returns>
    public int Emit<T>(string name, T argument, string? room = null, SocketIoSocket? except = null)
    {
        var targets = Targets(room, except);
        return targets.Count == 0 ? 0 : Broadcast(targets, Encode(name, JsonSerializer.SerializeToUtf8Bytes(argument, _options.Json)));
    }

    /// <summary>Sends an event whose arguments are JSON already, with binary data if any, to a room or to all sockets of this namespace.</summary>
    /// <inheritdoc cref="SocketIoPacket.Event" path="/param"/>
    /// <param name="room">Null for all sockets of this namespace.</param>
    /// <param name="except">A socket that is left out, such as the one whose event this answers.</param>
    /// <returns>How many sockets took it.</returns>
    public int EmitRaw(string name, ReadOnlySpan<byte> arguments, ReadOnlySpan<ReadOnlyMemory<byte>> attachments = default, string? room = null, SocketIoSocket? except = null)
    {
        var targets = Targets(room, except);
        return targets.Count == 0 ? 0 : Broadcast(targets, Encode(name, arguments, attachments));
    }

    /// <summary>Sends one encoded packet to sockets of this namespace, all sharing its bytes.</summary>
    /// <param name="key">See <see cref="EngineIoSession.Send(EngineIoFrame, ReadOnlyMemory{byte}, object?)"/>; ignored for a packet with attachments.</param>
    /// <returns>How many sockets took it.</returns>
    public static int Broadcast(IEnumerable<SocketIoSocket> sockets, SocketIoPacket packet, object? key = null)
    {
        ArgumentNullException.ThrowIfNull(sockets);
        var taken = 0;
        foreach (var socket in sockets)
        {
            if (socket.Send(packet, default, key) <= SendResult.Conflated)
                taken++;
        }

        return taken;
    }

    internal void Add(SocketIoSocket socket) => _sockets[socket.Id] = socket;

    internal void Remove(SocketIoSocket socket)
    {
        _sockets.TryRemove(new KeyValuePair<string, SocketIoSocket>(socket.Id, socket));
        Rooms.LeaveAll(socket);
    }

    internal async ValueTask<SocketIoRefusal?> CheckAsync(SocketIoSocket socket)
    {
        foreach (var check in _middleware)
        {
            if (await check(socket) is { } refusal)
                return refusal;
        }

        return null;
    }

    internal async ValueTask RunConnectAsync(SocketIoSocket socket)
    {
        foreach (var handler in _connect)
            await handler(socket);
    }

    internal async ValueTask RunEventAsync(SocketIoSocket socket, SocketIoEvent e)
    {
        foreach (var handler in _any)
            await handler(socket, e);

        // An event that nobody listens to is nobody's fault: front-ends send pings of their own.
        if (_events.TryGetValue(e.Name, out var named))
            await named(socket, e);
    }

    internal async ValueTask RunDisconnectAsync(SocketIoSocket socket, SocketIoDisconnectReason reason)
    {
        foreach (var handler in _disconnect)
            await handler(socket, reason);
    }

    private List<SocketIoSocket> Targets(string? room, SocketIoSocket? except)
    {
        List<SocketIoSocket> targets = [.. room is null ? _sockets.Values : Rooms.In(room)];
        if (except is not null)
            targets.Remove(except);
        return targets;
    }
}
