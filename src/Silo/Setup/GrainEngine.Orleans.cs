#if GRAIN_ENGINE_ORLEANS
using System.Net;
using System.Net.Sockets;
using KlineOrleans.Contracts;
using KlineOrleans.Storage;
using Orleans.Configuration;
using Orleans.Dashboard;
using Orleans.Storage;

namespace KlineOrleans.Silo.Setup;

/// <summary>Hosts grains on Microsoft Orleans, or joins those who do: in one process, or in many that find one another in a PostgreSQL database.</summary>
internal static class GrainEngine
{
    public const string Name = "Orleans";

    /// <summary>Whether several processes can be one cluster.</summary>
    public const bool CanShare = true;

    // How Orleans names the ADO.NET provider of PostgreSQL.
    private const string Invariant = "Npgsql";

    private const string SubscriptionStore = "PubSubStore";

    private static readonly TimeSpan RetryConnect = TimeSpan.FromSeconds(1);

    public static void Add(WebApplicationBuilder builder, ClusterSettings cluster)
    {
        if (cluster.Role == Role.Web)
        {
            builder.Host.UseOrleansClient(client => ConfigureClient(client, cluster));
        }
        else
        {
            // Orleans asks for the default storage without a name.
            builder.Services.AddSingleton(services => services.GetRequiredKeyedService<IGrainStorage>(StorageServices.GrainStorageName));
            var idleAfter = IdleGrains.Read(builder.Configuration);
            builder.Host.UseOrleans(silo =>
            {
                ConfigureSilo(silo, cluster);
                silo.Configure<GrainCollectionOptions>(collection => (collection.CollectionAge, collection.CollectionQuantum) = (idleAfter, IdleGrains.Quantum(idleAfter)));
            });
        }
    }

    /// <summary>The page of the cluster for operators; who may see it is decided as for every page of theirs.</summary>
    public static void Map(WebApplication app, ClusterSettings cluster)
    {
        if (cluster.Role != Role.Web)
        {
            app.MapOrleansDashboard("/dashboard");
        }
    }

    private static void ConfigureSilo(ISiloBuilder silo, ClusterSettings cluster)
    {
        silo.Configure<ClusterOptions>(options => options.ClusterId = options.ServiceId = cluster.ClusterId);
        if (cluster.IsShared)
        {
            silo.UseAdoNetClustering(options =>
            {
                options.Invariant = Invariant;
                options.ConnectionString = cluster.ConnectionString;
            });
            var siloPort = cluster.SiloPort ?? EndpointOptions.DEFAULT_SILO_PORT;
            var gatewayPort = cluster.GatewayPort ?? EndpointOptions.DEFAULT_GATEWAY_PORT;
            if (cluster.AdvertisedAddress is { } address)
            {
                silo.ConfigureEndpoints(address, siloPort, gatewayPort, listenOnAnyHostAddress: !IPAddress.IsLoopback(address));
            }
            else
            {
                silo.ConfigureEndpoints(siloPort, gatewayPort, listenOnAnyHostAddress: true);
            }

            silo.Configure<SiloMessagingOptions>(messaging => messaging.ResponseTimeout = cluster.CallTimeout);

            // Mints everywhere alike: the default would keep them where they are first called from, which is the silo that reads their source.
            silo.Services.AddSingleton<PlacementStrategy, RandomPlacement>();

            // Subscriptions outlive the silo that keeps them.
            silo.AddAdoNetGrainStorage(SubscriptionStore, options =>
            {
                options.Invariant = Invariant;
                options.ConnectionString = cluster.ConnectionString;
                options.DeleteStateOnClear = true;
            });
        }
        else
        {
            silo.UseLocalhostClustering(cluster.SiloPort ?? FreePort(), cluster.GatewayPort ?? FreePort(), serviceId: cluster.ClusterId, clusterId: cluster.ClusterId);
            silo.AddMemoryGrainStorage(SubscriptionStore);
        }

        silo.AddMemoryStreams(KlineStreams.Provider, streams =>
        {
            streams.ConfigurePartitioning(cluster.Queues);
            streams.ConfigurePullingAgent(agent => agent.Configure(pulling => pulling.GetQueueMsgsTimerPeriod = cluster.PollEvery));
        });
        silo.Configure<ClusterMembershipOptions>(membership =>
        {
            // A silo that was killed is out within seconds, so that its source moves within 15 s. Two must say so, unless there are only two.
            membership.ProbeTimeout = cluster.ProbeTimeout;
            membership.NumMissedProbesLimit = 3;
            membership.TableRefreshTimeout = TimeSpan.FromSeconds(10);
            membership.IAmAliveTablePublishTimeout = TimeSpan.FromSeconds(10);
            membership.DefunctSiloExpiration = TimeSpan.FromHours(1);
        });
        silo.AddActivityPropagation();
        silo.AddDashboard();
    }

    private static void ConfigureClient(IClientBuilder client, ClusterSettings cluster)
    {
        client.Configure<ClusterOptions>(options => options.ClusterId = options.ServiceId = cluster.ClusterId);
        client.UseAdoNetClustering(options =>
        {
            options.Invariant = Invariant;
            options.ConnectionString = cluster.ConnectionString;
        });
        client.Configure<ClientMessagingOptions>(messaging => messaging.ResponseTimeout = cluster.CallTimeout);
        client.Configure<GatewayOptions>(gateways => gateways.GatewayListRefreshPeriod = TimeSpan.FromSeconds(2));
        client.AddMemoryStreams(KlineStreams.Provider, streams => streams.ConfigurePartitioning(cluster.Queues));
        client.UseConnectionRetryFilter(async (_, cancellationToken) =>
        {
            // Silos may start later than this process.
            await Task.Delay(RetryConnect, TimeProvider.System, cancellationToken);
            return true;
        });
        client.AddActivityPropagation();
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
#endif
