using System.Security.Cryptography;
using System.Text;
using System.Text.Json;

namespace KlineOrleans.Web.Tests;

/// <summary>A host with three keys: one that sees all and mints, one for a single mint, one for operators.</summary>
internal sealed class AccessHost : IAsyncDisposable
{
    public const string MintKey = "mint-key-0123456789abcdef";
    public const string SmallKey = "small-key-0123456789abcdef";
    public const string OperatorKey = "operator-key-0123456789abcdef";
    public const string Other = "OtherOtherOtherOtherOtherOtherOther1";

    private readonly DirectoryInfo _folder;

    public required WebHost Web { get; init; }

    public static async Task<AccessHost> Start(Dictionary<string, string?>? more = null, TimeProvider? time = null, string? keys = null)
    {
        var folder = Directory.CreateTempSubdirectory("kline-access");
        Dictionary<string, string?> settings = new()
        {
            ["Kline:Web:Access:TokenKeysPath"] = keys ?? folder.FullName,
            ["Kline:Web:Access:Keys:0:Name"] = "minter",
            ["Kline:Web:Access:Keys:0:Key"] = MintKey,
            ["Kline:Web:Access:Keys:0:CanMint"] = "true",
            ["Kline:Web:Access:Keys:1:Name"] = "small",
            ["Kline:Web:Access:Keys:1:KeyHash"] = Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(SmallKey))),
            ["Kline:Web:Access:Keys:1:Symbols:0"] = WebHost.Mint,
            ["Kline:Web:Access:Keys:1:Subscriptions"] = "2",
            ["Kline:Web:Access:Keys:1:CanMint"] = "true",
            ["Kline:Web:Access:Keys:2:Name"] = "operator",
            ["Kline:Web:Access:Keys:2:Key"] = OperatorKey,
            ["Kline:Web:Access:Keys:2:IsOperator"] = "true",
        };
        foreach (var (key, value) in more ?? [])
        {
            settings[key] = value;
        }

        try
        {
            return new AccessHost(folder) { Web = await WebHost.Start(settings, time: time) };
        }
        catch
        {
            // Settings that stop the start are what some tests want.
            folder.Delete(recursive: true);
            throw;
        }
    }

    private AccessHost(DirectoryInfo folder) => _folder = folder;

    /// <summary>Asks with a key or token; null for none.</summary>
    public async Task<HttpResponseMessage> Get(string path, string? key = null, string header = "Authorization", bool proxied = false)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        if (key is not null)
        {
            request.Headers.TryAddWithoutValidation(header, header == "Authorization" ? "Bearer " + key : key);
        }

        if (proxied)
        {
            request.Headers.TryAddWithoutValidation("X-Forwarded-For", "203.0.113.7");
        }

        return await Web.Http.SendAsync(request);
    }

    public async Task<HttpResponseMessage> AskToken(string? key, string body)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/api/v1/tokens") { Content = new StringContent(body, Encoding.UTF8, "application/json") };
        if (key is not null)
        {
            request.Headers.Add("X-Api-Key", key);
        }

        return await Web.Http.SendAsync(request);
    }

    public async Task<string> Token(string key = MintKey, string body = "{}")
    {
        using var response = await AskToken(key, body);
        var text = await response.Content.ReadAsStringAsync();
        Assert.True(response.IsSuccessStatusCode, text);
        using var json = JsonDocument.Parse(text);
        return json.RootElement.GetProperty("token").GetString()!;
    }

    public async ValueTask DisposeAsync()
    {
        await Web.DisposeAsync();
        _folder.Delete(recursive: true);
    }
}
