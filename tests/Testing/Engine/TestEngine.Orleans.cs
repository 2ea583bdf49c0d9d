using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Runtime;
using Orleans.Storage;

namespace KlineOrleans.Testing;

public sealed partial class TestEngine
{
    /// <summary>The engine that this build runs grains on.</summary>
    public const string EngineName = "Orleans";

    /// <remarks>Orleans collects grains that are idle at this moment; one that is in a call stays.</remarks>
    public partial Task DeactivateAll() => GrainFactory.GetGrain<IManagementGrain>(0).ForceActivationCollection(TimeSpan.Zero);

    /// <remarks>The nearest that Orleans offers: a stop whose time is over before it begins.</remarks>
    public async partial Task Kill()
    {
        _isStopped = true;
        try
        {
            await _host.StopAsync(new CancellationToken(canceled: true));
        }
        catch (OperationCanceledException)
        {
            // As asked.
        }
    }

    private static async Task<TestEngine> StartCore(Action<IServiceCollection>? configure, TestEngineOptions options)
    {
        var builder = CreateBuilder(configure);
        if (!builder.Services.Any(s => s.ServiceType == typeof(IGrainStorage) && (s.ServiceKey as string) == "PubSubStore"))
        {
            // Where memory streams keep their subscriptions.
            builder.Services.AddKeyedSingleton<IGrainStorage>("PubSubStore", new MemoryGrainStorage());
        }

        builder.UseOrleans(silo =>
        {
            silo.UseLocalhostClustering(FreePort(), FreePort());
            foreach (var name in options.StreamProviders)
            {
                silo.AddMemoryStreams(name);
            }

            silo.Configure<SiloMessagingOptions>(messaging => messaging.ResponseTimeout = options.ResponseTimeout ?? messaging.ResponseTimeout);
            silo.Configure<GrainCollectionOptions>(collection =>
            {
                if (options.CollectionAge is { } age)
                {
                    // Orleans wants the age above the quantum.
                    collection.CollectionAge = age;
                    collection.CollectionQuantum = age / 2 < collection.CollectionQuantum ? age / 2 : collection.CollectionQuantum;
                }
            });
        });
        var host = builder.Build();
        await host.StartAsync();
        return new TestEngine(host);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
