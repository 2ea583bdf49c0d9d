using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.StaticFiles;
using Microsoft.Net.Http.Headers;

namespace KlineOrleans.Web;

/// <summary>The page's files as its build compressed them: <c>name.br</c> and <c>name.gz</c> beside <c>name</c>. Thread safe.</summary>
internal static class CompressedPage
{
    private static readonly FileExtensionContentTypeProvider Types = new();

    // Smaller first.
    private static readonly (string Encoding, string Suffix)[] Encodings = [("br", ".br"), ("gzip", ".gz")];

    /// <summary>A compressed file has the type of what is in it.</summary>
    public static IContentTypeProvider ContentTypes { get; } = new InnerTypes();

    /// <summary>The path to send instead of <paramref name="path"/>, with the answer's headers set for it; null: the file as it is, or none is there.</summary>
    /// <param name="root">The folder of the page.</param>
    /// <param name="path">As requested, from the slash on.</param>
    public static string? Choose(string root, string path, HttpContext context)
    {
        if (!Path.HasExtension(path) || path.Contains("..", StringComparison.Ordinal) || !Types.TryGetContentType(path, out _))
        {
            return null;
        }

        // Whether or not this client takes one: a cache between must not give one's answer to another.
        var varies = false;
        foreach (var (encoding, suffix) in Encodings)
        {
            if (!File.Exists(root + path + suffix))
            {
                continue;
            }

            if (!varies)
            {
                context.Response.Headers.Append(HeaderNames.Vary, HeaderNames.AcceptEncoding);
                varies = true;
            }

            if (Takes(context.Request, encoding))
            {
                context.Response.Headers.ContentEncoding = encoding;
                return path + suffix;
            }
        }

        return null;
    }

    private static bool Takes(HttpRequest request, string encoding)
    {
        foreach (var accepted in request.GetTypedHeaders().AcceptEncoding)
        {
            if (accepted.Value.Equals(encoding, StringComparison.OrdinalIgnoreCase))
            {
                return accepted.Quality is not 0;
            }
        }

        return false;
    }

    private sealed class InnerTypes : IContentTypeProvider
    {
        public bool TryGetContentType(string subpath, [System.Diagnostics.CodeAnalysis.MaybeNullWhen(false)] out string contentType)
        {
            foreach (var (_, suffix) in Encodings)
            {
                if (subpath.EndsWith(suffix, StringComparison.Ordinal))
                {
                    return Types.TryGetContentType(subpath[..^suffix.Length], out contentType);
                }
            }

            return Types.TryGetContentType(subpath, out contentType);
        }
    }
}
