using System.Collections.Frozen;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Primitives;

namespace KlineOrleans.Web;

/// <summary>Decides who may ask, the same for every wire. Thread safe.</summary>
/// <remarks>
/// A wire authenticates a client once, when it connects, keeps the grant, asks <see cref="AccessGrant.Check"/> for each symbol, gives
/// <see cref="AccessGrant.SubscriptionLimit"/> to the client, and calls <see cref="EndWhenExpired"/>. Where no keys are configured every caller gets a grant
/// without bounds, so a wire need not know whether access is on.
/// Keys are kept as hashes and compared in constant time; neither keys nor tokens are logged.
/// </remarks>
internal sealed class AccessRules
{
    /// <summary>The query key for a key or token, on sockets, because a browser's WebSocket cannot send headers.</summary>
    public const string QueryKey = "access_token";

    private const int LongestCredential = 8_192;
    private static readonly PathString[] Sockets = ["/hubs", "/ws", "/socket.io"];
    private static readonly string[] ProxyHeaders = ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"];

    private readonly Key[] _keys;
    private readonly AccessTokens _tokens;
    private readonly TimeProvider _time;
    private readonly IPNetwork[] _operators;
    private readonly AccessGrant _everyone;

    public AccessRules(IOptions<WebOptions> options, AccessTokens tokens, TimeProvider time)
    {
        _tokens = tokens;
        _time = time;
        var limit = options.Value.Limits.SubscriptionsPerClient;
        _everyone = new AccessGrant { Name = "", SubscriptionLimit = limit };
        _operators = [.. options.Value.Access.OperatorNetworks.Select(text => AddressRange.TryParse(text, out var network) ? network : default)];
        _keys = [.. options.Value.Access.Keys.Select(key =>
        {
            var hash = key.KeyHash is { Length: > 0 } hex ? Convert.FromHexString(hex) : Hash(key.Key!);
            return new Key(hash, new AccessGrant
            {
                Name = key.Name,
                Symbols = key.Symbols.Count == 0 ? null : key.Symbols.ToFrozenSet(StringComparer.Ordinal),
                SubscriptionLimit = key.Subscriptions ?? limit,
                CanMint = key.CanMint,
                IsOperator = key.IsOperator,
                KeyId = Convert.ToHexStringLower(hash.AsSpan(0, 8)),
            });
        })];
    }

    /// <summary>Whether callers must show a key or a token.</summary>
    public bool IsOn => _keys.Length > 0;

    /// <summary>The grant of a request: <c>Authorization: Bearer</c>, then <c>X-Api-Key</c>, then, on sockets, <c>access_token</c> in the query.</summary>
    /// <remarks>Remembered with the request, for <see cref="AccessGrant.Of"/>.</remarks>
    public AccessResult Authenticate(HttpContext context)
    {
        if (AccessGrant.Of(context) is { } known)
        {
            return new AccessResult(known, null);
        }

        var result = IsOn ? Authenticate(Credential(context.Request)) : new AccessResult(_everyone, null);
        result.Grant?.Keep(context);
        return result;
    }

    /// <summary>The grant of a key or token, however it came: for wires that carry it in a message of their own.</summary>
    public AccessResult Authenticate(string? credential)
    {
        if (!IsOn)
        {
            return new AccessResult(_everyone, null);
        }

        if (string.IsNullOrEmpty(credential))
        {
            return Refuse($"A key or token is asked for here: Authorization: Bearer, X-Api-Key, or {QueryKey} in the query of a socket.");
        }

        if (credential.Length > LongestCredential)
        {
            return Refuse("The key or token is not known here.");
        }

        // Every key is compared, whichever fits: how long it takes says nothing about how close a guess was.
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        Hash(credential, hash);
        AccessGrant? found = null;
        foreach (var key in _keys)
        {
            if (CryptographicOperations.FixedTimeEquals(hash, key.Hash))
            {
                found = key.Grant;
            }
        }

        if (found is not null)
        {
            return new AccessResult(found, null);
        }

        if (_tokens.Read(credential) is not { } claims || Array.Find(_keys, k => k.Grant.KeyId == claims.KeyId) is not { } minter)
        {
            return Refuse("The key or token is not known here.");
        }

        if (claims.Expires <= _time.GetUtcNow())
        {
            return Refuse("The token has expired. Ask for a new one.");
        }

        // What was taken from the key since is taken from its tokens too.
        var symbols = claims.Symbols is null ? minter.Grant.Symbols : claims.Symbols.Where(minter.Grant.MaySee).ToFrozenSet(StringComparer.Ordinal);
        return new AccessResult(
            new AccessGrant
            {
                Name = minter.Grant.Name,
                Symbols = symbols,
                SubscriptionLimit = Math.Min(claims.Subscriptions ?? int.MaxValue, minter.Grant.SubscriptionLimit),
                Expires = claims.Expires,
                KeyId = claims.KeyId,
            },
            null);

        static AccessResult Refuse(string sentence) => new(null, new ApiError(ApiErrorCode.NotAuthorised, sentence, Status: StatusCodes.Status401Unauthorized));
    }

    /// <summary>Whether the caller may see what operators see: from this machine, from an operator's network, or with a key that says so.</summary>
    public bool IsOperator(HttpContext context) =>
        IsLocal(context) || (IsOn && Authenticate(context).Grant is { IsOperator: true });

    /// <summary>Closes the client when its grant ends, with <see cref="DisconnectReason.Expired"/>.</summary>
    public void EndWhenExpired(Client client, AccessGrant grant)
    {
        if (grant.Expires != DateTimeOffset.MaxValue)
        {
            _ = End(client, grant.Expires - _time.GetUtcNow());
        }
    }

    private async Task End(Client client, TimeSpan left)
    {
        if (left > TimeSpan.Zero)
        {
            using var over = new CancellationTokenSource();
            var expiry = Task.Delay(left, _time, over.Token);
            if (await Task.WhenAny(expiry, client.Session.Ended) != expiry)
            {
                await over.CancelAsync();
                return;
            }
        }

        client.Close(DisconnectReason.Expired);
    }

    /// <remarks>
    /// A request that a proxy on this machine passes on comes from loopback too, though its caller is anywhere: it shows by the headers that proxies add. One
    /// that a page of another site sends to this machine under a name of its own (DNS rebinding) shows by that name.
    /// </remarks>
    private bool IsLocal(HttpContext context)
    {
        var address = context.Connection.RemoteIpAddress;
        if (address is null || Array.Exists(ProxyHeaders, context.Request.Headers.ContainsKey))
        {
            return false;
        }

        if (address.IsIPv4MappedToIPv6)
        {
            address = address.MapToIPv4();
        }

        if (Array.Exists(_operators, network => network.Contains(address)))
        {
            return true;
        }

        var host = context.Request.Host.Host.Trim('[', ']');
        return IPAddress.IsLoopback(address)
            && (string.Equals(host, "localhost", StringComparison.OrdinalIgnoreCase) || (IPAddress.TryParse(host, out var named) && IPAddress.IsLoopback(named)));
    }

    private static string? Credential(HttpRequest request)
    {
        var authorization = request.Headers.Authorization;
        if (authorization.Count == 1 && authorization[0] is { } text && text.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase))
        {
            return text["Bearer ".Length..].Trim();
        }

        if (request.Headers.TryGetValue("X-Api-Key", out var key) && key.Count == 1)
        {
            return key[0];
        }

        if (Array.Exists(Sockets, path => request.Path.StartsWithSegments(path, StringComparison.OrdinalIgnoreCase))
            && request.Query.TryGetValue(QueryKey, out StringValues query) && query.Count == 1)
        {
            return query[0];
        }

        return null;
    }

    private static byte[] Hash(string key)
    {
        var hash = new byte[SHA256.HashSizeInBytes];
        Hash(key, hash);
        return hash;
    }

    private static void Hash(string key, Span<byte> hash) => SHA256.HashData(Encoding.UTF8.GetBytes(key), hash);

    private sealed record Key(byte[] Hash, AccessGrant Grant);
}
