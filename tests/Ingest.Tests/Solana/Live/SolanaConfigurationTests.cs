using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Solana;
using KlineOrleans.Ingest.Solana.Live;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Ingest.Tests.Solana.Live;

public sealed class SolanaConfigurationTests
{
    private static IConfiguration Configuration(params (string Key, string Value)[] values) => new ConfigurationBuilder()
        .AddInMemoryCollection(values.Append(("Kind", "Solana")).Select(v => KeyValuePair.Create("Kline:Sources:0:" + v.Item1, (string?)v.Item2))).Build();

    private static SolanaOptions Read(params (string Key, string Value)[] values) => SourceConfiguration.Read(Configuration(values))[0].Solana!;

    [Fact]
    public void Kind_alone_follows_all_current_programs_at_a_local_validator()
    {
        var source = SourceConfiguration.Read(Configuration())[0];
        Assert.Equal(("solana", OpenPolicy.PreviousClose, EmptyPolicy.None), (source.Name, source.Rules.Open, source.Rules.Empty));
        Assert.Equal(("http://127.0.0.1:8899/", "ws://127.0.0.1:8900/"), (source.Solana!.Endpoints.Single().Http.ToString(), source.Solana.Endpoints.Single().WebSocket.ToString()));
        Assert.Equal(ProgramCatalog.Default.Programs, source.Solana.Programs.Programs);
        Assert.Equal((SolanaCommitment.Confirmed, TimeSpan.FromSeconds(30), TimeSpan.FromMinutes(1)), (source.Solana.Commitment, source.Solana.IdleTimeout, source.Solana.ScanInterval));
    }

    [Fact]
    public void Every_option_is_read()
    {
        var options = Read(
            ("Endpoints:0:Http", "https://a.example/key"), ("Endpoints:0:WebSocket", "wss://a.example/key"), ("Endpoints:0:Name", "a"),
            ("Endpoints:1:Http", "http://127.0.0.1:1"), ("Endpoints:1:WebSocket", "ws://127.0.0.1:2"),
            ("Programs:0", "SpinPet-2.2"), ("Programs:1:Id", ProgramCatalog.PumpId), ("Programs:1:Generation", "pump"),
            ("Commitment", "finalized"), ("IdleTimeout", "00:00:20"), ("RequestTimeout", "00:00:05"), ("ScanInterval", "00:00:30"), ("ScanSlots", "100"),
            ("SettleSlots", "16"), ("MaxLagSlots", "99"), ("BlockTimeWait", "00:00:01"), ("StartSlot", "7"), ("MaxRequests", "3"), ("MaxQueuedFrames", "100"));
        Assert.Equal(["a", "127.0.0.1:1"], options.Endpoints.Select(e => e.Name));
        Assert.Equal("wss://a.example/key", options.Endpoints[0].WebSocket.ToString());
        Assert.Equal([ProgramCatalog.SpinPet2Id, ProgramCatalog.PumpId], options.Programs.Programs.Select(p => p.Id));
        Assert.Equal("2.2", options.Programs.Programs[0].Generation.Name);
        Assert.Equal(
            (SolanaCommitment.Finalized, 20, 5, 30, 100, 16, 99, 1, 7L, 3, 100),
            (options.Commitment, options.IdleTimeout.Seconds, options.RequestTimeout.Seconds, options.ScanInterval.Seconds, options.ScanSlots, options.SettleSlots, options.MaxLagSlots, options.BlockTimeWait.Seconds, options.StartSlot!.Value, options.MaxRequests, options.MaxQueuedFrames));
    }

    [Theory]
    [InlineData("Commitment", "max", "Kline:Sources:0:Commitment: 'max' is not allowed. Allowed: Processed, Confirmed, Finalized.")]
    [InlineData("IdleTimeout", "00:00:00", "Kline:Sources:0:IdleTimeout: '00:00:00' is not allowed. Allowed: hh:mm:ss or d.hh:mm:ss from 00:00:01 to 00:10:00.")]
    [InlineData("MaxRequests", "65", "Kline:Sources:0:MaxRequests: '65' is not allowed. Allowed: a whole number from 1 to 64.")]
    [InlineData("Endpoints:0:Http", "ftp://x", "Kline:Sources:0:Endpoints:0:Http: 'ftp://x' is not allowed. Allowed: an address such as http://127.0.0.1:8899.")]
    [InlineData("Endpoints:0:Http", "http://x", "Kline:Sources:0:Endpoints:0:WebSocket: missing. Allowed: an address such as ws://127.0.0.1:8900.")]
    [InlineData("Endpoint", "x", "Kline:Sources:0:Endpoint: no such key here.")]
    [InlineData("Programs:0", "SpinPet-9", "Kline:Sources:0:Programs:0: 'SpinPet-9' is not allowed.")]
    public void Wrong_value_is_refused_with_its_key_and_what_is_allowed(string key, string value, string message)
    {
        var error = Assert.Throws<ConfigurationException>(() => Read((key, value)));
        Assert.Contains(error.Errors, e => e.StartsWith(message, StringComparison.Ordinal));
    }

    [Fact]
    public void Start_slot_together_with_backfill_is_refused()
    {
        var error = Assert.Throws<ConfigurationException>(() => Read(("StartSlot", "7"), ("Backfill", "01:00:00")));
        Assert.Equal("Kline:Sources:0:StartSlot: '7' is not allowed. Allowed: none together with Backfill.", Assert.Single(error.Errors));
    }

    [Fact]
    public void Factory_makes_the_source()
    {
        using var services = new ServiceCollection().AddLogging().AddTradeSources(Configuration(("Name", "chain"))).BuildServiceProvider();
        var factory = services.GetRequiredService<ITradeSourceFactory>();
        var description = Assert.Single(factory.Sources);
        Assert.Equal(("chain", "Solana", false, true), (description.Name, description.Kind, description.IsSimulated, description.IsChain));
        Assert.Equal(SourceState.Starting, factory.Create("chain").GetStatus().State);
    }
}
