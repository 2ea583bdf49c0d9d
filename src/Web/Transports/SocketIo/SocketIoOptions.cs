using System.Text.Encodings.Web;
using System.Text.Json;
using KlineOrleans.Web.Transports.EngineIo;

namespace KlineOrleans.Web.Transports.SocketIo;

/// <summary>A Socket.IO endpoint in the making: its options and its namespaces. Read when the endpoint is mapped; later changes have no effect.</summary>
public sealed class SocketIoOptions
{
    private readonly Dictionary<string, SocketIoNamespace> _namespaces = new(StringComparer.Ordinal);

    /// <summary>The transport's options.</summary>
    public EngineIoOptions Engine { get; } = new();

    /// <summary>Time from a session's beginning in which its client must join a namespace. Default: 45 seconds.</summary>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(45);

    /// <summary>Binary attachments of one packet, from 1. Default: 10.</summary>
    public int MaxAttachments { get; set; } = 10;

    /// <summary>Bytes of all attachments of one packet together. Default: 4 MiB.</summary>
    public long MaxAttachmentBytes { get; set; } = 4 * 1024 * 1024;

    /// <summary>How deep JSON from a client may be nested, the outer array included, from 1 to 63. Default: 16.</summary>
    public int MaxJsonDepth { get; set; } = 16;

    /// <summary>Packets of one client that may wait for a handler before its transport is read no further. From 1. Default: 64.</summary>
    public int MaxQueuedPackets { get; set; } = 64;

    /// <summary>How the typed helpers read and write JSON. Default: the web defaults, without needless escapes.</summary>
    public JsonSerializerOptions Json { get; set; } = new(JsonSerializerDefaults.Web) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The namespaces by name.</summary>
    public IReadOnlyDictionary<string, SocketIoNamespace> Namespaces => _namespaces;

    /// <summary>Adds a namespace, or goes on describing one. A client that asks for another is refused with <c>Invalid namespace</c>.</summary>
    /// <param name="name">With its slash, as in <c>/chat</c>; the main namespace is <c>/</c>.</param>
    /// <exception cref="ArgumentException">The name has no slash in front, or has a comma or question mark.</exception>
    public SocketIoNamespace Namespace(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (name[0] != '/' || name.AsSpan().ContainsAny(',', '?'))
            throw new ArgumentException($"'{name}' is no namespace; it begins with a slash and has neither comma nor question mark.", nameof(name));

        if (!_namespaces.TryGetValue(name, out var found))
            _namespaces[name] = found = new SocketIoNamespace(name, this);
        return found;
    }

    internal void Validate()
    {
        Engine.Validate();
        Require(ConnectTimeout > TimeSpan.Zero, nameof(ConnectTimeout), ConnectTimeout, "more than 0");
        Require(MaxAttachments is >= 1 and <= 1000, nameof(MaxAttachments), MaxAttachments, "1 to 1000");
        Require(MaxAttachmentBytes >= 1, nameof(MaxAttachmentBytes), MaxAttachmentBytes, "at least 1");
        Require(MaxJsonDepth is >= 1 and <= 63, nameof(MaxJsonDepth), MaxJsonDepth, "1 to 63");
        Require(MaxQueuedPackets >= 1, nameof(MaxQueuedPackets), MaxQueuedPackets, "at least 1");

        static void Require(bool condition, string name, object value, string allowed)
        {
            if (!condition)
                throw new ArgumentException($"{name} is {value}; allowed: {allowed}.", name);
        }
    }
}
