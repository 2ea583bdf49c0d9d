using System.Globalization;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web;

/// <summary>Refuses values that the web room cannot run with: each message names the key, the value and what is allowed.</summary>
internal sealed class WebOptionsValidator(IConfiguration configuration) : IValidateOptions<WebOptions>
{
    public ValidateOptionsResult Validate(string? name, WebOptions options)
    {
        List<string> failures = [];
        Range("History:Max", options.History.Max, 1, 1_000);
        Range("History:Default", options.History.Default, 1, Math.Clamp(options.History.Max, 1, 1_000));
        Range("Outbox:Bytes", options.Outbox.Bytes, 1_024, 1 << 30);
        Range("Outbox:Messages", options.Outbox.Messages, 8, 1_000_000);
        Range("Limits:SubscriptionsPerClient", options.Limits.SubscriptionsPerClient, 1, 100_000);
        Range("Limits:MessageBytes", options.Limits.MessageBytes, 1_024, 64 << 20);
        Range("Limits:JsonDepth", options.Limits.JsonDepth, 2, 64);
        Range("Limits:Connections", options.Limits.Connections, 1, 10_000_000);
        Range("Limits:ConnectionsPerAddress", options.Limits.ConnectionsPerAddress, 1, 10_000_000);
        Range("Limits:MessagesPerSecond", options.Limits.MessagesPerSecond, 1, 1_000_000);
        Range("Limits:MessageBurst", options.Limits.MessageBurst, 1, 1_000_000);
        Range("Limits:RequestsPerSecond", options.Limits.RequestsPerSecond, 1, 1_000_000);
        Range("Limits:RequestBurst", options.Limits.RequestBurst, 1, 1_000_000);
        _ = CompatRules.Read(configuration, out var compat);
        if (compat is not null)
        {
            failures.Add(compat);
        }

        AccessOptionsCheck.Check(options.Access, failures);
        Span("Access:MaxTokenLifetime", options.Access.MaxTokenLifetime, TimeSpan.FromSeconds(1), TimeSpan.FromDays(30));
        Span("Access:TokenLifetime", options.Access.TokenLifetime, TimeSpan.FromSeconds(1), options.Access.MaxTokenLifetime);
        Span("Ping:Interval", options.Ping.Interval, TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(10));
        Span("Ping:Timeout", options.Ping.Timeout, options.Ping.Interval + TimeSpan.FromSeconds(1), TimeSpan.FromHours(1));
        Range("Feed:Ring", options.Feed.Ring, 32, 1_000_000);
        Span("Feed:Linger", options.Feed.Linger, TimeSpan.Zero, TimeSpan.FromHours(1));
        // Below the time after which a grain that nobody calls leaves memory, or followed mints would fall silent in between.
        Span("Feed:Touch", options.Feed.Touch, TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(10));
        for (var i = 0; i < options.AllowedOrigins.Count; i++)
        {
            var origin = options.AllowedOrigins[i];
            if (origin != "*" && !IsOrigin(origin))
            {
                failures.Add($"{WebOptions.Section}:AllowedOrigins:{i}: '{origin}' is not allowed. Allowed: * or an origin without a path, as in https://chart.example or http://localhost:5173.");
            }
        }

        return failures.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(failures);

        void Range(string key, long value, long min, long max)
        {
            if (value < min || value > max)
            {
                failures.Add(string.Create(CultureInfo.InvariantCulture, $"{WebOptions.Section}:{key}: {value} is not allowed. Allowed: {min} to {max}."));
            }
        }

        void Span(string key, TimeSpan value, TimeSpan min, TimeSpan max)
        {
            if (value < min || value > max)
            {
                failures.Add(string.Create(CultureInfo.InvariantCulture, $"{WebOptions.Section}:{key}: {value:c} is not allowed. Allowed: {min:c} to {max:c}."));
            }
        }
    }

    private static bool IsOrigin(string origin) =>
        Uri.TryCreate(origin, UriKind.Absolute, out var uri)
        && uri.Scheme is "http" or "https"
        && string.Equals(uri.GetLeftPart(UriPartial.Authority), origin, StringComparison.OrdinalIgnoreCase);
}
