using System.Globalization;
using System.Text.Json;

namespace KlineOrleans.Benchmarks.Load;

/// <summary><c>./load --url ...</c>: connections, then each rate in turn, a line for each.</summary>
internal static class ClientCommand
{
    public static async Task<int> Run(Arguments arguments)
    {
        var url = new Uri(arguments.Text("url", "http://127.0.0.1:8080"));
        var wireName = arguments.Text("wire", "raw");
        var connections = arguments.Int("connections", 1_000);
        var symbols = arguments.Int("symbols", 1);
        var perConnection = arguments.Int("per-connection", 1);
        var intervals = arguments.Text("intervals", "m1").Split(',');
        var seconds = arguments.Double("seconds", 5);
        var warm = arguments.Double("warm", 1);
        var slowShare = arguments.Double("slow-share", 0);
        var connectors = arguments.Int("connectors", 8);
        var rates = arguments.Doubles("rates", "");
        var reconnect = arguments.Int("reconnect", 0);
        var json = arguments.Text("json", "");
        var label = arguments.Text("label", wireName);
        var idle = arguments.Double("idle", 1);
        var collect = arguments.Text("collect", "false") == "true";
        var limit = arguments.Double("limit", 0);
        var warmUp = arguments.Double("warm-up", 0);
        var failed = 0;
        arguments.CheckAllRead();

        using var http = new HttpClient { BaseAddress = url };
        var pid = ProcessFigures.Listener(url.Port);
        using var client = new LoadClient(url, LoadWire.Of(wireName), symbols, perConnection, intervals) { ServerPid = pid };
        var hasFeed = rates.Length > 0;
        if (hasFeed)
        {
            await SetRate(http, 0);
        }

        if (collect)
        {
            await Collect(http);
        }

        var before = ProcessFigures.Of(pid).ResidentBytes;
        var started = System.Diagnostics.Stopwatch.GetTimestamp();
        var connecting = client.Connect(connections, slowShare, connectors);
        client.Run(TimeSpan.FromSeconds(120), () => connecting.IsCompleted && client.Live + client.Errors >= connections * (1 - slowShare), $"{label}: connecting");
        await connecting;
        Console.WriteLine($"{label}: {client.Live:N0} of {connections:N0} live after {System.Diagnostics.Stopwatch.GetElapsedTime(started).TotalSeconds:N1} s, {client.Errors} refused{(client.FirstError is { } error ? ": " + error.ReplaceLineEndings(" ") : "")}");
        if (client.Live == 0)
        {
            return 1;
        }

        client.Run(TimeSpan.FromSeconds(idle));
        if (collect)
        {
            await Collect(http);
        }

        var perIdle = (ProcessFigures.Of(pid).ResidentBytes - before) / (double)connections;
        Console.WriteLine($"{label}: {perIdle / 1024:N1} KiB of the server's resident memory for each connection ({before >> 20:N0} MiB before)");
        if (hasFeed && warmUp > 0)
        {
            // A server is slower until its code is compiled for good, and compiles it beside its work.
            await SetRate(http, rates[0]);
            client.Run(TimeSpan.FromSeconds(warmUp), label: $"{label}: warming up");
        }

        foreach (var rate in hasFeed ? rates : [double.NaN])
        {
            if (hasFeed)
            {
                await SetRate(http, rate);
                client.Run(TimeSpan.FromSeconds(warm));
            }

            var measured = client.Run(TimeSpan.FromSeconds(seconds), label: $"{label} at {rate:N0}/s");
            var offered = rate * connections * perConnection * (wireName == "signalr" ? 1 : intervals.Length) / symbols;
            Print(label, rate, offered, measured, client);
            if (json.Length > 0)
            {
                await File.AppendAllTextAsync(json, JsonSerializer.Serialize(new
                {
                    label,
                    rate,
                    offered,
                    delivered = measured.Deliveries / measured.Seconds,
                    p50 = measured.FromArrival.Quantile(0.5),
                    p99 = measured.FromArrival.Quantile(0.99),
                    p999 = measured.FromArrival.Quantile(0.999),
                    gaps = measured.Gaps,
                    closed = measured.Closed,
                    cpu = measured.ServerCpu / measured.Seconds,
                    microseconds = measured.ServerCpu * 1e6 / Math.Max(1, measured.Deliveries),
                    idleBytes = perIdle,
                }, JsonSerializerOptions.Default) + "\n");
            }

            // Some servers are worse in the middle of the ladder than above it: two rungs far beyond the limit in a row end it.
            failed = limit > 0 && (measured.FromArrival.Quantile(0.99) > 4 * limit || measured.Deliveries / measured.Seconds < 0.7 * offered) ? failed + 1 : 0;
            if (failed == 2)
            {
                break;
            }
        }

        if (reconnect > 0)
        {
            await Reconnect(client, reconnect, connectors, label);
        }

        if (hasFeed)
        {
            await SetRate(http, 0);
        }

        return 0;
    }

    /// <summary>So many go at once and come back at once; those who stay are measured.</summary>
    private static async Task Reconnect(LoadClient client, int count, int connectors, string label)
    {
        var live = client.Live;
        client.MeasuredBelow = client.Open - count;
        var started = System.Diagnostics.Stopwatch.GetTimestamp();

        // Not on the thread that reads: closing thousands of sockets takes as long as several updates.
        var connecting = Task.Run(() =>
        {
            client.CloseLast(count);
            return client.Connect(count, 0, connectors);
        });
        var measured = client.Run(TimeSpan.FromSeconds(60), () => connecting.IsCompleted && client.Live >= live, $"{label}: reconnecting");
        await connecting;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{label}: {count:N0} clients came back with history in {System.Diagnostics.Stopwatch.GetElapsedTime(started).TotalSeconds:N1} s ({client.Live:N0} live); deliveries to the {client.MeasuredBelow:N0} who stayed meanwhile: p50 {measured.FromArrival.Quantile(0.5):N1} ms, p99 {measured.FromArrival.Quantile(0.99):N1} ms"));
    }

    private static void Print(string label, double rate, double offered, Measured m, LoadClient client) =>
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{label,-16} {rate,7:0.#} updates/s offered {offered,9:N0} delivered {m.Deliveries / m.Seconds,9:N0}/s  trade to client p50 {m.FromArrival.Quantile(0.5),7:0.0} p99 {m.FromArrival.Quantile(0.99),7:0.0} p99.9 {m.FromArrival.Quantile(0.999),7:0.0} ms  encoded to client p50 {m.FromEncoding.Quantile(0.5),6:0.0} p99 {m.FromEncoding.Quantile(0.99),6:0.0} ms  {m.Bytes / Math.Max(1, m.Deliveries)} B each  gaps {m.Gaps} disorder {m.Disorder} closed {m.Closed}  CPU server {m.ServerCpu / m.Seconds:P0} client {m.ClientCpu / m.Seconds:P0}, {m.ServerCpu * 1e6 / Math.Max(1, m.Deliveries):0.00} us each  errors {client.Errors}"));

    /// <summary>Has a server of ours collect its garbage, so that only what lives is counted.</summary>
    private static async Task Collect(HttpClient http) => Console.WriteLine(await http.GetStringAsync(new Uri("/load?collect=1", UriKind.Relative)));

    private static async Task SetRate(HttpClient http, double rate) =>
        (await http.GetAsync(new Uri(string.Create(CultureInfo.InvariantCulture, $"/load?rate={rate}"), UriKind.Relative))).EnsureSuccessStatusCode();
}
