using System.Globalization;
using System.Runtime.InteropServices;
using KlineOrleans.Testing.Solana;
using Microsoft.Extensions.Configuration;

// A made-up Solana node on loopback: see the text below.
const string Usage = """
    dotnet run --project tests/Testing.Node -- [--port 8899] [--seed 1] [--mints 200] [--transactions 200000] [--rate 50] [--slot-ms 400] [--chaos true]

    Serves a made-up chain of Spin Pet and pump.fun trades over JSON-RPC, HTTP and WebSocket on one port, --rate transactions a second,
    a slot every --slot-ms. After --transactions of them slots stay empty. --chaos true loses, doubles, cuts, delays and reorders
    notifications, drops connections and refuses requests. Keys while it runs, each followed by Enter:
    s  fall silent, or speak again      d  go down, or come back      x  drop every connection

    The server against it:
    ./run --Kline:Sources:0:Kind Solana --Kline:Sources:0:Endpoints:0:Http http://127.0.0.1:8899 --Kline:Sources:0:Endpoints:0:WebSocket ws://127.0.0.1:8899
    """;

var options = new ConfigurationBuilder().AddCommandLine(args).Build();
if (args is ["--help" or "-h"])
{
    Console.WriteLine(Usage);
    return 0;
}

if (!TryNumber("port", 8899, 0, 65_535, out var port) || !TryNumber("seed", 1, int.MinValue, int.MaxValue, out var seed) || !TryNumber("mints", 200, 1, 10_000, out var mints)
    || !TryNumber("transactions", 200_000, 1, 5_000_000, out var transactions) || !TryNumber("rate", 50, 1, 100_000, out var rate)
    || !TryNumber("slot-ms", 400, 1, 10_000, out var slotMilliseconds))
{
    return 1;
}

var isChaotic = string.Equals(options["chaos"], "true", StringComparison.OrdinalIgnoreCase);
var time = TimeProvider.System;
Console.WriteLine($"Making up {transactions} transactions on {mints} mints (seed {seed})...");
var chain = new ChainGenerator(seed)
{
    Mints = mints,
    FirstBlockTime = time.GetUtcNow().ToUnixTimeSeconds(),
    TransactionsPerSlot = Math.Max(1, (int)Math.Round(rate * slotMilliseconds / 1000.0)),
}.Generate(transactions);
await using var node = await FakeSolanaNode.Start(chain, isChaotic ? FakeNodeChaos.Everything(seed) : null, time, port);
using var stop = new CancellationTokenSource();
using var interrupted = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using var terminated = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
Console.WriteLine($"A made-up Solana node at {node.Http} and {node.WebSocket}{(isChaotic ? ", doing everything wrong" : "")}. Ctrl+C ends it; --help says what it can do.");
_ = Task.Run(() => Control(node));
try
{
    await node.PlayForEver(TimeSpan.FromMilliseconds(slotMilliseconds), stop.Token);
}
catch (OperationCanceledException)
{
    Console.WriteLine($"Ended at slot {node.Head}.");
}

return 0;

void Stop(PosixSignalContext context)
{
    context.Cancel = true;
    stop.Cancel();
}

bool TryNumber(string name, int fallback, int min, int max, out int value)
{
    value = fallback;
    if (options[name] is not { } text || (int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value) && value >= min && value <= max))
    {
        return true;
    }

    Console.Error.WriteLine($"--{name}: '{text}' is not allowed. Allowed: a whole number from {min} to {max}.");
    return false;
}

static void Control(FakeSolanaNode node)
{
    while (Console.ReadLine() is { } line)
    {
        switch (line.Trim())
        {
            case "s":
                node.IsSilent = !node.IsSilent;
                Console.WriteLine(node.IsSilent ? "silent" : "speaks");
                break;
            case "d" when node.IsDown:
                node.ComeBack();
                Console.WriteLine("back");
                break;
            case "d":
                node.GoDown();
                Console.WriteLine("down");
                break;
            case "x":
                node.DropConnections(isClean: false);
                Console.WriteLine("dropped");
                break;
        }
    }
}
