using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text.Json;
using KlineOrleans.Contracts;

namespace KlineOrleans.Cli;

/// <summary>A server's HTTP interface (docs/wire/http.md).</summary>
internal sealed class KlineServer : IDisposable
{
    private const int PageSize = 1_000;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly HttpClient _http;

    public KlineServer(Uri address, string? token)
    {
        Address = address.AbsoluteUri.EndsWith('/') ? address : new Uri(address.AbsoluteUri + "/");
        Token = token;
        _http = new HttpClient { BaseAddress = Address, Timeout = Patience };
        if (!string.IsNullOrEmpty(token))
        {
            _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        }
    }

    public Uri Address { get; }

    public string? Token { get; }

    public void Dispose() => _http.Dispose();

    /// <summary>The newest klines of a range, at most 1,000, ascending.</summary>
    /// <exception cref="Failure">The server refuses or does not answer.</exception>
    public async Task<IReadOnlyList<ServerKline>> Newest(string symbol, KlineInterval interval, DateTimeOffset? from, DateTimeOffset? to, int limit, CancellationToken stop)
    {
        var query = $"limit={limit}" + (from is { } f ? $"&from={Milliseconds(f)}" : "") + (to is { } t ? $"&to={Milliseconds(t)}" : "");
        var (klines, _) = await Page(symbol, interval, query, stop);
        return klines;
    }

    /// <summary>All klines of [<paramref name="from"/>, <paramref name="to"/>), oldest first, page by page.</summary>
    /// <exception cref="Failure">The server refuses or does not answer.</exception>
    public async IAsyncEnumerable<IReadOnlyList<ServerKline>> Range(string symbol, KlineInterval interval, DateTimeOffset from, DateTimeOffset to, [EnumeratorCancellation] CancellationToken stop)
    {
        for (var query = $"limit={PageSize}&from={Milliseconds(from)}&to={Milliseconds(to)}"; ;)
        {
            var (klines, next) = await Page(symbol, interval, query, stop);
            if (klines.Count > 0)
            {
                yield return klines;
            }

            if (next is null)
            {
                yield break;
            }

            query = $"limit={PageSize}&cursor={Uri.EscapeDataString(next)}";
        }
    }

    private async Task<(IReadOnlyList<ServerKline> Klines, string? Next)> Page(string symbol, KlineInterval interval, string query, CancellationToken stop)
    {
        try
        {
            using var response = await _http.GetAsync(new Uri($"api/v1/klines/{Uri.EscapeDataString(symbol)}/{interval.Name()}?exact=true&{query}", UriKind.Relative), stop);
            await using var body = await response.Content.ReadAsStreamAsync(stop);
            using var json = await JsonDocument.ParseAsync(body, cancellationToken: stop);
            if (!response.IsSuccessStatusCode)
            {
                throw new Failure($"{Address} answers {(int)response.StatusCode}: {Detail(json.RootElement)}");
            }

            return ([.. json.RootElement.GetProperty("klines").EnumerateArray().Select(ServerKline.Read)], json.RootElement.GetProperty("next").GetString());
        }
        catch (Exception error) when (error is HttpRequestException or SocketException)
        {
            throw new Failure($"{Address} cannot be reached: {error.Message}", error);
        }
        catch (TaskCanceledException error) when (!stop.IsCancellationRequested)
        {
            throw new Failure($"{Address} did not answer within {Patience.TotalSeconds:0} s.", error);
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new Failure($"{Address} answers in a way that is not that of a KlineOrleans server: {error.Message}", error);
        }
    }

    private static string Detail(JsonElement problem) =>
        problem.ValueKind == JsonValueKind.Object && (problem.TryGetProperty("detail", out var text) || problem.TryGetProperty("title", out text) || problem.TryGetProperty("message", out text))
            ? text.ToString()
            : problem.GetRawText();

    private static string Milliseconds(DateTimeOffset time) => time.ToUnixTimeMilliseconds().ToString(CultureInfo.InvariantCulture);
}
