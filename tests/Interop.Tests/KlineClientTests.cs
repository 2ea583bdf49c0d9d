namespace KlineOrleans.Interop.Tests;

/// <summary>Clients that we did not write, against the real server with the simulation: connect, subscribe, history, live, unsubscribe, resume, every error code they can cause.</summary>
public sealed class KlineClientTests
{
    [Theory]
    [InlineData("polling")]
    [InlineData("websocket")]
    [InlineData("default")]
    public Task Npm_socket_io_client_follows_klines_on_every_namespace(string mode) => RunAsync("kline-socketio.mjs", mode, KlineServer.Key);

    [Fact]
    public Task Npm_ws_follows_klines_on_the_raw_sockets() => RunAsync("kline-ws.mjs", KlineServer.Key);

    [Fact]
    public Task Npm_signalr_follows_klines_on_the_hub() => RunAsync("kline-signalr.mjs", KlineServer.Key);

    private static async Task RunAsync(string script, params string[] arguments)
    {
        var whyNot = await NodeClients.WhyNotAsync();
        Assert.SkipWhen(whyNot is not null, whyNot ?? "");

        // Small limits, so that a client reaches them.
        await using var server = await KlineServer.StartAsync("--Kline:Web:Limits:SubscriptionsPerClient", "6", "--Kline:Web:Limits:MessageBurst", "40");
        var (code, output) = await NodeClients.RunAsync(script, [server.Url, .. arguments]);
        Assert.True(code == 0, output);
        Assert.Contains("all ok", output, StringComparison.Ordinal);
    }
}
