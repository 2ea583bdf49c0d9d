using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;
using Microsoft.AspNetCore.Http;

namespace KlineOrleans.Web;

/// <summary>What a caller may do, as its key or token says. Immutable.</summary>
internal sealed class AccessGrant
{
    private static readonly object ItemKey = new();

    /// <summary>The key's name; empty for a caller without one where none is asked for.</summary>
    public required string Name { get; init; }

    /// <summary>The symbols it may see; null: all.</summary>
    public FrozenSet<string>? Symbols { get; init; }

    /// <summary>Pairs of symbol and interval that one client may follow.</summary>
    public required int SubscriptionLimit { get; init; }

    /// <summary>When it ends, UTC; <see cref="DateTimeOffset.MaxValue"/>: never. A socket opened with it ends then (see <see cref="AccessRules.EndWhenExpired"/>).</summary>
    public DateTimeOffset Expires { get; init; } = DateTimeOffset.MaxValue;

    /// <summary>Whether tokens may be asked for with it.</summary>
    public bool CanMint { get; init; }

    /// <summary>Whether it opens operators' routes.</summary>
    public bool IsOperator { get; init; }

    /// <summary>Names the key in tokens: the beginning of its hash.</summary>
    public string KeyId { get; init; } = "";

    public bool MaySee(string symbol) => Symbols is null || Symbols.Contains(symbol);

    /// <summary>Null if the symbol may be seen, else the refusal that every wire gives (1005, and 403 over HTTP).</summary>
    public ApiError? Check(string? symbol) =>
        symbol is null || MaySee(symbol) ? null : new ApiError(ApiErrorCode.NotAuthorised, $"The symbol '{(symbol.Length > 64 ? symbol[..64] + "..." : symbol)}' is not among those that this key or token may see.", Status: StatusCodes.Status403Forbidden);

    /// <summary>The grant of a request that came through <see cref="AccessRules"/>.</summary>
    public static AccessGrant? Of(HttpContext context) => context.Items.TryGetValue(ItemKey, out var value) ? (AccessGrant?)value : null;

    public void Keep(HttpContext context) => context.Items[ItemKey] = this;
}

/// <summary>A grant, or why there is none.</summary>
internal readonly record struct AccessResult(AccessGrant? Grant, ApiError? Error)
{
    [MemberNotNullWhen(true, nameof(Grant))]
    [MemberNotNullWhen(false, nameof(Error))]
    public bool IsAllowed => Grant is not null;
}

/// <summary>Whom a route answers. An endpoint without one answers everybody.</summary>
internal enum AccessLevel
{
    /// <summary>Everybody.</summary>
    Open = 0,

    /// <summary>Holders of a key or token where access is on, else everybody.</summary>
    Client = 1,

    /// <summary>Loopback, an operator's network, or a key that says so.</summary>
    Operator = 2,
}

/// <summary>On an endpoint: whom it answers, and whether the limit on HTTP requests counts for it.</summary>
internal sealed record AccessRequirement(AccessLevel Level, bool IsRateLimited);
