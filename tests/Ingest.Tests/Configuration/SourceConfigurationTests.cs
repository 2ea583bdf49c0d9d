using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Solana;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace KlineOrleans.Ingest.Tests.Configuration;

public sealed class SourceConfigurationTests
{
    private static readonly string ExistingFile = typeof(SourceConfigurationTests).Assembly.Location;

    [Fact]
    public void Empty_configuration_is_one_simulation()
    {
        var source = Assert.Single(Read());
        Assert.Equal((SourceKind.Simulation, "simulation", 12, 2.0), (source.Kind, source.Name, source.Simulation!.Mints, source.Simulation.History.TotalHours));
        Assert.Equal((OpenPolicy.PreviousClose, EmptyPolicy.None), (source.Rules.Open, source.Rules.Empty));
        Assert.Equal(KlineIntervals.All, source.Rules.Intervals);
    }

    [Fact]
    public void Formats_have_the_policies_of_their_markets_unless_told_otherwise()
    {
        var sources = Read(
            "Kline:Sources:0:Kind=Replay", "Kline:Sources:0:Format=binanceaggtradescsv", $"Kline:Sources:0:Path={ExistingFile}", "Kline:Sources:0:Symbol=XRPETH", "Kline:Sources:0:Speed=0",
            "Kline:Sources:1:Kind=replay", "Kline:Sources:1:Format=SolanaLogs", $"Kline:Sources:1:Path={ExistingFile}",
            "Kline:Sources:2:Kind=Simulation", "Kline:Sources:2:Open=FirstTrade", "Kline:Sources:2:Empty=Flat", "Kline:Sources:2:Seed=-5", "Kline:Sources:2:History=00:30:00",
            "Kline:Intervals:0=5m", "Kline:Intervals:1=s1", "Kline:Grace=00:00:05", "Compat:WicksIgnoreOpen=true");
        Assert.Equal(["replay", "replay2", "simulation"], sources.Select(s => s.Name));
        Assert.Equal([(OpenPolicy.FirstTrade, EmptyPolicy.Flat), (OpenPolicy.PreviousClose, EmptyPolicy.None), (OpenPolicy.FirstTrade, EmptyPolicy.Flat)], sources.Select(s => (s.Rules.Open, s.Rules.Empty)));
        Assert.All(sources, s => Assert.Equal([KlineInterval.S1, KlineInterval.M5], s.Rules.Intervals));
        Assert.All(sources, s => Assert.True(s.Rules.WicksIgnoreOpen && s.Rules.Grace == TimeSpan.FromSeconds(5)));
        Assert.Equal((-5, 30.0), (sources[2].Simulation!.Seed, sources[2].Simulation!.History.TotalMinutes));
        Assert.True(Read("Kline:Compat:WicksIgnoreOpen=true")[0].Rules.WicksIgnoreOpen);
    }

    [Theory]
    [InlineData("Kline:Sources:0:Speed=abc", "Kline:Sources:0:Speed: 'abc' is not allowed. Allowed: a number from 0 to 1,000,000.")]
    [InlineData("Kline:Sources:0:Speed=-1", "Kline:Sources:0:Speed: '-1' is not allowed. Allowed: a number from 0 to 1,000,000.")]
    [InlineData("Kline:Sources:0:Speed=NaN", "Kline:Sources:0:Speed: 'NaN' is not allowed. Allowed: a number from 0 to 1,000,000.")]
    [InlineData("Kline:Sources:0:Kind=Replai", "Kline:Sources:0:Kind: 'Replai' is not allowed. Allowed: Replay, Simulation, Binance, Solana.")]
    [InlineData("Kline:Sources:0:Kind=1", "Kline:Sources:0:Kind: '1' is not allowed. Allowed: Replay, Simulation, Binance, Solana.")]
    [InlineData("Kline:Sources:0:Kind=", "Kline:Sources:0:Kind: missing. Allowed: Replay, Simulation, Binance, Solana.")]
    [InlineData("Kline:Sources:0:Format=Csv", "Kline:Sources:0:Format: 'Csv' is not allowed. Allowed: SolanaLogs, BinanceAggTradesCsv, BinanceFrames, SpinPetEventsJson.")]
    [InlineData("Kline:Sources:0:Format=", "Kline:Sources:0:Format: missing. Allowed: SolanaLogs, BinanceAggTradesCsv, BinanceFrames, SpinPetEventsJson.")]
    [InlineData("Kline:Sources:0:Loop=often", "Kline:Sources:0:Loop: 'often' is not allowed. Allowed: true or false.")]
    [InlineData("Kline:Sources:0:Symbol=", "Kline:Sources:0:Symbol: missing. Allowed: the symbol of the recording's trades, as in XRPETH.")]
    [InlineData("Kline:Sources:0:Path=", "Kline:Sources:0:Path: missing. Allowed: the recording's file.")]
    [InlineData("Kline:Sources:0:Open=Last", "Kline:Sources:0:Open: 'Last' is not allowed. Allowed: FirstTrade, PreviousClose.")]
    [InlineData("Kline:Sources:0:Name=a b", "Kline:Sources:0:Name: 'a b' is not allowed. Allowed: 1 to 64 letters, digits, '-', '_' and '.'.")]
    [InlineData("Kline:Sources:0:PriceScale=99", "Kline:Sources:0:PriceScale: '99' is not allowed. Allowed: a whole number from 0 to 38.")]
    [InlineData("Kline:Sources:0:Programs:0=SpinPet-9", "Kline:Sources:0:Programs:0: 'SpinPet-9' is not allowed.")]
    [InlineData("Kline:Sources:0:Speeed=1", "Kline:Sources:0:Speeed: no such key here. Allowed: Kind, Name, Open, Empty, TradesPerUpdate, Format, Path, Symbol, Speed, Loop, PriceScale, Anchor, Programs.")]
    [InlineData("Kline:Sources:0:Mints=5", "Kline:Sources:0:Mints: no such key here.")]
    [InlineData("Kline:Intervals:0=m2", "Kline:Intervals:0: 'm2' is not allowed. Allowed: s1, s5, s15, s30, m1, m5, m15, m30, h1, h4, d1, w1.")]
    [InlineData("Kline:Grace=15", "Kline:Grace: '15' is not allowed. Allowed: hh:mm:ss or d.hh:mm:ss from 00:00:00 to 00:01:00.")]
    [InlineData("Kline:CorrectionWindow=2.00:00:00", "Kline:CorrectionWindow: '2.00:00:00' is not allowed. Allowed: hh:mm:ss or d.hh:mm:ss from 00:00:02 to 1.00:00:00.")]
    [InlineData("Kline:CorrectionWindow=00:00:01", "Kline:CorrectionWindow: '00:00:01' is not allowed. Allowed: hh:mm:ss or d.hh:mm:ss from 00:00:02 to 1.00:00:00.")]
    [InlineData("Compat:WicksIgnoreOpen=maybe", "Compat:WicksIgnoreOpen: 'maybe' is not allowed. Allowed: true or false.")]
    public void Wrong_value_is_named_with_its_key_and_what_is_allowed(string setting, string expected)
    {
        string[] good = ["Kline:Sources:0:Kind=Replay", "Kline:Sources:0:Format=BinanceAggTradesCsv", $"Kline:Sources:0:Path={ExistingFile}", "Kline:Sources:0:Symbol=XRPETH"];
        Assert.Single(Read(good));
        var error = Assert.Throws<ConfigurationException>(() => Read([.. good, setting]));
        Assert.StartsWith(expected, Assert.Single(error.Errors), StringComparison.Ordinal);
        Assert.Throws<ConfigurationException>(() => new ServiceCollection().AddTradeSources(Build([.. good, setting])));
    }

    [Fact]
    public void All_errors_are_named_at_once()
    {
        var error = Assert.Throws<ConfigurationException>(() => Read("Kline:Sources:0:Kind=Replay", "Kline:Sources:0:Speed=x", "Kline:Sources:0:Path=/no/such/file", "Kline:Sources:1:Kind=Simulation", "Kline:Sources:1:Mints=0", "Kline:Sources:1:Path=x", "Kline:Sources:2=Replay"));
        Assert.Equal(["Kline:Sources:0:Format", "Kline:Sources:0:Path", "Kline:Sources:0:Speed", "Kline:Sources:1:Mints", "Kline:Sources:1:Path", "Kline:Sources:2:Kind"], error.Errors.Select(e => e[..e.IndexOf(": ", StringComparison.Ordinal)]));
        Assert.Equal(string.Join(Environment.NewLine, error.Errors), error.Message);
    }

    [Fact]
    public void Two_sources_of_one_name_are_refused() =>
        Assert.Contains("taken", Assert.Throws<ConfigurationException>(() => Read("Kline:Sources:0:Kind=Simulation", "Kline:Sources:0:Name=a", "Kline:Sources:1:Kind=Simulation", "Kline:Sources:1:Name=A")).Message, StringComparison.Ordinal);

    [Fact]
    public void Program_is_replaced_by_name_or_by_its_values()
    {
        string[] replay = ["Kline:Sources:0:Kind=Replay", "Kline:Sources:0:Format=SolanaLogs", $"Kline:Sources:0:Path={ExistingFile}"];
        var programs = Read([.. replay, "Kline:Sources:0:Programs:0=spinpet-1b", "Kline:Sources:0:Programs:1:Id=CYdRzRacZ5kTc9Ht3U7mFhbsyxG3sZGEzC4cNf2Gjg2W", "Kline:Sources:0:Programs:1:Generation=2b", "Kline:Sources:0:Programs:1:PriceScale=25"])[0].Replay!.Programs.Programs;
        Assert.Equal(6, programs.Length);
        var first = programs.Single(p => p.Id == "JBMmrp6jhksqnxDBskkmVvWHhJLaPBjgiMHEroJbUTBZ");
        Assert.Equal(("1b", 26, 6), (first.Generation.Name, first.PriceScale, first.TokenDecimals));
        var second = programs.Single(p => p.Id == "CYdRzRacZ5kTc9Ht3U7mFhbsyxG3sZGEzC4cNf2Gjg2W");
        Assert.Equal(("2b", 25, 9, 9), (second.Generation.Name, second.PriceScale, second.TokenDecimals, second.QuoteDecimals));
        Assert.Contains(programs, p => p.Id == ProgramCatalog.PumpId);
    }

    [Fact]
    public void Factory_describes_and_makes_the_configured_sources()
    {
        using var services = new ServiceCollection().AddLogging().AddTradeSources(Build(
            "Kline:Sources:0:Kind=Replay", "Kline:Sources:0:Format=BinanceFrames", $"Kline:Sources:0:Path={ExistingFile}", "Kline:Sources:1:Kind=Simulation", "Kline:Sources:1:Name=toy")).BuildServiceProvider();
        var factory = services.GetRequiredService<ITradeSourceFactory>();
        Assert.Equal([("replay", "Replay", false, false), ("toy", "Simulation", true, true)], factory.Sources.Select(s => (s.Name, s.Kind, s.IsSimulated, s.IsChain)));
        Assert.Equal("toy", factory.Create("toy").GetStatus().Name);
        Assert.Equal(SourceState.Starting, factory.Create("replay").GetStatus().State);
        Assert.Throws<ArgumentException>(() => factory.Create("other"));
    }

    private static System.Collections.Immutable.ImmutableArray<SourceOptions> Read(params string[] settings) => SourceConfiguration.Read(Build(settings));

    private static IConfigurationRoot Build(params string[] settings) => new ConfigurationBuilder()
        .AddInMemoryCollection(settings.Select(s => s.Split('=', 2)).GroupBy(s => s[0], StringComparer.Ordinal).Select(g => KeyValuePair.Create(g.Key, (string?)g.Last()[1])))
        .Build();
}
