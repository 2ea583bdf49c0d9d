namespace KlineOrleans.Web;

/// <summary>Who may ask (section <c>Kline:Web:Access</c>). Without a key everyone may, and only operators' routes are closed to other machines.</summary>
public sealed class AccessOptions
{
    /// <summary>The keys; with one or more of them every wire asks for a key or a token. Default: none.</summary>
    public IList<AccessKeyOptions> Keys { get; } = [];

    /// <summary>The folder of the secrets that tokens are signed with; nodes that share it accept each other's tokens. Default: <c>keys</c> beside the store.</summary>
    public string TokenKeysPath { get; set; } = "";

    /// <summary>How long a token lives that was asked for without <c>expiresIn</c>. 1 s to <see cref="MaxTokenLifetime"/>. Default: 1 h.</summary>
    public TimeSpan TokenLifetime { get; set; } = TimeSpan.FromHours(1);

    /// <summary>The longest life of a token. 1 s to 30 days. Default: 1 day.</summary>
    public TimeSpan MaxTokenLifetime { get; set; } = TimeSpan.FromDays(1);

    /// <summary>Proxies in front whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses or networks, as in 10.0.0.2 or 10.0.0.0/8. Default: none.</summary>
    public IList<string> TrustedProxies { get; } = [];

    /// <summary>Addresses or networks that count as an operator's, beside loopback, as a Prometheus server's in 10.1.0.0/16. Default: none.</summary>
    /// <remarks>A request that came through a proxy counts only if a trusted one named its caller in X-Forwarded-For and left no other header about it.</remarks>
    public IList<string> OperatorNetworks { get; } = [];
}

/// <summary>One API key.</summary>
public sealed class AccessKeyOptions
{
    /// <summary>What logs and figures call the holder. 1 to 64 characters, unique.</summary>
    public string Name { get; set; } = "";

    /// <summary>The key itself, 16 to 256 printable characters; or give <see cref="KeyHash"/>.</summary>
    public string? Key { get; set; }

    /// <summary>The key's SHA-256 in hexadecimal, so that the settings hold no secret.</summary>
    public string? KeyHash { get; set; }

    /// <summary>The symbols it may see, at most 1,000. Default: all.</summary>
    public IList<string> Symbols { get; } = [];

    /// <summary>Pairs of symbol and interval that one client with it may follow. 1 to 100,000. Default: as for everyone.</summary>
    public int? Subscriptions { get; set; }

    /// <summary>Whether it may ask for tokens. Default: false.</summary>
    public bool CanMint { get; set; }

    /// <summary>Whether it opens operators' routes. Default: false.</summary>
    public bool IsOperator { get; set; }
}
