using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace KlineOrleans.Web.Transports.Direct;

/// <summary>The opening handshake (RFC 6455, 4.2.2; RFC 8441 over HTTP/2). By hand, because the framework's gives no stream.</summary>
internal static class WebSocketHandshake
{
    /// <summary>Answers the client's handshake. The request is a WebSocket's, as the framework has checked.</summary>
    /// <param name="deflate">Accepts permessage-deflate, which the client has offered.</param>
    public static async Task<Stream> Accept(HttpContext context, bool deflate)
    {
        var headers = context.Response.Headers;
        if (deflate)
        {
            // Without memory from one message to the next, which would cost each idle connection its windows.
            headers.SecWebSocketExtensions = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        }

        if (context.Features.Get<IHttpExtendedConnectFeature>() is { IsExtendedConnect: true } connect)
        {
            return await connect.AcceptAsync();
        }

        headers.Upgrade = "websocket";
        headers.Connection = "Upgrade";
        headers.SecWebSocketAccept = AcceptKey(context.Request.Headers.SecWebSocketKey.ToString());
        return await context.Features.GetRequiredFeature<IHttpUpgradeFeature>().UpgradeAsync();
    }

#pragma warning disable CA5350 // RFC 6455 says SHA-1: it proves that a WebSocket server answered, and protects nothing.
    private static string AcceptKey(string key) => Convert.ToBase64String(SHA1.HashData(Encoding.ASCII.GetBytes(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
#pragma warning restore CA5350
}
