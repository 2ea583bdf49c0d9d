using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using System.Threading.Channels;

namespace KlineOrleans.Web.Tests;

/// <summary>A small SignalR client: JSON protocol over one WebSocket, everything that arrives in order.</summary>
internal sealed class HubClient : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private readonly ClientWebSocket _socket;
    private readonly Channel<JsonElement> _messages = Channel.CreateUnbounded<JsonElement>();
    private readonly List<JsonElement> _kept = [];
    private Task _reading = Task.CompletedTask;
    private int _calls;

    private HubClient(ClientWebSocket socket) => _socket = socket;

    public static async Task<HubClient> Connect(WebHost host, string? origin = null, bool read = true, string? key = null, string? query = null)
    {
        var socket = new ClientWebSocket();
        if (origin is not null)
        {
            socket.Options.SetRequestHeader("Origin", origin);
        }

        if (key is not null)
        {
            socket.Options.SetRequestHeader("Authorization", "Bearer " + key);
        }

        await socket.ConnectAsync(new UriBuilder(host.Address) { Scheme = "ws", Path = "/hubs/kline", Query = query }.Uri, CancellationToken.None);
        var client = new HubClient(socket);
        await client.SendText("""{"protocol":"json","version":1}""");
        var buffer = new byte[16];
        var result = await socket.ReceiveAsync(buffer, CancellationToken.None);
        Assert.Equal("{}\x1e", Encoding.UTF8.GetString(buffer, 0, result.Count));
        if (read)
        {
            client._reading = client.Read();
        }

        return client;
    }

    public Task SendText(string json) => _socket.SendAsync(Encoding.UTF8.GetBytes(json + "\x1e"), WebSocketMessageType.Text, true, CancellationToken.None);

    /// <summary>Calls a method and returns its completion; what arrived before it is kept for <see cref="Next"/>.</summary>
    public async Task<JsonElement> Call(string method, params string[] arguments)
    {
        var id = (++_calls).ToString(System.Globalization.CultureInfo.InvariantCulture);
        await SendText($$"""{"type":1,"invocationId":"{{id}}","target":"{{method}}","arguments":[{{string.Join(',', arguments)}}]}""");
        return await Completion(id);
    }

    public async Task<JsonElement> Result(string method, params string[] arguments)
    {
        var completion = await Call(method, arguments);
        Assert.False(completion.TryGetProperty("error", out var error), error.ToString());
        return completion.GetProperty("result");
    }

    public async Task<string> Error(string method, params string[] arguments)
    {
        var completion = await Call(method, arguments);
        Assert.True(completion.TryGetProperty("error", out var error), completion.ToString());
        return error.GetString()!;
    }

    public async Task<JsonElement> Completion(string id)
    {
        while (true)
        {
            var message = await Receive();
            if (message.GetProperty("type").GetInt32() == 3 && message.GetProperty("invocationId").GetString() == id)
            {
                return message;
            }

            _kept.Add(message);
        }
    }

    /// <summary>The argument of the next call of a client method.</summary>
    public async Task<JsonElement> Next(string target)
    {
        for (var i = 0; i < _kept.Count; i++)
        {
            if (Matches(_kept[i]))
            {
                var found = _kept[i];
                _kept.RemoveAt(i);
                return found.GetProperty("arguments")[0];
            }
        }

        while (true)
        {
            var message = await Receive();
            if (Matches(message))
            {
                return message.GetProperty("arguments")[0];
            }

            _kept.Add(message);
        }

        bool Matches(JsonElement message) => message.GetProperty("type").GetInt32() == 1 && message.GetProperty("target").GetString() == target;
    }

    /// <summary>The next item or the completion of a stream.</summary>
    public async Task<JsonElement> NextOf(string id)
    {
        while (true)
        {
            var message = await Receive();
            if (message.TryGetProperty("invocationId", out var of) && of.GetString() == id)
            {
                return message;
            }
        }
    }

    /// <summary>The next message of any kind; fails when the connection has closed.</summary>
    public async Task<JsonElement> Receive()
    {
        using var patience = new CancellationTokenSource(Patience);
        return await _messages.Reader.ReadAsync(patience.Token);
    }

    /// <summary>Waits until the server closes the connection.</summary>
    public Task Closed() => _reading.WaitAsync(Patience);

    /// <summary>What arrived and nobody asked for.</summary>
    public List<JsonElement> Rest()
    {
        while (_messages.Reader.TryRead(out var message))
        {
            _kept.Add(message);
        }

        return _kept;
    }

    public void StartReading() => _reading = Read();

    public async ValueTask DisposeAsync()
    {
        _socket.Abort();
        await _reading;
        _socket.Dispose();
    }

    private async Task Read()
    {
        var buffer = new byte[65_536];
        var text = new MemoryStream();
        try
        {
            while (true)
            {
                var result = await _socket.ReceiveAsync(buffer, CancellationToken.None);
                if (result.MessageType == WebSocketMessageType.Close)
                {
                    break;
                }

                foreach (var b in buffer.AsSpan(0, result.Count))
                {
                    if (b != 0x1e)
                    {
                        text.WriteByte(b);
                        continue;
                    }

                    using var json = JsonDocument.Parse(text.ToArray());
                    text.SetLength(0);
                    if (json.RootElement.GetProperty("type").GetInt32() != 6)
                    {
                        _messages.Writer.TryWrite(json.RootElement.Clone());
                    }
                }
            }
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException or ObjectDisposedException)
        {
            // The connection is gone, which is what the test wanted or will notice.
        }
        finally
        {
            _messages.Writer.TryComplete();
        }
    }
}
