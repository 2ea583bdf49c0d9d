using System.Net.WebSockets;
using System.Text.Json;
using KlineOrleans.Web.Transports.EngineIo;
using Microsoft.AspNetCore.Http;

namespace KlineOrleans.Web.Tests.Transports.EngineIo;

public sealed class HandshakeTests
{
    [Fact, Trait("Requirement", "E1 S1")]
    public async Task Handshake_by_polling_answers_with_exactly_the_five_keys()
    {
        await using var host = await TransportHost.StartEngineAsync();
        var answer = await host.SendAsync(HttpMethod.Get, "EIO=4&transport=polling&t=abc&unknown=1");
        Assert.Equal(200, answer.Code);
        Assert.Equal("text/plain; charset=UTF-8", answer.Headers["Content-Type"]);
        Assert.Equal("no-store", answer.Headers["Cache-Control"]);
        Assert.Equal(answer.Body.Length.ToString(System.Globalization.CultureInfo.InvariantCulture), answer.Headers["Content-Length"]);
        Assert.StartsWith("0{", answer.Body, StringComparison.Ordinal);
        using var json = JsonDocument.Parse(answer.Body.AsMemory(1));
        Assert.Equal(["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"], json.RootElement.EnumerateObject().Select(p => p.Name));
        Assert.Matches("^[A-Za-z0-9_-]{20}$", json.RootElement.GetProperty("sid").GetString());
        Assert.Equal("[\"websocket\"]", json.RootElement.GetProperty("upgrades").GetRawText());
        Assert.Equal((300, 200, 1_000_000), (json.RootElement.GetProperty("pingInterval").GetInt32(), json.RootElement.GetProperty("pingTimeout").GetInt32(), json.RootElement.GetProperty("maxPayload").GetInt32()));
    }

    [Theory]
    [Trait("Requirement", "E2 E3 E4 S2 S3 S4, bodies of refusals")]
    [InlineData("GET", "transport=polling", 400, """{"code":5,"message":"Unsupported protocol version"}""")]
    [InlineData("GET", "EIO=3&transport=polling", 400, """{"code":5,"message":"Unsupported protocol version"}""")]
    [InlineData("GET", "EIO=5&transport=polling", 400, """{"code":5,"message":"Unsupported protocol version"}""")]
    [InlineData("GET", "EIO=abc&transport=polling", 400, """{"code":5,"message":"Unsupported protocol version"}""")]
    [InlineData("GET", "EIO=4&EIO=4&transport=polling", 400, """{"code":5,"message":"Unsupported protocol version"}""")]
    [InlineData("GET", "EIO=4", 400, """{"code":0,"message":"Transport unknown"}""")]
    [InlineData("GET", "EIO=4&transport=abc", 400, """{"code":0,"message":"Transport unknown"}""")]
    [InlineData("GET", "EIO=4&transport=webtransport", 400, """{"code":0,"message":"Transport unknown"}""")]
    [InlineData("GET", "", 400, """{"code":0,"message":"Transport unknown"}""")]
    [InlineData("POST", "EIO=4&transport=polling", 400, """{"code":2,"message":"Bad handshake method"}""")]
    [InlineData("PUT", "EIO=4&transport=polling", 400, """{"code":2,"message":"Bad handshake method"}""")]
    [InlineData("DELETE", "EIO=4&transport=polling", 400, """{"code":2,"message":"Bad handshake method"}""")]
    [InlineData("OPTIONS", "EIO=4&transport=polling", 400, """{"code":2,"message":"Bad handshake method"}""")]
    [InlineData("GET", "EIO=4&transport=polling&sid=unknown", 400, """{"code":1,"message":"Session ID unknown"}""")]
    [InlineData("POST", "EIO=4&transport=polling&sid=unknown", 400, """{"code":1,"message":"Session ID unknown"}""")]
    [InlineData("GET", "EIO=4&transport=websocket", 400, """{"code":3,"message":"Bad request"}""")]
    public async Task Refusal_has_the_status_and_body_of_the_reference_server(string method, string query, int status, string body)
    {
        await using var host = await TransportHost.StartEngineAsync();
        var answer = await host.SendAsync(new HttpMethod(method), query);
        Assert.Equal((status, body, "application/json"), (answer.Code, answer.Body, answer.Headers["Content-Type"]));
        Assert.Equal(0, host.Engine.KnownSessions);
        Assert.Equal(1, host.Engine.Statistics.Refused);
    }

    [Fact, Trait("Requirement", "E5 S5")]
    public async Task Handshake_by_websocket_offers_no_upgrade()
    {
        await using var host = await TransportHost.StartEngineAsync();
        using var socket = await host.ConnectAsync();
        var open = await socket.ReadAsync();
        using var json = JsonDocument.Parse(open.AsMemory(1));
        Assert.Equal(["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"], json.RootElement.EnumerateObject().Select(p => p.Name));
        Assert.Equal("[]", json.RootElement.GetProperty("upgrades").GetRawText());
    }

    [Theory, Trait("Requirement", "E6 E7 S6 S7")]
    [InlineData("transport=websocket")]
    [InlineData("EIO=abc&transport=websocket")]
    [InlineData("EIO=3&transport=websocket")]
    [InlineData("EIO=4")]
    [InlineData("EIO=4&transport=abc")]
    [InlineData("EIO=4&transport=websocket&sid=unknown")]
    public async Task WebSocket_with_a_bad_query_is_refused_before_it_opens(string query)
    {
        await using var host = await TransportHost.StartEngineAsync();
        var e = await Assert.ThrowsAsync<WebSocketException>(() => host.ConnectAsync(query));
        Assert.Contains("400", e.Message, StringComparison.Ordinal);
        Assert.Equal(0, host.Engine.KnownSessions);
    }

    [Fact, Trait("Requirement", "WS with transport=polling")]
    public async Task WebSocket_that_calls_itself_polling_is_closed_and_leaves_nothing()
    {
        await using var host = await TransportHost.StartEngineAsync();
        using var socket = await host.ConnectAsync("EIO=4&transport=polling");
        Assert.StartsWith("closed", await socket.ReadAsync(), StringComparison.Ordinal);
        Assert.Equal(0, host.Engine.KnownSessions);
    }

    [Fact]
    public async Task Path_is_served_with_and_without_its_slash()
    {
        await using var host = await TransportHost.StartEngineAsync();
        foreach (var path in (string[])["/engine.io", "/engine.io/"])
        {
            using var response = await host.Http.GetAsync(new Uri($"{host.Url}{path}?transport=polling&EIO=4"));
            Assert.Equal(200, (int)response.StatusCode);
        }
    }

    [Fact, Trait("Requirement", "allowRequest")]
    public async Task Application_can_refuse_a_handshake_and_say_why()
    {
        await using var host = await TransportHost.StartEngineAsync(o => o.Admit = context => ValueTask.FromResult(
            context.Request.Query.ContainsKey("token") ? EngineIoAdmission.Accept("tagged") : EngineIoAdmission.Refuse("No \"token\"")));
        var answer = await host.SendAsync(HttpMethod.Get, "EIO=4&transport=polling");
        Assert.Equal((403, """{"code":4,"message":"No \u0022token\u0022"}"""), (answer.Code, answer.Body));
        Assert.Equal(200, (await host.SendAsync(HttpMethod.Get, "EIO=4&transport=polling&token=1")).Code);
        Assert.Equal("tagged", (await host.Echo.OpenedAsync()).Tag);
    }

    [Fact, Trait("Requirement", "connect limits")]
    public async Task Sessions_above_the_limits_are_refused_until_one_ends()
    {
        await using var host = await TransportHost.StartEngineAsync(o => o.MaxSessionsPerAddress = 2);
        var first = await host.OpenAsync();
        await host.OpenAsync();
        var refused = await host.SendAsync(HttpMethod.Get, "EIO=4&transport=polling");
        Assert.Equal((429, """{"code":4,"message":"Too many sessions from this address"}"""), (refused.Code, refused.Body));
        await host.PostAsync(first, "1");
        Assert.Equal(200, (await host.SendAsync(HttpMethod.Get, "EIO=4&transport=polling")).Code);

        await using var small = await TransportHost.StartEngineAsync(o => o.MaxSessions = 1);
        await small.OpenAsync();
        Assert.Equal(503, (await small.SendAsync(HttpMethod.Get, "EIO=4&transport=polling")).Code);
        Assert.Equal(1, small.Engine.OpenSessions);
    }

    [Fact]
    public async Task Cookie_is_set_on_the_handshake_only_and_only_if_named()
    {
        await using var host = await TransportHost.StartEngineAsync(o => o.CookieName = "io");
        var answer = await host.SendAsync(HttpMethod.Get, "EIO=4&transport=polling");
        Assert.Matches("^io=[A-Za-z0-9_-]{20}; path=/; samesite=lax; httponly$", answer.Headers["Set-Cookie"]);

        await using var plain = await TransportHost.StartEngineAsync();
        Assert.False((await plain.SendAsync(HttpMethod.Get, "EIO=4&transport=polling")).Headers.ContainsKey("Set-Cookie"));
    }

    [Fact]
    public void Options_out_of_range_are_refused_with_name_and_range()
    {
        var e = Assert.Throws<ArgumentException>(() => new EngineIoOptions { PingInterval = TimeSpan.Zero }.Validate());
        Assert.Contains("PingInterval is 00:00:00; allowed: at least 1 ms", e.Message, StringComparison.Ordinal);
        var both = new EngineIoOptions { AllowCredentials = true };
        both.AllowedOrigins.Add("*");
        Assert.Throws<ArgumentException>(both.Validate);
        new EngineIoOptions().Validate();
    }
}
