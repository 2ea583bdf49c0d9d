using System.Text.Json;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Web.Tests;

public sealed class OpenApiTests
{
    [Fact]
    public async Task Document_names_every_mapped_route_with_its_parameters_and_answers()
    {
        await using var host = await WebHost.Start();
        using var json = JsonDocument.Parse(await host.Http.GetStringAsync("/openapi/v1.json"));
        var root = json.RootElement;
        Assert.StartsWith("3.1", root.GetProperty("openapi").GetString(), StringComparison.Ordinal);
        var mapped = host.App.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .Where(e => e.RoutePattern.RawText is { } path && (path.StartsWith("/api/", StringComparison.Ordinal) || path.StartsWith("/udf/", StringComparison.Ordinal)))
            .SelectMany(e => e.Metadata.GetMetadata<IHttpMethodMetadata>()!.HttpMethods.Select(m => (e.RoutePattern, Method: m.ToLowerInvariant()))).ToList();
        Assert.True(mapped.Count >= 17);
        HashSet<string> ids = [];
        foreach (var (pattern, method) in mapped)
        {
            var operation = root.GetProperty("paths").GetProperty(pattern.RawText!).GetProperty(method);
            Assert.True(ids.Add(operation.GetProperty("operationId").GetString()!));
            var parameters = operation.TryGetProperty("parameters", out var list) ? list.EnumerateArray().ToList() : [];
            Assert.Equal(
                pattern.Parameters.Select(p => p.Name).Order(),
                parameters.Where(p => p.GetProperty("in").GetString() == "path").Select(p => p.GetProperty("name").GetString()!).Order());
            Assert.All(parameters, p => Assert.True(p.GetProperty("schema").TryGetProperty("type", out _)));
            var content = operation.GetProperty("responses").GetProperty("200").GetProperty("content");
            Assert.Single(content.EnumerateObject());
            Assert.Equal("#/components/schemas/Problem", operation.GetProperty("responses").GetProperty("400").GetProperty("content").GetProperty("application/problem+json").GetProperty("schema").GetProperty("$ref").GetString());
        }

        Assert.Equal(mapped.Count, root.GetProperty("paths").EnumerateObject().Sum(p => p.Value.EnumerateObject().Count()));
    }

    [Fact]
    public async Task Every_reference_of_the_document_leads_somewhere()
    {
        await using var host = await WebHost.Start();
        using var json = JsonDocument.Parse(await host.Http.GetStringAsync("/openapi/v1.json"));
        var references = References(json.RootElement).Distinct().ToList();
        Assert.True(references.Count > 15);
        foreach (var reference in references)
        {
            var at = json.RootElement;
            foreach (var step in reference.Split('/').Skip(1))
            {
                Assert.True(at.TryGetProperty(step, out at), reference);
            }
        }

        static IEnumerable<string> References(JsonElement json) => json.ValueKind switch
        {
            JsonValueKind.Object => json.EnumerateObject().SelectMany(p => p is { Name: "$ref", Value.ValueKind: JsonValueKind.String } ? [p.Value.GetString()!] : References(p.Value)),
            JsonValueKind.Array => json.EnumerateArray().SelectMany(References),
            _ => [],
        };
    }

    [Fact]
    public async Task Answers_have_the_properties_that_their_schemas_require_and_no_unknown_ones()
    {
        await using var host = await WebHost.Start();
        await host.Archive.PutSymbol(new Contracts.SymbolInfo(WebHost.Mint, "x", "test", TestKlines.Start));
        host.Cluster.Mint(WebHost.Mint).Change(TestKlines.Start, TestKlines.Make(Contracts.KlineInterval.M1, TestKlines.Start, 1), TestKlines.Make(Contracts.KlineInterval.S1, TestKlines.Start, 1));
        using var json = JsonDocument.Parse(await host.Http.GetStringAsync("/openapi/v1.json"));
        var schemas = json.RootElement.GetProperty("components").GetProperty("schemas");
        foreach (var (schema, path) in new (string, string)[]
        {
            ("Klines", $"/api/v1/klines/{WebHost.Mint}/m1"),
            ("Symbols", "/api/v1/symbols"),
            ("KlinePage", $"/api/kline?mint={WebHost.Mint}&interval=m1"),
            ("MintPage", "/api/mints"),
            ("EventPage", $"/api/events?mint={WebHost.Mint}"),
            ("EventStatus", "/api/events/status"),
            ("ServerTime", "/api/time"),
            ("KlineStatus", "/api/kline/status"),
            ("KlineStats", "/api/kline/stats"),
            ("SocketMetrics", "/api/ws/metrics"),
            ("OperatorStatus", "/api/v1/status"),
            ("KlineSubscriptions", "/api/kline/subscriptions"),
            ("UdfConfig", "/udf/config"),
            ("UdfFound", "/udf/search"),
            ("UdfBars", $"/udf/history?symbol={WebHost.Mint}&resolution=1&countback=1"),
        })
        {
            using var answer = JsonDocument.Parse(await host.Http.GetStringAsync(path));
            Check(schemas.GetProperty(schema), answer.RootElement, path);
        }

        using var refused = await host.Http.GetAsync("/api/v1/klines/short/m1");
        using var problem = JsonDocument.Parse(await refused.Content.ReadAsStringAsync());
        Check(schemas.GetProperty("Problem"), problem.RootElement, "problem");

        void Check(JsonElement schema, JsonElement value, string at)
        {
            if (schema.TryGetProperty("$ref", out var reference))
            {
                schema = schemas.GetProperty(reference.GetString()!.Split('/')[^1]);
            }

            string?[] types = schema.GetProperty("type") is { ValueKind: JsonValueKind.Array } several ? [.. several.EnumerateArray().Select(t => t.GetString())] : [schema.GetProperty("type").GetString()];
            var type = value.ValueKind switch { JsonValueKind.Object => "object", JsonValueKind.Array => "array", JsonValueKind.String => "string", JsonValueKind.Null => "null", JsonValueKind.Number => "number", _ => "boolean" };
            Assert.True(types.Contains(type) || (type == "number" && types.Contains("integer") && value.TryGetInt64(out _)), $"{at}: {type}");
            if (type == "array")
            {
                foreach (var item in value.EnumerateArray())
                {
                    Check(schema.GetProperty("items"), item, at + "[]");
                }
            }

            if (type != "object" || !schema.TryGetProperty("properties", out var properties))
            {
                return;
            }

            foreach (var name in schema.TryGetProperty("required", out var required) ? required.EnumerateArray() : default)
            {
                Assert.True(value.TryGetProperty(name.GetString()!, out _), $"{at}.{name} is missing");
            }

            foreach (var property in value.EnumerateObject())
            {
                Assert.True(properties.TryGetProperty(property.Name, out var its), $"{at}.{property.Name} is not in the schema");
                Check(its, property.Value, at + "." + property.Name);
            }
        }
    }

    [Fact]
    public async Task Page_holds_nothing_from_elsewhere_and_no_inline_script()
    {
        await using var host = await WebHost.Start();
        using var page = await host.Http.GetAsync("/openapi");
        var html = await page.Content.ReadAsStringAsync();
        Assert.Equal("text/html", page.Content.Headers.ContentType!.MediaType);
        Assert.DoesNotContain("://", html, StringComparison.Ordinal);
        Assert.Contains("script-src 'self'", page.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
        Assert.Equal("text/javascript", (await host.Http.GetAsync("/openapi/page.js")).Content.Headers.ContentType!.MediaType);
        Assert.Equal("text/css", (await host.Http.GetAsync("/openapi/page.css")).Content.Headers.ContentType!.MediaType);
        Assert.Equal(404, (int)(await host.Http.GetAsync("/openapi/v9.json")).StatusCode);
    }
}
