using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace KlineOrleans.Benchmarks.Load;

/// <summary><c>./load peers</c>: every server in turn, several rounds, server on core 0 and client on core 1; medians and ratios at the end.</summary>
internal static class PeersCommand
{
    private static readonly Dictionary<string, (string Wire, string Server)> Servers = new(StringComparer.Ordinal)
    {
        ["npm-socketio"] = ("socketio", "node socketio.js"),
        ["npm-ws"] = ("raw", "node ws.js"),
        ["kestrel"] = ("raw", "serve kestrel"),
        ["signalr-groups"] = ("signalr", "serve signalr"),
        ["ours-raw"] = ("raw", "serve product"),
        ["ours-binary"] = ("binary", "serve product"),
        ["ours-socketio"] = ("socketio", "serve product"),
        ["ours-signalr"] = ("signalr", "serve product"),
    };

    public static async Task<int> Run(Arguments arguments)
    {
        var names = arguments.Text("servers", string.Join(',', Servers.Keys)).Split(',');
        var connections = arguments.Int("connections", 1_000);
        var symbols = arguments.Int("symbols", 1);
        var deliveries = arguments.Doubles("deliveries", "50000,100000,200000,400000,800000,1600000,2500000");
        var limit = arguments.Double("p99", 50);
        var rounds = arguments.Int("rounds", 3);
        var seconds = arguments.Double("seconds", 4);
        var port = arguments.Int("port", 8091);
        var warmUp = arguments.Double("warm-up", 15);
        var pin = arguments.Text("pin", "true") == "true";
        var conflate = arguments.Text("conflate", "false");
        arguments.CheckAllRead();
        if (names.FirstOrDefault(n => !Servers.ContainsKey(n)) is { } unknown)
        {
            throw new ArgumentException($"--servers {unknown}: there are {string.Join(", ", Servers.Keys)}.");
        }

        var rates = string.Join(',', deliveries.Select(d => (d * symbols / connections).ToString("0.###", CultureInfo.InvariantCulture)));
        var results = new Dictionary<string, List<List<Line>>>(StringComparer.Ordinal);
        for (var round = 1; round <= rounds; round++)
        {
            foreach (var name in names)
            {
                Console.WriteLine($"round {round}: {name}");
                var (wire, kind) = Servers[name];
                using var server = Start(pin ? 0 : null, kind, port, symbols, conflate);
                try
                {
                    if (!await Listens(port))
                    {
                        Console.WriteLine($"{name} does not start; left out");
                        continue;
                    }

                    var json = Path.GetTempFileName();
                    using var client = Start(pin ? 1 : null, ["client", "--url", $"http://127.0.0.1:{port}", "--wire", wire, "--connections", $"{connections}", "--symbols", $"{symbols}", "--rates", rates, "--seconds", seconds.ToString(CultureInfo.InvariantCulture), "--warm-up", warmUp.ToString(CultureInfo.InvariantCulture), "--label", name, "--json", json, "--limit", limit.ToString(CultureInfo.InvariantCulture)]);
                    await client.WaitForExitAsync();
                    var lines = File.ReadLines(json).Select(l => JsonSerializer.Deserialize<Line>(l, JsonSerializerOptions.Web)!).ToList();
                    File.Delete(json);
                    results.TryAdd(name, []);
                    results[name].Add(lines);
                }
                finally
                {
                    server.Kill();
                    await server.WaitForExitAsync();
                }
            }
        }

        Print(results, limit, $"{connections:N0} connections on {symbols:N0} symbols, {rounds} rounds");
        return 0;
    }

    private static void Print(Dictionary<string, List<List<Line>>> results, double limit, string what)
    {
        Console.WriteLine();
        Console.WriteLine($"{what}; medians of the rounds");
        Console.WriteLine($"| Server | offered deliveries/s: delivered, p50 / p99 ms, server's microseconds each | highest with p99 <= {limit} ms | times the first | KiB per idle connection |");
        Console.WriteLine("|---|---|---|---|---|");
        var first = 0.0;
        foreach (var (name, rounds) in results)
        {
            var rungs = rounds.SelectMany(r => r).GroupBy(l => l.Offered).OrderBy(g => g.Key).Select(g =>
                string.Create(CultureInfo.InvariantCulture, $"{g.Key:N0}: {Median(g.Select(l => l.Delivered)):N0}, {Median(g.Select(l => l.P50)):0.0} / {Median(g.Select(l => l.P99)):0.0}, {Median(g.Select(l => l.Microseconds)):0.00}"));
            var highest = Median(rounds.Select(r => r.Where(l => l.P99 <= limit && l.Delivered >= 0.97 * l.Offered).Select(l => l.Delivered).DefaultIfEmpty(0).Max()));
            first = first == 0 ? highest : first;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {name} | {string.Join("; ", rungs)} | {highest:N0} | {(first > 0 ? highest / first : 0):0.0} | {Median(rounds.Select(r => r.Select(l => l.IdleBytes).FirstOrDefault())) / 1024:0.0} |"));
        }
    }

    internal static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToList();
        return sorted.Count == 0 ? 0 : sorted.Count % 2 == 1 ? sorted[sorted.Count / 2] : (sorted[(sorted.Count / 2) - 1] + sorted[sorted.Count / 2]) / 2;
    }

    private static Process Start(int? core, string kind, int port, int symbols, string conflate)
    {
        var words = kind.Split(' ');
        return words[0] == "node"
            ? StartProgram(core, "node", ["--max-old-space-size=8000", Path.Combine(Peers(), words[1]), $"{port}", $"{symbols}"])
            : Start(core, ["serve", "--kind", words[1], "--port", $"{port}", "--symbols", $"{symbols}", "--conflate", conflate]);
    }

    /// <summary>Starts the product with settings as ServeCommand takes them.</summary>
    internal static Process StartServer(int? core, int port, string settings) => Start(core, ["serve", "--port", $"{port}", "--settings", settings]);

    private static Process Start(int? core, IEnumerable<string> arguments) => StartProgram(core, Environment.ProcessPath!, arguments);

    private static Process StartProgram(int? core, string program, IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(core is null ? program : "taskset");
        if (core is not null)
        {
            start.ArgumentList.Add("-c");
            start.ArgumentList.Add($"{core}");
            start.ArgumentList.Add(program);
        }

        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start)!;
    }

    /// <summary>The folder of the npm servers, beside the source.</summary>
    private static string Peers()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!Directory.Exists(Path.Combine(folder!.FullName, "benchmarks")))
        {
            folder = folder.Parent;
        }

        return Path.Combine(folder.FullName, "benchmarks", "Load", "peers");
    }

    internal static async Task<bool> Listens(int port)
    {
        using var http = new HttpClient();
        for (var i = 0; i < 150; i++)
        {
            try
            {
                await http.GetStringAsync(new Uri($"http://127.0.0.1:{port}/load"));
                return true;
            }
            catch (HttpRequestException)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(200), TimeProvider.System);
            }
        }

        return false;
    }

    private sealed record Line(double Rate, double Offered, double Delivered, double P50, double P99, double Microseconds, double IdleBytes);
}
