using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using KlineOrleans.Testing;

namespace KlineOrleans.Benchmarks.Micro;

/// <summary>Trades a second of a full-speed replay through the whole server, persistence on: file, decoder, pump, grains, stream, SQLite.</summary>
internal static class ReplayThroughput
{
    public static async Task Run(string[] args)
    {
        var mints = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 1_000;
        var trades = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 1_000_000;
        using var folder = new TemporaryFolder();
        var path = folder["trades.ndjson"];
        await Write(path, mints, trades);
        Console.WriteLine($"{trades:N0} trades of {mints:N0} symbols over an hour, {new FileInfo(path).Length / 1_000_000:N0} MB");
        for (var round = 1; round <= 3; round++)
        {
            await using var server = await ServerProcess.Start(
                "--Kline:Sources:0:Kind", "Replay",
                "--Kline:Sources:0:Format", "BinanceFrames",
                "--Kline:Sources:0:Path", path,
                "--Kline:Sources:0:Speed", "0",
                "--Kline:Sources:0:Empty", "None",
                "--Kline:Storage:Path", folder[$"{round}.db"]);
            var started = Stopwatch.GetTimestamp();
            var end = await Wait(server);
            var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
            var counted = end.GetProperty("sources")[0].GetProperty("trades").GetInt64();
            Console.WriteLine($"round {round}: {counted:N0} trades in {seconds:N1} s from the first answer to everything saved: {counted / seconds:N0} trades/s; store {new FileInfo(folder[$"{round}.db"]).Length / 1_000_000:N0} MB, memory {end.GetProperty("memory_usage").GetInt64() / 1_000_000:N0} MB");
        }
    }

    private static async Task<JsonElement> Wait(ServerProcess server)
    {
        while (true)
        {
            var health = await server.Get("/health");
            var source = health.GetProperty("sources")[0];
            if (source.GetProperty("state").GetString() == "ended")
            {
                return health;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System);
        }
    }

    private static async Task Write(string path, int mints, int trades)
    {
        var random = new Random(1);
        var start = new DateTimeOffset(2026, 1, 5, 0, 0, 0, TimeSpan.Zero).ToUnixTimeMilliseconds();
        var prices = Enumerable.Range(0, mints).Select(_ => random.Next(1_000, 100_000)).ToArray();
        var ids = new long[mints];
        await using var file = new StreamWriter(path, append: false, Encoding.ASCII, 1 << 20);
        for (var i = 0; i < trades; i++)
        {
            var mint = random.Next(mints);
            var time = start + (long)(i * 3_600_000.0 / trades);
            var id = ++ids[mint];
            prices[mint] = Math.Max(100, prices[mint] + random.Next(-9, 10));
            await file.WriteLineAsync(string.Create(
                CultureInfo.InvariantCulture,
                $"{{\"e\":\"aggTrade\",\"E\":{time},\"s\":\"SYM{mint}USDT\",\"a\":{id},\"p\":\"{prices[mint] / 1_000m}\",\"q\":\"{random.Next(1, 10_000) / 100m}\",\"f\":{id},\"l\":{id},\"T\":{time},\"m\":{(i % 2 == 0 ? "true" : "false")}}}"));
        }
    }
}
