using System.Net;
using System.Net.Sockets;
using KlineOrleans.Testing;
using Npgsql;

namespace KlineOrleans.Cluster.Tests;

/// <summary>Silo and web processes of the real server on one PostgreSQL, replaying one recording. All are killed when it is disposed.</summary>
internal sealed class TestCluster : IAsyncDisposable
{
    public const int Silos = 3;
    public const int Fronts = 2;

    private readonly ServerProcess?[] _silos = new ServerProcess?[Silos];
    private readonly ServerProcess?[] _fronts = new ServerProcess?[Fronts];
    private readonly int[] _ports = [.. Enumerable.Range(0, (2 * Silos) + Fronts).Select(_ => FreePort())];
    private readonly string[] _settings;

    private TestCluster(PostgresDatabase database, string[] settings)
    {
        Database = database;
        _settings = settings;
    }

    public PostgresDatabase Database { get; }

    public ServerProcess Front(int number) => _fronts[number]!;

    public Uri FrontAddress(int number) => new($"http://127.0.0.1:{_ports[(2 * Silos) + number]}");

    /// <summary>What silo <paramref name="number"/> has said since it was last started.</summary>
    public string Output(int number) => _silos[number]!.Output;

    public static async Task<TestCluster> Start(params string[] source)
    {
        var database = await PostgresDatabase.Create();
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

    public async Task StartSilo(int number) =>
        _silos[number] = await ServerProcess.Start([.. _settings, "--Kline:Role", "Silo", "--Kline:Cluster:SiloPort", Text(_ports[2 * number]), "--Kline:Cluster:GatewayPort", Text(_ports[(2 * number) + 1])]);

    public async Task StartFront(int number) =>
        _fronts[number] = await ServerProcess.Start([.. _settings, "--Kline:Role", "Web", "--urls", FrontAddress(number).ToString()]);

    public Task KillSilo(int number) => _silos[number]!.Kill();

    public Task<int> StopSilo(int number) => _silos[number]!.Terminate();

    public Task<int> StopFront(int number) => _fronts[number]!.Terminate();

    /// <summary>How often silo <paramref name="number"/>, since it was last started, has begun to read the source.</summary>
    public int SourceStarts(int number) => _silos[number] is { } silo ? silo.Output.Split("Source trades starts from").Length - 1 : 0;

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _silos.Concat(_fronts).OfType<ServerProcess>())
        {
            await process.DisposeAsync();
        }

        await Database.DisposeAsync();
    }

    private static string Text(int port) => port.ToString(System.Globalization.CultureInfo.InvariantCulture);

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
