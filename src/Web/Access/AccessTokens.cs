using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web;

/// <summary>What a token says. Immutable.</summary>
/// <param name="KeyId">The key that asked for it: without that key it is worth nothing.</param>
/// <param name="Symbols">Null: whatever the key may see.</param>
/// <param name="Subscriptions">Null: as many as the key.</param>
internal sealed record AccessTokenClaims(string KeyId, IReadOnlyList<string>? Symbols, int? Subscriptions, DateTimeOffset Expires);

/// <summary>Makes and reads tokens: claims, encrypted and signed by ASP.NET Core Data Protection. Thread safe.</summary>
/// <remarks>Data Protection's own time limit reads the machine's clock; the expiry is a claim instead, so that all times come from one clock.</remarks>
internal sealed class AccessTokens(IOptions<WebOptions> options)
{
    public const string Prefix = "kot.";

    /// <summary>What the request line of an upgrade still carries.</summary>
    public const int MostSymbols = 64;

    private readonly Lazy<IDataProtector> _protector = new(() => Open(options.Value.Access.TokenKeysPath));

    /// <summary>Opens or makes the secrets.</summary>
    /// <exception cref="OptionsValidationException">Their folder cannot be read and written; the message names the key.</exception>
    public void Open()
    {
        try
        {
            _protector.Value.Protect([]);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new OptionsValidationException(
                nameof(AccessOptions.TokenKeysPath),
                typeof(WebOptions),
                [$"{WebOptions.Section}:Access:TokenKeysPath: '{options.Value.Access.TokenKeysPath}' cannot be used: {e.Message} Allowed: a folder that this process may write."]);
        }
    }

    public string Make(AccessTokenClaims claims)
    {
        var json = HubJson.Make(claims, static (json, claims) =>
        {
            json.WriteStartObject();
            json.WriteString("k", claims.KeyId);
            json.WriteNumber("e", claims.Expires.ToUnixTimeMilliseconds());
            if (claims.Subscriptions is { } subscriptions)
            {
                json.WriteNumber("n", subscriptions);
            }

            if (claims.Symbols is not null)
            {
                json.WriteStartArray("s");
                foreach (var symbol in claims.Symbols)
                {
                    json.WriteStringValue(symbol);
                }

                json.WriteEndArray();
            }

            json.WriteEndObject();
        });
        return Prefix + Base64Url.EncodeToString(_protector.Value.Protect(json.ToArray()));
    }

    /// <summary>The claims; null if this server (or one that shares its secrets) did not make it.</summary>
    public AccessTokenClaims? Read(string token)
    {
        if (!token.StartsWith(Prefix, StringComparison.Ordinal) || !Base64Url.IsValid(token.AsSpan(Prefix.Length)))
        {
            return null;
        }

        try
        {
            using var json = JsonDocument.Parse(_protector.Value.Unprotect(Base64Url.DecodeFromChars(token.AsSpan(Prefix.Length))));
            var root = json.RootElement;
            return new AccessTokenClaims(
                root.GetProperty("k").GetString()!,
                root.TryGetProperty("s", out var symbols) ? [.. symbols.EnumerateArray().Select(s => s.GetString()!)] : null,
                root.TryGetProperty("n", out var subscriptions) ? subscriptions.GetInt32() : null,
                DateTimeOffset.FromUnixTimeMilliseconds(root.GetProperty("e").GetInt64()));
        }
        catch (CryptographicException)
        {
            // Made up, cut short, or signed with secrets that are gone.
            return null;
        }
    }

    private static IDataProtector Open(string path)
    {
        var folder = OperatingSystem.IsWindows()
            ? Directory.CreateDirectory(path)
            : Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return DataProtectionProvider.Create(folder, static builder => builder.SetApplicationName("KlineOrleans")).CreateProtector("KlineOrleans.Access.Token.1");
    }
}
