using System.Globalization;
using System.Text.Json;
using KlineOrleans.Web.Transports.Events;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Options;

namespace KlineOrleans.Web;

/// <summary>POST /api/v1/tokens: a short-lived token from a key that may ask for them, for a page or a client that must not know the key.</summary>
internal sealed class TokenRoutes(RouteAnswers answers, AccessTokens tokens, SymbolDirectory symbols, IOptions<WebOptions> options, TimeProvider time)
{
    private const int LongestBody = 16_384;
    private const string Keys = "symbols, subscriptions, expiresIn";

    public void Map(IEndpointRouteBuilder routes) =>
        routes.MapPost("/api/v1/tokens", answers.Guard(Mint)).Needs(AccessLevel.Client).WithMetadata(
            new RouteDoc("createToken", "Access", "A token for some symbols and some time, from a key with CanMint", "Token") { Body = "TokenRequest" });

    private async Task<ApiError?> Mint(HttpContext context)
    {
        var grant = AccessGrant.Of(context)!;
        if (!grant.CanMint)
        {
            return new ApiError(ApiErrorCode.NotAuthorised, "This key or token may not ask for tokens: a key with CanMint may.", Status: StatusCodes.Status403Forbidden);
        }

        if (await Read(context) is not { } body)
        {
            return ApiError.Bad("body", "other", $"none, or a JSON object with {Keys}, at most {LongestBody} bytes");
        }

        using (body)
        {
            IReadOnlyList<string>? named = null;
            int? subscriptions = null;
            var life = options.Value.Access.TokenLifetime;
            foreach (var property in body.RootElement.EnumerateObject())
            {
                var value = property.Value;
                if (value.ValueKind == JsonValueKind.Null)
                {
                    continue;
                }

                switch (property.Name)
                {
                    case "symbols":
                        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() is 0 or > AccessTokens.MostSymbols || !value.EnumerateArray().All(s => s.ValueKind == JsonValueKind.String && EventRequest.TryString(s, out _)))
                        {
                            return ApiError.Bad("symbols", value.GetRawText(), $"an array of 1 to {AccessTokens.MostSymbols} symbols, or none for all that the key may see");
                        }

                        named = [.. value.EnumerateArray().Select(s => s.GetString()!).Distinct(StringComparer.Ordinal)];
                        break;
                    case "subscriptions":
                        if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt32(out var number) || number < 1 || number > grant.SubscriptionLimit)
                        {
                            return ApiError.Bad("subscriptions", value.GetRawText(), string.Create(CultureInfo.InvariantCulture, $"1 to {grant.SubscriptionLimit}"));
                        }

                        subscriptions = number;
                        break;
                    case "expiresIn":
                        var most = (long)options.Value.Access.MaxTokenLifetime.TotalSeconds;
                        if (value.ValueKind != JsonValueKind.Number || !value.TryGetInt64(out var seconds) || seconds < 1 || seconds > most)
                        {
                            return ApiError.Bad("expiresIn", value.GetRawText(), string.Create(CultureInfo.InvariantCulture, $"1 to {most} seconds"));
                        }

                        life = TimeSpan.FromSeconds(seconds);
                        break;
                    default:
                        // A misspelt limit would give a token without it.
                        return ApiError.Bad(property.Name, value.GetRawText(), Keys);
                }
            }

            foreach (var symbol in named ?? [])
            {
                if ((grant.Check(symbol) ?? await symbols.Check(symbol, context.RequestAborted)) is { } refusal)
                {
                    return refusal;
                }
            }

            var expires = time.GetUtcNow() + life;
            var token = tokens.Make(new AccessTokenClaims(grant.KeyId, named, subscriptions, expires));
            return await RouteAnswers.Ok(context, (token, expires), static (json, a) =>
            {
                json.WriteStartObject();
                json.WriteString("token", a.token);
                json.WriteNumber("expires", a.expires.ToUnixTimeMilliseconds());
                json.WriteEndObject();
            });
        }
    }

    private async Task<JsonDocument?> Read(HttpContext context)
    {
        var bytes = new byte[LongestBody + 1];
        var length = await context.Request.Body.ReadAtLeastAsync(bytes, bytes.Length, throwOnEndOfStream: false, context.RequestAborted);
        if (length > LongestBody)
        {
            return null;
        }

        if (length == 0)
        {
            return JsonDocument.Parse("{}");
        }

        try
        {
            var json = JsonDocument.Parse(bytes.AsMemory(0, length), new JsonDocumentOptions { MaxDepth = options.Value.Limits.JsonDepth });
            if (json.RootElement.ValueKind == JsonValueKind.Object && HasNames(json.RootElement))
            {
                return json;
            }

            json.Dispose();
        }
        catch (JsonException)
        {
            // Said by the caller.
        }

        return null;
    }

    /// <summary>Whether every name is text: JSON can escape half a character.</summary>
    private static bool HasNames(JsonElement json)
    {
        try
        {
            return json.EnumerateObject().All(static property => property.Name.Length >= 0);
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }
}
