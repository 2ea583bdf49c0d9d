using System.Net;
using System.Net.WebSockets;
using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Testing;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Web.Tests;

public sealed class AccessTests
{
    public static TheoryData<string, string> ClientRoutes => new()
    {
        { "GET", $"/api/v1/klines/{WebHost.Mint}/m1" },
        { "GET", "/api/v1/symbols" },
        { "POST", "/api/v1/tokens" },
        { "GET", $"/api/kline?mint={WebHost.Mint}&interval=m1" },
        { "GET", "/api/mints" },
        { "GET", $"/api/events?mint={WebHost.Mint}" },
        { "GET", "/api/events/status" },
        { "GET", "/api/time" },
        { "GET", "/api/kline/stats" },
        { "GET", "/api/kline/status" },
        { "GET", "/api/ws/metrics" },
        { "GET", "/udf/config" },
        { "GET", $"/udf/symbols?symbol={WebHost.Mint}" },
        { "GET", "/udf/search?query=a" },
        { "GET", $"/udf/history?symbol={WebHost.Mint}&resolution=1&countback=1" },
        { "GET", "/udf/time" },
        { "POST", "/hubs/kline/negotiate?negotiateVersion=1" },
    };

    [Theory]
    [MemberData(nameof(ClientRoutes))]
    public async Task Route_asks_for_a_key_and_takes_it_where_access_is_on(string method, string path)
    {
        await using var host = await AccessHost.Start();
        foreach (var credential in (string?[])[null, "not-a-key-0123456789", "kot.AAAA", "kot.!!", new string('x', 9_000)])
        {
            using var refused = await Ask(credential);
            Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
            Assert.Equal("Bearer", refused.Headers.WwwAuthenticate.ToString());
            using var json = JsonDocument.Parse(await refused.Content.ReadAsStringAsync());
            Assert.Equal(1005, json.RootElement.GetProperty("code").GetInt32());
        }

        using var answered = await Ask(AccessHost.MintKey);
        Assert.Equal(HttpStatusCode.OK, answered.StatusCode);

        async Task<HttpResponseMessage> Ask(string? credential)
        {
            using var request = new HttpRequestMessage(new HttpMethod(method), path);
            if (credential is not null)
            {
                request.Headers.TryAddWithoutValidation("Authorization", "Bearer " + credential);
            }

            return await host.Web.Http.SendAsync(request);
        }
    }

    [Fact]
    public async Task Every_api_and_udf_endpoint_says_whom_it_answers()
    {
        await using var host = await WebHost.Start();
        var endpoints = host.App.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .Where(e => e.RoutePattern.RawText is { } path && (path.StartsWith("/api", StringComparison.Ordinal) || path.StartsWith("/udf", StringComparison.Ordinal) || path.StartsWith("/hubs", StringComparison.Ordinal) || path == "/metrics")).ToList();
        Assert.True(endpoints.Count > 15);
        Assert.All(endpoints, e => Assert.NotNull(e.Metadata.GetMetadata<AccessRequirement>()));
    }

    [Theory]
    [InlineData("/metrics")]
    [InlineData("/api/kline/subscriptions")]
    [InlineData("/api/v1/status")]
    public async Task Operators_route_answers_this_machine_or_an_operators_key(string path)
    {
        await using var on = await AccessHost.Start();
        Assert.Equal(HttpStatusCode.OK, await Status(on.Get(path)));
        Assert.Equal(HttpStatusCode.Unauthorized, await Status(on.Get(path, proxied: true)));
        Assert.Equal(HttpStatusCode.Forbidden, await Status(on.Get(path, AccessHost.MintKey, proxied: true)));
        Assert.Equal(HttpStatusCode.OK, await Status(on.Get(path, AccessHost.OperatorKey, proxied: true)));

        // A page that calls this machine by a name of its own is not this machine.
        using var rebound = new HttpRequestMessage(HttpMethod.Get, path) { Headers = { Host = "evil.example" } };
        Assert.Equal(HttpStatusCode.Unauthorized, await Status(on.Web.Http.SendAsync(rebound)));

        await using var off = await WebHost.Start();
        using var proxied = new HttpRequestMessage(HttpMethod.Get, path);
        proxied.Headers.TryAddWithoutValidation("X-Forwarded-For", "127.0.0.1");
        Assert.Equal(HttpStatusCode.Forbidden, await Status(off.Http.SendAsync(proxied)));
        Assert.Equal(HttpStatusCode.OK, await Status(off.Http.GetAsync(path)));
    }

    [Theory]
    [InlineData("/status")]
    [InlineData("/status/x")]
    [InlineData("/STATUS")]
    [InlineData("/dashboard")]
    [InlineData("/dashboard/index.js")]
    public async Task Operators_page_is_refused_to_others_whoever_serves_it(string path)
    {
        await using var host = await AccessHost.Start();
        Assert.Equal(HttpStatusCode.Unauthorized, await Status(host.Get(path, proxied: true)));
        Assert.Equal(HttpStatusCode.Forbidden, await Status(host.Get(path, AccessHost.MintKey, proxied: true)));
        Assert.Equal(HttpStatusCode.NotFound, await Status(host.Get(path, AccessHost.OperatorKey, proxied: true)));
        Assert.Equal(HttpStatusCode.NotFound, await Status(host.Get(path)));
    }

    [Fact]
    public async Task Forwarded_address_counts_only_from_a_trusted_proxy()
    {
        await using var trusting = await WebHost.Start(new() { ["Kline:Web:Access:TrustedProxies:0"] = "127.0.0.0/8", ["Kline:Web:Access:OperatorNetworks:0"] = "203.0.113.0/24" });
        Assert.Equal(HttpStatusCode.OK, await From("203.0.113.7"));
        Assert.Equal(HttpStatusCode.Forbidden, await From("198.51.100.1"));

        // The last address that is not a trusted proxy's is the caller; what stands before it is anybody's word.
        Assert.Equal(HttpStatusCode.Forbidden, await From("203.0.113.7, 198.51.100.1"));

        async Task<HttpStatusCode> From(string forwarded)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/metrics");
            request.Headers.TryAddWithoutValidation("X-Forwarded-For", forwarded);
            return await Status(trusting.Http.SendAsync(request));
        }
    }

    [Fact]
    public async Task Key_for_one_symbol_sees_no_other()
    {
        await using var host = await AccessHost.Start();
        await host.Web.Archive.PutSymbol(new SymbolInfo(WebHost.Mint, "mine", "test", TestKlines.Start));
        await host.Web.Archive.PutSymbol(new SymbolInfo(AccessHost.Other, "other", "test", TestKlines.Start.AddSeconds(1)));
        foreach (var path in (string[])["/api/v1/klines/{0}/m1", "/api/kline?mint={0}&interval=m1", "/api/events?mint={0}", "/udf/symbols?symbol={0}", "/udf/symbols?symbol=test:{0}", "/udf/history?symbol={0}&resolution=1&countback=1"])
        {
            using var mine = await host.Get(path.Replace("{0}", WebHost.Mint, StringComparison.Ordinal), AccessHost.SmallKey, "X-Api-Key");
            Assert.Equal(HttpStatusCode.OK, mine.StatusCode);
            using var other = await host.Get(path.Replace("{0}", AccessHost.Other, StringComparison.Ordinal), AccessHost.SmallKey, "X-Api-Key");
            Assert.Equal(HttpStatusCode.Forbidden, other.StatusCode);
            Assert.Contains("\"code\":1005", await other.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }

        foreach (var path in (string[])["/api/v1/symbols", "/api/mints", "/api/mints?sort_by=slot_asc", "/udf/search?query="])
        {
            using var list = await host.Get(path, AccessHost.SmallKey);
            var text = await list.Content.ReadAsStringAsync();
            Assert.Contains(WebHost.Mint, text, StringComparison.Ordinal);
            Assert.DoesNotContain(AccessHost.Other, text, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Query_token_is_taken_on_sockets_only()
    {
        await using var host = await AccessHost.Start();
        var token = await host.Token();
        Assert.Equal(HttpStatusCode.Unauthorized, await Status(host.Get("/api/v1/symbols?access_token=" + token)));
        await using var client = await HubClient.Connect(host.Web, query: "access_token=" + token);
        await client.Result("Symbols", "\"\"", "null");
    }

    [Fact]
    public async Task Hub_upgrade_without_a_key_is_refused()
    {
        await using var host = await AccessHost.Start();
        var error = await Assert.ThrowsAsync<WebSocketException>(async () => await HubClient.Connect(host.Web));
        Assert.Contains("401", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Hub_gives_a_key_its_symbols_and_its_limit()
    {
        await using var host = await AccessHost.Start();
        await using var client = await HubClient.Connect(host.Web, key: AccessHost.SmallKey);
        foreach (var (method, arguments) in new (string, string[])[]
        {
            ("Subscribe", [$$"""{"symbol":"{{AccessHost.Other}}","intervals":["m1"]}"""]),
            ("History", [$$"""{"symbol":"{{AccessHost.Other}}","interval":"m1"}"""]),
        })
        {
            Assert.StartsWith("1005: ", Sentence(await client.Error(method, arguments)), StringComparison.Ordinal);
        }

        await client.Result("Subscribe", $$"""{"symbol":"{{WebHost.Mint}}","intervals":["m1","m5"]}""");
        Assert.StartsWith("1002: A client may follow 2 ", Sentence(await client.Error("Subscribe", $$"""{"symbol":"{{WebHost.Mint}}","intervals":["h1"]}""")), StringComparison.Ordinal);

        await using var all = await HubClient.Connect(host.Web, key: AccessHost.MintKey);
        await all.Result("Subscribe", $$"""{"symbol":"{{AccessHost.Other}}","intervals":["m1","m5","h1"]}""");
    }

    [Fact]
    public async Task Long_polling_carries_the_grant_and_asks_for_it_each_time()
    {
        await using var host = await AccessHost.Start();
        using var negotiated = await Send(HttpMethod.Post, "/hubs/kline/negotiate?negotiateVersion=1", AccessHost.SmallKey);
        using var json = JsonDocument.Parse(await negotiated.Content.ReadAsStringAsync());
        var path = "/hubs/kline?id=" + Uri.EscapeDataString(json.RootElement.GetProperty("connectionToken").GetString()!);
        Assert.Equal(HttpStatusCode.Unauthorized, await Status(Send(HttpMethod.Get, path, null)));
        Assert.Equal(HttpStatusCode.OK, await Status(Send(HttpMethod.Get, path, AccessHost.SmallKey)));
        Assert.Equal(HttpStatusCode.Unauthorized, await Status(Send(HttpMethod.Post, path, null, "x")));
        Assert.Equal(HttpStatusCode.OK, await Status(Send(HttpMethod.Post, path, AccessHost.SmallKey, "{\"protocol\":\"json\",\"version\":1}\x1e")));
        Assert.Equal(HttpStatusCode.OK, await Status(Send(HttpMethod.Post, path, AccessHost.SmallKey, $$"""{"type":1,"invocationId":"1","target":"History","arguments":[{"symbol":"{{AccessHost.Other}}","interval":"m1"}]}""" + "\x1e")));
        var received = "";
        while (!received.Contains("invocationId", StringComparison.Ordinal))
        {
            using var poll = await Send(HttpMethod.Get, path, AccessHost.SmallKey);
            Assert.Equal(HttpStatusCode.OK, poll.StatusCode);
            received += await poll.Content.ReadAsStringAsync();
        }

        Assert.Contains("1005: ", received, StringComparison.Ordinal);

        async Task<HttpResponseMessage> Send(HttpMethod method, string to, string? key, string? body = null)
        {
            using var request = new HttpRequestMessage(method, to);
            if (key is not null)
            {
                request.Headers.Add("Authorization", "Bearer " + key);
            }

            request.Content = body is null ? null : new StringContent(body);
            return await host.Web.Http.SendAsync(request);
        }
    }

    [Fact]
    public async Task Token_carries_its_claims_and_never_more_than_its_key()
    {
        await using var host = await AccessHost.Start();
        var token = await host.Token(body: $$"""{"symbols":["{{WebHost.Mint}}"],"subscriptions":1,"expiresIn":60}""");
        Assert.Equal(HttpStatusCode.OK, await Status(host.Get($"/api/v1/klines/{WebHost.Mint}/m1", token)));
        Assert.Equal(HttpStatusCode.Forbidden, await Status(host.Get($"/api/v1/klines/{AccessHost.Other}/m1", token)));
        await using var client = await HubClient.Connect(host.Web, key: token);
        Assert.StartsWith("1002: ", Sentence(await client.Error("Subscribe", $$"""{"symbol":"{{WebHost.Mint}}","intervals":["m1","m5"]}""")), StringComparison.Ordinal);

        var whole = await host.Token(AccessHost.SmallKey);
        Assert.Equal(HttpStatusCode.Forbidden, await Status(host.Get($"/api/v1/klines/{AccessHost.Other}/m1", whole)));
        Assert.Equal(HttpStatusCode.Forbidden, await Status(host.AskToken(AccessHost.SmallKey, $$"""{"symbols":["{{AccessHost.Other}}"]}""")));
        Assert.Equal(HttpStatusCode.BadRequest, await Status(host.AskToken(AccessHost.SmallKey, """{"subscriptions":3}""")));
        Assert.Equal(HttpStatusCode.Forbidden, await Status(host.AskToken(token, "{}")));
        Assert.Equal(HttpStatusCode.Forbidden, await Status(host.AskToken(AccessHost.OperatorKey, "{}")));
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("{")]
    [InlineData("null")]
    [InlineData("""{"symbol":["x"]}""")]
    [InlineData("""{"symbols":[]}""")]
    [InlineData("""{"symbols":[1]}""")]
    [InlineData("""{"symbols":"x"}""")]
    [InlineData("""{"symbols":["\ud800"]}""")]
    [InlineData("""{"\ud800":1}""")]
    [InlineData("""{"symbols":["short"]}""")]
    [InlineData("""{"subscriptions":0}""")]
    [InlineData("""{"subscriptions":1e9}""")]
    [InlineData("""{"subscriptions":"1"}""")]
    [InlineData("""{"expiresIn":0}""")]
    [InlineData("""{"expiresIn":-1}""")]
    [InlineData("""{"expiresIn":86401}""")]
    [InlineData("""{"expiresIn":99999999999999999999}""")]
    [InlineData("""{"a":{"b":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}}""")]
    public async Task Wrong_token_request_is_400_and_says_what_is_allowed(string body)
    {
        await using var host = await AccessHost.Start();
        using var response = await host.AskToken(AccessHost.MintKey, body);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        using var json = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        Assert.Equal(1001, json.RootElement.GetProperty("code").GetInt32());
        Assert.NotEmpty(json.RootElement.GetProperty("allowed").GetString()!);
    }

    [Fact]
    public async Task Long_token_request_is_refused_and_an_empty_one_gets_the_defaults()
    {
        await using var host = await AccessHost.Start();
        Assert.Equal(HttpStatusCode.BadRequest, await Status(host.AskToken(AccessHost.MintKey, new string(' ', 20_000))));
        Assert.Equal(HttpStatusCode.OK, await Status(host.AskToken(AccessHost.MintKey, "")));
    }

    [Fact]
    public async Task Socket_ends_with_a_reason_when_its_token_expires_and_the_token_is_refused_after()
    {
        var time = new ManualTimeProvider();
        await using var host = await AccessHost.Start(time: time);
        var token = await host.Token(body: """{"expiresIn":60}""");
        await using var client = await HubClient.Connect(host.Web, key: token);
        await client.Result("Subscribe", $$"""{"symbol":"{{WebHost.Mint}}","intervals":["m1"]}""");
        time.Advance(TimeSpan.FromSeconds(59));
        await client.Result("Symbols", "\"\"", "null");

        time.Advance(TimeSpan.FromSeconds(2));
        JsonElement message;
        do
        {
            message = await client.Receive();
        }
        while (message.GetProperty("type").GetInt32() != 7);

        Assert.StartsWith("1005: Expired", message.GetProperty("error").GetString(), StringComparison.Ordinal);
        await client.Closed();
        Assert.Equal(HttpStatusCode.Unauthorized, await Status(host.Get("/api/v1/symbols", token)));
        Assert.Equal(0, host.Web.App.Services.GetRequiredService<WebCounters>().Subscriptions);
    }

    [Fact]
    public async Task Token_outlives_a_restart_but_not_its_key_nor_another_servers_secrets()
    {
        var folder = Directory.CreateTempSubdirectory("kline-access");
        try
        {
            string token;
            await using (var first = await AccessHost.Start(keys: folder.FullName))
            {
                token = await first.Token();
            }

            await using (var again = await AccessHost.Start(keys: folder.FullName))
            {
                Assert.Equal(HttpStatusCode.OK, await Status(again.Get("/api/v1/symbols", token)));
            }

            await using (var rekeyed = await AccessHost.Start(new() { ["Kline:Web:Access:Keys:0:Key"] = "another-key-0123456789" }, keys: folder.FullName))
            {
                Assert.Equal(HttpStatusCode.Unauthorized, await Status(rekeyed.Get("/api/v1/symbols", token)));
            }

            await using var stranger = await AccessHost.Start();
            Assert.Equal(HttpStatusCode.Unauthorized, await Status(stranger.Get("/api/v1/symbols", token)));
            if (!OperatingSystem.IsWindows())
            {
                Assert.NotEmpty(folder.GetFiles("*.xml"));
            }
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task Changed_token_is_refused_wherever_it_was_changed()
    {
        await using var host = await AccessHost.Start();
        var token = await host.Token();
        var rules = host.Web.App.Services.GetRequiredService<AccessRules>();
        Assert.True(rules.Authenticate(token).IsAllowed);

        // The last character's spare bits say nothing: everywhere before it one other character is another token.
        for (var i = 0; i < token.Length - 1; i++)
        {
            var changed = token[..i] + (token[i] == 'A' ? 'B' : 'A') + token[(i + 1)..];
            Assert.False(rules.Authenticate(changed).IsAllowed, $"changed at {i}");
            Assert.False(rules.Authenticate(token[..i]).IsAllowed, $"cut at {i}");
        }
    }

    [Fact]
    public async Task Preflight_needs_no_key()
    {
        await using var host = await AccessHost.Start(new() { ["Kline:Web:AllowedOrigins:0"] = "https://chart.example" });
        using var request = new HttpRequestMessage(HttpMethod.Options, "/api/v1/symbols");
        request.Headers.Add("Origin", "https://chart.example");
        request.Headers.Add("Access-Control-Request-Method", "GET");
        request.Headers.Add("Access-Control-Request-Headers", "authorization");
        using var response = await host.Web.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.NoContent, response.StatusCode);
        Assert.Equal("https://chart.example", response.Headers.GetValues("Access-Control-Allow-Origin").Single());
    }

    [Fact]
    public async Task Requests_beyond_the_limit_of_an_address_are_429_until_time_has_passed()
    {
        var time = new ManualTimeProvider();
        await using var host = await WebHost.Start(new() { ["Kline:Web:Limits:RequestsPerSecond"] = "2", ["Kline:Web:Limits:RequestBurst"] = "3" }, time: time);
        foreach (var path in (string[])["/udf/time", "/api/time", "/api/v1/symbols"])
        {
            Assert.Equal(HttpStatusCode.OK, await Status(host.Http.GetAsync(path)));
        }

        using var refused = await host.Http.GetAsync("/api/v1/symbols");
        Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);
        Assert.Equal(TimeSpan.FromSeconds(1), refused.Headers.RetryAfter!.Delta);
        Assert.Contains("\"code\":1004", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, await Status(host.Http.GetAsync("/health/live")));
        time.Advance(TimeSpan.FromSeconds(0.5));
        Assert.Equal(HttpStatusCode.OK, await Status(host.Http.GetAsync("/api/v1/symbols")));
        Assert.Equal(HttpStatusCode.TooManyRequests, await Status(host.Http.GetAsync("/api/v1/symbols")));
    }

    [Theory]
    [InlineData("Access:Keys:1:Name", "MINTER")]
    [InlineData("Access:Keys:0:Key", "too short")]
    [InlineData("Access:Keys:0:KeyHash", "xyz")]
    [InlineData("Access:Keys:0:Subscriptions", "0")]
    [InlineData("Access:TrustedProxies:0", "proxy")]
    [InlineData("Access:OperatorNetworks:0", "10.0.0.0/99")]
    [InlineData("Access:TokenLifetime", "2.00:00:00")]
    [InlineData("Access:TokenKeysPath", "/dev/null/keys")]
    [InlineData("Access:MaxTokenLifetime", "31.00:00:00")]
    [InlineData("Limits:RequestsPerSecond", "0")]
    public async Task Wrong_setting_stops_the_start_and_shows_no_key(string key, string value)
    {
        var error = await Assert.ThrowsAnyAsync<Exception>(async () => await AccessHost.Start(new() { ["Kline:Web:" + key] = value }));
        Assert.Contains("Kline:Web:" + key[..key.LastIndexOf(':')], error.Message, StringComparison.Ordinal);
        Assert.Contains("Allowed:", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("too short", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(AccessHost.MintKey, error.Message, StringComparison.Ordinal);
    }

    private static async Task<HttpStatusCode> Status(Task<HttpResponseMessage> response)
    {
        using var received = await response;
        return received.StatusCode;
    }

    /// <summary>What stands after SignalR's own words.</summary>
    private static string Sentence(string error) => error[(error.IndexOf("HubException: ", StringComparison.Ordinal) is >= 0 and var at ? at + "HubException: ".Length : 0)..];
}
