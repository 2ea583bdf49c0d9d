using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Testing.Solana;

/// <summary>A Solana node on loopback that serves a <see cref="FakeChain"/> over JSON-RPC, HTTP and WebSocket on one port, and can misbehave.</summary>
/// <remarks>
/// Nothing happens by itself: <see cref="PlaySlot"/> brings the next slot, with its slot notification, then its log notifications. After the chain's
/// last block come slots without transactions. Thread safe; slots are played by one at a time.
/// </remarks>
public sealed class FakeSolanaNode : IAsyncDisposable
{
    private const string Genesis = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d";

    private readonly FakeChain _chain;
    private readonly TimeProvider _time;
    private readonly WebApplication _app;
    private readonly Lock _lock = new();
    private readonly Random _random;
    private readonly ConcurrentDictionary<FakeConnection, bool> _connections = new();
    private readonly ConcurrentDictionary<string, int> _requests = new(StringComparer.Ordinal);
    private readonly Dictionary<long, FakeBlock> _blocks = [];
    private readonly Dictionary<string, List<Place>> _byProgram = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Place> _bySignature = new(StringComparer.Ordinal);
    private readonly SortedDictionary<long, List<(FakeBlock Block, FakeTransaction Transaction)>> _delayed = [];
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _head;
    private int _next;
    private int _drops;
    private ulong _subscriptions;

    private FakeSolanaNode(FakeChain chain, FakeNodeChaos chaos, TimeProvider time, WebApplication app)
    {
        _chain = chain;
        _time = time;
        _app = app;
        Chaos = chaos;
        _random = new Random(chaos.Seed);
        _head = chain.FirstSlot - 1;
        foreach (var block in chain.Blocks)
        {
            _blocks.Add(block.Slot, block);
            for (var i = 0; i < block.Transactions.Length; i++)
            {
                var place = new Place(block, i);
                _bySignature[block.Transactions[i].Signature] = place;
                foreach (var program in block.Transactions[i].Mentions)
                {
                    if (!_byProgram.TryGetValue(program, out var list))
                    {
                        _byProgram.Add(program, list = []);
                    }

                    list.Add(place);
                }
            }
        }
    }

    /// <summary>What it does wrong from now on. The seed is the one that it was started with.</summary>
    public FakeNodeChaos Chaos { get; set; }

    public Uri Http { get; private set; } = null!;

    public Uri WebSocket { get; private set; } = null!;

    /// <summary>Takes connections and subscriptions, and says nothing at all on them. Requests over HTTP are answered.</summary>
    public bool IsSilent { get; set; }

    /// <summary>Refuses everything, as a node that is being started again does.</summary>
    public bool IsDown { get; private set; }

    /// <summary>A method over HTTP that it refuses for the time being, as if a block were not there yet; null: none.</summary>
    public string? Refuses { get; set; }

    /// <summary>How many slots what it tells is behind what was played.</summary>
    public int LagSlots { get; set; }

    /// <summary>What it says its cluster's first block is. Default: the main network's.</summary>
    public string GenesisHash { get; set; } = Genesis;

    /// <summary>How far the block times of slots after the chain's last block are ahead of what the chain's pace makes them.</summary>
    public TimeSpan TimeAhead { get; set; }

    /// <summary>The newest slot it knows.</summary>
    public long Head => Interlocked.Read(ref _head) - LagSlots;

    /// <summary>Nothing is left to play but empty slots.</summary>
    public bool IsAtEnd => _next >= _chain.Blocks.Length;

    /// <summary>WebSocket connections that were accepted so far.</summary>
    public int Accepted { get; private set; }

    /// <summary>Messages that stand in line on open connections.</summary>
    public int Unsent => _connections.Keys.Sum(c => c.Unsent);

    public int OpenConnections => _connections.Count;

    /// <summary>Subscriptions to logs that are open.</summary>
    public int LogSubscriptions => _connections.Keys.Sum(c => c.LogSubscriptions);

    /// <summary>How often a method was called over HTTP, answered or not.</summary>
    public int Requests(string method) => _requests.GetValueOrDefault(method);

    /// <param name="port">0: any that is free.</param>
    public static async Task<FakeSolanaNode> Start(FakeChain chain, FakeNodeChaos? chaos = null, TimeProvider? time = null, int port = 0)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k => k.Listen(IPAddress.Loopback, port));
        var app = builder.Build();
        var node = new FakeSolanaNode(chain, chaos ?? new FakeNodeChaos(), time ?? TimeProvider.System, app);
        app.UseWebSockets();
        app.Run(node.Serve);
        await app.StartAsync();
        node.Http = new Uri(app.Urls.First());
        node.WebSocket = new UriBuilder(node.Http) { Scheme = "ws" }.Uri;
        return node;
    }

    /// <summary>Brings the next slot; returns when its messages are on their way.</summary>
    public async Task PlaySlot()
    {
        FakeBlock block;
        if (!IsAtEnd)
        {
            block = _chain.Blocks[_next++];
        }
        else
        {
            var slot = Interlocked.Read(ref _head) + 1;
            block = new FakeBlock(slot, _chain.Blocks[^1].BlockTime + ((slot - _chain.LastSlot) * 2 / 5) + (long)TimeAhead.TotalSeconds, []);
            lock (_lock)
            {
                _blocks[slot] = block;
            }
        }

        Interlocked.Exchange(ref _head, block.Slot);
        if (!IsSilent)
        {
            await Tell(block);
        }

        if (Chance(Chaos.Drop))
        {
            DropConnections(isClean: _drops++ % 2 == 0);
        }
    }

    /// <summary>Plays what is left of the chain, with a pause after each slot.</summary>
    public async Task PlayAll(TimeSpan pause, CancellationToken cancellationToken)
    {
        while (!IsAtEnd)
        {
            await PlaySlot();
            await Pause(pause, cancellationToken);
        }
    }

    /// <summary>Plays slots, at the end empty ones, until cancelled.</summary>
    public async Task PlayForEver(TimeSpan pause, CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            await PlaySlot();
            await Pause(pause, cancellationToken);
        }
    }

    /// <summary>Moves to a slot without telling anybody, as if nobody had been connected.</summary>
    public void SkipTo(long slot)
    {
        while (!IsAtEnd && _chain.Blocks[_next].Slot <= slot)
        {
            Interlocked.Exchange(ref _head, _chain.Blocks[_next++].Slot);
        }
    }

    /// <summary>Ends every connection.</summary>
    /// <param name="isClean">With a close frame; otherwise as if the cable were cut.</param>
    public void DropConnections(bool isClean)
    {
        foreach (var connection in _connections.Keys)
        {
            connection.Drop(isClean);
        }
    }

    /// <summary>Goes down: connections end, requests are refused.</summary>
    public void GoDown()
    {
        IsDown = true;
        DropConnections(isClean: false);
    }

    /// <summary>Comes back after <see cref="GoDown"/>, with no subscriptions.</summary>
    public void ComeBack() => IsDown = false;

    /// <summary>Sends a text to every connection, whatever it is.</summary>
    /// <param name="fragments">In how many pieces. A long text in one takes room of its length from the pools of this process, for good.</param>
    public async Task SendRaw(ReadOnlyMemory<byte> text, int fragments = 1)
    {
        foreach (var connection in _connections.Keys)
        {
            await connection.Send(text, fragments);
        }
    }

    public async ValueTask DisposeAsync()
    {
        IsDown = true;
        _ended.TrySetResult();
        DropConnections(isClean: false);
        using var soon = new CancellationTokenSource(TimeSpan.FromMilliseconds(200));
        try
        {
            await _app.StopAsync(soon.Token);
        }
        catch (OperationCanceledException)
        {
            // Whoever was still asking is cut off.
        }

        await _app.DisposeAsync();
    }

    private async Task Pause(TimeSpan pause, CancellationToken cancellationToken)
    {
        if (pause > TimeSpan.Zero)
        {
            await Task.Delay(pause, _time, cancellationToken);
        }
        else
        {
            await Task.Yield();
        }
    }

    private bool Chance(double chance)
    {
        if (chance <= 0)
        {
            return false;
        }

        lock (_lock)
        {
            return _random.NextDouble() < chance;
        }
    }

    private int Pick(int end)
    {
        lock (_lock)
        {
            return _random.Next(end);
        }
    }

    private async Task Tell(FakeBlock block)
    {
        var slot = string.Create(CultureInfo.InvariantCulture, $"{{\"parent\":{block.Slot - 1},\"root\":{block.Slot - 31},\"slot\":{block.Slot}}}");
        foreach (var connection in _connections.Keys)
        {
            await Notify(connection, "slot", null, slot);
            await Notify(connection, "root", null, (block.Slot - 31).ToString(CultureInfo.InvariantCulture));
        }

        var order = block.Transactions.Where(t => t.Mentions.Any(_byProgram.ContainsKey)).Select(t => (Block: block, Transaction: t)).ToList();
        if (Chance(Chaos.Reorder))
        {
            lock (_lock)
            {
                _random.Shuffle(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(order));
            }
        }

        while (_delayed.Count > 0 && _delayed.First() is var due && due.Key <= block.Slot)
        {
            order.AddRange(due.Value);
            _delayed.Remove(due.Key);
        }

        foreach (var (of, transaction) in order)
        {
            if (Chance(Chaos.Lose))
            {
                continue;
            }

            if (of == block && Chance(Chaos.Delay))
            {
                var until = block.Slot + 1 + Pick(5);
                if (!_delayed.TryGetValue(until, out var list))
                {
                    _delayed.Add(until, list = []);
                }

                list.Add((of, transaction));
                continue;
            }

            var logs = Chance(Chaos.Truncate) ? Cut(transaction) : transaction.Logs;
            var body = string.Create(
                CultureInfo.InvariantCulture,
                $"{{\"context\":{{\"apiVersion\":\"2.3.6\",\"slot\":{of.Slot}}},\"value\":{{\"signature\":\"{transaction.Signature}\",\"err\":{transaction.Error ?? "null"},\"logs\":{JsonSerializer.Serialize(logs)}}}}}");
            for (var times = Chance(Chaos.Duplicate) ? 2 : 1; times > 0; times--)
            {
                foreach (var connection in _connections.Keys)
                {
                    foreach (var program in transaction.Mentions)
                    {
                        await Notify(connection, "logs", program, body, transaction.Recorded);
                    }

                    if (Chance(Chaos.Garbage))
                    {
                        await connection.Send(Garbage(), 1);
                    }
                }
            }
        }

        foreach (var connection in _connections.Keys)
        {
            await connection.FlushConfirmations();
        }
    }

    private static IEnumerable<string> Cut(FakeTransaction transaction) =>
        transaction.Logs.TakeWhile(l => !l.StartsWith("Program data: ", StringComparison.Ordinal)).Append("Log truncated");

    private byte[] Garbage() => Encoding.UTF8.GetBytes(Pick(5) switch
    {
        0 => "{\"jsonrpc\":\"2.0\",\"method\":\"logsNoti",
        1 => "{\"jsonrpc\":\"2.0\",\"method\":\"logsNotification\",\"params\":{\"result\":{\"context\":{\"slot\":\"seven\"},\"value\":7}}}",
        2 => "[]",
        3 => "{\"jsonrpc\":\"2.0\",\"method\":\"logsNotification\",\"params\":null}",
        _ => "\u0000\u0001",
    });

    private async Task Notify(FakeConnection connection, string kind, string? program, string result, string? recorded = null)
    {
        foreach (var (id, subscription) in connection.Subscriptions)
        {
            if (subscription.Kind == kind && (subscription.Program is null || subscription.Program == program))
            {
                var text = recorded ?? string.Create(CultureInfo.InvariantCulture, $"{{\"jsonrpc\":\"2.0\",\"method\":\"{kind}Notification\",\"params\":{{\"result\":{result},\"subscription\":{id}}}}}");
                await connection.Send(Encoding.UTF8.GetBytes(text), Chance(Chaos.Fragment) ? 2 + Pick(3) : 1);
            }
        }
    }

    private async Task Serve(HttpContext context)
    {
        if (IsDown)
        {
            context.Abort();
            return;
        }

        if (context.WebSockets.IsWebSocketRequest)
        {
            using var socket = await context.WebSockets.AcceptWebSocketAsync();
            var connection = new FakeConnection(socket, context.Abort);
            lock (_lock)
            {
                Accepted++;
            }

            _connections.TryAdd(connection, true);
            try
            {
                await connection.Run(OnMessage);
            }
            finally
            {
                _connections.TryRemove(connection, out _);
            }

            return;
        }

        await Answer(context);
    }

    private async Task OnMessage(FakeConnection connection, string text)
    {
        if (JsonNode.Parse(text) is not JsonObject request || IsSilent)
        {
            return;
        }

        var id = request["id"];
        var method = (string?)request["method"] ?? "";
        if (method.EndsWith("Unsubscribe", StringComparison.Ordinal))
        {
            var known = connection.Subscriptions.TryRemove((ulong)request["params"]![0]!, out _);
            await connection.Confirm(Result(id, JsonValue.Create(known)), isLate: false);
            return;
        }

        var kind = method switch { "logsSubscribe" => "logs", "slotSubscribe" => "slot", "rootSubscribe" => "root", _ => null };
        if (kind is null)
        {
            await connection.Confirm(Error(id, -32601, "Method not found"), isLate: false);
            return;
        }

        // Ids of a real node use all 64 bits.
        var number = ulong.MaxValue - 1000 + Interlocked.Increment(ref _subscriptions) % 1000;
        var mentions = kind == "logs" && request["params"]?[0] is JsonObject filter ? (string?)filter["mentions"]?[0] : null;
        connection.Subscriptions[number] = (kind, mentions);
        var echoed = Chaos.LateConfirmations && id is not null ? JsonValue.Create(id.ToJsonString()) : id;
        await connection.Confirm(Result(echoed, JsonValue.Create(number)), Chaos.LateConfirmations);
    }

    private async Task Answer(HttpContext context)
    {
        JsonNode? body;
        try
        {
            body = await JsonNode.ParseAsync(context.Request.Body);
        }
        catch (JsonException)
        {
            context.Response.StatusCode = StatusCodes.Status400BadRequest;
            return;
        }

        var chaos = Chaos;
        if (Chance(chaos.TooManyRequests))
        {
            Count(body);
            context.Response.StatusCode = StatusCodes.Status429TooManyRequests;
            if (chaos.RetryAfterSeconds is { } seconds)
            {
                context.Response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
            }

            return;
        }

        if (Chance(chaos.Slow))
        {
            await Task.WhenAny(Task.Delay(chaos.SlowBy, _time, context.RequestAborted), _ended.Task);
        }

        var answer = body is JsonArray batch ? new JsonArray([.. batch.Select(r => Call(r as JsonObject))]).ToJsonString() : Call(body as JsonObject).ToJsonString();
        context.Response.ContentType = "application/json";
        await context.Response.WriteAsync(Chance(chaos.BrokenAnswer) ? "<html>502</html>" : answer, context.RequestAborted);
    }

    private void Count(JsonNode? body) => _requests.AddOrUpdate((string?)(body as JsonObject)?["method"] ?? "", 1, static (_, n) => n + 1);

    private JsonObject Call(JsonObject? request)
    {
        Count(request);
        var id = request?["id"];
        var parameters = request?["params"] as JsonArray;
        if (Refuses is not null && (string?)request?["method"] == Refuses)
        {
            return Error(id, -32004, "Block not available for slot");
        }

        try
        {
            return (string?)request?["method"] switch
            {
                "getSlot" => Result(id, Head),
                "getHealth" => LagSlots > 150 ? Error(id, -32005, $"Node is behind by {LagSlots} slots") : Result(id, "ok"),
                "getVersion" => Result(id, new JsonObject { ["solana-core"] = "2.3.6", ["feature-set"] = 3640012085u }),
                "getGenesisHash" => Result(id, GenesisHash),
                "getFirstAvailableBlock" => Result(id, _chain.FirstSlot),
                "getBlockTime" => WithBlock(id, (long)parameters![0]!, block => JsonValue.Create(block.BlockTime)),
                "getBlock" => WithBlock(id, (long)parameters![0]!, block => Block(block, parameters.Count > 1 ? parameters[1] as JsonObject : null)),
                "getTransaction" => Result(id, Transaction((string)parameters![0]!)),
                "getSignaturesForAddress" when (parameters!.Count > 1 ? (long?)(parameters[1] as JsonObject)?["minContextSlot"] : null) > Head => Error(id, -32016, "Minimum context slot has not been reached"),
                "getSignaturesForAddress" => Result(id, Signatures((string)parameters![0]!, parameters.Count > 1 ? parameters[1] as JsonObject : null)),
                _ => Error(id, -32601, "Method not found"),
            };
        }
        catch (Exception e) when (e is InvalidOperationException or FormatException or ArgumentOutOfRangeException or NullReferenceException)
        {
            return Error(id, -32602, $"Invalid params: {e.Message}");
        }
    }

    private JsonObject WithBlock(JsonNode? id, long slot, Func<FakeBlock, JsonNode> read)
    {
        if (slot > Head)
        {
            return Error(id, -32004, $"Block not available for slot {slot}");
        }

        if (slot < _chain.FirstSlot)
        {
            return Error(id, -32001, $"Block {slot} cleaned up, does not exist on node. First available block: {_chain.FirstSlot}");
        }

        FakeBlock? block;
        lock (_lock)
        {
            block = _blocks.GetValueOrDefault(slot);
        }

        return block is null ? Error(id, -32007, $"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot") : Result(id, read(block));
    }

    private static JsonObject Block(FakeBlock block, JsonObject? options)
    {
        var result = new JsonObject
        {
            ["blockHeight"] = block.Slot,
            ["blockTime"] = block.BlockTime,
            ["blockhash"] = Genesis,
            ["parentSlot"] = block.Slot - 1,
            ["previousBlockhash"] = Genesis,
        };
        switch ((string?)options?["transactionDetails"] ?? "full")
        {
            case "signatures":
                result["signatures"] = new JsonArray([.. block.Transactions.Select(t => (JsonNode)t.Signature)]);
                break;
            case "full":
                result["transactions"] = new JsonArray([.. block.Transactions.Select(t => (JsonNode)Transaction(t))]);
                break;
        }

        return result;
    }

    private JsonObject? Transaction(string signature)
    {
        if (!_bySignature.TryGetValue(signature, out var place) || place.Block.Slot > Head)
        {
            return null;
        }

        var result = Transaction(place.Transaction);
        result["slot"] = place.Block.Slot;
        result["blockTime"] = place.Block.BlockTime;
        return result;
    }

    private static JsonObject Transaction(FakeTransaction transaction) => new()
    {
        ["meta"] = new JsonObject
        {
            ["err"] = transaction.Error is null ? null : JsonNode.Parse(transaction.Error),
            ["fee"] = 5000,
            ["logMessages"] = new JsonArray([.. transaction.Logs.Select(l => (JsonNode)l)]),
        },
        ["transaction"] = new JsonObject { ["signatures"] = new JsonArray(transaction.Signature), ["message"] = new JsonObject() },
        ["version"] = "legacy",
    };

    private JsonArray Signatures(string program, JsonObject? options)
    {
        var limit = Math.Clamp((int?)options?["limit"] ?? 1000, 1, 1000);
        var (before, until) = ((string?)options?["before"], (string?)options?["until"]);
        var answer = new JsonArray();
        if (!_byProgram.TryGetValue(program, out var list))
        {
            return answer;
        }

        var head = Head - Chaos.IndexLagSlots;
        var (low, high) = (0, list.Count);
        while (low < high)
        {
            var middle = (low + high) / 2;
            var (slot, index) = (list[middle].Block.Slot, list[middle].Index);
            var isBelow = before is null ? slot <= head
                : _bySignature.TryGetValue(before, out var b) && (slot < b.Block.Slot || (slot == b.Block.Slot && index < b.Index));
            (low, high) = isBelow ? (middle + 1, high) : (low, middle);
        }

        for (var i = low - 1; i >= 0 && answer.Count < limit; i--)
        {
            var transaction = list[i].Transaction;
            if (transaction.Signature == until)
            {
                break;
            }

            answer.Add(new JsonObject
            {
                ["signature"] = transaction.Signature,
                ["slot"] = list[i].Block.Slot,
                ["err"] = transaction.Error is null ? null : JsonNode.Parse(transaction.Error),
                ["memo"] = null,
                ["blockTime"] = list[i].Block.BlockTime,
                ["confirmationStatus"] = "confirmed",
            });
        }

        return answer;
    }

    private static JsonObject Result(JsonNode? id, JsonNode? result) => new() { ["jsonrpc"] = "2.0", ["result"] = result, ["id"] = id?.DeepClone() };

    private static JsonObject Error(JsonNode? id, int code, string message) =>
        new() { ["jsonrpc"] = "2.0", ["error"] = new JsonObject { ["code"] = code, ["message"] = message }, ["id"] = id?.DeepClone() };

    private readonly record struct Place(FakeBlock Block, int Index)
    {
        public FakeTransaction Transaction => Block.Transactions[Index];
    }
}
