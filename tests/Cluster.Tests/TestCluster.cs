using System.Net;
using System.Net.Sockets;
using KlineOrleans.Contracts;
using KlineOrleans.Storage.Postgres;
using KlineOrleans.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace KlineOrleans.Cluster.Tests;

/// <summary>Silo and web processes of the real server on one PostgreSQL, replaying one recording. All are killed when it is disposed.</summary>
internal sealed class TestCluster : IAsyncDisposable
{
    public const int Silos = 3;
    public const int Fronts = 2;

    private readonly ServerProcess?[] _silos = new ServerProcess?[Silos];
    private readonly ServerProcess?[] _fronts = new ServerProcess?[Fronts];
    private readonly TaskCompletionSource[] _up = [.. Enumerable.Range(0, Fronts).Select(_ => NewSignal())];
    private readonly int[] _ports = [.. Enumerable.Range(0, (2 * Silos) + Fronts).Select(_ => FreePort())];
    private readonly string[] _settings;
    private readonly Lock _lock = new();
    private TaskCompletionSource _nextRead = NewSignal();

    private TestCluster(PostgresDatabase database, string[] settings)
    {
        Database = database;
        _settings = settings;
    }

    /// <summary>The silo that last began to read the source.</summary>
    public int Owner { get; private set; } = -1;

    /// <summary>How often silos have begun to read the source.</summary>
    public int Reads { get; private set; }

    public PostgresDatabase Database { get; }

    public ServerProcess Silo(int number) => _silos[number]!;

    public ServerProcess Front(int number) => _fronts[number]!;

    public Uri FrontAddress(int number) => new($"http://127.0.0.1:{_ports[(2 * Silos) + number]}");

    /// <summary>Complete while the front serves.</summary>
    public Task FrontIsUp(int number) => Volatile.Read(ref _up[number]).Task;

    public static Task<TestCluster> Start(params string[] source) => Start([], source);

    /// <param name="symbols">Symbols that the index knows before anything is traded, so that clients can follow them.</param>
    /// <param name="source">Settings of the source.</param>
    public static async Task<TestCluster> Start(IReadOnlyList<string> symbols, string[] source)
    {
        var database = await PostgresDatabase.Create();
        await using (var store = new PostgresStore(database.ConnectionString, shared: true, TimeProvider.System, NullLogger<PostgresStore>.Instance))
        {
            var archive = new PostgresKlineArchive(store);
            await Task.WhenAll(symbols.Select(s => archive.PutSymbol(new SymbolInfo(s, s, "trades", MadeUpTrades.Start), CancellationToken.None)));
        }

        var cluster = new TestCluster(database, [.. Store(database), "--Kline:Cluster:AdvertisedAddress", "127.0.0.1", .. source]);
        try
        {
            await Task.WhenAll(Enumerable.Range(0, Silos).Select(cluster.StartSilo).Concat(Enumerable.Range(0, Fronts).Select(cluster.StartFront)));
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Settings of a store in <paramref name="database"/>.</summary>
    public static string[] Store(PostgresDatabase database) =>
        ["--Kline:Storage:Provider", "Postgres", "--Kline:Storage:ConnectionString", new NpgsqlConnectionStringBuilder(database.ConnectionString) { MaxPoolSize = 15 }.ConnectionString];

    /// <summary>Settings of one process that is a cluster of its own, which others may join as clients.</summary>
    public static string[] AloneOn(PostgresDatabase database) =>
        [.. Store(database), "--Kline:Cluster:Provider", "Postgres", "--Kline:Cluster:AdvertisedAddress", "127.0.0.1", "--Kline:Cluster:SiloPort", Text(FreePort()), "--Kline:Cluster:GatewayPort", Text(FreePort())];

    public async Task StartSilo(int number)
    {
        var silo = await ServerProcess.Start([.. _settings, "--Kline:Role", "Silo", "--Kline:Cluster:SiloPort", Text(_ports[2 * number]), "--Kline:Cluster:GatewayPort", Text(_ports[(2 * number) + 1])]);
        _silos[number] = silo;
        _ = Watch(number, silo);
    }

    public async Task StartFront(int number)
    {
        _fronts[number] = await ServerProcess.Start([.. _settings, "--Kline:Role", "Web", "--urls", FrontAddress(number).ToString()]);
        _up[number].TrySetResult();
    }

    public Task KillSilo(int number) => _silos[number]!.Kill();

    public Task<int> StopSilo(int number) => _silos[number]!.Terminate();

    public Task<int> StopFront(int number)
    {
        Volatile.Write(ref _up[number], NewSignal());
        return _fronts[number]!.Terminate();
    }

    /// <summary>Completes once the source was begun to be read more than <paramref name="reads"/> times, by whichever silo.</summary>
    public async Task SourceReadAfter(int reads)
    {
        while (true)
        {
            Task next;
            lock (_lock)
            {
                if (Reads > reads)
                {
                    return;
                }

                next = _nextRead.Task;
            }

            await next;
        }
    }

    // The source may move though its silo lives: a silo that goes takes a part of the directory of grains with it.
    private async Task Watch(int number, ServerProcess silo)
    {
        for (var times = 1; ; times++)
        {
            await silo.Says("Source trades starts from", times);
            lock (_lock)
            {
                Owner = number;
                Reads++;
                _nextRead.SetResult();
                _nextRead = NewSignal();
            }
        }
    }

    /// <summary>The end of what every process said, for whoever looks for the cause of a failure.</summary>
    public string LastWords() => string.Join("\n\n", _silos.Concat(_fronts).Select((process, i) => $"== process {i}\n{process?.Output[^Math.Min(process.Output.Length, 20_000)..]}"));

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _silos.Concat(_fronts).OfType<ServerProcess>())
        {
            await process.DisposeAsync();
        }

        await Database.DisposeAsync();
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static string Text(int port) => port.ToString(System.Globalization.CultureInfo.InvariantCulture);

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
