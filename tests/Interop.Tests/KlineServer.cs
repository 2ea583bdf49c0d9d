using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Reflection;
using System.Text;
using System.Text.Json;

namespace KlineOrleans.Interop.Tests;

/// <summary>The real server, as people run it: its own process on a free loopback port, the simulation as its source, a store that is thrown away.</summary>
internal sealed class KlineServer : IAsyncDisposable
{
    public const string Key = "interop-key-0123456789";

    private readonly Process _process;
    private readonly string _folder;
    private readonly StringBuilder _output = new();

    private KlineServer(Process process, string folder, string url)
    {
        _process = process;
        _folder = folder;
        Url = url;
    }

    public string Url { get; }

    /// <summary>An answer of the server, as JSON.</summary>
    public async Task<JsonElement> GetAsync(string path)
    {
        using var http = new HttpClient { BaseAddress = new Uri(Url) };
        http.DefaultRequestHeaders.Add("X-Api-Key", Key);
        using var json = JsonDocument.Parse(await http.GetStringAsync(new Uri(path, UriKind.Relative)));
        return json.RootElement.Clone();
    }

    public async Task<string> FirstSymbolAsync() => (await GetAsync("/api/v1/symbols?limit=1")).GetProperty("symbols")[0].GetProperty("symbol").GetString()!;

    /// <summary>Takes the store's klines away from the running server, as a store does that cannot be read: every answer that needs them fails.</summary>
    /// <remarks>Waits until enough klines are stored that their symbol's history cannot be answered without them.</remarks>
    public async Task TakeKlinesAwayAsync()
    {
        SQLitePCL.Batteries_V2.Init();
        var code = SQLitePCL.raw.sqlite3_open(Path.Combine(_folder, "k.db"), out var store);
        using (store)
        {
            // The server writes too: it is waited for.
            SQLitePCL.raw.sqlite3_busy_timeout(store, 30_000);
            using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(200), TimeProvider.System);
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60), TimeProvider.System);
            while (code == SQLitePCL.raw.SQLITE_OK && Stored(store) < 50)
            {
                await timer.WaitForNextTickAsync(patience.Token);
            }

            if (code == SQLitePCL.raw.SQLITE_OK)
            {
                code = SQLitePCL.raw.sqlite3_exec(store, "ALTER TABLE kline RENAME TO kline_away");
            }

            if (code != SQLitePCL.raw.SQLITE_OK)
            {
                throw new InvalidOperationException($"The store cannot be changed: {SQLitePCL.raw.sqlite3_errmsg(store).utf8_to_string()}");
            }
        }
    }

    /// <summary>Starts the server and waits until it has caught up: while its history is being made, a follower gets hours of klines in seconds, more than its outbox may hold.</summary>
    /// <param name="needsKey">Whether clients must show <see cref="Key"/>.</param>
    public static async Task<KlineServer> StartAsync(bool needsKey, string[] settings)
    {
        var folder = Directory.CreateTempSubdirectory("kline-interop-").FullName;
        var url = $"http://127.0.0.1:{FreePort()}";
        var start = new ProcessStartInfo("dotnet")
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        // A process that is killed would leave its diagnostic sockets in the temporary folder.
        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        foreach (var argument in (string[])[Program(), "--urls", url, "--Kline:Storage:Path", Path.Combine(folder, "k.db"), .. needsKey ? (string[])["--Kline:Web:Access:Keys:0:Name", "interop", "--Kline:Web:Access:Keys:0:Key", Key] : [], .. settings])
        {
            start.ArgumentList.Add(argument);
        }

        var process = new Process { StartInfo = start };
        var server = new KlineServer(process, folder, url);
        process.OutputDataReceived += server.Take;
        process.ErrorDataReceived += server.Take;
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        await server.Ready();
        return server;
    }

    /// <summary>How many klines of its shortest interval the symbol that was listed first has in the store.</summary>
    private static long Stored(SQLitePCL.sqlite3 store)
    {
        const string Query = "SELECT count(*) FROM kline WHERE symbol_id = (SELECT id FROM symbol WHERE listed_ms IS NOT NULL ORDER BY listed_ms, symbol LIMIT 1) AND interval = 1";
        if (SQLitePCL.raw.sqlite3_prepare_v2(store, Query, out var statement) != SQLitePCL.raw.SQLITE_OK)
        {
            throw new InvalidOperationException($"The store cannot be read: {SQLitePCL.raw.sqlite3_errmsg(store).utf8_to_string()}");
        }

        using (statement)
        {
            return SQLitePCL.raw.sqlite3_step(statement) == SQLitePCL.raw.SQLITE_ROW ? SQLitePCL.raw.sqlite3_column_int64(statement, 0) : 0;
        }
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            _process.Kill();
            await _process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(60));
        }
        catch (InvalidOperationException)
        {
            // It has ended by itself, which the test has noticed.
        }

        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static string Program()
    {
        var root = typeof(KlineServer).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "RepositoryRoot").Value!;

        // Beside our own output: the same configuration and engine.
        var own = AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar);
        var below = Path.GetRelativePath(Path.Combine(root, "tests", "Interop.Tests"), own);
        return Path.Combine(root, "src", "Silo", below, "KlineOrleans.Silo.dll");
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private async Task Ready()
    {
        using var http = new HttpClient { BaseAddress = new Uri(Url), Timeout = TimeSpan.FromSeconds(30) };
        http.DefaultRequestHeaders.Add("X-Api-Key", Key);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(120), TimeProvider.System);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(200), TimeProvider.System);
        while (await timer.WaitForNextTickAsync(patience.Token))
        {
            if (_process.HasExited)
            {
                throw new InvalidOperationException("The server did not start: " + Output());
            }

            try
            {
                using var answer = await http.GetAsync(new Uri("/health", UriKind.Relative), patience.Token);
                using var health = JsonDocument.Parse(await answer.Content.ReadAsStringAsync(patience.Token));
                if (answer.IsSuccessStatusCode && health.RootElement.GetProperty("sources").EnumerateArray().All(s => s.GetProperty("state").GetString() == "live"))
                {
                    return;
                }
            }
            catch (Exception e) when (e is HttpRequestException or OperationCanceledException && !patience.IsCancellationRequested)
            {
                // Not yet.
            }
        }
    }

    private string Output()
    {
        lock (_output)
        {
            return _output.ToString();
        }
    }

    private void Take(object sender, DataReceivedEventArgs e)
    {
        lock (_output)
        {
            _output.AppendLine(e.Data);
        }
    }
}
