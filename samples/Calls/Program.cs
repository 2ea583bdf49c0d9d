// Calls the grain of a mint: what are its klines now?
// Usage: KlineOrleans.Samples.Calls CONNECTION-STRING SYMBOL [CLUSTER-ID]
#if GRAIN_ENGINE_ORLEANS
using KlineOrleans.Contracts;
using KlineOrleans.Samples;
using Microsoft.Extensions.DependencyInjection;
using Orleans;

if (args.Length < 2)
{
    await Console.Error.WriteLineAsync("Usage: KlineOrleans.Samples.Calls CONNECTION-STRING SYMBOL [CLUSTER-ID]");
    return 2;
}

using var host = await ClusterClient.Connect(args[0], args.ElementAtOrDefault(2) ?? "kline");
var snapshot = await host.Services.GetRequiredService<IClusterClient>().GetGrain<IKlineGrain>(args[1]).GetSnapshot();
Console.WriteLine($"{snapshot.Symbol} of source '{snapshot.Source}' at {snapshot.Epoch}/{snapshot.Seq}, clock {snapshot.Clock:u}");
foreach (var kline in snapshot.Klines)
{
    Console.WriteLine($"{kline.Interval.Name(),-4}{kline.OpenTime:u} open {kline.Open} high {kline.High} low {kline.Low} close {kline.Close} volume {kline.BaseVolume}{(kline.IsFinal ? " final" : "")}");
}

await host.StopAsync();
return 0;
#else
await Console.Error.WriteLineAsync("This build runs grains in one process: nobody else can call them. Build with the packages of Microsoft Orleans.");
return 3;
#endif
