using System.Collections.Concurrent;
using System.Globalization;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Testing.Binance;

/// <summary>A market of Binance on loopback: streams and REST, with every fault of a real one on demand. Thread safe.</summary>
/// <remarks>
/// Serves the paths of all venues (<c>/api/v3</c>, <c>/fapi/v1</c>, <c>/dapi/v1</c>; streams at <c>/stream</c>): time, exchangeInfo, aggTrades, klines,
/// ticker/24hr, SUBSCRIBE and its kind, combined aggTrade streams and <c>!miniTicker@arr</c>. What is published is kept, and REST answers from it; klines are computed from it.
/// </remarks>
public sealed class FakeBinanceVenue : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly TimeProvider _time;
    private readonly Random _random;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, List<VenueTrade>> _trades = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _symbols = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<VenueConnection, bool> _connections = new();
    private readonly ConcurrentDictionary<string, int> _requests = new(StringComparer.Ordinal);
    private readonly string _scheme;
    private long _opened;
    private long _minute;
    private int _weight;

    private FakeBinanceVenue(WebApplication app, TimeProvider time, int seed, string scheme)
    {
        (_app, _time, _random, _scheme) = (app, time, new Random(seed), scheme);
    }

    public VenueFaults Faults { get; } = new();

    /// <summary>Accepts everything and says nothing, not even answers.</summary>
    public bool IsSilent { get; set; }

    /// <summary>Refuses connections and requests with 503, as while it restarts.</summary>
    public bool IsDown { get; set; }

    /// <summary>How far the venue's clock is ahead of the time provider's.</summary>
    public TimeSpan ClockOffset { get; set; }

    /// <summary>Request weight allowed a minute; beyond it 429, at twice of it 418.</summary>
    public int WeightLimit { get; set; } = int.MaxValue;

    /// <summary>Streams allowed on one connection; more end it.</summary>
    public int MaxStreams { get; set; } = 1_024;

    /// <summary>Messages allowed from one client within a second; more end its connection.</summary>
    public int MaxMessagesPerSecond { get; set; } = 5;

    /// <summary>How often a client sent more than allowed.</summary>
    public long Violations => Interlocked.Read(ref _violations);

    private long _violations;

    /// <summary>Connections accepted so far.</summary>
    public long Opened => Interlocked.Read(ref _opened);

    /// <summary>Connections that are open.</summary>
    public int Connections => _connections.Count;

    /// <summary>Streams of every open connection.</summary>
    public IReadOnlyList<int> StreamsPerConnection => [.. _connections.Keys.Select(c => c.Streams.Count)];

    /// <summary>REST requests so far, by path.</summary>
    public int Requests(string path) => _requests.GetValueOrDefault(path);

    public Uri StreamAddress { get; private set; } = null!;

    public Uri RestAddress { get; private set; } = null!;

    public long Now => (_time.GetUtcNow() + ClockOffset).ToUnixTimeMilliseconds();

    /// <param name="seed">Of the faults.</param>
    /// <param name="address">Where it listens; default: a free port on loopback.</param>
    public static async Task<FakeBinanceVenue> Start(TimeProvider? time = null, int seed = 1, string address = "http://127.0.0.1:0")
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseUrls(address);
        builder.Services.AddRoutingCore();
        builder.Logging.ClearProviders();
        var app = builder.Build();
        var venue = new FakeBinanceVenue(app, time ?? TimeProvider.System, seed, new Uri(address).Scheme);
        app.UseWebSockets(new WebSocketOptions { KeepAliveInterval = TimeSpan.FromSeconds(20) });
        app.Run(venue.Serve);
        await app.StartAsync();
        var bound = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        venue.RestAddress = bound;
        venue.StreamAddress = new Uri($"ws://{bound.Authority}");
        return venue;
    }

    public async ValueTask DisposeAsync()
    {
        DropAll();
        await _app.StopAsync();
        await _app.DisposeAsync();
    }

    /// <summary>Lists a symbol.</summary>
    /// <param name="listed">Unix ms; null as on the spot market.</param>
    /// <param name="more">Further members of its entry in exchangeInfo, as in <c>"contractSize":100</c>.</param>
    public void List(string symbol, string quote = "USDT", long? listed = null, string status = "TRADING", string? more = null)
    {
        lock (_lock)
        {
            var onboard = listed is { } at ? $",\"onboardDate\":{at}" : "";
            _symbols[symbol] = $"{{\"symbol\":\"{symbol}\",\"status\":\"{status}\",\"quoteAsset\":\"{quote}\"{onboard}{(more is null ? "" : "," + more)}}}";
            _trades.TryAdd(symbol, []);
        }
    }

    /// <summary>Takes a symbol off the list.</summary>
    public void Delist(string symbol)
    {
        lock (_lock)
        {
            _symbols.Remove(symbol);
        }
    }

    /// <summary>Every trade of a symbol so far.</summary>
    public IReadOnlyList<VenueTrade> Trades(string symbol)
    {
        lock (_lock)
        {
            return [.. _trades[symbol]];
        }
    }

    /// <summary>Keeps trades without sending them: the past.</summary>
    public void Remember(IEnumerable<VenueTrade> trades)
    {
        lock (_lock)
        {
            foreach (var trade in trades)
            {
                Keep(trade);
            }
        }
    }

    /// <summary>Keeps a trade and sends it to whoever listens, unless a fault says otherwise.</summary>
    public void Publish(VenueTrade trade)
    {
        lock (_lock)
        {
            Keep(trade);
            var stream = trade.Symbol.ToLowerInvariant() + "@aggTrade";
            Send(stream, trade.ToFrame(Now), trade.Symbol);
        }
    }

    /// <summary>Sends a recorded frame of a combined stream as it is, to whoever listens to its stream; keeps its trade if it is one.</summary>
    public VenueTrade? PublishRecorded(string frame)
    {
        using var json = JsonDocument.Parse(frame);
        var data = json.RootElement.GetProperty("data");
        VenueTrade? trade = null;
        lock (_lock)
        {
            if (data.GetProperty("e").ValueEquals("aggTrade"))
            {
                trade = VenueTrade.Parse(data);
                Keep(trade);
            }

            var stream = json.RootElement.GetProperty("stream").GetString()!;
            foreach (var connection in _connections.Keys.Where(c => c.Streams.ContainsKey(stream) || trade is null))
            {
                connection.Send(Encoding.UTF8.GetBytes(frame), fragment: false);
            }
        }

        return trade;
    }

    /// <summary>Keeps a trade that no connection hears of.</summary>
    public void PublishUnheard(VenueTrade trade) => Remember([trade]);

    /// <summary>Sends mini tickers of these symbols.</summary>
    public void PublishTickers(params IEnumerable<string> symbols)
    {
        var now = Now;
        var items = symbols.Select(s => $"{{\"e\":\"24hrMiniTicker\",\"E\":{now},\"s\":\"{s}\",\"c\":\"1.0\",\"o\":\"1.0\",\"h\":\"1.0\",\"l\":\"1.0\",\"v\":\"1.0\",\"q\":\"1.0\"}}");
        lock (_lock)
        {
            Send("!miniTicker@arr", $"[{string.Join(',', items)}]", "");
        }
    }

    /// <summary>Sends raw text to every connection.</summary>
    public void SendRaw(string text)
    {
        foreach (var connection in _connections.Keys)
        {
            connection.Send(Encoding.UTF8.GetBytes(text), fragment: false);
        }
    }

    /// <summary>Says that the server shuts down.</summary>
    public void AnnounceShutdown() => SendRaw($"{{\"e\":\"serverShutdown\",\"E\":{Now}}}");

    /// <summary>Ends every connection without a word.</summary>
    public void DropAll()
    {
        foreach (var connection in _connections.Keys)
        {
            connection.Abort();
        }
    }

    private void Keep(VenueTrade trade)
    {
        var list = _trades[trade.Symbol];
        if (list.Count > 0 && trade.Id <= list[^1].Id)
        {
            throw new ArgumentException($"{trade.Symbol}: {trade.Id} after {list[^1].Id}.", nameof(trade));
        }

        list.Add(trade);
    }

    // Under the lock.
    private void Send(string stream, string data, string symbol)
    {
        if (IsSilent)
        {
            return;
        }

        byte[]? bytes = null;
        foreach (var connection in _connections.Keys)
        {
            if (!connection.Streams.ContainsKey(stream))
            {
                continue;
            }

            if (_random.NextDouble() < Faults.Drop)
            {
                connection.Abort();
                continue;
            }

            if (_random.NextDouble() < Faults.Garble)
            {
                connection.Send(Encoding.UTF8.GetBytes(_random.Next(4) switch { 0 => "{\"stream\":", 1 => "[[[[", 2 => $"{{\"stream\":\"{stream}\",\"data\":{{\"e\":\"aggTrade\",\"a\":\"x\"}}}}", _ => "7" }), fragment: false);
            }

            if (_random.NextDouble() < Faults.Lose)
            {
                continue;
            }

            bytes ??= Encoding.UTF8.GetBytes($"{{\"stream\":\"{stream}\",\"data\":{data}}}");
            var times = _random.NextDouble() < Faults.Duplicate ? 2 : 1;
            for (var i = 0; i < times; i++)
            {
                connection.Send(bytes, _random.NextDouble() < Faults.Fragment, symbol, _random.NextDouble() < Faults.Reorder);
            }
        }
    }

    private async Task Serve(HttpContext http)
    {
        if (IsDown)
        {
            http.Response.StatusCode = 503;
            return;
        }

        if (http.Request.Path == "/stream" || http.Request.Path == "/market/stream")
        {
            await ServeStream(http);
            return;
        }

        var path = http.Request.Path.Value!;
        var name = path.StartsWith("/api/v3", StringComparison.Ordinal) ? path[7..] : path.StartsWith("/fapi/v1", StringComparison.Ordinal) || path.StartsWith("/dapi/v1", StringComparison.Ordinal) ? path[8..] : "";
        _requests.AddOrUpdate(name, 1, static (_, n) => n + 1);
        if (IsSilent)
        {
            // The answer never comes; the client hangs up.
            await Task.Delay(Timeout.InfiniteTimeSpan, _time, http.RequestAborted).ContinueWith(static _ => { }, TaskScheduler.Default);
            return;
        }

        await ServeRest(http, name);
    }

    private async Task ServeRest(HttpContext http, string name)
    {
        var query = http.Request.Query;
        int status;
        string body;
        lock (_lock)
        {
            var minute = Now / 60_000;
            (_minute, _weight) = minute == _minute ? (_minute, _weight) : (minute, 0);
            _weight += name switch { "/ticker/24hr" => 80, "/exchangeInfo" => 20, "/aggTrades" => 4, "/klines" => 2, _ => 1 };
            http.Response.Headers["X-MBX-USED-WEIGHT-1M"] = _weight.ToString(CultureInfo.InvariantCulture);
            if (_weight > WeightLimit || _random.NextDouble() < Faults.Refuse)
            {
                http.Response.StatusCode = _weight / 2 > WeightLimit ? 418 : 429;
                if (Faults.RetryAfter is { } seconds)
                {
                    http.Response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
                }

                return;
            }

            (status, body) = Answer(name, query);
            if (_random.NextDouble() < Faults.Break)
            {
                (status, body) = _random.Next(2) == 0 ? (500, "oops") : (200, body[..(body.Length / 2)]);
            }
        }

        http.Response.StatusCode = status;
        http.Response.ContentType = "application/json";
        await http.Response.WriteAsync(body, http.RequestAborted);
    }

    // Under the lock.
    private (int Status, string Body) Answer(string name, IQueryCollection query)
    {
        switch (name)
        {
            case "/time":
                return (200, $"{{\"serverTime\":{Now}}}");
            case "/exchangeInfo":
                return (200, $"{{\"timezone\":\"UTC\",\"symbols\":[{string.Join(',', _symbols.Values)}]}}");
            case "/ticker/24hr":
                return (200, $"[{string.Join(',', _symbols.Keys.Select(s => $"{{\"symbol\":\"{s}\",\"lastId\":{(_trades[s].Count == 0 ? -1 : _trades[s][^1].LastId)}}}"))}]");
            default:
                break;
        }

        if (!_trades.TryGetValue(query["symbol"].ToString(), out var trades) || !_symbols.ContainsKey(query["symbol"].ToString()))
        {
            return (400, "{\"code\":-1121,\"msg\":\"Invalid symbol.\"}");
        }

        var limit = Math.Min((int)(Number(query, "limit") ?? 500), 1_000);
        var (from, to) = (Number(query, "startTime"), Number(query, "endTime"));
        if (name == "/aggTrades")
        {
            var served = trades.Take(trades.Count - Math.Min(Faults.RestLag, trades.Count));
            if (Number(query, "fromId") is { } id)
            {
                served = served.SkipWhile(t => t.Id < id).Take(limit);
            }
            else if (from is { } || to is { })
            {
                if (to - from >= 3_600_000)
                {
                    return (400, "{\"code\":-1127,\"msg\":\"More than 1 hours between startTime and endTime.\"}");
                }

                served = served.Where(t => t.Time >= (from ?? 0) && t.Time <= (to ?? long.MaxValue)).Take(limit);
            }
            else
            {
                served = served.TakeLast(limit);
            }

            return (200, $"[{string.Join(',', served.Select(t => t.ToJson()))}]");
        }

        if (name == "/klines")
        {
            var interval = query["interval"].ToString();
            var klines = VenueKlines.Of(interval, trades).Where(k => k.OpenTime >= (from ?? 0) && k.OpenTime <= (to ?? long.MaxValue));
            klines = from is null ? klines.TakeLast(limit) : klines.Take(limit);
            return (200, $"[{string.Join(',', klines.Select(k => k.ToJson(interval)))}]");
        }

        return (404, "{}");
    }

    private static long? Number(IQueryCollection query, string name) =>
        long.TryParse(query[name].ToString(), NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : null;

    private async Task ServeStream(HttpContext http)
    {
        if (!http.WebSockets.IsWebSocketRequest)
        {
            http.Response.StatusCode = 400;
            return;
        }

        using var socket = await http.WebSockets.AcceptWebSocketAsync();
        using var connection = new VenueConnection(socket);
        foreach (var stream in http.Request.Query["streams"].ToString().Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            connection.Streams[stream] = true;
        }

        Interlocked.Increment(ref _opened);
        _connections[connection] = true;
        try
        {
            var sending = connection.SendAll();
            await Receive(socket, connection);
            connection.Abort();
            await sending;
        }
        finally
        {
            _connections.TryRemove(connection, out _);
        }
    }

    private async Task Receive(WebSocket socket, VenueConnection connection)
    {
        var buffer = new byte[256 * 1024];
        var length = 0;
        var times = new Queue<long>();
        try
        {
            while (true)
            {
                var result = await socket.ReceiveAsync(buffer.AsMemory(length), connection.Stopped);
                if (result.MessageType == WebSocketMessageType.Close)
                {
                    return;
                }

                length += result.Count;
                if (!result.EndOfMessage)
                {
                    continue;
                }

                times.Enqueue(_time.GetTimestamp());
                while (times.TryPeek(out var oldest) && _time.GetElapsedTime(oldest) >= TimeSpan.FromSeconds(1))
                {
                    times.Dequeue();
                }

                if (times.Count > MaxMessagesPerSecond)
                {
                    Interlocked.Increment(ref _violations);
                    return;
                }

                using var json = JsonDocument.Parse(buffer.AsMemory(0, length));
                length = 0;
                if (!Take(json.RootElement, connection))
                {
                    return;
                }
            }
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException or JsonException or IOException)
        {
            // The client is gone, or was sent away.
        }
    }

    private bool Take(JsonElement message, VenueConnection connection)
    {
        var method = message.GetProperty("method").GetString();
        var id = message.GetProperty("id").GetInt64();
        lock (_lock)
        {
            foreach (var stream in message.GetProperty("params").EnumerateArray())
            {
                if (method == "SUBSCRIBE")
                {
                    connection.Streams[stream.GetString()!] = true;
                }
                else if (method == "UNSUBSCRIBE")
                {
                    connection.Streams.TryRemove(stream.GetString()!, out _);
                }
            }

            if (connection.Streams.Count > MaxStreams)
            {
                Interlocked.Increment(ref _violations);
                return false;
            }

            if (!IsSilent)
            {
                connection.Send(Encoding.UTF8.GetBytes($"{{\"result\":{(method == "GET_PROPERTY" ? "true" : "null")},\"id\":{id}}}"), fragment: false);
            }
        }

        return true;
    }

    /// <summary>One client.</summary>
    private sealed class VenueConnection(WebSocket socket) : IDisposable
    {
        private readonly Channel<(byte[] Bytes, bool Fragment)> _outbox = Channel.CreateUnbounded<(byte[], bool)>();
        private readonly CancellationTokenSource _stop = new();
        private readonly Lock _held = new();
        private (byte[] Bytes, bool Fragment, string Symbol)? _late;

        public ConcurrentDictionary<string, bool> Streams { get; } = new(StringComparer.Ordinal);

        public CancellationToken Stopped => _stop.Token;

        public void Send(byte[] bytes, bool fragment, string symbol = "", bool isLate = false)
        {
            lock (_held)
            {
                if (_late is { } late)
                {
                    // A frame of its own symbol must not overtake it.
                    _late = null;
                    if (late.Symbol == symbol || symbol.Length == 0)
                    {
                        _outbox.Writer.TryWrite((late.Bytes, late.Fragment));
                        _outbox.Writer.TryWrite((bytes, fragment));
                    }
                    else
                    {
                        _outbox.Writer.TryWrite((bytes, fragment));
                        _outbox.Writer.TryWrite((late.Bytes, late.Fragment));
                    }
                }
                else if (isLate && symbol.Length > 0)
                {
                    _late = (bytes, fragment, symbol);
                }
                else
                {
                    _outbox.Writer.TryWrite((bytes, fragment));
                }
            }
        }

        public async Task SendAll()
        {
            try
            {
                await foreach (var (bytes, fragment) in _outbox.Reader.ReadAllAsync(_stop.Token))
                {
                    var cut = fragment ? bytes.Length / 3 : 0;
                    if (cut > 0)
                    {
                        await socket.SendAsync(bytes.AsMemory(0, cut), WebSocketMessageType.Text, endOfMessage: false, _stop.Token);
                    }

                    await socket.SendAsync(bytes.AsMemory(cut), WebSocketMessageType.Text, endOfMessage: true, _stop.Token);
                }
            }
            catch (Exception e) when (e is WebSocketException or OperationCanceledException or IOException or ObjectDisposedException)
            {
                // The client is gone.
            }
        }

        public void Abort()
        {
            try
            {
                _stop.Cancel();
                socket.Abort();
            }
            catch (ObjectDisposedException)
            {
                // Gone already.
            }
        }

        public void Dispose() => _stop.Dispose();
    }
}
