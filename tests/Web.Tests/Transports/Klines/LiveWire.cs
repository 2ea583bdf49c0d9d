using System.Net.WebSockets;
using System.Text.Json;

namespace KlineOrleans.Web.Tests.Transports.Klines;

/// <summary>A client of /ws/kline/live.</summary>
internal sealed class LiveWire : EventWire
{
    private LiveWire(ClientWebSocket socket)
        : base(socket)
    {
    }

    public static async Task<LiveWire> Connect(WebHost host)
    {
        var client = new LiveWire(await Dial(host, "/ws/kline/live"));
        client.StartReading();
        return client;
    }

    public async Task<JsonElement> Json() => Parse(await Text());

    /// <summary>Sends a subscription and waits until it is taken: requests are answered in order, and one that is no request is answered.</summary>
    public async Task Ask(string json)
    {
        await SendText(json);
        await SendText("{}");
        Assert.Contains("Allowed: {\"subscribe\"", (await Json()).GetProperty("error").GetString()!, StringComparison.Ordinal);
    }

    public override Task Request(string name, string payload) => SendText(payload);

    protected override (string Name, JsonElement Data) Read(string text) => ("", Parse(text));
}
