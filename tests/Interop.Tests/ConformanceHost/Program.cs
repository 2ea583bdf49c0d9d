using System.Globalization;
using KlineOrleans.Interop.ConformanceHost;

// Arguments: the port, 3000 if none is given, as the suites have it; and seconds from ping to ping for a calmer server than the suites expect.
var port = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 3000;
TimeSpan? calm = args.Length > 1 ? TimeSpan.FromSeconds(int.Parse(args[1], CultureInfo.InvariantCulture)) : null;
await using var app = await ConformanceServer.StartAsync(port, calm, calm);
Console.WriteLine($"ready on {app.Urls.First()}");
await app.WaitForShutdownAsync();
