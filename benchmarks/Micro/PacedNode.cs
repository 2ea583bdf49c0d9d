using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.IO.MemoryMappedFiles;
using System.Net;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using KlineOrleans.Ingest.Solana;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Benchmarks.Micro;

/// <summary>A Solana node in a process of its own that sends one trade a frame at an even pace, and answers what a source asks about them.</summary>
/// <remarks>As on the chain, a slot is told when it begins and its confirmed logs follow about a second later, so that its block time is known by then.</remarks>
internal sealed class PacedNode
{
    /// <summary>Bytes before the moments in the shared memory.</summary>
    public const int Header = 8;

    private const string Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    private const long FirstSlot = 300_000_000;
    private const int ConfirmedAfter = 3;
    private const int NumberLength = 8;

    private static readonly string SignaturePrefix = string.Concat(Enumerable.Repeat("5xk1fk8eZF", 8));

    private readonly int _rate;
    private readonly long _total;
    private readonly int _mints;
    private readonly MemoryMappedViewAccessor _sent;
    private readonly long _genesis = TimeProvider.System.GetUtcNow().ToUnixTimeSeconds();
    private readonly long _began = Stopwatch.GetTimestamp();
    private readonly ConcurrentDictionary<long, (long From, long To)> _slots = new();
    private long _next;

    private PacedNode(int rate, long total, int mints, MemoryMappedViewAccessor sent) => (_rate, _total, _mints, _sent) = (rate, total, mints, sent);

    public static PublicKey Mint(int number)
    {
        var key = new byte[32];
        key.AsSpan().Fill(0xC5);
        BinaryPrimitives.WriteInt32LittleEndian(key.AsSpan(28), number);
        return new PublicKey(key);
    }

    /// <summary>The number of the trade that a signature is of.</summary>
    public static long NumberOf(string signature)
    {
        var number = 0L;
        foreach (var c in signature.AsSpan(signature.Length - NumberLength))
        {
            number = (number * 58) + Alphabet.IndexOf(c, StringComparison.Ordinal);
        }

        return number;
    }

    public static async Task Run(string[] args)
    {
        var (rate, seconds, mints) = (int.Parse(args[0], CultureInfo.InvariantCulture), int.Parse(args[1], CultureInfo.InvariantCulture), int.Parse(args[2], CultureInfo.InvariantCulture));
        using var shared = MemoryMappedFile.CreateFromFile(args[3], FileMode.Open);
        using var sent = shared.CreateViewAccessor();
        var node = new PacedNode(rate, (long)rate * seconds, mints, sent);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k => k.Listen(IPAddress.Loopback, 0));
        await using var app = builder.Build();
        app.UseWebSockets();
        app.Run(node.Serve);
        await app.StartAsync();
        Console.WriteLine(app.Urls.First());
        Console.ReadLine();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await app.StopAsync(patience.Token);
    }

    private long Head => FirstSlot + (long)(Stopwatch.GetElapsedTime(_began).TotalSeconds / 0.4);

    private long BlockTime(long slot) => _genesis + ((slot - FirstSlot) * 2 / 5);

    private static string Signature(long number)
    {
        Span<char> text = stackalloc char[NumberLength];
        for (var i = NumberLength - 1; i >= 0; i--)
        {
            text[i] = Alphabet[(int)(number % 58)];
            number /= 58;
        }

        return string.Concat(SignaturePrefix, text);
    }

    private async Task Serve(HttpContext context)
    {
        if (context.WebSockets.IsWebSocketRequest)
        {
            using var socket = await context.WebSockets.AcceptWebSocketAsync();
            await Feed(socket);
            return;
        }

        using var request = await JsonDocument.ParseAsync(context.Request.Body);
        var id = request.RootElement.GetProperty("id").GetRawText();
        context.Response.ContentType = "application/json";
        await context.Response.WriteAsync($"{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{Answer(request.RootElement.GetProperty("method").GetString()!, request.RootElement.GetProperty("params"))}}}");
    }

    private string Answer(string method, JsonElement parameters) => method switch
    {
        "getSlot" => Text(Head - ConfirmedAfter),
        "getFirstAvailableBlock" => "0",
        "getGenesisHash" => $"\"{Mint(0)}\"",
        "getBlockTime" => Text(BlockTime(parameters[0].GetInt64())),
        "getBlock" => _slots.TryGetValue(parameters[0].GetInt64(), out var slot)
            ? $"{{\"blockTime\":{Text(BlockTime(parameters[0].GetInt64()))},\"signatures\":[{string.Join(',', Numbers(slot.From, slot.To).Select(n => $"\"{Signature(n)}\""))}]}}"
            : "null",
        "getSignaturesForAddress" => Page(parameters[1]),
        _ => "null",
    };

    private string Page(JsonElement options)
    {
        var before = options.TryGetProperty("before", out var signature) ? NumberOf(signature.GetString()!) : Volatile.Read(ref _next);
        var text = new StringBuilder("[");
        foreach (var number in Numbers(Math.Max(0, before - options.GetProperty("limit").GetInt32()), before).Reverse())
        {
            var slot = _slots.First(s => s.Value.From <= number && number < s.Value.To).Key;
            text.Append(text.Length > 1 ? "," : "").Append(CultureInfo.InvariantCulture, $"{{\"slot\":{slot},\"signature\":\"{Signature(number)}\",\"err\":null,\"blockTime\":{BlockTime(slot)}}}");
        }

        return text.Append(']').ToString();
    }

    private static IEnumerable<long> Numbers(long from, long to)
    {
        for (var number = from; number < to; number++)
        {
            yield return number;
        }
    }

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    private async Task Feed(WebSocket socket)
    {
        var buffer = new byte[4_096];
        var subscriptions = 0;
        while (subscriptions < 2)
        {
            var received = await socket.ReceiveAsync(buffer, CancellationToken.None);
            using var request = JsonDocument.Parse(buffer.AsMemory(0, received.Count));
            await Send(socket, Encoding.UTF8.GetBytes($"{{\"jsonrpc\":\"2.0\",\"id\":{request.RootElement.GetProperty("id").GetRawText()},\"result\":{++subscriptions}}}"));
        }

        // What the source sends further is pongs and the end.
        var ended = socket.ReceiveAsync(buffer, CancellationToken.None).ContinueWith(_ => { }, TaskScheduler.Default);
        var slot = 0L;
        var frame = new byte[2_048];
        var told = Head - 1;
        long? began = null;
        while (!ended.IsCompleted)
        {
            while (told < Head)
            {
                told++;
                await Send(socket, Encoding.ASCII.GetBytes($"{{\"jsonrpc\":\"2.0\",\"method\":\"slotNotification\",\"params\":{{\"result\":{{\"slot\":{told},\"parent\":{told - 1},\"root\":{told - 32}}},\"subscription\":2}}}}"));
            }

            if (slot == 0)
            {
                // The first confirmed slot comes when its block time can be known.
                slot = told >= FirstSlot + 8 ? told - ConfirmedAfter : 0;
                began = slot == 0 ? null : Stopwatch.GetTimestamp();
            }

            var due = began is { } start ? Math.Min(_total, (long)(Stopwatch.GetElapsedTime(start).TotalSeconds * _rate)) : 0;
            if (told - ConfirmedAfter > slot && slot != 0)
            {
                slot = told - ConfirmedAfter;
            }

            for (var next = _next; next < due; next++)
            {
                _slots.AddOrUpdate(slot, static (_, n) => (n, n + 1), static (_, range, n) => (range.From, n + 1), next);
                var length = Write(frame, slot, next);
                _sent.Write(Header + (next * sizeof(long)), Stopwatch.GetTimestamp());
                await socket.SendAsync(frame.AsMemory(0, length), WebSocketMessageType.Text, true, CancellationToken.None);
                Volatile.Write(ref _next, next + 1);
            }

            await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System);
        }
    }

    private int Write(byte[] frame, long slot, long number)
    {
        Span<byte> data = stackalloc byte[8 + 101];
        data.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(data, ProgramCatalog.Shipped["SpinPet-2.3"].Generation.Layouts.First(l => l.EventType == "BuySell").Discriminator);
        data.Slice(8, 32).Fill(0x11);
        Mint((int)(number % _mints)).CopyTo(data.Slice(40, 32));
        data[72] = (byte)(number & 1);
        BinaryPrimitives.WriteUInt64LittleEndian(data[73..], (ulong)(1_000_000 + (number % 1_000)));
        BinaryPrimitives.WriteUInt64LittleEndian(data[81..], (ulong)(2_000_000 + (number % 777)));
        BinaryPrimitives.WriteUInt128LittleEndian(data[89..], 3_489_005_136_874_711_364 + (UInt128)(number % 99_991 * 1_000_000_000));
        const string Id = ProgramCatalog.SpinPet2Id;
        var text = string.Create(
            CultureInfo.InvariantCulture,
            $"{{\"jsonrpc\":\"2.0\",\"method\":\"logsNotification\",\"params\":{{\"result\":{{\"context\":{{\"slot\":{slot}}},\"value\":{{\"signature\":\"{Signature(number)}\",\"err\":null,\"logs\":[\"Program {Id} invoke [1]\",\"Program log: Instruction: Buy\",\"Program TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA invoke [2]\",\"Program log: Instruction: TransferChecked\",\"Program TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA success\",\"Program data: {Convert.ToBase64String(data)}\",\"Program {Id} consumed 61234 of 200000 compute units\",\"Program {Id} success\"]}}}},\"subscription\":1}}}}");
        return Encoding.ASCII.GetBytes(text, frame);
    }

    private static Task Send(WebSocket socket, byte[] text) => socket.SendAsync(text, WebSocketMessageType.Text, true, CancellationToken.None);
}
