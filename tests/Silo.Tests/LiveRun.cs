using System.Globalization;
using KlineOrleans.Contracts;
using KlineOrleans.Storage;
using KlineOrleans.Testing;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace KlineOrleans.Silo.Tests;

/// <summary>One server that follows a live source, killed and started again on the same store when asked; and what its archive holds in the end.</summary>
internal sealed class LiveRun(string store, Func<string[]> source) : IAsyncDisposable
{
    /// <summary>No run waits so long unless it fails.</summary>
    private static readonly TimeSpan Safety = TimeSpan.FromMinutes(5);

    private readonly List<string> _outputs = [];
    private ServerProcess? _server;

    /// <summary>How many seeds a run is repeated with, from <see cref="FirstSeed"/> on: KLINE_LIVE_SEEDS, 1.</summary>
    public static int Seeds => Number("KLINE_LIVE_SEEDS", 1);

    public static int FirstSeed => Number("KLINE_SEED", 1);

    /// <summary>How often each run is killed: KLINE_LIVE_KILLS, 2.</summary>
    public static int Kills => Number("KLINE_LIVE_KILLS", 2);

    /// <summary>How many transactions or trades each run has: KLINE_LIVE_TRADES, 1,500.</summary>
    public static int Trades => Number("KLINE_LIVE_TRADES", 1_500);

    public ServerProcess Server => _server ?? throw new InvalidOperationException("The server does not run.");

    /// <summary>What every life of the server has written, and that it runs.</summary>
    public string Output => string.Join("\n---- killed ----\n", _outputs.Append(_server?.Output ?? ""));

    public async Task Start() => _server = await ServerProcess.Start([.. source(), "--Kline:Storage:Path", store]);

    /// <summary>As a crash: no handler of the server runs.</summary>
    public async Task KillAndStart()
    {
        await Server.Kill();
        _outputs.Add(Server.Output);
        await Server.DisposeAsync();
        await Start();
    }

    /// <summary>Asks again and again until the answer is yes.</summary>
    public async Task Until(Func<Task<bool>> isDone, Func<Task<string>> what)
    {
        using var patience = new CancellationTokenSource(Safety, TimeProvider.System);
        while (!await isDone())
        {
            if (patience.IsCancellationRequested)
            {
                Assert.Fail($"Not within {Safety}: {await what()}\n{await Health()}\n{Output}");
            }

            await Task.Delay(TimeSpan.FromMilliseconds(200), TimeProvider.System, TestContext.Current.CancellationToken);
        }
    }

    public async Task<string> Health() => (await Server.Get("/health")).ToString();

    /// <summary>How many trades the newest week of a symbol counts; asking makes the grain look at the clock.</summary>
    public async Task<long> CountTrades(string symbol)
    {
        var answer = await Server.Get($"/api/v1/klines/{symbol}/w1?limit=10");
        return answer.TryGetProperty("klines", out var klines) ? klines.EnumerateArray().Sum(k => k.GetProperty("trades").GetInt64()) : 0;
    }

    /// <summary>Stops the server and reads every kline of the symbols from its store.</summary>
    public async Task<Dictionary<string, IReadOnlyList<Kline>>> StopAndRead(IEnumerable<string> symbols)
    {
        Assert.Equal(0, await Server.Terminate());
        _outputs.Add(Server.Output);
        await Server.DisposeAsync();
        _server = null;
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Configuration.AddInMemoryCollection([new("Kline:Storage:Path", store)]);
        builder.Services.AddKlineStorage(builder.Configuration);
        using var host = builder.Build();
        await host.StartAsync(TestContext.Current.CancellationToken);
        var archive = host.Services.GetRequiredService<IKlineArchive>();
        var result = new Dictionary<string, IReadOnlyList<Kline>>(StringComparer.Ordinal);
        foreach (var symbol in symbols)
        {
            result[symbol] = await archive.ReadEndingAfter(symbol, DateTimeOffset.MinValue, TestContext.Current.CancellationToken);
        }

        await host.StopAsync(CancellationToken.None);
        return result;
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }
    }

    private static int Number(string variable, int fallback) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : fallback;
}
