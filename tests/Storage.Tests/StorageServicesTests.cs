using KlineOrleans.Contracts;
using KlineOrleans.Storage.Sqlite;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;

namespace KlineOrleans.Storage.Tests;

/// <summary>The room as a host composes it.</summary>
public sealed class StorageServicesTests : IAsyncDisposable
{
    private readonly SqliteFile _file = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => _file.DisposeAsync();

    [Fact]
    public void Empty_configuration_is_the_default_file()
    {
        var options = Compose().GetRequiredService<IOptions<StorageOptions>>().Value;
        Assert.Equal("Sqlite", options.Provider);
        Assert.Equal("data/kline.db", options.Path);
    }

    [Theory]
    [InlineData("Provider", "Postgres", "Kline:Storage:ConnectionString: is missing, and the store is PostgreSQL. Allowed: a connection string of PostgreSQL, as in Host=127.0.0.1;Database=kline;Username=kline;Password=...")]
    [InlineData("Provider", "Oracle", "Kline:Storage:Provider: 'Oracle' is not a store. Allowed: Sqlite, Postgres.")]
    [InlineData("Provider", "", "Kline:Storage:Provider: '' is not a store. Allowed: Sqlite, Postgres.")]
    [InlineData("Path", " ", "Kline:Storage:Path: ' ' is empty. Allowed: the path of a file, as in data/kline.db.")]
    [InlineData("Path", "data/", "Kline:Storage:Path: 'data/' is a folder. Allowed: the path of a file, as in data/kline.db.")]
    [InlineData("Path", ":memory:", "Kline:Storage:Path: ':memory:' is not a path. Allowed: the path of a file, as in data/kline.db.")]
    public async Task Wrong_value_stops_the_start_and_names_key_value_and_what_is_allowed(string key, string value, string message)
    {
        using var host = Host((key, value));
        var refused = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync(Cancellation));
        Assert.Equal([message], refused.Failures);
    }

    [Theory]
    [InlineData("Database=kline;Password=hunter2", "names no Host")]
    [InlineData("Host=localhost;Pasword=hunter2", "cannot be read")]
    [InlineData("Host=localhost;Port=many;Password=hunter2", "cannot be read")]
    [InlineData("hunter2", "cannot be read")]
    public async Task Connection_string_that_is_none_stops_the_start_and_is_not_repeated(string value, string reason)
    {
        using var host = Host(("Provider", "postgres"), ("ConnectionString", value));
        var refused = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync(Cancellation));
        Assert.Contains(reason, Assert.Single(refused.Failures), StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", refused.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Host_keeps_everything_in_the_database_that_is_named()
    {
        await using var store = await PostgresUnderTest.Create();
        using (var host = Host(("Provider", "Postgres"), ("ConnectionString", store.Database.ConnectionString), ("Path", _file.Path)))
        {
            await host.StartAsync(Cancellation);
            await host.Services.GetRequiredService<IKlineArchive>().Write("a", SampleKlines.Run(KlineInterval.S1, 5), Cancellation);
            var state = new GrainState<List<int>> { State = [1, 2] };
            await host.Services.GetRequiredKeyedService<IGrainStorage>("Default").WriteStateAsync("numbers", GrainId.Create("a", "b"), state);
            var health = await host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(Cancellation);
            Assert.Equal(HealthStatus.Healthy, health.Entries[StorageServices.HealthCheckName].Status);
            await host.StopAsync(Cancellation);
        }

        Assert.Equal(["5,1"], (await store.Database.Rows("SELECT (SELECT count(*) FROM kline) || ',' || (SELECT count(*) FROM kline_grain_state)")).Select(r => r.Trim('(', ')', '"')));
        Assert.False(File.Exists(_file.Path));
    }

    [Fact]
    public async Task Host_opens_the_store_before_its_services_start_and_closes_it_after_they_stopped()
    {
        var seen = new List<string>();
        using (var host = Host(before => before.AddHostedService(services => new Watcher(services.GetRequiredService<IStorageStatus>(), seen)), ("Path", _file.Path)))
        {
            await host.StartAsync(Cancellation);
            await host.Services.GetRequiredService<IKlineArchive>().Write("a", SampleKlines.Run(KlineInterval.S1, 5), Cancellation);
            Assert.IsType<GrainStorage>(host.Services.GetRequiredKeyedService<IGrainStorage>("Default"));
            var health = await host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(Cancellation);
            Assert.Equal(HealthStatus.Healthy, health.Entries[StorageServices.HealthCheckName].Status);
            await host.StopAsync(Cancellation);
            Assert.False(host.Services.GetRequiredService<IStorageStatus>().Current.IsAvailable);
        }

        Assert.Equal(["start: open", "stop: open"], seen);
        Assert.False(File.Exists(_file.Path + "-wal"));
    }

    [Fact]
    public async Task File_in_use_stops_the_start()
    {
        await _file.Store().Open(Cancellation);
        using var host = Host(("Path", _file.Path));
        await Assert.ThrowsAsync<StorageOpenException>(() => host.StartAsync(Cancellation));
    }

    [Fact]
    public async Task Store_that_cannot_write_is_degraded_and_says_why()
    {
        using var host = Host(("Path", _file.Path));
        await host.StartAsync(Cancellation);
        var store = host.Services.GetRequiredService<SqliteStore>();
        await store.Write(s => Execute(s, "PRAGMA max_page_count = 1"), 1, Cancellation);
        await Assert.ThrowsAsync<ArchiveUnavailableException>(() => host.Services.GetRequiredService<IKlineArchive>().Write("a", SampleKlines.Run(KlineInterval.S1, 5_000), Cancellation));
        var health = await host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(Cancellation);
        Assert.Equal(HealthStatus.Degraded, health.Entries[StorageServices.HealthCheckName].Status);
        Assert.Contains("full", health.Entries[StorageServices.HealthCheckName].Description, StringComparison.Ordinal);
        await host.StopAsync(Cancellation);
    }

    private static bool Execute(SqliteWriteSession session, string sql)
    {
        session.Connection.Execute(sql);
        return true;
    }

    private static ServiceProvider Compose() =>
        new ServiceCollection().AddLogging().AddKlineStorage(new ConfigurationBuilder().Build()).BuildServiceProvider();

    private static IHost Host(params (string Key, string Value)[] options) => Host(_ => { }, options);

    private static IHost Host(Action<IServiceCollection> before, params (string Key, string Value)[] options)
    {
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Configuration.AddInMemoryCollection(options.Select(o => KeyValuePair.Create($"{StorageOptions.Section}:{o.Key}", (string?)o.Value)));
        before(builder.Services);
        builder.Services.AddKlineStorage(builder.Configuration);
        return builder.Build();
    }

    /// <summary>Notes how the store does when it is started and stopped.</summary>
    private sealed class Watcher(IStorageStatus status, List<string> seen) : IHostedService
    {
        public Task StartAsync(CancellationToken cancellationToken) => Note("start");

        public Task StopAsync(CancellationToken cancellationToken) => Note("stop");

        private Task Note(string moment)
        {
            seen.Add($"{moment}: {(status.Current.IsAvailable ? "open" : "closed")}");
            return Task.CompletedTask;
        }
    }
}
