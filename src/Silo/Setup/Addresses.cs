namespace KlineOrleans.Silo.Setup;

/// <summary>Where the server listens.</summary>
internal static class Addresses
{
    /// <summary>Loopback only: reachable by others only when somebody says so.</summary>
    private const string Default = "http://127.0.0.1:8080";

    public static void Configure(WebApplicationBuilder builder)
    {
        var settings = builder.Configuration;
        var urls = settings[WebHostDefaults.ServerUrlsKey];
        if (urls is not null)
        {
            foreach (var url in urls.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            {
                // A star stands for every address, which Uri does not read.
                var probe = url.Replace("://*", "://any", StringComparison.Ordinal).Replace("://+", "://any", StringComparison.Ordinal);
                if (!Uri.TryCreate(probe, UriKind.Absolute, out var uri) || (uri.Scheme != Uri.UriSchemeHttp && uri.Scheme != Uri.UriSchemeHttps))
                {
                    throw new Ingest.ConfigurationException([$"urls: '{url}' is not an address to listen on. Allowed: http://HOST:PORT, several separated by ';'."]);
                }
            }
        }
        else if (settings["http_ports"] is null && settings["https_ports"] is null && !settings.GetSection("Kestrel:Endpoints").Exists())
        {
            builder.WebHost.UseUrls(Default);
        }
    }
}
