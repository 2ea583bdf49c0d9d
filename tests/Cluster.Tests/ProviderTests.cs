using System.Net;
using System.Net.Sockets;
using KlineOrleans.Storage;
using KlineOrleans.Testing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Runtime;
using Orleans.Storage;

namespace KlineOrleans.Cluster.Tests;

/// <summary>The real ADO.NET providers of Orleans against our tables and statements.</summary>
public sealed class ProviderTests
{
    [Fact]
    public async Task Members_join_change_and_leave_and_only_the_newest_version_of_the_table_may_be_changed()
    {
        Needs.OrleansAndPostgres();
        await using var host = await Host.Create();
        var table = host.Services.GetRequiredService<IMembershipTable>();
        await table.InitializeMembershipTable(tryInitTableVersion: true);
        await table.InitializeMembershipTable(tryInitTableVersion: true);
        var empty = await table.ReadAll();
        Assert.Empty(empty.Members);
        Assert.Equal(0, empty.Version.Version);

        var first = Member(1);
        Assert.True(await table.InsertRow(first, empty.Version.Next()));
        Assert.False(await table.InsertRow(Member(2), empty.Version.Next()));
        var one = await table.ReadAll();
        Assert.False(await table.InsertRow(first, one.Version.Next()));
        Assert.Equal(1, (await table.ReadAll()).Version.Version);
        Assert.True(await table.InsertRow(Member(2), one.Version.Next()));

        var two = await table.ReadAll();
        Assert.Equal(2, two.Members.Count);
        Assert.Equal(2, two.Version.Version);
        var read = (await table.ReadRow(first.SiloAddress)).Members.Single().Item1;
        Assert.Equal((first.SiloAddress, first.HostName, first.SiloName, first.ProxyPort, first.Status), (read.SiloAddress, read.HostName, read.SiloName, read.ProxyPort, read.Status));
        Assert.Equal(first.StartTime, read.StartTime);

        read.Status = SiloStatus.Active;
        read.AddSuspector(Member(2).SiloAddress, first.StartTime);
        var entry = two.Members.Single(m => m.Item1.SiloAddress.Equals(first.SiloAddress));
        Assert.False(await table.UpdateRow(read, entry.Item2, one.Version.Next()));
        Assert.True(await table.UpdateRow(read, entry.Item2, two.Version.Next()));
        read.IAmAliveTime = first.StartTime.AddHours(1);
        await table.UpdateIAmAlive(read);
        var changed = (await table.ReadRow(first.SiloAddress)).Members.Single().Item1;
        Assert.Equal(SiloStatus.Active, changed.Status);
        Assert.Equal(read.IAmAliveTime, changed.IAmAliveTime);
        Assert.Equal(Member(2).SiloAddress, Assert.Single(changed.SuspectTimes!).Item1);

        await table.CleanupDefunctSiloEntries(new DateTimeOffset(first.StartTime).AddHours(2));
        Assert.Equal(first.SiloAddress, Assert.Single((await table.ReadAll()).Members).Item1.SiloAddress);
        await table.DeleteMembershipTableEntries(Host.Cluster);
        Assert.Equal(["(0)"], await host.Database.Rows("SELECT count(*) FROM orleans_member"));
    }

    [Fact]
    public async Task State_is_written_over_its_own_version_only_and_is_gone_when_cleared()
    {
        Needs.OrleansAndPostgres();
        await using var host = await Host.Create();
        await host.Start();
        var storage = host.Services.GetRequiredKeyedService<IGrainStorage>("States");
        var grain = GrainId.Create("test", "a key with ä and '");
        var state = new GrainState<StoredText>();
        await storage.ReadStateAsync("s", grain, state);
        Assert.False(state.RecordExists);

        state.State = new StoredText { Text = "one" };
        await storage.WriteStateAsync("s", grain, state);
        state.State!.Text = "two";
        await storage.WriteStateAsync("s", grain, state);
        var other = new GrainState<StoredText>();
        await storage.ReadStateAsync("s", grain, other);
        Assert.Equal(("two", state.ETag), (other.State!.Text, other.ETag));
        Assert.True(other.RecordExists);

        var stranger = new GrainState<StoredText> { State = new StoredText { Text = "a stranger's" } };
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.WriteStateAsync("s", grain, stranger));
        await storage.WriteStateAsync("s", grain, other);
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.WriteStateAsync("s", grain, state));
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.ClearStateAsync("s", grain, state));

        await storage.ClearStateAsync("s", grain, other);
        await storage.ReadStateAsync("s", grain, other);
        Assert.False(other.RecordExists);
        Assert.Equal(["(0)"], await host.Database.Rows("SELECT count(*) FROM orleans_state"));
        other.State = new StoredText { Text = "again" };
        await storage.WriteStateAsync("s", grain, other);

        foreach (var key in new[] { GrainId.Create(GrainType.Create("test"), GrainIdKeyExtensions.CreateIntegerKey(7)), GrainId.Create(GrainType.Create("test"), GrainIdKeyExtensions.CreateIntegerKey(7, "x")), GrainId.Create(GrainType.Create("test"), GrainIdKeyExtensions.CreateGuidKey(Guid.NewGuid())) })
        {
            var written = new GrainState<StoredText> { State = new StoredText { Text = key.ToString() } };
            await storage.WriteStateAsync("s", key, written);
            var back = new GrainState<StoredText>();
            await storage.ReadStateAsync("s", key, back);
            Assert.Equal(key.ToString(), back.State!.Text);
        }
    }

    private static MembershipEntry Member(int number) => new()
    {
        SiloAddress = SiloAddress.New(IPAddress.Loopback, 10_000 + number, 100 + number),
        HostName = "host",
        SiloName = $"silo {number}",
        Status = SiloStatus.Joining,
        ProxyPort = 20_000 + number,
        StartTime = new DateTime(2026, 1, 5, 0, 0, 0, DateTimeKind.Utc),
        IAmAliveTime = new DateTime(2026, 1, 5, 0, 0, 0, DateTimeKind.Utc),
    };

    [GenerateSerializer, Alias("KlineOrleans.Tests.StoredText")]
    public sealed class StoredText
    {
        [Id(0)]
        public string Text { get; set; } = "";
    }

    private sealed class Host(IHost host, PostgresDatabase database) : IAsyncDisposable
    {
        public const string Cluster = "test cluster";

        private bool _started;

        public PostgresDatabase Database => database;

        public IServiceProvider Services => host.Services;

        public static async Task<Host> Create()
        {
            var database = await PostgresDatabase.Create();
            await ClusterSchema.Apply(database.ConnectionString);
            var builder = Microsoft.Extensions.Hosting.Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
            builder.UseOrleans(silo =>
            {
                silo.Configure<ClusterOptions>(options => options.ClusterId = options.ServiceId = Cluster);
                silo.ConfigureEndpoints(IPAddress.Loopback, FreePort(), FreePort());
                silo.UseAdoNetClustering(options => (options.Invariant, options.ConnectionString) = ("Npgsql", database.ConnectionString));
                silo.AddAdoNetGrainStorage("States", options => (options.Invariant, options.ConnectionString, options.DeleteStateOnClear) = ("Npgsql", database.ConnectionString, true));
            });
            return new Host(builder.Build(), database);
        }

        public async Task Start()
        {
            await host.StartAsync();
            _started = true;
        }

        public async ValueTask DisposeAsync()
        {
            if (_started)
            {
                await host.StopAsync();
            }

            host.Dispose();
            await database.DisposeAsync();
        }

        private static int FreePort()
        {
            using var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            return ((IPEndPoint)listener.LocalEndpoint).Port;
        }
    }
}
