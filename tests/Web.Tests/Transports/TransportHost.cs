using System.Buffers;
using System.Net;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using System.Threading.Channels;
using KlineOrleans.Testing;
using KlineOrleans.Web.Transports.EngineIo;
using KlineOrleans.Web.Transports.SocketIo;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Web.Tests.Transports;

/// <summary>A Kestrel server on a free port of the loopback interface, whose clock moves only when told, and a client for it.</summary>
internal sealed class TransportHost : IAsyncDisposable
{
    /// <summary>Only to end a test that would otherwise hang.</summary>
    public static readonly TimeSpan Safety = TimeSpan.FromSeconds(30);

    private readonly WebApplication _app;
    private readonly string _path;

    private TransportHost(WebApplication app, ManualTimeProvider clock, string path)
    {
        Requests = app.Services.GetRequiredService<RequestKeeper>();
        Log = app.Services.GetRequiredService<LogKeeper>();
        _app = app;
        _path = path;
        Clock = clock;
        Url = app.Urls.First();
        Http = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 1000 }) { Timeout = Safety };
    }

    public ManualTimeProvider Clock { get; }

    public string Url { get; }

    public HttpClient Http { get; }

    /// <summary>The requests that the server is busy with, WebSockets among them.</summary>
    public RequestKeeper Requests { get; }

    /// <summary>What the server logs as a warning or worse.</summary>
    public LogKeeper Log { get; }

    public EchoHandler Echo { get; private init; } = null!;

    public EngineIoServer Engine { get; private set; } = null!;

    public static async Task<TransportHost> StartEngineAsync(Action<EngineIoOptions>? configure = null)
    {
        var (app, clock) = Create();
        var echo = new EchoHandler();
        var options = Calm(new EngineIoOptions());
        configure?.Invoke(options);
        EngineIoEndpoints.Map(app, "/engine.io/", echo, options, out var engine);
        await app.StartAsync();
        return new TransportHost(app, clock, "/engine.io/") { Echo = echo, Engine = engine };
    }

    public static async Task<TransportHost> StartSocketAsync(Action<SocketIoOptions> configure)
    {
        var (app, clock) = Create();
        app.MapSocketIo("/socket.io", io =>
        {
            Calm(io.Engine);
            configure(io);
        });
        await app.StartAsync();
        var engine = app.Services.GetServices<EndpointDataSource>().Concat(((IEndpointRouteBuilder)app).DataSources)
            .SelectMany(s => s.Endpoints).Select(e => e.Metadata.GetMetadata<EngineIoServer>()).First(e => e is not null)!;
        return new TransportHost(app, clock, "/socket.io/") { Engine = engine };
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _app.StopAsync(new CancellationToken(canceled: true));
        await _app.DisposeAsync();
    }

    public Task StopAsync() => _app.StopAsync();

    public Uri Query(string query) => new($"{Url}{_path}?{query}");

    public async Task<Answer> SendAsync(HttpMethod method, string query, HttpContent? content = null, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(method, Query(query)) { Content = content };
        foreach (var (name, value) in headers)
            request.Headers.TryAddWithoutValidation(name, value);
        using var response = await Http.SendAsync(request);
        return new Answer(
            response.StatusCode,
            await response.Content.ReadAsStringAsync(),
            response.Headers.Concat(response.Content.Headers).ToDictionary(h => h.Key, h => string.Join(", ", h.Value), StringComparer.OrdinalIgnoreCase));
    }

    public async Task<string> OpenAsync()
    {
        var answer = await SendAsync(HttpMethod.Get, "EIO=4&transport=polling");
        Assert.Equal(HttpStatusCode.OK, answer.Status);
        using var json = JsonDocument.Parse(answer.Body.AsMemory(1));
        return json.RootElement.GetProperty("sid").GetString()!;
    }

    public Task<Answer> PollAsync(string sid) => SendAsync(HttpMethod.Get, $"EIO=4&transport=polling&sid={sid}");

    public Task<Answer> PostAsync(string sid, string body) => SendAsync(HttpMethod.Post, $"EIO=4&transport=polling&sid={sid}", new StringContent(body));

    public async Task<Ws> ConnectAsync(string query = "EIO=4&transport=websocket", params (string Name, string Value)[] headers)
    {
        var socket = new ClientWebSocket();
        socket.Options.CollectHttpResponseDetails = true;
        foreach (var (name, value) in headers)
            socket.Options.SetRequestHeader(name, value);
        using var limit = new CancellationTokenSource(Safety, TimeProvider.System);
        await socket.ConnectAsync(new UriBuilder(Query(query)) { Scheme = "ws" }.Uri, limit.Token);
        return new Ws(socket);
    }

    /// <summary>A WebSocket that has read its handshake.</summary>
    public async Task<Ws> OpenWebSocketAsync()
    {
        var socket = await ConnectAsync();
        Assert.StartsWith("0{", await socket.ReadAsync(), StringComparison.Ordinal);
        return socket;
    }

    /// <summary>A polling session that has moved to a WebSocket.</summary>
    public async Task<Ws> UpgradeAsync(string sid)
    {
        var socket = await ConnectAsync($"EIO=4&transport=websocket&sid={sid}");
        await socket.SendAsync("2probe");
        Assert.Equal("3probe", await socket.ReadAsync());
        await socket.SendAsync("5");
        return socket;
    }

    private static (WebApplication App, ManualTimeProvider Clock) Create()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var clock = new ManualTimeProvider();
        builder.Services.AddSingleton<TimeProvider>(clock);
        var log = new LogKeeper();
        builder.Logging.AddProvider(log);
        builder.Services.AddSingleton(log);
        builder.Services.AddSingleton<RequestKeeper>();
        var app = builder.Build();
        app.Use(app.Services.GetRequiredService<RequestKeeper>().Watch);
        return (app, clock);
    }

    private static EngineIoOptions Calm(EngineIoOptions options)
    {
        options.PingInterval = TimeSpan.FromMilliseconds(300);
        options.PingTimeout = TimeSpan.FromMilliseconds(200);
        options.MaxPayload = 1_000_000;
        options.UpgradePollTime = TimeSpan.Zero;
        options.MaxSessionsPerAddress = 1000;
        return options;
    }
}

/// <summary>An HTTP answer.</summary>
internal sealed record Answer(HttpStatusCode Status, string Body, Dictionary<string, string> Headers)
{
    public int Code => (int)Status;
}

/// <summary>A WebSocket client that reads whole messages.</summary>
internal sealed class Ws(ClientWebSocket socket) : IDisposable
{
    public ClientWebSocket Socket => socket;

    public Task SendAsync(string text) => socket.SendAsync(Encoding.UTF8.GetBytes(text), WebSocketMessageType.Text, true, CancellationToken.None);

    public Task SendAsync(byte[] data) => socket.SendAsync(data, WebSocketMessageType.Binary, true, CancellationToken.None);

    /// <summary>The next message: text as it is, binary as <c>[hex]</c>, a close as <c>closed 1000</c>, a broken connection as <c>broken</c>.</summary>
    public async Task<string> ReadAsync()
    {
        using var limit = new CancellationTokenSource(TransportHost.Safety, TimeProvider.System);
        var buffer = new ArrayBufferWriter<byte>();
        try
        {
            while (true)
            {
                var result = await socket.ReceiveAsync(buffer.GetMemory(4096), limit.Token);
                if (result.MessageType == WebSocketMessageType.Close)
                {
                    await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, limit.Token);
                    return $"closed {(int?)socket.CloseStatus}";
                }

                buffer.Advance(result.Count);
                if (result.EndOfMessage)
                    return result.MessageType == WebSocketMessageType.Text ? Encoding.UTF8.GetString(buffer.WrittenSpan) : $"[{Convert.ToHexString(buffer.WrittenSpan)}]";
            }
        }
        catch (WebSocketException)
        {
            return "broken";
        }
    }

    public void Dispose() => socket.Dispose();
}

/// <summary>Echoes, and tells what happened.</summary>
internal sealed class EchoHandler : IEngineIoHandler
{
    private readonly Channel<EngineIoSession> _opened = Channel.CreateUnbounded<EngineIoSession>();
    private readonly Channel<CloseReason> _closed = Channel.CreateUnbounded<CloseReason>();

    public Func<EngineIoSession, string, ValueTask>? OnText { get; set; }

    public void OnOpen(EngineIoSession session) => _opened.Writer.TryWrite(session);

    public ValueTask OnTextAsync(EngineIoSession session, ReadOnlySequence<byte> message)
    {
        if (OnText is { } onText)
            return onText(session, Encoding.UTF8.GetString(message));
        session.Send(EngineIoFrame.Text(message.ToArray()));
        return ValueTask.CompletedTask;
    }

    public ValueTask OnBinaryAsync(EngineIoSession session, ReadOnlySequence<byte> data)
    {
        session.Send(EngineIoFrame.Binary(data.ToArray()));
        return ValueTask.CompletedTask;
    }

    public void OnClose(EngineIoSession session, CloseReason reason) => _closed.Writer.TryWrite(reason);

    public Task<EngineIoSession> OpenedAsync() => _opened.Reader.ReadAsync().AsTask().WaitAsync(TransportHost.Safety, TimeProvider.System);

    public Task<CloseReason> ClosedAsync() => _closed.Reader.ReadAsync().AsTask().WaitAsync(TransportHost.Safety, TimeProvider.System);
}
