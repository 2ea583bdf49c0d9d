using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace KlineOrleans.Benchmarks.Load;

/// <summary><c>./load slow</c>: what one client that stops reading costs the others and the server, on each wire, in turns without and with it. Server on core 0, clients on core 1.</summary>
/// <remarks>
/// Ends with code 1 if the median of the ratios of p99 is above the limit, if the collected heap grows by more than an outbox may hold, or if the client is not closed as a slow consumer.
/// </remarks>
internal static class SlowCommand
{
    private const long OutboxBytes = 1_048_576;

    /// <summary>All intervals: bytes for the kernel's buffers at first, then more than a final a second for the outbox.</summary>
    private static readonly string[] Intervals = ["s1", "s5", "s15", "s30", "m1", "m5", "m15", "m30", "h1", "h4", "d1", "w1"];

    /// <summary>One forming kline of each interval may wait, and eight finals: full some seconds after the kernel's buffers are.</summary>
    private static readonly int OutboxMessages = Intervals.Length + 8;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    public static async Task<int> Run(Arguments arguments)
    {
        var wires = arguments.Text("wires", "raw,socketio,signalr").Split(',');
        var connections = arguments.Int("connections", 1_000);
        var turns = arguments.Int("turns", 5);
        var seconds = arguments.Double("seconds", 4);
        var rate = arguments.Double("rate", 20);
        var port = arguments.Int("port", 8_092);
        var limit = arguments.Double("ratio", 1.1);
        var pin = arguments.Text("pin", "true") == "true";
        arguments.CheckAllRead();
        if (pin && OperatingSystem.IsLinux())
        {
            using var self = Process.GetCurrentProcess();
            self.ProcessorAffinity = 2;
        }

        var failed = false;
        foreach (var wire in wires)
        {
            using var server = PeersCommand.StartServer(pin ? 0 : null, port, $"Kline:Web:Outbox:Bytes={OutboxBytes};Kline:Web:Outbox:Messages={OutboxMessages}");
            try
            {
                failed |= !await PeersCommand.Listens(port) || !await Measure(new Uri($"http://127.0.0.1:{port}"), wire, connections, turns, seconds, rate, limit);
            }
            finally
            {
                server.Kill();
                await server.WaitForExitAsync();
            }
        }

        return failed ? 1 : 0;
    }

    private static async Task<bool> Measure(Uri url, string wireName, int connections, int turns, double seconds, double rate, double limit)
    {
        using var http = new HttpClient { BaseAddress = url };
        var wire = LoadWire.Of(wireName);

        // The price says when the trade was due; that of a final kline is older by the grace. None becomes final here.
        using var client = new LoadClient(url, wire, 1, 1, ["h1"]);
        var connecting = client.Connect(connections, 0, 8);
        client.Run(Patience, () => connecting.IsCompleted && client.Live + client.Errors >= connections);
        await connecting;
        await SetRate(http, rate);
        client.Run(TimeSpan.FromSeconds(seconds));
        List<double> ratios = [], grown = [];
        var isWhole = client.Live == connections;
        for (var turn = 0; turn < turns; turn++)
        {
            // Which comes first changes, so that neither has the warmer server.
            double without = 0, with = 0;
            foreach (var isSilent in turn % 2 == 0 ? (bool[])[false, true] : [true, false])
            {
                var before = await Heap(http, client, rate);
                if (!isSilent)
                {
                    without = P99(client, seconds);
                    continue;
                }

                var closed = await ClosedAsSlow(http);
                using var silent = new SilentClient(url, wire, LoadNames.Symbol(0), Intervals);

                // Until the kernel takes no more for it.
                client.Run(TimeSpan.FromSeconds(2));
                with = P99(client, seconds);
                grown.Add(await Heap(http, client, rate) - before);
                using var patience = new CancellationTokenSource(Patience, TimeProvider.System);
                var closing = Task.Run(async () =>
                {
                    while (await ClosedAsSlow(http) == closed && !patience.IsCancellationRequested)
                    {
                        await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System);
                    }

                    return !patience.IsCancellationRequested;
                });
                client.Run(Patience, () => closing.IsCompleted);
                isWhole &= await closing;
            }

            ratios.Add(with / without);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{wireName}, turn {turn + 1}: p99 {without:0.00} ms without, {with:0.00} ms with, ratio {with / without:0.00}; collected heap {grown[^1] / 1024:+0;-0;0} KiB"));
        }

        isWhole &= client.Live == connections;
        var ratio = PeersCommand.Median(ratios);
        var growth = PeersCommand.Median(grown);
        var isGood = isWhole && ratio <= limit && growth <= OutboxBytes;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{wireName}: {client.Live:N0} of {connections:N0} clients at {rate} updates/s, {turns} turns: median ratio of p99 {ratio:0.00} (at most {limit:0.00}), heap {growth / 1024:+0;-0;0} KiB (at most {OutboxBytes / 1024}), {(isWhole ? "each silent one closed as a slow consumer, nobody else" : "NOT every silent one was closed, or another client was")}: {(isGood ? "good" : "NOT GOOD")}"));
        return isGood;
    }

    private static double P99(LoadClient client, double seconds) => client.Run(TimeSpan.FromSeconds(seconds)).FromArrival.Quantile(0.99);

    /// <summary>What lives in the server, in bytes, while the feed pauses: what is on its way to those who read is not counted.</summary>
    private static async Task<double> Heap(HttpClient http, LoadClient client, double rate)
    {
        await SetRate(http, 0);
        client.Run(TimeSpan.FromSeconds(0.5));
        var answer = await http.GetStringAsync(new Uri("/load?collect=1", UriKind.Relative));
        await SetRate(http, rate);
        client.Run(TimeSpan.FromSeconds(0.5));
        return LoadWire.Number(System.Text.Encoding.ASCII.GetBytes(answer), "heap "u8);
    }

    private static Task<string> SetRate(HttpClient http, double rate) => http.GetStringAsync(new Uri(string.Create(CultureInfo.InvariantCulture, $"/load?rate={rate}"), UriKind.Relative));

    private static async Task<long> ClosedAsSlow(HttpClient http)
    {
        using var answer = JsonDocument.Parse(await http.GetStringAsync(new Uri("/api/ws/metrics", UriKind.Relative)));
        return answer.RootElement.GetProperty("data").GetProperty("closed_as_slow").GetInt64();
    }
}
