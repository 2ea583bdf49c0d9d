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

    [Fact]
    public Task Clients_of_the_older_designs_and_the_public_front_ends_work_unchanged() => RunAsync("design.mjs", needsKey: false, []);

    [Theory]
    [InlineData("polling")]
    [InlineData("websocket")]
    [InlineData("default")]
    [InlineData("ws")]
    [InlineData("live")]
    [InlineData("signalr")]
    public async Task Every_error_code_reaches_the_client(string client)
    {
        var whyNot = await NodeClients.WhyNotAsync();
        Assert.SkipWhen(whyNot is not null, whyNot ?? "");
        await using var server = await KlineServer.StartAsync(true, [.. Small, "--Kline:Web:Limits:Connections", "4", "--Kline:Sources:0:Kind", "Simulation", "--Kline:Sources:0:History", "00:20:00"]);
        await server.TakeKlinesAwayAsync();
        var (code, output) = await NodeClients.RunAsync("errors.mjs", server.Url, KlineServer.Key, client);
        Assert.True(code == 0, output);
        Assert.Contains("all ok", output, StringComparison.Ordinal);
    }

    // So that a client reaches them.
    private static readonly string[] Small = ["--Kline:Web:Limits:SubscriptionsPerClient", "6", "--Kline:Web:Limits:MessageBurst", "40"];

    private static Task RunAsync(string script, params string[] arguments) => RunAsync(script, needsKey: true, arguments);

    private static async Task RunAsync(string script, bool needsKey, string[] arguments)
    {
        var whyNot = await NodeClients.WhyNotAsync();
        Assert.SkipWhen(whyNot is not null, whyNot ?? "");
        await using var server = await KlineServer.StartAsync(needsKey, needsKey ? Small : []);
        var (code, output) = await NodeClients.RunAsync(script, [server.Url, .. arguments]);
        Assert.True(code == 0, output);
        Assert.Contains("all ok", output, StringComparison.Ordinal);
    }
}
