using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.FileProviders;

namespace KlineOrleans.Web;

/// <summary>The chart page on <c>/</c>, or where it was not built, a page that says how to get it.</summary>
internal static class PageHosting
{
    // Scripts only from here. Styles inline too, because the chart library sets them on its elements.
    private const string ContentSecurityPolicy =
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self' ws: wss:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

    private const string NoPage = """
        <!doctype html>
        <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>KlineOrleans</title></head>
        <body>
        <h1>KlineOrleans is running, without its chart page</h1>
        <p>The page was not built, because Node was not there. Install Node 20 or later and start the server again with <code>./run</code>: it builds the page.</p>
        <p>Everything else works: <a href="/api/v1/symbols">symbols</a>, klines at <code>/api/v1/klines/{symbol}/{interval}</code>, live klines on the SignalR hub <code>/hubs/kline</code>, <a href="/health">health</a>.</p>
        </body></html>
        """;

    public static void UsePage(this WebApplication app, string path)
    {
        if (!File.Exists(Path.Combine(path, "index.html")))
        {
            app.MapGet("/", (RequestDelegate)(context =>
            {
                Secure(context.Response);
                context.Response.Headers.CacheControl = "no-cache";
                context.Response.ContentType = "text/html; charset=utf-8";
                return context.Response.WriteAsync(NoPage, context.RequestAborted);
            }));
            return;
        }

        var root = Path.GetFullPath(path);
        app.MapGet("/status", (RequestDelegate)(context =>
        {
            Secure(context.Response);
            context.Response.Headers.CacheControl = "no-cache";
            context.Response.ContentType = "text/html; charset=utf-8";
            var compressed = CompressedPage.Choose(root, "/status.html", context);
            return context.Response.SendFileAsync(root + (compressed ?? "/status.html"), context.RequestAborted);
        })).Needs(AccessLevel.Operator, rateLimited: false);

        var files = new PhysicalFileProvider(root);
        app.UseDefaultFiles(new DefaultFilesOptions { FileProvider = files, DefaultFileNames = ["index.html"] });
        app.Use((context, next) =>
        {
            if (context.GetEndpoint() is null && CompressedPage.Choose(root, context.Request.Path.Value ?? "", context) is { } compressed)
            {
                context.Request.Path = compressed;
            }

            return next(context);
        });
        app.UseStaticFiles(new StaticFileOptions
        {
            FileProvider = files,
            ContentTypeProvider = CompressedPage.ContentTypes,
            OnPrepareResponse = static context =>
            {
                Secure(context.Context.Response);

                // Names under assets/ carry a hash of the content, so what they name never changes.
                context.Context.Response.Headers.CacheControl =
                    context.Context.Request.Path.StartsWithSegments("/assets", StringComparison.Ordinal) ? "public, max-age=31536000, immutable" : "no-cache";
            },
        });
    }

    private static void Secure(HttpResponse response)
    {
        response.Headers.ContentSecurityPolicy = ContentSecurityPolicy;
        response.Headers.XContentTypeOptions = "nosniff";
        response.Headers["Referrer-Policy"] = "same-origin";
    }
}
