using Microsoft.Extensions.Hosting;
using Orleans.Configuration;
using Orleans.Hosting;

namespace KlineOrleans.Samples;

/// <summary>What both samples share: joining a cluster as a client.</summary>
internal static class ClusterClient
{
    /// <summary>Connects with the cluster whose members stand in a PostgreSQL database.</summary>
    public static async Task<IHost> Connect(string connectionString, string clusterId)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.UseOrleansClient(client =>
        {
            client.Configure<ClusterOptions>(options => options.ClusterId = options.ServiceId = clusterId);
            client.UseAdoNetClustering(options => (options.Invariant, options.ConnectionString) = ("Npgsql", connectionString));

            // As many queues as the silos have (Kline:Cluster:Queues).
            client.AddMemoryStreams(Contracts.KlineStreams.Provider, streams => streams.ConfigurePartitioning(8));
        });
        var host = builder.Build();
        await host.StartAsync();
        return host;
    }
}
