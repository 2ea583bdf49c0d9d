using KlineOrleans.Testing.Binance;
using Microsoft.Extensions.Configuration;

// A made-up Binance on loopback that trades until it is told to stop, with faults on demand:
//   --Address http://127.0.0.1:9443 --Symbols 20 --Rate 50 --Seed 1 --Lose 0.05 --Duplicate 0.05 --Drop 0.001 --Refuse 0.1 --Reorder 0 --Fragment 0 --Garble 0 --Break 0
var configuration = new ConfigurationBuilder().AddCommandLine(args).Build();
var seed = configuration.GetValue("Seed", 1);
var symbols = Enumerable.Range(0, configuration.GetValue("Symbols", 20)).Select(i => $"S{i:000}USDT").ToList();
var rate = configuration.GetValue("Rate", 50.0);
await using var venue = await FakeBinanceVenue.Start(TimeProvider.System, seed, configuration.GetValue("Address", "http://127.0.0.1:0")!);
configuration.Bind(venue.Faults);
var market = new VenueMarket(seed, symbols);
symbols.ForEach(s => venue.List(s));

// An hour of past, so that there is history to fetch.
venue.Remember(Enumerable.Range(0, 3_600).Select(i => market.Next(venue.Now - 3_600_000 + (i * 1_000))));
Console.WriteLine($"Venue: --Kline:Sources:0:Kind Binance --Kline:Sources:0:StreamAddress {venue.StreamAddress.AbsoluteUri} --Kline:Sources:0:RestAddress {venue.RestAddress.AbsoluteUri}");

using var stop = new CancellationTokenSource();
Console.CancelKeyPress += (_, e) =>
{
    e.Cancel = true;
    stop.Cancel();
};
using var term = System.Runtime.InteropServices.PosixSignalRegistration.Create(System.Runtime.InteropServices.PosixSignal.SIGTERM, c =>
{
    c.Cancel = true;
    stop.Cancel();
});
using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20), TimeProvider.System);
var (owed, ticks) = (0.0, 0);
try
{
    while (await timer.WaitForNextTickAsync(stop.Token))
    {
        for (owed += rate * 0.02; owed >= 1; owed--)
        {
            venue.Publish(market.Next(venue.Now));
        }

        if (++ticks % 50 == 0)
        {
            venue.PublishTickers(symbols);
        }
    }
}
catch (OperationCanceledException)
{
    Console.WriteLine($"Stopped: {venue.Opened} connections, {venue.Violations} violations.");
}
