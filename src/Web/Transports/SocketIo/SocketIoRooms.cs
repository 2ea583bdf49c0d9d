namespace KlineOrleans.Web.Transports.SocketIo;

/// <summary>Who is in which room of a namespace. Thread safe.</summary>
internal sealed class SocketIoRooms
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Room> _rooms = new(StringComparer.Ordinal);
    private readonly Dictionary<SocketIoSocket, HashSet<string>> _memberships = [];

    /// <summary>Puts a socket into a room. False if it is there already, or has left the namespace.</summary>
    public bool Join(SocketIoSocket socket, string name)
    {
        lock (_gate)
        {
            // Under the lock: whoever leaves later finds the room here and takes the socket out of it.
            if (!socket.IsConnected)
                return false;

            if (!_memberships.TryGetValue(socket, out var names))
                _memberships[socket] = names = new HashSet<string>(StringComparer.Ordinal);
            if (!names.Add(name))
                return false;

            if (!_rooms.TryGetValue(name, out var room))
                _rooms[name] = room = new Room();
            room.Add(socket);
            return true;
        }
    }

    public bool Leave(SocketIoSocket socket, string name)
    {
        lock (_gate)
        {
            if (!_memberships.TryGetValue(socket, out var names) || !names.Remove(name))
                return false;

            if (names.Count == 0)
                _memberships.Remove(socket);
            Take(socket, name);
            return true;
        }
    }

    public void LeaveAll(SocketIoSocket socket)
    {
        lock (_gate)
        {
            if (!_memberships.Remove(socket, out var names))
                return;

            foreach (var name in names)
                Take(socket, name);
        }
    }

    public IReadOnlyCollection<string> Of(SocketIoSocket socket)
    {
        lock (_gate)
            return _memberships.TryGetValue(socket, out var names) ? [.. names] : [];
    }

    /// <summary>The sockets of a room now. Shared: do not change it.</summary>
    public SocketIoSocket[] In(string name)
    {
        lock (_gate)
            return _rooms.TryGetValue(name, out var room) ? room.Sockets : [];
    }

    /// <summary>Rooms that somebody is in.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
                return _rooms.Count;
        }
    }

    private void Take(SocketIoSocket socket, string name)
    {
        var room = _rooms[name];
        room.Remove(socket);
        if (room.IsEmpty)
            _rooms.Remove(name);
    }

    private sealed class Room
    {
        private readonly HashSet<SocketIoSocket> _sockets = [];

        // Broadcasts are many and changes few; and a broadcast may end a slow socket, which changes the set.
        private SocketIoSocket[]? _snapshot;

        public bool IsEmpty => _sockets.Count == 0;

        public SocketIoSocket[] Sockets => _snapshot ??= [.. _sockets];

        public void Add(SocketIoSocket socket)
        {
            _sockets.Add(socket);
            _snapshot = null;
        }

        public void Remove(SocketIoSocket socket)
        {
            _sockets.Remove(socket);
            _snapshot = null;
        }
    }
}
