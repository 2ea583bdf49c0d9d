using System.Globalization;
using System.Text;
using KlineOrleans.Testing;

namespace KlineOrleans.Benchmarks.Micro;

/// <summary>Memory of the whole server when many mints have been seen and few still trade: once all were seen, and again when the idle ones have left.</summary>
internal static class IdleMemory
{
    public static async Task Run(string[] args)
    {
        var seen = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 100_000;
        var active = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 1_000;
        var minutes = args.Length > 2 ? int.Parse(args[2], CultureInfo.InvariantCulture) : 3;
        using var folder = new TemporaryFolder();
        var path = folder["trades.ndjson"];
        // Two trades of each mint within a minute of the recording, then only the active ones, 200 trades a second, played as recorded.
        await Write(path, seen, active, minutes);
        await using (var server = await ServerProcess.Start(Settings(path, folder)))
        {
            await server.WaitFor("/health", h => h.GetProperty("sources") is var s && s.GetArrayLength() > 0 && s[0].GetProperty("mints").GetInt64() >= seen);
            var started = TimeProvider.System.GetTimestamp();
            while (TimeProvider.System.GetElapsedTime(started) < TimeSpan.FromMinutes(minutes))
            {
                var health = await server.Get("/health");
                var metrics = await server.Http.GetStringAsync(new Uri("/metrics", UriKind.Relative));
                Console.WriteLine($"{TimeProvider.System.GetElapsedTime(started).TotalSeconds,4:N0} s after all {seen:N0} mints were seen: {Metric(metrics, "kline_grains_active"):N0} grains, {health.GetProperty("memory_usage").GetInt64() / 1_000_000:N0} MB, of which {Metric(metrics, "dotnet_gc_last_collection_heap_size_bytes") / 1_000_000:N0} MB objects and {Metric(metrics, "dotnet_gc_last_collection_memory_committed_size_bytes") / 1_000_000:N0} MB of the collector's when last collected, {health.GetProperty("sources")[0].GetProperty("trades").GetInt64():N0} trades, {health.GetProperty("sources")[0].GetProperty("duplicates").GetInt64():N0} of them again");
                await Task.Delay(TimeSpan.FromSeconds(20), TimeProvider.System);
            }

            await server.Kill();
        }

        var begun = TimeProvider.System.GetTimestamp();
        await using var again = await ServerProcess.Start(Settings(path, folder));
        var ready = await again.Get("/health");
        Console.WriteLine($"started again on a store of {new FileInfo(folder["kline.db"]).Length / 1_000_000:N0} MB: answers after {TimeProvider.System.GetElapsedTime(begun).TotalSeconds:N1} s with {ready.GetProperty("memory_usage").GetInt64() / 1_000_000:N0} MB");
    }

    private static double Metric(string metrics, string name) =>
        metrics.Split('\n').Where(line => line.StartsWith(name, StringComparison.Ordinal)).Sum(line => double.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture));

    private static string[] Settings(string path, TemporaryFolder folder) =>
    [
        "--Kline:Sources:0:Kind", "Replay",
        "--Kline:Sources:0:Format", "BinanceFrames",
        "--Kline:Sources:0:Path", path,
        "--Kline:Sources:0:Speed", "1",
        "--Kline:Sources:0:Empty", "None",
        "--Kline:IdleAfter", "00:00:30",
        "--Kline:Storage:Path", folder["kline.db"],
    ];

    private static async Task Write(string path, int seen, int active, int minutes)
    {
        var random = new Random(1);
        var time = new DateTimeOffset(2026, 1, 5, 0, 0, 0, TimeSpan.Zero).ToUnixTimeMilliseconds();
        var ids = new long[seen];
        await using var file = new StreamWriter(path, append: false, Encoding.ASCII, 1 << 20);
        for (var i = 0; i < 2 * seen; i++)
            await Line(i % seen, time + i * 60_000L / (2 * seen));
        for (var i = 0; i < (minutes + 5) * 60 * 200; i++)
            await Line(random.Next(active), time + 60_000 + i * 5L);

        Task Line(int mint, long at) => file.WriteLineAsync(string.Create(
            CultureInfo.InvariantCulture,
            $"{{\"e\":\"aggTrade\",\"E\":{at},\"s\":\"SYM{mint}USDT\",\"a\":{++ids[mint]},\"p\":\"{random.Next(1_000, 9_999) / 1_000m}\",\"q\":\"{random.Next(1, 10_000) / 100m}\",\"f\":{ids[mint]},\"l\":{ids[mint]},\"T\":{at},\"m\":true}}"));
    }
}
