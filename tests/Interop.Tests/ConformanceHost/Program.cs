using System.Globalization;
using KlineOrleans.Interop.ConformanceHost;

// Argument: the port, 3000 if none is given, as the suites have it.
var port = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 3000;
await using var app = await ConformanceServer.StartAsync(port);
Console.WriteLine($"ready on {app.Urls.First()}");
await app.WaitForShutdownAsync();
