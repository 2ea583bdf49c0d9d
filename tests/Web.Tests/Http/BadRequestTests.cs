using System.Text;
using KlineOrleans.Contracts;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Web.Tests;

/// <summary>Whatever is asked of whatever route, the answer is never a 500: the tables beside the routes say what it is instead.</summary>
public sealed class BadRequestTests
{
    private static readonly string[] Keys =
        ["mint", "symbol", "interval", "resolution", "page", "limit", "order_by", "sort_by", "cursor", "from", "to", "before", "countback", "exact", "query", "type", "exchange", "format", "access_token"];

    private static readonly string[] Values =
    [
        "", " ", "0", "-1", "1", "1.5", "1e9", "NaN", "Infinity", "-9223372036854775808", "9223372036854775807", "99999999999999999999", "253402300799999", "true", "null", "[]", "{}", "m1", "1m", "1", "1D", "w1",
        WebHost.Mint, "test:", ":", "::", "%00", "%", "%25", "%zz", "'", "\"", "\\", "../../etc/passwd", "\u0000", "\uD800", "\u202E", "名前", "MS4=", "MS5iLi4", "MS4xLjE", "time_asc", "slot_asc", "crypto", "%Y", "%Q", "a b", "<script>",
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task No_route_answers_500_whatever_is_asked(int seed)
    {
        await using var host = await WebHost.Start(new() { ["Kline:Web:Limits:RequestBurst"] = "1000000" }, cluster: new TestCluster { Rules = seed == 2 ? WebHost.Flat : new KlineRules() });
        var mint = host.Cluster.Mint(WebHost.Mint);
        mint.Change(TestKlines.Start, [.. KlineIntervals.All.Select(i => TestKlines.Make(i, i.OpenTime(TestKlines.Start), 1))]);
        await host.Archive.PutSymbol(new SymbolInfo(WebHost.Mint, "x", "test", TestKlines.Start));
        var routes = host.App.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .Where(e => e.RoutePattern.RawText is { } path && !path.StartsWith("/hubs", StringComparison.Ordinal))
            .Select(e => (Path: e.RoutePattern.RawText!, e.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods)).ToList();
        Assert.True(routes.Count > 20);
        var random = new Random(seed);
        foreach (var (pattern, methods) in routes)
        {
            for (var i = 0; i < 60; i++)
            {
                var path = new StringBuilder(pattern.Replace("{symbol}", Value(), StringComparison.Ordinal).Replace("{interval}", Value(), StringComparison.Ordinal).Replace("{documentName}", Value(), StringComparison.Ordinal));
                for (var j = random.Next(6); j > 0; j--)
                {
                    path.Append(path.ToString().Contains('?', StringComparison.Ordinal) ? '&' : '?').Append(Keys[random.Next(Keys.Length)]).Append('=').Append(Value());
                }

                // As it stands, without HttpClient's own corrections.
                using var request = new HttpRequestMessage(new HttpMethod(methods is [var first, ..] ? first : "GET"), new Uri(host.Address.GetLeftPart(UriPartial.Authority) + path, new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true }));
                request.Headers.TryAddWithoutValidation("Authorization", random.Next(3) == 0 ? "Bearer kot.AA" : "Basic x");
                request.Headers.TryAddWithoutValidation("If-None-Match", "W/\"x\", *x, ,");
                if (request.Method == HttpMethod.Post)
                {
                    request.Content = new StringContent(Values[random.Next(Values.Length)]);
                }

                using var response = await host.Http.SendAsync(request);
                Assert.True((int)response.StatusCode is >= 200 and < 500, $"{response.StatusCode} for {path}");
            }
        }

        // Mostly escaped as a client would, sometimes not.
        string Value()
        {
            var value = Values[random.Next(Values.Length)];
            if (value.All(c => c is > ' ' and <= '~' and not ('#' or '?' or '&' or '/' or '\\' or '"' or '<' or '>')) && random.Next(4) == 0)
            {
                return value;
            }

            return string.Concat(Encoding.UTF8.GetBytes(value).Select(b => $"%{b:X2}"));
        }
    }
}
