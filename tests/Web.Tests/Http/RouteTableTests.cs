using System.Text;
using KlineOrleans.Contracts;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Web.Tests;

/// <summary>For each route there is: a wrong request and what it is answered. A route without a row fails.</summary>
/// <remarks>The longer tables of single routes are beside them: HttpTests, CompatRouteTests, UdfTests, AccessTests; what is sent over sockets is in Transports.</remarks>
public sealed class RouteTableTests
{
    private const string Mint = WebHost.Mint;
    private const string Problem = "application/problem+json";

    // Route, method, what is asked, status, type of the answer, what it says.
    private static readonly (string Route, string Method, string Url, int Status, string Type, string Says)[] Table =
    [
        ("/", "POST", "/", 405, Problem, "405"),
        ("/api/v1/klines/{symbol}/{interval}", "GET", "/api/v1/klines/nope/m1", 400, Problem, "32 to 44"),
        ("/api/v1/klines/{symbol}/{interval}", "GET", $"/api/v1/klines/{Mint}/m1?limit=0", 400, Problem, "\"key\":\"limit\""),
        ("/api/v1/klines/{symbol}/{interval}", "GET", $"/api/v1/klines/{Mint}/", 404, Problem, "404"),
        ("/api/v1/klines/{symbol}/{interval}", "POST", $"/api/v1/klines/{Mint}/m1", 405, Problem, "405"),
        ("/api/v1/symbols", "GET", "/api/v1/symbols?limit=1001", 400, Problem, "1 to 1000"),
        ("/api/v1/symbols", "GET", "/api/v1/symbols?query=" + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 400, Problem, "at most 100"),
        ("/api/v1/symbols", "DELETE", "/api/v1/symbols", 405, Problem, "405"),
        ("/api/v1/status", "POST", "/api/v1/status", 405, Problem, "405"),
        ("/api/v1/tokens", "POST", "/api/v1/tokens", 403, Problem, "1005"),
        ("/api/v1/tokens", "GET", "/api/v1/tokens", 405, Problem, "405"),
        ("/api/kline", "GET", "/api/kline", 400, "text/plain", "missing field `mint`"),
        ("/api/kline", "GET", $"/api/kline?mint={Mint}&interval=2m", 200, "application/json", "\"success\":false"),
        ("/api/kline", "POST", "/api/kline", 405, Problem, "405"),
        ("/api/mints", "GET", "/api/mints?limit=x", 400, "text/plain", "limit"),
        ("/api/mints", "GET", "/api/mints?sort_by=x", 200, "application/json", "\"success\":false"),
        ("/api/mints", "PUT", "/api/mints", 405, Problem, "405"),
        ("/api/events", "GET", "/api/events", 400, "text/plain", "missing field `mint`"),
        ("/api/events", "PATCH", "/api/events", 405, Problem, "405"),
        ("/api/events/status", "GET", "/api/events/status?nothing=x", 200, "application/json", "\"success\":true"),
        ("/api/events/status", "POST", "/api/events/status", 405, Problem, "405"),
        ("/api/time", "GET", "/api/time?format=%25Q", 200, "application/json", "\"success\":false"),
        ("/api/time", "GET", "/api/time?format=a&format=b", 400, Problem, "\"key\":\"format\""),
        ("/api/time", "POST", "/api/time", 405, Problem, "405"),
        ("/api/kline/status", "GET", "/api/kline/status?nothing=x", 200, "application/json", "\"success\":true"),
        ("/api/kline/status", "POST", "/api/kline/status", 405, Problem, "405"),
        ("/api/kline/stats", "GET", "/api/kline/stats?nothing=x", 200, "application/json", "\"success\":true"),
        ("/api/kline/stats", "POST", "/api/kline/stats", 405, Problem, "405"),
        ("/api/kline/subscriptions", "POST", "/api/kline/subscriptions", 405, Problem, "405"),
        ("/api/ws/metrics", "POST", "/api/ws/metrics", 405, Problem, "405"),
        ("/metrics", "POST", "/metrics", 405, Problem, "405"),
        ("/health", "POST", "/health", 405, Problem, "405"),
        ("/health/live", "POST", "/health/live", 405, Problem, "405"),
        ("/health/ready", "POST", "/health/ready", 405, Problem, "405"),
        ("/udf/config", "POST", "/udf/config", 405, Problem, "405"),
        ("/udf/time", "POST", "/udf/time", 405, Problem, "405"),
        ("/udf/symbols", "GET", "/udf/symbols?symbol=nope", 200, "application/json", "\"errmsg\":\"unknown_symbol\""),
        ("/udf/symbols", "POST", "/udf/symbols", 405, Problem, "405"),
        ("/udf/search", "GET", "/udf/search?limit=-1", 200, "application/json", "\"s\":\"error\""),
        ("/udf/search", "POST", "/udf/search", 405, Problem, "405"),
        ("/udf/history", "GET", $"/udf/history?symbol={Mint}&resolution=7&countback=1", 200, "application/json", "\"s\":\"error\""),
        ("/udf/history", "POST", "/udf/history", 405, Problem, "405"),
        ("/openapi/{documentName}.json", "GET", "/openapi/v2.json", 404, "", ""),
        ("/openapi", "POST", "/openapi", 405, Problem, "405"),
        ("/openapi/page.js", "POST", "/openapi/page.js", 405, Problem, "405"),
        ("/openapi/page.css", "POST", "/openapi/page.css", 405, Problem, "405"),
        ("/ws", "GET", "/ws", 426, Problem, "WebSocket only"),
        ("/ws", "POST", "/ws", 426, Problem, "WebSocket only"),
        ("/ws/kline/live", "GET", "/ws/kline/live", 426, Problem, "WebSocket only"),
        ("/socket.io", "GET", "/socket.io/?EIO=3&transport=polling", 400, "application/json", "Unsupported protocol version"),
        ("/socket.io", "GET", "/socket.io/?EIO=4&transport=smoke", 400, "application/json", "Transport unknown"),
        ("/socket.io", "POST", "/socket.io/?EIO=4&transport=polling", 400, "application/json", "Bad handshake method"),
        ("/socket.io", "GET", "/socket.io/?EIO=4&transport=polling&sid=x", 400, "application/json", "Session ID unknown"),
        ("/socket.io", "DELETE", "/socket.io/?EIO=4&transport=polling&sid=x", 400, "application/json", "Session ID unknown"),
        ("/hubs/kline", "GET", "/hubs/kline", 400, "", ""),
        ("/hubs/kline", "GET", "/hubs/kline?id=nothing", 404, "", ""),
        ("/hubs/kline/negotiate", "GET", "/hubs/kline/negotiate", 405, "text/plain", ""),
        ("/hubs/kline/negotiate", "POST", "/hubs/kline/negotiate?negotiateVersion=x", 200, "application/json", "error"),
    ];

    [Fact]
    public async Task Each_route_has_a_row_and_answers_as_its_rows_say()
    {
        await using var host = await WebHost.Start();
        await host.Archive.PutSymbol(new SymbolInfo(Mint, "x", "test", TestKlines.Start));
        List<string> wrong = [];
        foreach (var (_, method, url, status, type, says) in Table)
        {
            using var request = new HttpRequestMessage(new HttpMethod(method), url);
            if (method is "POST" or "PUT" or "PATCH")
            {
                request.Content = new StringContent("{", Encoding.UTF8, "application/json");
            }

            using var response = await host.Http.SendAsync(request);
            var text = await response.Content.ReadAsStringAsync();
            if ((int)response.StatusCode != status || !text.Contains(says, StringComparison.Ordinal) || (type.Length > 0 && response.Content.Headers.ContentType?.MediaType != type))
            {
                wrong.Add($"{method} {url}: {(int)response.StatusCode} {response.Content.Headers.ContentType}: {text}");
            }

            if (type == Problem && status == 405 && response.Content.Headers.Allow.Count == 0)
            {
                wrong.Add($"{method} {url}: which methods are allowed is not said");
            }
        }

        Assert.Empty(wrong);
        var routes = host.App.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .Select(e => "/" + e.RoutePattern.RawText!.Trim('/')).ToHashSet(StringComparer.Ordinal);
        Assert.Empty(routes.Except(Table.Select(static row => row.Route), StringComparer.Ordinal));
        Assert.Empty(host.Log.Entries);
    }
}
