// Follows the stream `kline` of a mint: every change of its klines, and whether one was lost on the way.
// Usage: KlineOrleans.Samples.Follows CONNECTION-STRING SYMBOL [UPDATES [CLUSTER-ID]]
#if GRAIN_ENGINE_ORLEANS
using System.Globalization;
using System.Threading.Channels;
using KlineOrleans.Contracts;
using KlineOrleans.Samples;
using Microsoft.Extensions.DependencyInjection;
using Orleans;
using Orleans.Streams;

if (args.Length < 2)
{
    await Console.Error.WriteLineAsync("Usage: KlineOrleans.Samples.Follows CONNECTION-STRING SYMBOL [UPDATES [CLUSTER-ID]]");
    return 2;
}

var wanted = args.Length > 2 ? int.Parse(args[2], CultureInfo.InvariantCulture) : int.MaxValue;
using var host = await ClusterClient.Connect(args[0], args.ElementAtOrDefault(3) ?? "kline");
var client = host.Services.GetRequiredService<IClusterClient>();

// The handler must not wait: a client is given the items of all its subscriptions one after the other.
var updates = Channel.CreateUnbounded<KlineUpdate>();
var subscription = await client.GetStreamProvider(KlineStreams.Provider).GetStream<KlineUpdate>(KlineStreams.ForSymbol(args[1]))
    .SubscribeAsync((update, _) => updates.Writer.WriteAsync(update).AsTask());

(long Epoch, long Seq) last = default;
await foreach (var update in updates.Reader.ReadAllAsync())
{
    if (last.Epoch == update.Epoch && update.Seq <= last.Seq)
    {
        continue;
    }

    if (last != default && (last.Epoch != update.Epoch || update.Seq != last.Seq + 1))
    {
        // Streams may lose: the grain has what was lost.
        var snapshot = await client.GetGrain<IKlineGrain>(args[1]).GetSnapshot();
        Console.WriteLine($"after {last.Epoch}/{last.Seq} comes {update.Epoch}/{update.Seq}: a snapshot of {snapshot.Klines.Length} klines at {snapshot.Epoch}/{snapshot.Seq}");
    }

    last = (update.Epoch, update.Seq);
    Console.WriteLine($"{update.Symbol} {update.Epoch}/{update.Seq}: {string.Join(", ", update.Klines.Select(k => $"{k.Interval.Name()} {k.Close}{(k.IsFinal ? " final" : "")}"))}");
    if (--wanted == 0)
    {
        break;
    }
}

await subscription.UnsubscribeAsync();
await host.StopAsync();
return 0;
#else
await Console.Error.WriteLineAsync("This build runs grains in one process: nobody else can follow their streams. Build with the packages of Microsoft Orleans.");
return 3;
#endif
