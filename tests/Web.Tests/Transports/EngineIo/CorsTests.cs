using System.Net.WebSockets;

namespace KlineOrleans.Web.Tests.Transports.EngineIo;

public sealed class CorsTests
{
    private const string Page = "https://example.com";

    [Fact, Trait("Requirement", "CORS")]
    public async Task Any_origin_gets_its_header_on_every_answer_errors_and_413_included()
    {
        await using var host = await TransportHost.StartEngineAsync(o =>
        {
            o.AllowedOrigins.Add("*");
            o.MaxPayload = 100;
        });
        var sid = await host.OpenAsync();
        Answer[] answers =
        [
            await host.SendAsync(HttpMethod.Get, "EIO=4&transport=polling", null, ("Origin", Page)),
            await host.SendAsync(HttpMethod.Get, "EIO=4", null, ("Origin", Page)),
            await host.SendAsync(HttpMethod.Get, "EIO=3&transport=polling", null, ("Origin", Page)),
            await host.PostAsync(sid, new string('4', 101)),
            await host.SendAsync(HttpMethod.Put, $"EIO=4&transport=polling&sid={sid}"),
            await host.PostAsync(sid, "4a"),
            await host.PostAsync(sid, "abc"),
        ];
        Assert.Equal([200, 400, 400, 413, 405, 200, 400], answers.Select(a => a.Code));
        Assert.All(answers, a => Assert.Equal("*", a.Headers["Access-Control-Allow-Origin"]));
        Assert.All(answers, a => Assert.False(a.Headers.ContainsKey("Access-Control-Allow-Credentials")));
    }

    [Fact, Trait("Requirement", "CORS preflight")]
    public async Task Preflight_is_answered_and_reflects_the_headers_asked_for()
    {
        await using var host = await TransportHost.StartEngineAsync(o => o.AllowedOrigins.Add("*"));
        var answer = await host.SendAsync(
            HttpMethod.Options, "EIO=4&transport=polling", null, ("Origin", Page), ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "x-custom"));
        Assert.Equal((204, ""), (answer.Code, answer.Body));
        Assert.Equal("*", answer.Headers["Access-Control-Allow-Origin"]);
        Assert.Equal("GET,POST", answer.Headers["Access-Control-Allow-Methods"]);
        Assert.Equal("x-custom", answer.Headers["Access-Control-Allow-Headers"]);
        Assert.Contains("Access-Control-Request-Headers", answer.Headers["Vary"], StringComparison.Ordinal);
    }

    [Fact, Trait("Requirement", "CORS allow-list")]
    public async Task Listed_origin_is_echoed_with_credentials_and_others_get_nothing()
    {
        await using var host = await TransportHost.StartEngineAsync(o =>
        {
            o.AllowedOrigins.Add(Page);
            o.AllowCredentials = true;
        });
        var listed = await host.SendAsync(HttpMethod.Get, "EIO=4&transport=polling", null, ("Origin", Page));
        Assert.Equal((Page, "true", "Origin"), (listed.Headers["Access-Control-Allow-Origin"], listed.Headers["Access-Control-Allow-Credentials"], listed.Headers["Vary"]));
        var error = await host.SendAsync(HttpMethod.Get, "EIO=4", null, ("Origin", Page));
        Assert.Equal(Page, error.Headers["Access-Control-Allow-Origin"]);

        var other = await host.SendAsync(HttpMethod.Get, "EIO=4&transport=polling", null, ("Origin", "https://evil.example"));
        Assert.False(other.Headers.ContainsKey("Access-Control-Allow-Origin"));
        Assert.Equal("Origin", other.Headers["Vary"]);
    }

    [Fact, Trait("Requirement", "CORS off by default")]
    public async Task Without_allowed_origins_no_header_is_sent()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var answer = await host.SendAsync(HttpMethod.Get, "EIO=4&transport=polling", null, ("Origin", Page));
        Assert.DoesNotContain(answer.Headers.Keys, k => k.StartsWith("Access-Control", StringComparison.OrdinalIgnoreCase));
    }

    [Fact, Trait("Requirement", "Origin on upgrade")]
    public async Task WebSocket_is_opened_for_its_own_and_listed_origins_only()
    {
        await using var host = await TransportHost.StartEngineAsync(o => o.AllowedOrigins.Add(Page));
        foreach (var origin in (string[])[Page, host.Url, host.Url.Replace("http:", "https:", StringComparison.Ordinal)])
        {
            using var socket = await host.ConnectAsync("EIO=4&transport=websocket", ("Origin", origin));
            Assert.StartsWith("0{", await socket.ReadAsync(), StringComparison.Ordinal);
        }

        var sid = await host.OpenAsync();
        foreach (var origin in (string[])["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1", "garbage"])
        {
            foreach (var query in (string[])["EIO=4&transport=websocket", $"EIO=4&transport=websocket&sid={sid}"])
            {
                var e = await Assert.ThrowsAsync<WebSocketException>(() => host.ConnectAsync(query, ("Origin", origin)));
                Assert.Contains("403", e.Message, StringComparison.Ordinal);
            }
        }
    }
}
