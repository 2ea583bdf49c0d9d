using System.Net.Http.Json;
using System.Net.WebSockets;
using System.Text.Json;

// Klines of one symbol: the newest over HTTP, then every change over /ws (docs/wire/http.md, docs/wire/websocket.md).
//   dotnet run --project samples/Live -- http://127.0.0.1:8080 [SYMBOL] [INTERVAL]
using var stop = new CancellationTokenSource();
Console.CancelKeyPress += (_, key) =>
{
    key.Cancel = true;
    stop.Cancel();
};
var server = new Uri(args.Length > 0 ? args[0] : "http://127.0.0.1:8080");
using var http = new HttpClient { BaseAddress = server };
var symbol = args.Length > 1
    ? args[1]
    : (await http.GetFromJsonAsync<JsonElement>(new Uri("/api/v1/symbols?limit=1", UriKind.Relative), stop.Token)).GetProperty("symbols")[0].GetProperty("symbol").GetString()!;
var interval = args.Length > 2 ? args[2] : "s1";

var page = await http.GetFromJsonAsync<JsonElement>(new Uri($"/api/v1/klines/{symbol}/{interval}?limit=5&exact=true", UriKind.Relative), stop.Token);
foreach (var kline in page.GetProperty("klines").EnumerateArray())
{
    Console.WriteLine($"{DateTimeOffset.FromUnixTimeMilliseconds(kline.GetProperty("openTime").GetInt64()):u} {symbol} {interval} close {kline.GetProperty("close").GetString()}");
}

using var socket = new ClientWebSocket();
await socket.ConnectAsync(new UriBuilder(server) { Scheme = server.Scheme == "https" ? "wss" : "ws", Path = "/ws" }.Uri, stop.Token);
await socket.SendAsync(JsonSerializer.SerializeToUtf8Bytes(new { msg_type = "subscribe", symbol, interval, limit = 1 }), WebSocketMessageType.Text, endOfMessage: true, stop.Token);
var message = new MemoryStream();
var buffer = new byte[65_536];
try
{
    while (true)
    {
        var part = await socket.ReceiveAsync(buffer.AsMemory(), stop.Token);
        if (part.MessageType == WebSocketMessageType.Close)
        {
            // 1001: the server stops. A client that lives on connects again, with resume: {epoch, seq} of the newest message.
            Console.WriteLine($"closed: {socket.CloseStatus} {socket.CloseStatusDescription}");
            return 1;
        }

        message.Write(buffer, 0, part.Count);
        if (!part.EndOfMessage)
        {
            continue;
        }

        using var json = JsonDocument.Parse(message.GetBuffer().AsMemory(0, (int)message.Length));
        message.SetLength(0);
        if (json.RootElement.GetProperty("type").GetString() == "kline_data")
        {
            // A kline that was final and comes again is a correction: its revision is higher (docs/wire/corrections.md).
            var kline = json.RootElement.GetProperty("data").GetProperty("data");
            Console.WriteLine($"{DateTimeOffset.FromUnixTimeSeconds(kline.GetProperty("time").GetInt64()):u} {symbol} {interval} close {kline.GetProperty("close").GetDouble()} {(kline.GetProperty("is_final").GetBoolean() ? "final" : "forming")}");
        }
    }
}
catch (OperationCanceledException)
{
    return 0;
}
