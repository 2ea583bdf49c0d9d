using KlineOrleans.Interop.ConformanceHost;

namespace KlineOrleans.Interop.Tests;

/// <summary>Clients that we did not write, against the conformance server. Real time: they have clocks of their own.</summary>
public sealed class SocketIoClientTests
{
    [Theory]
    [InlineData("polling")]
    [InlineData("websocket")]
    [InlineData("default")]
    public async Task Npm_socket_io_client_connects_echoes_acknowledges_and_reconnects(string mode) => await RunAsync("socketio.mjs", mode);

    [Fact]
    public async Task Npm_ws_speaks_the_protocols_by_hand() => await RunAsync("ws.mjs");

    private static async Task RunAsync(string script, params string[] arguments)
    {
        var whyNot = await NodeClients.WhyNotAsync();
        Assert.SkipWhen(whyNot is not null, whyNot ?? "");
        await using var server = await ConformanceServer.StartAsync(0, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(20));
        var (code, output) = await NodeClients.RunAsync(script, [server.Urls.First(), .. arguments]);
        Assert.True(code == 0, output);
        Assert.Contains("all ok", output, StringComparison.Ordinal);
    }
}
