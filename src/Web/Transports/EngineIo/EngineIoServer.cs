using System.Buffers;
using System.Collections.Concurrent;
using System.IO.Compression;
using System.Net;
using System.Net.WebSockets;
using System.Security.Cryptography;
using KlineOrleans.Protocol.EngineIo;
using KlineOrleans.Web.Transports.Direct;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Primitives;

namespace KlineOrleans.Web.Transports.EngineIo;

/// <summary>An Engine.IO 4 endpoint: the table of its sessions, and the answer to each request.</summary>
/// <remarks>Thread safe. Created by <see cref="EngineIoEndpoints.MapEngineIo"/>; what a request may see is in docs of the Engine.IO protocol, version 4.</remarks>
public sealed class EngineIoServer : IDisposable
{
    private readonly ConcurrentDictionary<string, EngineIoSession> _sessions = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<IPAddress, int> _perAddress = new();
    private readonly OriginPolicy _origins;
    private readonly ILogger _logger;
    private int _open;
    private volatile bool _stopping;

    internal EngineIoServer(EngineIoOptions options, IEngineIoHandler handler, TimeProvider time, ILogger logger)
    {
        options.Validate();
        Options = options;
        Handler = handler;
        Time = time;
        _logger = logger;
        _origins = new OriginPolicy(options.AllowedOrigins, options.AllowCredentials);
        Deadlines = new DeadlineQueue(time);
        PingInterval = Deadlines.Ticks(options.PingInterval);
        PingTimeout = Deadlines.Ticks(options.PingTimeout);
        UpgradeTimeout = Deadlines.Ticks(options.UpgradeTimeout);
        UpgradePollTime = Deadlines.Ticks(options.UpgradePollTime);
        CloseTimeout = Deadlines.Ticks(options.CloseTimeout);
    }

    /// <summary>Counts since the endpoint was mapped.</summary>
    public EngineIoStatistics Statistics { get; } = new();

    /// <summary>Sessions that are open.</summary>
    public int OpenSessions => Volatile.Read(ref _open);

    /// <summary>Ids that a request may still name: open sessions, and closed ones that a poll has yet to learn of.</summary>
    public int KnownSessions => _sessions.Count;

    internal EngineIoOptions Options { get; }

    internal IEngineIoHandler Handler { get; }

    internal TimeProvider Time { get; }

    internal DeadlineQueue Deadlines { get; }

    internal long PingInterval { get; }

    internal long PingTimeout { get; }

    internal long UpgradeTimeout { get; }

    internal long UpgradePollTime { get; }

    internal long CloseTimeout { get; }

    /// <summary>Closes all sessions and lets no more in.</summary>
    public void Stop()
    {
        _stopping = true;
        foreach (var session in _sessions.Values)
            session.Close(CloseReason.ServerShutdown);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Stop();
        Deadlines.Dispose();
    }

    /// <summary>Answers one request.</summary>
    public async Task HandleAsync(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        _origins.Apply(context);
        var request = context.Request;
        if (HttpMethods.IsOptions(request.Method) && _origins.IsEnabled)
        {
            await OriginPolicy.AnswerPreflightAsync(context);
            return;
        }

        var isWebSocket = context.WebSockets.IsWebSocketRequest;
        var transport = request.Query["transport"];
        var wantsWebSocket = transport == "websocket" && Options.AllowWebSocket;
        if (!wantsWebSocket && !(transport == "polling" && Options.AllowPolling))
        {
            await RefuseAsync(context, EngineIoError.TransportUnknown, isWebSocket);
            return;
        }

        if (isWebSocket && !_origins.AllowsWebSocket(request))
        {
            await RefuseAsync(context, EngineIoError.Forbidden, isWebSocket);
            return;
        }

        if (request.Query.TryGetValue("sid", out var sid) && !StringValues.IsNullOrEmpty(sid))
            await HandleKnownAsync(context, sid.ToString(), isWebSocket, wantsWebSocket);
        else
            await HandleNewAsync(context, isWebSocket, wantsWebSocket);
    }

    internal void NotifyClosed(EngineIoSession session, CloseReason reason) => Handler.OnClose(session, reason);

    internal void LogHandlerFailure(Exception e, EngineIoSession session) =>
        _logger.LogError(1518, e, "The handler failed for a session of {Address}", session.RemoteAddress);

    /// <summary>Takes a session's id out of the table.</summary>
    internal void Forget(EngineIoSession session) => _sessions.TryRemove(new KeyValuePair<string, EngineIoSession>(session.Id, session));

    /// <summary>Counts a session as closed.</summary>
    internal void Release(EngineIoSession session, CloseReason reason)
    {
        Statistics.CountClosed(reason);
        ReleasePlace(session.RemoteAddress);
        (session.Tag as IDisposable)?.Dispose();
    }

    private async Task HandleNewAsync(HttpContext context, bool isWebSocket, bool wantsWebSocket)
    {
        var request = context.Request;
        if (!isWebSocket && !HttpMethods.IsGet(request.Method))
        {
            await RefuseAsync(context, EngineIoError.BadHandshakeMethod, isWebSocket);
            return;
        }

        if (wantsWebSocket && !isWebSocket)
        {
            await RefuseAsync(context, EngineIoError.BadRequest, isWebSocket);
            return;
        }

        // The reference server lets the WebSocket open first and then sends raw bytes; a refusal before that is what a client can understand.
        if (request.Query["EIO"] != "4")
        {
            await RefuseAsync(context, EngineIoError.UnsupportedProtocol, isWebSocket);
            return;
        }

        var admission = Options.Admit is { } admit ? await admit(context) : EngineIoAdmission.Accept();
        if (!admission.IsAllowed)
        {
            await RefuseAsync(context, EngineIoError.Forbidden, isWebSocket, message: admission.Message);
            return;
        }

        var address = context.Connection.RemoteIpAddress;
        if (!TryTakePlace(address, out var status, out var message))
        {
            (admission.Tag as IDisposable)?.Dispose();
            await RefuseAsync(context, EngineIoError.Forbidden, isWebSocket, status, message);
            return;
        }

        var session = new EngineIoSession(this, NewId(), address, context.User, admission.Tag, request.Query["b64"] == "1");
        if (isWebSocket)
            await OpenWebSocketAsync(context, session, wantsWebSocket);
        else
            await OpenPollingAsync(context, session);
    }

    private async Task OpenPollingAsync(HttpContext context, EngineIoSession session)
    {
        Begin(session);
        if (Options.CookieName is { } cookie)
            context.Response.Cookies.Append(cookie, session.Id, new CookieOptions { Path = "/", HttpOnly = true, SameSite = SameSiteMode.Lax });

        using var body = new PooledBuffer(256);
        HandshakeFor(session, Options.AllowWebSocket).Write(body);
        await WritePollAsync(context, body.Written);
    }

    private async Task OpenWebSocketAsync(HttpContext context, EngineIoSession session, bool wantsWebSocket)
    {
        var isOpen = false;
        try
        {
            await ServeWebSocketAsync(context, (webSocket, direct) =>
            {
                isOpen = true;
                return OpenAsync(webSocket, direct, session, wantsWebSocket);
            }, taken: () => isOpen = true);
        }
        catch (Exception e) when (!isOpen && e is WebSocketException or IOException or OperationCanceledException)
        {
            // The client left during the handshake.
        }
        finally
        {
            if (!isOpen)
            {
                ReleasePlace(session.RemoteAddress);
                (session.Tag as IDisposable)?.Dispose();
            }
        }
    }

    private async Task OpenAsync(WebSocket webSocket, DirectSocket? direct, EngineIoSession session, bool wantsWebSocket)
    {
        var begun = false;
        try
        {
            if (!wantsWebSocket)
            {
                // A WebSocket that calls itself polling.
                await session.CloseStrangerAsync(webSocket);
                return;
            }

            using (var body = new PooledBuffer(256))
            {
                HandshakeFor(session, canUpgrade: false).Write(body);
                await webSocket.SendAsync(body.Written, WebSocketMessageType.Text, endOfMessage: true, CancellationToken.None);
            }

            session.Attach(webSocket, direct);
            begun = true;
            Begin(session);
            await session.RunAsync(webSocket);
        }
        catch (Exception e) when (!begun && e is WebSocketException or IOException or OperationCanceledException)
        {
            // The client left before it had its id.
        }
        finally
        {
            if (!begun)
            {
                ReleasePlace(session.RemoteAddress);
                (session.Tag as IDisposable)?.Dispose();
            }
        }
    }

    /// <summary>Answers the WebSocket's handshake and serves it: where the connection can be taken, after the request; otherwise within it.</summary>
    /// <param name="taken">Called when it is certain that <paramref name="serve"/> will be called later.</param>
    private async Task ServeWebSocketAsync(HttpContext context, Func<WebSocket, DirectSocket?, Task> serve, Action? taken = null)
    {
        if (Options.PerMessageDeflate || DirectTransport.ConnectionOf(context) is not { } direct)
        {
            using var webSocket = await AcceptAsync(context);
            await serve(webSocket, null);
            return;
        }

        await WebSocketHandshake.Accept(context, deflate: false);
        taken?.Invoke();
        direct.TakeOver(async () =>
        {
            using var webSocket = WebSocket.CreateFromStream(new DirectStream(direct), new WebSocketCreationOptions { IsServer = true, KeepAliveInterval = TimeSpan.Zero });
            await serve(webSocket, direct.Socket);
        });
    }

    private void Begin(EngineIoSession session)
    {
        _sessions[session.Id] = session;
        Statistics.CountOpened();
        session.Start();
        try
        {
            Handler.OnOpen(session);
        }
        catch (Exception e)
        {
            LogHandlerFailure(e, session);
            session.Close();
        }

        if (_stopping)
            session.Close(CloseReason.ServerShutdown);
    }

    private async Task HandleKnownAsync(HttpContext context, string sid, bool isWebSocket, bool wantsWebSocket)
    {
        if (_sessions.TryGetValue(sid, out var session))
            session.CheckHeartbeat();

        // Again: the check may just have ended it.
        if (session is null || !_sessions.ContainsKey(sid))
        {
            await RefuseAsync(context, EngineIoError.SessionUnknown, isWebSocket);
            return;
        }

        if (isWebSocket)
        {
            await ServeWebSocketAsync(context, (webSocket, direct) => wantsWebSocket ? session.UpgradeAsync(webSocket, direct) : session.CloseStrangerAsync(webSocket));
            return;
        }

        if (wantsWebSocket)
            await RefuseAsync(context, EngineIoError.BadRequest, isWebSocket);
        else if (HttpMethods.IsGet(context.Request.Method))
            await PollAsync(context, session);
        else if (HttpMethods.IsPost(context.Request.Method))
            await PostAsync(context, session);
        else
        {
            context.Response.Headers.Allow = "GET, POST, OPTIONS";
            await EngineIoAnswers.EmptyAsync(context, StatusCodes.Status405MethodNotAllowed);
        }
    }

    private async Task PollAsync(HttpContext context, EngineIoSession session)
    {
        var answer = session.BeginPoll(out var poll);
        if (poll is not null)
        {
            await using var aborted = context.RequestAborted.UnsafeRegister(
                static state =>
                {
                    var (session, poll) = ((EngineIoSession, PendingPoll))state!;
                    session.AbandonPoll(poll);
                },
                (session, poll));
            answer = await poll.Task;
        }

        var frames = new List<QueuedFrame>();
        answer = session.EndPoll(poll, answer, frames, out var ping);
        switch (answer)
        {
            case PollAnswer.Gone:
                return;
            case PollAnswer.Unknown:
                await RefuseAsync(context, EngineIoError.SessionUnknown, isWebSocket: false);
                return;
            case PollAnswer.Refused:
                await RefuseAsync(context, EngineIoError.BadRequest, isWebSocket: false);
                return;
            case PollAnswer.Conflict:
                await EngineIoAnswers.EmptyAsync(context, StatusCodes.Status400BadRequest);
                return;
            case PollAnswer.Noop:
                await WritePollAsync(context, EnginePacketWriter.Bare(EnginePacketType.Noop));
                return;
        }

        using var body = new PooledBuffer();
        var bytes = EngineIoSession.WritePayload(body, frames, ping, close: answer is PollAnswer.Close or PollAnswer.DrainAndClose);
        Statistics.CountSent(frames.Count, bytes);
        await WritePollAsync(context, body.Written);

        // A large body may have been cut off half way. A small one has left in one piece, and a client that hangs up after it is in its right.
        if (body.Written.Length > 65536 && context.RequestAborted.IsCancellationRequested)
            session.Close(CloseReason.TransportClose, EngineIoSession.CloseMode.Discard);
    }

    private async Task PostAsync(HttpContext context, EngineIoSession session)
    {
        switch (session.BeginPost())
        {
            case PollAnswer.Unknown:
                await RefuseAsync(context, EngineIoError.SessionUnknown, isWebSocket: false);
                return;
            case PollAnswer.Refused:
                await RefuseAsync(context, EngineIoError.BadRequest, isWebSocket: false);
                return;
            case PollAnswer.Conflict:
                await EngineIoAnswers.EmptyAsync(context, StatusCodes.Status400BadRequest);
                return;
        }

        PostAnswer answer;
        try
        {
            answer = await ReadPostAsync(context, session);
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or BadHttpRequestException)
        {
            // Part of what the client sent is lost.
            session.Close(CloseReason.TransportError, EngineIoSession.CloseMode.Discard);
            return;
        }
        finally
        {
            // Before the answer: a client that has it may begin its next POST at once.
            session.EndPost();
        }

        await (answer switch
        {
            PostAnswer.Taken => EngineIoAnswers.OkAsync(context),
            PostAnswer.TooLarge => EngineIoAnswers.EmptyAsync(context, StatusCodes.Status413PayloadTooLarge),
            PostAnswer.Binary => EngineIoAnswers.EmptyAsync(context, StatusCodes.Status400BadRequest),
            _ => RefuseAsync(context, EngineIoError.BadRequest, isWebSocket: false),
        });
    }

    private enum PostAnswer : byte
    {
        Taken,
        TooLarge,
        Binary,
        Malformed,
    }

    private async Task<PostAnswer> ReadPostAsync(HttpContext context, EngineIoSession session)
    {
        if (context.Request.ContentType is { } type && type.StartsWith("application/octet-stream", StringComparison.OrdinalIgnoreCase))
        {
            session.Close(CloseReason.TransportError, EngineIoSession.CloseMode.Discard);
            return PostAnswer.Binary;
        }

        // The bound is ours, and counted while reading.
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = null;

        if (context.Request.ContentLength > Options.MaxPayload)
            return PostAnswer.TooLarge;

        var reader = context.Request.BodyReader;
        while (true)
        {
            var read = await reader.ReadAsync(context.RequestAborted);
            if (read.Buffer.Length > Options.MaxPayload)
            {
                reader.AdvanceTo(read.Buffer.End);
                return PostAnswer.TooLarge;
            }

            if (read.IsCompleted)
            {
                var taken = await TakePayloadAsync(session, read.Buffer);
                reader.AdvanceTo(read.Buffer.End);
                return taken ? PostAnswer.Taken : PostAnswer.Malformed;
            }

            reader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
    }

    // False where the payload is not one: the session is then closed, and what came before the bad packet was delivered.
    private static async ValueTask<bool> TakePayloadAsync(EngineIoSession session, ReadOnlySequence<byte> body)
    {
        var rest = body;
        while (true)
        {
            var status = Next(ref rest, out var packet, out var last);
            if (status != EngineReadStatus.Ok)
            {
                session.Close(CloseReason.ParseError, EngineIoSession.CloseMode.Discard);
                return false;
            }

            if (!await session.ReceiveAsync(packet) || last)
                return true;
        }

        // PayloadReader cannot live across an await; each packet gets one of its own.
        static EngineReadStatus Next(ref ReadOnlySequence<byte> rest, out EnginePacket packet, out bool last)
        {
            var separator = rest.PositionOf(PayloadReader.Separator);
            var text = separator is { } end ? rest.Slice(0, end) : rest;
            last = separator is null;
            if (separator is { } position)
                rest = rest.Slice(rest.GetPosition(1, position));
            return EnginePacketReader.Read(text, out packet);
        }
    }

    private async Task WritePollAsync(HttpContext context, ReadOnlyMemory<byte> body)
    {
        var response = context.Response;
        response.Headers.CacheControl = "no-store";
        if (Options.CompressionThreshold > 0 && body.Length > Options.CompressionThreshold && AcceptsGzip(context.Request))
        {
            using var compressed = new MemoryStream(body.Length / 3);
            await using (var gzip = new GZipStream(compressed, CompressionLevel.Fastest, leaveOpen: true))
                gzip.Write(body.Span);

            response.Headers.ContentEncoding = "gzip";
            response.Headers.Append("Vary", "Accept-Encoding");
            body = compressed.GetBuffer().AsMemory(0, (int)compressed.Length);
        }

        await EngineIoAnswers.WriteAsync(context, "text/plain; charset=UTF-8", body);
    }

    private static bool AcceptsGzip(HttpRequest request)
    {
        foreach (var value in request.GetTypedHeaders().AcceptEncoding)
        {
            if (value.Value.Equals("gzip", StringComparison.OrdinalIgnoreCase))
                return value.Quality is null or > 0;
        }

        return false;
    }

    private Task<WebSocket> AcceptAsync(HttpContext context) => context.WebSockets.AcceptWebSocketAsync(new WebSocketAcceptContext
    {
        // Engine.IO has a heartbeat of its own.
        KeepAliveInterval = TimeSpan.Zero,
        DangerousEnableCompression = Options.PerMessageDeflate,
    });

    private Task RefuseAsync(HttpContext context, EngineIoError error, bool isWebSocket, int? status = null, string? message = null)
    {
        Statistics.CountRefused();
        if (_logger.IsEnabled(LogLevel.Debug))
            _logger.LogDebug(1519, "Refused {Method} {Query}: {Error}", context.Request.Method, context.Request.QueryString, error);
        return EngineIoAnswers.RefuseAsync(context, error, isWebSocket, status, message);
    }

    private bool TryTakePlace(IPAddress? address, out int status, out string? message)
    {
        status = StatusCodes.Status503ServiceUnavailable;
        message = "The server is stopping";
        if (_stopping)
            return false;

        message = "Too many sessions";
        if (Interlocked.Increment(ref _open) > Options.MaxSessions)
        {
            Interlocked.Decrement(ref _open);
            return false;
        }

        if (address is null || _perAddress.AddOrUpdate(address, 1, static (_, count) => count + 1) <= Options.MaxSessionsPerAddress)
            return true;

        ReleasePlace(address);
        status = StatusCodes.Status429TooManyRequests;
        message = "Too many sessions from this address";
        return false;
    }

    private void ReleasePlace(IPAddress? address)
    {
        Interlocked.Decrement(ref _open);
        if (address is null)
            return;

        var left = _perAddress.AddOrUpdate(address, 0, static (_, count) => count - 1);
        if (left <= 0)
            _perAddress.TryRemove(new KeyValuePair<IPAddress, int>(address, left));
    }

    private Handshake HandshakeFor(EngineIoSession session, bool canUpgrade) => new(
        session.Id, canUpgrade, (long)Options.PingInterval.TotalMilliseconds, (long)Options.PingTimeout.TotalMilliseconds, Options.MaxPayload);

    /// <summary>An id that cannot be guessed: 15 random bytes, 20 characters that need no escaping in a URL.</summary>
    internal static string NewId()
    {
        Span<byte> bytes = stackalloc byte[15];
        RandomNumberGenerator.Fill(bytes);
        return System.Buffers.Text.Base64Url.EncodeToString(bytes);
    }
}
