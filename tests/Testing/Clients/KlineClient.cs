using System.Globalization;
using System.Net.WebSockets;
using System.Text.Json;

namespace KlineOrleans.Testing.Clients;

/// <summary>A position to resume from.</summary>
public readonly record struct WirePosition(long Epoch, long Seq);

/// <summary>A small client of one wire: requests as the wire wants them, messages in a form that all wires share. One reader at a time; sending is thread safe.</summary>
public abstract class KlineClient(Wire wire, ITextLink link) : IAsyncDisposable
{
    public Wire Wire => wire;

    public ITextLink Link => link;

    /// <summary>Whether the wire tells positions, so that a client can resume.</summary>
    public virtual bool HasPositions => true;

    /// <summary>Connects and greets. Nothing is read further until <see cref="Read"/>.</summary>
    /// <param name="http">For polling; may be shared by many.</param>
    public static async Task<KlineClient> Connect(Wire wire, Uri address, HttpClient http, LinkOptions? options = null)
    {
        KlineClient client = wire switch
        {
            Wire.Hub => new HubKlineClient(await WebSocketLink.Connect(address, "/hubs/kline", options)),
            Wire.Raw => new RawKlineClient(await WebSocketLink.Connect(address, "/ws", options)),
            Wire.Live => new LiveKlineClient(await WebSocketLink.Connect(address, "/ws/kline/live", options)),
            Wire.SocketIo => new SocketIoKlineClient(wire, await WebSocketLink.Connect(address, "/socket.io/?EIO=4&transport=websocket", options)),
            _ => new SocketIoKlineClient(wire, await PollingLink.Connect(http, address, options)),
        };
        try
        {
            await client.Greet();
            return client;
        }
        catch
        {
            await client.DisposeAsync();
            throw;
        }
    }

    /// <summary>Asks to follow intervals of a symbol; wires of pairs are answered for each. The live wire follows all intervals, of this symbol only.</summary>
    /// <param name="limit">How many klines of history to ask for.</param>
    public abstract Task Subscribe(string symbol, IReadOnlyList<string> intervals, WirePosition? resume = null, int limit = 10);

    /// <summary>Asks to follow them no longer.</summary>
    public abstract Task Unsubscribe(string symbol, IReadOnlyList<string> intervals);

    /// <summary>The next message; null when the connection has ended.</summary>
    public async Task<WireMessage?> Read()
    {
        try
        {
            while (true)
            {
                if (await TakeKept() is { } kept)
                {
                    return kept;
                }

                if (await link.Receive() is not { } text)
                {
                    return null;
                }

                if (await Take(text) is { } message)
                {
                    return message;
                }
            }
        }
        catch (Exception e) when (e is IOException or WebSocketException or ObjectDisposedException or OperationCanceledException)
        {
            // Cut while a ping was answered: a polling client's answer is a request of its own, which its polls know nothing of.
            link.Abort();
            return null;
        }
    }

    public ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return link.DisposeAsync();
    }

    /// <summary>Whatever comes before the first request.</summary>
    protected abstract Task Greet();

    /// <summary>Reads a text; null for one that is the wire's own business, which is answered here.</summary>
    protected abstract ValueTask<WireMessage?> Take(string text);

    /// <summary>A message of a text that was taken before; null if there is none.</summary>
    protected virtual ValueTask<WireMessage?> TakeKept() => ValueTask.FromResult<WireMessage?>(null);

    protected async Task<string> Next() => await link.Receive() ?? throw new IOException($"The server hung up: {link.CloseStatus} {link.CloseReason}");

    /// <summary>Reads the payload of an event of the older wires.</summary>
    protected static WireMessage ReadEvent(string name, JsonElement data, string text)
    {
        switch (name)
        {
            case "connection_success":
                return new WireMessage(WireMessageKind.Greeting) { Text = text };
            case "history_data":
                return new WireMessage(WireMessageKind.History)
                {
                    Symbol = Symbol(),
                    Interval = Interval(),
                    Epoch = Whole(data, "epoch"),
                    Seq = Whole(data, "seq"),
                    Klines = [.. data.GetProperty("data").EnumerateArray().Select(k => Candle(Interval(), k))],
                    Text = text,
                };
            case "subscription_confirmed":
                return new WireMessage(WireMessageKind.Confirmed) { Symbol = Symbol(), Interval = Interval(), Recovered = data.GetProperty("recovered").GetBoolean(), Text = text };
            case "unsubscribe_confirmed":
                return new WireMessage(WireMessageKind.Done) { Symbol = Symbol(), Interval = Interval(), Text = text };
            case "kline_data":
                return new WireMessage(WireMessageKind.Klines)
                {
                    Symbol = Symbol(),
                    Interval = Interval(),
                    Epoch = Whole(data, "epoch"),
                    Seq = Whole(data, "seq"),
                    Klines = [Candle(Interval(), data.GetProperty("data"))],
                    Text = text,
                };
            case "server_shutdown":
                return new WireMessage(WireMessageKind.Shutdown) { Text = text };
            case "error":
                return new WireMessage(WireMessageKind.Error) { Count = data.GetProperty("code").GetInt64(), Text = text };
            default:
                return new WireMessage(WireMessageKind.Other) { Text = text };
        }

        string Symbol() => data.GetProperty("symbol").GetString()!;

        string Interval() => data.GetProperty("interval").GetString()!;
    }

    protected static long Whole(JsonElement json, string name)
    {
        var value = json.GetProperty(name);
        return value.ValueKind == JsonValueKind.String ? long.Parse(value.GetString()!, CultureInfo.InvariantCulture) : value.GetInt64();
    }

    protected static string Resume(WirePosition? resume) =>
        resume is { } position ? string.Create(CultureInfo.InvariantCulture, $",\"resume\":{{\"epoch\":{position.Epoch},\"seq\":{position.Seq}}}") : "";

    protected static string List(IReadOnlyList<string> names) => "[" + string.Join(',', names.Select(n => $"\"{n}\"")) + "]";

    private static WireKline Candle(string interval, JsonElement json) => new(
        interval,
        json.GetProperty("time").GetInt64() * 1_000,
        json.GetProperty("open").GetDouble(),
        json.GetProperty("high").GetDouble(),
        json.GetProperty("low").GetDouble(),
        json.GetProperty("close").GetDouble(),
        json.GetProperty("base_volume").GetDouble(),
        json.GetProperty("is_final").GetBoolean(),
        json.GetProperty("revision").GetInt32());
}

/// <summary>A client of the hub, JSON protocol.</summary>
public sealed class HubKlineClient(ITextLink link) : KlineClient(Wire.Hub, link)
{
    private readonly Queue<string> _frames = [];
    private int _calls;

    /// <summary>Calls a method without waiting; its completion arrives as a message.</summary>
    /// <param name="name">Returned in the completion, to know it by.</param>
    public Task Call(string name, string method, string arguments) =>
        Link.Send(string.Create(CultureInfo.InvariantCulture, $"{{\"type\":1,\"invocationId\":\"{name}:{Interlocked.Increment(ref _calls)}\",\"target\":\"{method}\",\"arguments\":[{arguments}]}}\u001e"));

    public override Task Subscribe(string symbol, IReadOnlyList<string> intervals, WirePosition? resume = null, int limit = 10) =>
        Call("subscribe", "Subscribe", string.Create(CultureInfo.InvariantCulture, $"{{\"symbol\":\"{symbol}\",\"intervals\":{List(intervals)},\"limit\":{limit}{Resume(resume)}}}"));

    public override Task Unsubscribe(string symbol, IReadOnlyList<string> intervals) =>
        Call("unsubscribe", "Unsubscribe", $"{{\"symbol\":\"{symbol}\",\"intervals\":{List(intervals)}}}");

    /// <summary>Reads a kline of the hub or of GET /api/v1/klines.</summary>
    public static WireKline ReadKline(JsonElement json) => new(
        json.GetProperty("interval").GetString()!,
        json.GetProperty("openTime").GetInt64(),
        json.GetProperty("open").GetDouble(),
        json.GetProperty("high").GetDouble(),
        json.GetProperty("low").GetDouble(),
        json.GetProperty("close").GetDouble(),
        json.GetProperty("baseVolume").GetDouble(),
        json.GetProperty("isFinal").GetBoolean(),
        json.GetProperty("revision").GetInt32());

    protected override async Task Greet()
    {
        await Link.Send("{\"protocol\":\"json\",\"version\":1}\u001e");
        var answer = await Next();
        if (!answer.StartsWith("{}\u001e", StringComparison.Ordinal))
        {
            throw new IOException(answer);
        }

        Split(answer[3..]);
    }

    protected override ValueTask<WireMessage?> Take(string text)
    {
        Split(text);
        return TakeKept();
    }

    protected override async ValueTask<WireMessage?> TakeKept()
    {
        while (_frames.TryDequeue(out var frame))
        {
            if (await Frame(frame) is { } message)
            {
                return message;
            }
        }

        return null;
    }

    private void Split(string text)
    {
        foreach (var frame in text.Split('\u001e', StringSplitOptions.RemoveEmptyEntries))
        {
            _frames.Enqueue(frame);
        }
    }

    private async ValueTask<WireMessage?> Frame(string frame)
    {
        using var json = JsonDocument.Parse(frame);
        var root = json.RootElement;
        switch (root.GetProperty("type").GetInt32())
        {
            case 1:
                return Invocation(root.GetProperty("target").GetString()!, root.GetProperty("arguments")[0], frame);
            case 3:
                if (root.TryGetProperty("error", out var error))
                {
                    return new WireMessage(WireMessageKind.Error) { Text = error.GetString()! };
                }

                return Completion(root.GetProperty("invocationId").GetString()!, root.GetProperty("result"), frame);
            case 6:
                await Link.Send("{\"type\":6}\u001e");
                return null;
            case 7:
                return new WireMessage(WireMessageKind.Close) { Text = frame };
            default:
                return new WireMessage(WireMessageKind.Other) { Text = frame };
        }
    }

    private static WireMessage Invocation(string target, JsonElement data, string frame) => target switch
    {
        "kline" => new WireMessage(WireMessageKind.Klines)
        {
            Symbol = data.GetProperty("symbol").GetString()!,
            Epoch = Whole(data, "epoch"),
            Seq = Whole(data, "seq"),
            Klines = [.. data.GetProperty("klines").EnumerateArray().Select(ReadKline)],
            Text = frame,
        },
        "skipped" => new WireMessage(WireMessageKind.Skipped) { Symbol = data.GetProperty("symbol").GetString()!, Count = data.GetProperty("count").GetInt64() },
        "status" when data.GetProperty("state").GetString() == "shutdown" => new WireMessage(WireMessageKind.Shutdown) { Text = frame },
        "status" => new WireMessage(WireMessageKind.Status) { Symbol = data.GetProperty("symbol").GetString()!, Text = frame },
        _ => new WireMessage(WireMessageKind.Other) { Text = frame },
    };

    private static WireMessage Completion(string id, JsonElement result, string frame)
    {
        if (id.StartsWith("subscribe:", StringComparison.Ordinal))
        {
            return new WireMessage(WireMessageKind.Confirmed)
            {
                Symbol = result.GetProperty("symbol").GetString()!,
                Epoch = Whole(result, "epoch"),
                Seq = Whole(result, "seq"),
                Recovered = result.GetProperty("recovered").GetBoolean(),
                Klines = [.. result.GetProperty("klines").EnumerateObject().SelectMany(i => i.Value.EnumerateArray()).Select(ReadKline)],
                Text = frame,
            };
        }

        return id.StartsWith("unsubscribe:", StringComparison.Ordinal)
            ? new WireMessage(WireMessageKind.Done) { Symbol = result.GetProperty("symbol").GetString()!, Text = frame }
            : new WireMessage(WireMessageKind.Other) { Text = frame };
    }
}

/// <summary>A client of /ws.</summary>
public sealed class RawKlineClient(ITextLink link) : KlineClient(Wire.Raw, link)
{
    public override Task Subscribe(string symbol, IReadOnlyList<string> intervals, WirePosition? resume = null, int limit = 10) =>
        Link.Send(string.Create(CultureInfo.InvariantCulture, $"{{\"msg_type\":\"subscribe\",\"symbol\":\"{symbol}\",\"interval\":{List(intervals)},\"limit\":{limit}{Resume(resume)}}}"));

    public override Task Unsubscribe(string symbol, IReadOnlyList<string> intervals) =>
        Link.Send($"{{\"msg_type\":\"unsubscribe\",\"symbol\":\"{symbol}\",\"interval\":{List(intervals)}}}");

    protected override async Task Greet() => await Next();

    protected override ValueTask<WireMessage?> Take(string text)
    {
        using var json = JsonDocument.Parse(text);
        var root = json.RootElement;
        var name = root.GetProperty("type").GetString()!;
        return ValueTask.FromResult<WireMessage?>(ReadEvent(name, name == "connection_success" ? root : root.GetProperty("data"), text));
    }
}

/// <summary>A client of the Socket.IO namespace /kline, over whatever transport.</summary>
public sealed class SocketIoKlineClient(Wire wire, ITextLink link) : KlineClient(wire, link)
{
    private const string Head = "42/kline,";

    public override Task Subscribe(string symbol, IReadOnlyList<string> intervals, WirePosition? resume = null, int limit = 10) =>
        Link.Send(string.Create(CultureInfo.InvariantCulture, $"{Head}[\"subscribe\",{{\"symbol\":\"{symbol}\",\"interval\":{List(intervals)},\"limit\":{limit}{Resume(resume)}}}]"));

    public override Task Unsubscribe(string symbol, IReadOnlyList<string> intervals) =>
        Link.Send($"{Head}[\"unsubscribe\",{{\"symbol\":\"{symbol}\",\"interval\":{List(intervals)}}}]");

    protected override async Task Greet()
    {
        if (Wire == Wire.SocketIo)
        {
            await Next();
        }

        await Link.Send("40/kline,");
        while (!(await Next()).StartsWith("40/kline,", StringComparison.Ordinal))
        {
            // A ping may come first.
        }
    }

    protected override async ValueTask<WireMessage?> Take(string text)
    {
        if (text == "2")
        {
            await Link.Send("3");
            return null;
        }

        if (!text.StartsWith(Head, StringComparison.Ordinal))
        {
            return new WireMessage(WireMessageKind.Other) { Text = text };
        }

        using var json = JsonDocument.Parse(text.AsMemory(Head.Length));
        return ReadEvent(json.RootElement[0].GetString()!, json.RootElement[1], text);
    }
}

/// <summary>A client of /ws/kline/live. It asks in the form that names symbols, and after each request for something that is refused: the refusal says that what came before was taken.</summary>
public sealed class LiveKlineClient(ITextLink link) : KlineClient(Wire.Live, link)
{
    public override bool HasPositions => false;

    public override Task Subscribe(string symbol, IReadOnlyList<string> intervals, WirePosition? resume = null, int limit = 10) => Subscribe([symbol]);

    /// <summary>Asks to follow these symbols, and no other any more.</summary>
    public async Task Subscribe(IReadOnlyList<string> symbols)
    {
        await Link.Send($"{{\"subscribe\":{List(symbols)}}}");
        await Link.Send("{}");
    }

    public override async Task Unsubscribe(string symbol, IReadOnlyList<string> intervals)
    {
        await Link.Send("{\"subscribe\":[]}");
        await Link.Send("{}");
    }

    protected override Task Greet() => Task.CompletedTask;

    protected override ValueTask<WireMessage?> Take(string text) => ValueTask.FromResult<WireMessage?>(Read(text));

    private static WireMessage Read(string text)
    {
        using var json = JsonDocument.Parse(text);
        var root = json.RootElement;
        if (root.ValueKind == JsonValueKind.Array)
        {
            return new WireMessage(WireMessageKind.Klines)
            {
                Symbol = root[0].GetProperty("symbol").GetString()!,
                Klines = [.. root.EnumerateArray().Select(Item)],
                Text = text,
            };
        }

        var sentence = root.GetProperty("error").GetString()!;
        var kind = sentence.StartsWith("ServerShutdown", StringComparison.Ordinal) ? WireMessageKind.Shutdown
            : sentence.StartsWith("message: '{}'", StringComparison.Ordinal) ? WireMessageKind.Done : WireMessageKind.Error;
        return new WireMessage(kind) { Text = text };
    }

    private static WireKline Item(JsonElement json) => new(
        json.GetProperty("period").GetString()!,
        json.GetProperty("open_time").GetInt64(),
        json.GetProperty("open").GetDouble(),
        json.GetProperty("high").GetDouble(),
        json.GetProperty("low").GetDouble(),
        json.GetProperty("close").GetDouble(),
        json.GetProperty("volume").GetDouble(),
        json.GetProperty("is_final").GetBoolean());
}
