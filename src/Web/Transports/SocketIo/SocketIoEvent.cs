using System.Text.Json;
using KlineOrleans.Protocol.SocketIo;
using KlineOrleans.Web.Transports.EngineIo;

namespace KlineOrleans.Web.Transports.SocketIo;

/// <summary>An event from a client. Owns its memory, so a handler may keep it. Not thread safe.</summary>
public sealed class SocketIoEvent
{
    private readonly SocketIoSocket _socket;
    private readonly byte[] _payload;
    private readonly Range _arguments;
    private readonly ulong? _ackId;
    private List<Range>? _items;
    private bool _acknowledged;

    internal SocketIoEvent(SocketIoSocket socket, string name, byte[] payload, Range arguments, ulong? ackId, byte[][] attachments)
    {
        _socket = socket;
        _payload = payload;
        _arguments = arguments;
        _ackId = ackId;
        Name = name;
        Attachments = Array.ConvertAll(attachments, static a => new ReadOnlyMemory<byte>(a));
    }

    /// <summary>The event's name.</summary>
    public string Name { get; }

    /// <summary>All arguments as the client wrote them: JSON values joined by commas, valid and bounded in depth; empty for none.</summary>
    public ReadOnlyMemory<byte> RawArguments => _payload.AsMemory(_arguments);

    /// <summary>Binary data, to which placeholders in the arguments refer by number.</summary>
    public IReadOnlyList<ReadOnlyMemory<byte>> Attachments { get; }

    /// <summary>Whether the client waits for an acknowledgement.</summary>
    public bool WantsAck => _ackId is not null;

    /// <summary>How many arguments there are.</summary>
    public int Count => Items.Count - 1;

    private List<Range> Items
    {
        get
        {
            if (_items is null)
            {
                var items = new List<Range>(4);
                EventPayload.ReadItems(_payload, items);
                _items = items;
            }

            return _items;
        }
    }

    /// <summary>One argument as JSON; <c>null</c> in JSON where there are fewer.</summary>
    public ReadOnlyMemory<byte> Raw(int index) => index < Count ? _payload.AsMemory(Items[index + 1]) : "null"u8.ToArray();

    /// <summary>One argument as a value.</summary>
    /// <returns>False where there is no such argument or it is not a <typeparamref name="T"/>: what a client sends is its own affair.</returns>
    public bool TryGet<T>(int index, out T? value)
    {
        value = default;
        if (index >= Count)
            return false;

        try
        {
            value = JsonSerializer.Deserialize<T>(Raw(index).Span, _socket.Json);
            return true;
        }
        catch (Exception e) when (e is JsonException or NotSupportedException or InvalidOperationException)
        {
            return false;
        }
    }

    /// <summary>The binary data that an argument stands for.</summary>
    public bool TryGetBinary(int index, out ReadOnlyMemory<byte> data)
    {
        data = default;
        if (index >= Count || !EventPayload.TryReadPlaceholder(Raw(index).Span, out var number) || (uint)number >= (uint)Attachments.Count)
            return false;

        data = Attachments[number];
        return true;
    }

    /// <summary>Answers with JSON values joined by commas. Without effect if the client does not wait, or was answered.</summary>
    public SendResult AckRaw(ReadOnlySpan<byte> arguments, ReadOnlySpan<ReadOnlyMemory<byte>> attachments = default)
    {
        if (_ackId is not { } id || _acknowledged)
            return SendResult.Dropped;

        _acknowledged = true;
        return _socket.Send(SocketIoPacket.Ack(_socket.Namespace, id, arguments, attachments));
    }

    /// <summary>Answers with one value. Without effect if the client does not wait, or was answered.</summary>
    public SendResult Ack<T>(T value) => AckRaw(JsonSerializer.SerializeToUtf8Bytes(value, _socket.Json));
}
