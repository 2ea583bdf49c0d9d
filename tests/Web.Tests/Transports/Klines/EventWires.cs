using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using System.Threading.Channels;

namespace KlineOrleans.Web.Tests.Transports.Klines;

/// <summary>A client of a wire that has events: requests by name out, events by name in, whatever stands around them.</summary>
internal abstract class EventWire : IAsyncDisposable
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly Channel<string> _texts = Channel.CreateUnbounded<string>();
    private readonly ClientWebSocket _socket;
    private Task _reading = Task.CompletedTask;

    protected EventWire(ClientWebSocket socket) => _socket = socket;

    /// <summary>Every name there is for a wire that serves the events.</summary>
    public static TheoryData<string> All => ["/ws", "/", "/kline", "/ws/kline"];

    public WebSocketCloseStatus? CloseStatus => _socket.CloseStatus;

    public string? CloseReason => _socket.CloseStatusDescription;

    /// <summary>Connects to /ws, or to a Socket.IO namespace, and takes the greeting.</summary>
    public static async Task<EventWire> Connect(WebHost host, string wire, bool read = true)
    {
        var client = await Open(host, wire, read);
        if (read)
        {
            Assert.Equal("connection_success", (await client.Next()).Name);
        }

        return client;
    }

    public static async Task<EventWire> Open(WebHost host, string wire, bool read = true, string query = "", string auth = "")
    {
        if (wire == "/ws")
        {
            var raw = new RawWire(await Dial(host, "/ws", query));
            if (read)
            {
                raw.StartReading();
            }

            return raw;
        }

        var io = new SocketIoWireClient(await Dial(host, "/socket.io/", "EIO=4&transport=websocket" + (query.Length > 0 ? "&" + query : "")), wire);
        io.StartReading();
        Assert.StartsWith("0{", await io.Text(), StringComparison.Ordinal);
        await io.SendText("40" + io.Prefix + auth);
        if (auth.Length == 0)
        {
            Assert.StartsWith("40" + io.Prefix + "{\"sid\":", await io.Text(), StringComparison.Ordinal);
        }

        return io;
    }

    public static async Task<ClientWebSocket> Dial(WebHost host, string path, string query = "", string? origin = null, bool deflate = false)
    {
        var socket = new ClientWebSocket();
        socket.Options.CollectHttpResponseDetails = true;
        if (origin is not null)
        {
            socket.Options.SetRequestHeader("Origin", origin);
        }

        if (deflate)
        {
            socket.Options.DangerousDeflateOptions = new WebSocketDeflateOptions();
        }

        using var patience = new CancellationTokenSource(Patience);
        try
        {
            await socket.ConnectAsync(new UriBuilder(host.Address) { Scheme = "ws", Path = path, Query = query }.Uri, patience.Token);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Sends a request; <paramref name="payload"/> is its JSON.</summary>
    public abstract Task Request(string name, string payload);

    /// <summary>The event in a text that the server sent.</summary>
    protected abstract (string Name, JsonElement Data) Read(string text);

    /// <summary>The next event.</summary>
    public async Task<(string Name, JsonElement Data)> Next() => Read(await Text());

    /// <summary>The data of the next event, which must have this name.</summary>
    public async Task<JsonElement> Next(string name)
    {
        var (found, data) = await Next();
        Assert.True(found == name, $"expected {name}, got {found}: {data}");
        return data;
    }

    /// <summary>Subscribes and takes what comes before the confirmation.</summary>
    /// <returns>The history; undefined if the subscription resumed.</returns>
    public async Task<(JsonElement History, JsonElement Confirmed)> Subscribe(string payload, string name = "subscribe")
    {
        await Request(name, payload);
        JsonElement history = default;
        while (true)
        {
            var (found, data) = await Next();
            switch (found)
            {
                case "history_data":
                    history = data;
                    break;
                case "history_event_data":
                    break;
                default:
                    Assert.True(found == "subscription_confirmed", $"{found}: {data}");
                    return (history, data);
            }
        }
    }

    /// <summary>The next text that is no ping; fails when the connection has closed.</summary>
    public async Task<string> Text()
    {
        using var patience = new CancellationTokenSource(Patience);
        return await _texts.Reader.ReadAsync(patience.Token);
    }

    public Task SendText(string text) => _socket.SendAsync(Encoding.UTF8.GetBytes(text), WebSocketMessageType.Text, true, CancellationToken.None);

    public Task SendBinary(byte[] data) => _socket.SendAsync(data, WebSocketMessageType.Binary, true, CancellationToken.None);

    public Task SendPart(string text, bool end) => _socket.SendAsync(Encoding.UTF8.GetBytes(text), WebSocketMessageType.Text, end, CancellationToken.None);

    /// <summary>Waits until the server closes the connection.</summary>
    public Task Closed() => _reading.WaitAsync(Patience);

    /// <summary>What arrived and nobody asked for.</summary>
    public List<(string Name, JsonElement Data)> Rest()
    {
        List<(string, JsonElement)> rest = [];
        while (_texts.Reader.TryRead(out var text))
        {
            rest.Add(Read(text));
        }

        return rest;
    }

    public void StartReading() => _reading = ReadAll();

    public async ValueTask DisposeAsync()
    {
        _socket.Abort();
        await _reading;
        _socket.Dispose();
    }

    protected virtual Task<bool> IsControl(string text) => Task.FromResult(false);

    protected static JsonElement Parse(string json)
    {
        using var document = JsonDocument.Parse(json);
        return document.RootElement.Clone();
    }

    private async Task ReadAll()
    {
        var buffer = new byte[65_536];
        using var message = new MemoryStream();
        try
        {
            while (true)
            {
                var result = await _socket.ReceiveAsync(buffer, CancellationToken.None);
                if (result.MessageType == WebSocketMessageType.Close)
                {
                    await _socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None);
                    break;
                }

                message.Write(buffer, 0, result.Count);
                if (result.EndOfMessage)
                {
                    var text = Encoding.UTF8.GetString(message.GetBuffer(), 0, (int)message.Length);
                    message.SetLength(0);
                    if (!await IsControl(text))
                    {
                        _texts.Writer.TryWrite(text);
                    }
                }
            }
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            // The connection is gone, which is what the test wanted or will notice.
        }
        finally
        {
            _texts.Writer.TryComplete();
        }
    }
}

/// <summary>A client of /ws.</summary>
internal sealed class RawWire(ClientWebSocket socket) : EventWire(socket)
{
    public override Task Request(string name, string payload) =>
        SendText(payload.StartsWith('{') ? $"{{\"msg_type\":\"{name}\"{(payload.TrimEnd().Length > 2 ? "," : "")}{payload[1..]}" : payload);

    protected override (string Name, JsonElement Data) Read(string text)
    {
        var json = Parse(text);
        var name = json.GetProperty("type").GetString()!;
        if (name == "connection_success")
        {
            return (name, json);
        }

        Assert.True(json.GetProperty("timestamp").GetInt64() > 1_000_000_000_000);
        var data = json.GetProperty("data");
        if (name == "error")
        {
            Assert.Equal(json.GetProperty("code").GetInt32(), data.GetProperty("code").GetInt32());
            Assert.Equal(json.GetProperty("message").GetString(), data.GetProperty("message").GetString());
        }

        if (name.EndsWith("_confirmed", StringComparison.Ordinal))
        {
            Assert.Equal(name, data.GetProperty("type").GetString());
        }

        return (name, data);
    }
}

/// <summary>A client of a Socket.IO namespace, over one WebSocket.</summary>
internal sealed class SocketIoWireClient(ClientWebSocket socket, string ns) : EventWire(socket)
{
    private int _acks;

    public string Prefix => ns == "/" ? "" : ns + ",";

    public override Task Request(string name, string payload) => SendText($"42{Prefix}[\"{name}\"{(payload.Length == 0 ? "" : ",")}{payload}]");

    /// <summary>Sends a request and returns its acknowledgement, and the events that came before it.</summary>
    public async Task<(JsonElement Ack, List<(string Name, JsonElement Data)> Events)> Ask(string name, string payload)
    {
        var id = (++_acks).ToString(System.Globalization.CultureInfo.InvariantCulture);
        await SendText($"42{Prefix}{id}[\"{name}\"{(payload.Length == 0 ? "" : ",")}{payload}]");
        List<(string, JsonElement)> events = [];
        while (true)
        {
            var text = await Text();
            var head = "43" + Prefix + id;
            if (text.StartsWith(head, StringComparison.Ordinal))
            {
                return (Parse(text[head.Length..])[0], events);
            }

            events.Add(Read(text));
        }
    }

    protected override (string Name, JsonElement Data) Read(string text)
    {
        var head = "42" + Prefix;
        Assert.StartsWith(head, text, StringComparison.Ordinal);
        var json = Parse(text[head.Length..]);
        Assert.Equal(2, json.GetArrayLength());
        return (json[0].GetString()!, json[1]);
    }

    protected override async Task<bool> IsControl(string text)
    {
        if (text != "2")
        {
            return false;
        }

        await SendText("3");
        return true;
    }
}
