using System.Net.Sockets;

namespace KlineOrleans.Silo.Setup;

/// <summary><c>health URL</c>: whether a server answers there. For images that hold no other program that could ask.</summary>
internal static class HealthCommand
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    /// <summary>0 if it answers with success, else 1.</summary>
    public static async Task<int> Run(string address)
    {
        if (!Uri.TryCreate(address, UriKind.Absolute, out var uri))
        {
            await Console.Error.WriteLineAsync($"health: '{address}' is not an address. Allowed: http://HOST:PORT/health/live or /health/ready.");
            return Startup.BadSetting;
        }

        using var client = new HttpClient { Timeout = Patience };
        try
        {
            using var answer = await client.GetAsync(uri);
            return answer.IsSuccessStatusCode ? Startup.Stopped : Startup.CannotStart;
        }
        catch (Exception error) when (error is HttpRequestException or SocketException or TaskCanceledException)
        {
            await Console.Error.WriteLineAsync($"health: {error.Message}");
            return Startup.CannotStart;
        }
    }
}
