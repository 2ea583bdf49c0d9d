using System.Net;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.OpenApi;

namespace KlineOrleans.Web;

/// <summary>GET /openapi/v1.json, from each endpoint's <see cref="RouteDoc"/>, and /openapi, a page of it with nothing from elsewhere.</summary>
internal static class OpenApiRoutes
{
    public const string DocumentName = "v1";

    private const string Policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

    public static void AddKlineOpenApi(this IServiceCollection services) => services.AddOpenApi(DocumentName, static options =>
    {
        options.OpenApiVersion = OpenApiSpecVersion.OpenApi3_1;
        options.AddDocumentTransformer(static (document, context, _) =>
        {
            Describe(document, context.ApplicationServices.GetRequiredService<EndpointDataSource>());
            return Task.CompletedTask;
        });
    });

    public static void MapKlineOpenApi(this IEndpointRouteBuilder routes)
    {
        routes.MapOpenApi("/openapi/{documentName}.json");
        routes.MapGet("/openapi", (RequestDelegate)(context => File(context, "text/html; charset=utf-8", OpenApiPage.Html)));
        routes.MapGet("/openapi/page.js", (RequestDelegate)(context => File(context, "text/javascript; charset=utf-8", OpenApiPage.Script)));
        routes.MapGet("/openapi/page.css", (RequestDelegate)(context => File(context, "text/css; charset=utf-8", OpenApiPage.Style)));

        static Task File(HttpContext context, string type, string text)
        {
            context.Response.ContentType = type;
            context.Response.Headers.ContentSecurityPolicy = Policy;
            context.Response.Headers.XContentTypeOptions = "nosniff";
            context.Response.Headers.CacheControl = "no-cache";
            return context.Response.WriteAsync(text, context.RequestAborted);
        }
    }

    private static void Describe(OpenApiDocument document, EndpointDataSource endpoints)
    {
        document.Info = new OpenApiInfo
        {
            Title = "KlineOrleans",
            Version = DocumentName,
            Description = "Klines (candlesticks) in real time: history, symbols and figures over HTTP. Live klines come over the SignalR hub /hubs/kline, Socket.IO and WebSocket.",
        };
        document.Components ??= new OpenApiComponents();
        document.Components.Schemas = OpenApiDocument.Parse(OpenApiSchemas.Json, "json").Document!.Components!.Schemas;
        document.Components.SecuritySchemes = new Dictionary<string, IOpenApiSecurityScheme>(StringComparer.Ordinal)
        {
            ["bearer"] = new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = "bearer", Description = "A key or a token, where access is on." },
            ["apiKey"] = new OpenApiSecurityScheme { Type = SecuritySchemeType.ApiKey, In = ParameterLocation.Header, Name = "X-Api-Key", Description = "A key, where access is on." },
        };

        // Where access is off, nothing is asked for.
        document.Security = [new OpenApiSecurityRequirement(), Requirement("bearer", document), Requirement("apiKey", document)];
        document.Paths = [];
        foreach (var endpoint in endpoints.Endpoints.OfType<RouteEndpoint>())
        {
            if (endpoint.Metadata.GetMetadata<RouteDoc>() is not { } doc || endpoint.RoutePattern.RawText is not { } path)
            {
                continue;
            }

            if (!document.Paths.TryGetValue(path, out var item))
            {
                document.Paths[path] = item = new OpenApiPathItem();
            }

            foreach (var method in endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods ?? [])
            {
                ((OpenApiPathItem)item).AddOperation(HttpMethod.Parse(method), Operation(doc, endpoint.Metadata.GetMetadata<AccessRequirement>(), document));
            }
        }
    }

    private static OpenApiOperation Operation(RouteDoc doc, AccessRequirement? access, OpenApiDocument document)
    {
        var operation = new OpenApiOperation
        {
            OperationId = doc.Id,
            Summary = doc.Summary,
            Tags = new HashSet<OpenApiTagReference> { new(doc.Tag, document) },
            Parameters = [.. doc.Parameters.Select(Parameter)],
            Responses = [],
        };
        document.Tags ??= new HashSet<OpenApiTag>();
        if (!document.Tags.Any(t => t.Name == doc.Tag))
        {
            document.Tags.Add(new OpenApiTag { Name = doc.Tag });
        }

        if (doc.Body is { } body)
        {
            operation.RequestBody = new OpenApiRequestBody { Required = false, Content = Content("application/json", new OpenApiSchemaReference(body, document)) };
        }

        var isText = doc.Answer == "text/plain";
        operation.Responses["200"] = new OpenApiResponse
        {
            Description = "The answer.",
            Content = isText ? Content(doc.Answer, new OpenApiSchema { Type = JsonSchemaType.String }) : Content("application/json", new OpenApiSchemaReference(doc.Answer, document)),
        };
        if (doc.Answer == "Klines")
        {
            operation.Responses["304"] = new OpenApiResponse { Description = "What If-None-Match names is still the answer." };
        }

        Refusal(HttpStatusCode.BadRequest, "A value is not allowed; the detail names it and what is (1001).");
        Refusal(HttpStatusCode.Unauthorized, "A key or token is asked for (1005).");
        Refusal(HttpStatusCode.Forbidden, access?.Level == AccessLevel.Operator ? "For operators (1005)." : "The key or token may not see the symbol (1005).");
        Refusal(HttpStatusCode.NotFound, "The symbol is not listed (1001).");
        Refusal(HttpStatusCode.TooManyRequests, "Too many requests; wait (1004).");
        Refusal(HttpStatusCode.ServiceUnavailable, "The history cannot be read now; try again (1003).");
        return operation;

        void Refusal(HttpStatusCode status, string description) => operation.Responses[((int)status).ToString(System.Globalization.CultureInfo.InvariantCulture)] =
            new OpenApiResponse { Description = description, Content = Content("application/problem+json", new OpenApiSchemaReference("Problem", document)) };
    }

    private static IOpenApiParameter Parameter(ParameterDoc doc) => new OpenApiParameter
    {
        Name = doc.Name,
        In = doc.In == "path" ? ParameterLocation.Path : ParameterLocation.Query,
        Required = doc.Required,
        Description = doc.Description.Length > 0 ? doc.Description : null,
        Schema = new OpenApiSchema
        {
            Type = doc.Type switch { "integer" => JsonSchemaType.Integer, "boolean" => JsonSchemaType.Boolean, _ => JsonSchemaType.String },
            Format = doc.Type == "integer" ? "int64" : null,
            Minimum = doc.Minimum?.ToString(System.Globalization.CultureInfo.InvariantCulture),
            Maximum = doc.Maximum?.ToString(System.Globalization.CultureInfo.InvariantCulture),
            Default = doc.Default is null ? null : doc.Type == "string" ? JsonValue.Create(doc.Default) : JsonNode.Parse(doc.Default),
            Enum = doc.Values.IsEmpty ? null : [.. doc.Values.Select(v => (JsonNode)JsonValue.Create(v))],
        },
    };

    private static Dictionary<string, OpenApiMediaType> Content(string type, IOpenApiSchema schema) => new(StringComparer.Ordinal) { [type] = new OpenApiMediaType { Schema = schema } };

    private static OpenApiSecurityRequirement Requirement(string scheme, OpenApiDocument document) => new() { [new OpenApiSecuritySchemeReference(scheme, document)] = [] };
}
