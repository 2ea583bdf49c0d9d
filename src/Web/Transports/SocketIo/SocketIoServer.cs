using System.Buffers;
using System.Text;
using KlineOrleans.Protocol.SocketIo;
using KlineOrleans.Web.Transports.EngineIo;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web.Transports.SocketIo;

/// <summary>Socket.IO over an Engine.IO endpoint: hands each session's messages to its <see cref="SocketIoConnection"/>.</summary>
internal sealed class SocketIoServer : IEngineIoHandler
{
    private readonly Dictionary<string, SocketIoNamespace>.AlternateLookup<ReadOnlySpan<char>> _namespaces;
    private readonly SocketIoNamespace? _main;

    public SocketIoServer(SocketIoOptions options, ILogger logger)
    {
        Options = options;
        Logger = logger;
        Reader = new SocketPacketReader(options.MaxAttachments, options.MaxJsonDepth);
        var namespaces = new Dictionary<string, SocketIoNamespace>(options.Namespaces, StringComparer.Ordinal);
        _namespaces = namespaces.GetAlternateLookup<ReadOnlySpan<char>>();
        _main = namespaces.GetValueOrDefault("/");
    }

    public SocketIoOptions Options { get; }

    public ILogger Logger { get; }

    public SocketPacketReader Reader { get; }

    /// <summary>The namespace of a packet, or null where there is none of that name.</summary>
    public SocketIoNamespace? FindNamespace(in ReadOnlySequence<byte> name)
    {
        if (name.IsEmpty)
            return _main;

        Span<char> text = stackalloc char[SocketPacketReader.MaxNamespaceLength];
        var length = Encoding.UTF8.GetChars(name, text);
        return _namespaces.TryGetValue(text[..length], out var found) ? found : null;
    }

    public void OnOpen(EngineIoSession session) => session.State = new SocketIoConnection(this, session);

    public ValueTask OnTextAsync(EngineIoSession session, ReadOnlySequence<byte> message) => Connection(session).OnTextAsync(message);

    public ValueTask OnBinaryAsync(EngineIoSession session, ReadOnlySequence<byte> data) => Connection(session).OnBinaryAsync(data);

    public void OnClose(EngineIoSession session, CloseReason reason) => (session.State as SocketIoConnection)?.OnClose(reason);

    private static SocketIoConnection Connection(EngineIoSession session) => (SocketIoConnection)session.State!;
}
