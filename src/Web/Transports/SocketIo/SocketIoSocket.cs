using System.Collections.Concurrent;
using System.Text.Json;
using KlineOrleans.Web.Transports.EngineIo;

namespace KlineOrleans.Web.Transports.SocketIo;

/// <summary>The answer of a client to an event.</summary>
/// <param name="RawArguments">JSON values joined by commas, without brackets.</param>
/// <param name="Attachments">Binary data, to which placeholders refer by number.</param>
public sealed record SocketIoAck(ReadOnlyMemory<byte> RawArguments, IReadOnlyList<ReadOnlyMemory<byte>> Attachments);

/// <summary>One client in one namespace. Thread safe.</summary>
/// <remarks>Messages are delivered in order and at most once; nothing is kept for a client that has gone.</remarks>
public sealed class SocketIoSocket
{
    private readonly SocketIoConnection _connection;
    private ConcurrentDictionary<ulong, TaskCompletionSource<SocketIoAck>>? _acks;
    private ulong _lastAckId;
    private int _state;

    internal SocketIoSocket(SocketIoConnection connection, SocketIoNamespace ns, ReadOnlyMemory<byte> auth)
    {
        _connection = connection;
        Namespace = ns;
        Auth = auth;

        // Not the session's id, which is a secret between the client's transport and us.
        Id = EngineIoServer.NewId();
    }

    /// <summary>The socket's id, which its client knows too. Not secret.</summary>
    public string Id { get; }

    /// <summary>The namespace.</summary>
    public SocketIoNamespace Namespace { get; }

    /// <summary>What the client sent along when it joined: a JSON object, or empty.</summary>
    public ReadOnlyMemory<byte> Auth { get; }

    /// <summary>The transport session, which several namespaces share.</summary>
    public EngineIoSession Session => _connection.Session;

    /// <summary>The application's own object for this socket.</summary>
    public object? State { get; set; }

    /// <summary>Whether the socket is in its namespace.</summary>
    public bool IsConnected => Volatile.Read(ref _state) == Joined;

    /// <summary>The rooms that the socket is in, at this moment.</summary>
    public IReadOnlyCollection<string> Rooms => Namespace.Rooms.Of(this);

    internal JsonSerializerOptions Json => _connection.Options.Json;

    private const int New = 0;
    private const int Joined = 1;
    private const int Left = 2;

    /// <summary>Sends an encoded packet of this namespace.</summary>
    /// <inheritdoc cref="EngineIoSession.Send(EngineIoFrame, ReadOnlyMemory{byte}, object?)" path="/param"/>
    public SendResult Send(SocketIoPacket packet, ReadOnlyMemory<byte> middle = default, object? key = null)
    {
        ArgumentNullException.ThrowIfNull(packet);
        if (!IsConnected)
            return SendResult.Closed;

        return packet.All is { } all ? Session.Send(all) : Session.Send(packet.Frame, middle, key);
    }

    /// <summary>Sends an event with one argument.</summary>
    public SendResult Emit<T>(string name, T argument) => EmitRaw(name, JsonSerializer.SerializeToUtf8Bytes(argument, Json));

    /// <summary>Sends an event with arguments that are JSON already, joined by commas.</summary>
    /// <inheritdoc cref="SocketIoPacket.Event" path="/param"/>
    public SendResult EmitRaw(string name, ReadOnlySpan<byte> arguments, ReadOnlySpan<ReadOnlyMemory<byte>> attachments = default) =>
        IsConnected ? Send(SocketIoPacket.Event(Namespace.Name, name, arguments, attachments)) : SendResult.Closed;

    /// <summary>Sends an event and waits for the client's answer.</summary>
    /// <param name="timeout">How long to wait.</param>
    /// <exception cref="TimeoutException">No answer came in time.</exception>
    /// <exception cref="OperationCanceledException">The socket left, or <paramref name="cancellation"/> was signalled.</exception>
    public async Task<SocketIoAck> EmitWithAckAsync(string name, ReadOnlyMemory<byte> arguments, TimeSpan timeout, CancellationToken cancellation = default)
    {
        var acks = LazyInitializer.EnsureInitialized(ref _acks, static () => new ConcurrentDictionary<ulong, TaskCompletionSource<SocketIoAck>>());
        var id = Interlocked.Increment(ref _lastAckId);
        var answer = new TaskCompletionSource<SocketIoAck>(TaskCreationOptions.RunContinuationsAsynchronously);
        acks[id] = answer;
        try
        {
            if (Send(SocketIoPacket.EventWithAck(Namespace, id, name, arguments.Span, default)) > SendResult.Conflated || !IsConnected)
                throw new OperationCanceledException($"Socket {Id} is not connected.");

            return await answer.Task.WaitAsync(timeout, Session.Server.Time, cancellation);
        }
        finally
        {
            acks.TryRemove(id, out _);
        }
    }

    /// <summary>Joins a room of the namespace, to which <see cref="SocketIoNamespace.Emit"/> can send. The socket leaves all its rooms when it leaves the namespace.</summary>
    /// <returns>False if it is in the room already, or has left the namespace.</returns>
    public bool Join(string room)
    {
        ArgumentNullException.ThrowIfNull(room);
        return Namespace.Rooms.Join(this, room);
    }

    /// <summary>Leaves a room.</summary>
    /// <returns>False if it is not in the room.</returns>
    public bool Leave(string room)
    {
        ArgumentNullException.ThrowIfNull(room);
        return Namespace.Rooms.Leave(this, room);
    }

    /// <summary>Removes the socket from its namespace.</summary>
    /// <remarks>A JavaScript client does not come back by itself after this. To make one start afresh, close its <see cref="Session"/> instead.</remarks>
    /// <param name="closeConnection">Whether to close the connection too, and with it the client's sockets in other namespaces.</param>
    public void Disconnect(bool closeConnection = false)
    {
        if (IsConnected)
            Session.Send(SocketIoPacket.Disconnect(Namespace));
        _connection.Remove(this);
        if (closeConnection)
            Session.Close();
    }

    /// <summary>Joins, and says so to the client.</summary>
    internal bool TryJoin()
    {
        // The consent must be in the queue before anybody can send.
        if (Session.Send(SocketIoPacket.Connect(Namespace, Id)) > SendResult.Conflated)
            return false;

        if (Interlocked.CompareExchange(ref _state, Joined, New) != New)
            return false;

        Namespace.Add(this);

        // It may have gone between the two.
        if (!IsConnected || Session.IsClosed)
            Namespace.Remove(this);
        return true;
    }

    /// <summary>Marks the socket as gone.</summary>
    /// <returns>Whether it had joined and this call was the first.</returns>
    internal bool TryLeave()
    {
        var before = Interlocked.Exchange(ref _state, Left);
        if (before != Joined)
            return false;

        Abandon();
        return true;
    }

    /// <summary>Nothing more reaches the client: out of the set of sockets, and nobody waits for an answer any longer.</summary>
    internal void Abandon()
    {
        Namespace.Remove(this);
        if (_acks is not { } acks)
            return;

        foreach (var (id, answer) in acks)
        {
            if (acks.TryRemove(id, out _))
                answer.TrySetCanceled();
        }
    }

    internal void TakeAck(ulong id, byte[] payload, byte[][] attachments)
    {
        // Unknown: answered before, given up on, or never asked. All harmless.
        if (_acks is { } acks && acks.TryRemove(id, out var answer))
            answer.TrySetResult(new SocketIoAck(payload.AsMemory(1, payload.Length - 2), Array.ConvertAll(attachments, static a => new ReadOnlyMemory<byte>(a))));
    }
}
