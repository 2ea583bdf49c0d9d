using System.Collections.Immutable;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Replay;
using KlineOrleans.Ingest.Simulation;
using KlineOrleans.Ingest.Solana.Live;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Ingest;

/// <inheritdoc cref="ITradeSourceFactory"/>
internal sealed class TradeSourceFactory(ImmutableArray<SourceOptions> options, TimeProvider timeProvider, ILoggerFactory loggers) : ITradeSourceFactory
{
    public ImmutableArray<SourceDescription> Sources { get; } =
        [.. options.Select(o => new SourceDescription(o.Name, o.Kind.ToString(), o.Rules, IsSimulated: o.Kind == SourceKind.Simulation, IsChain: IsChain(o)) { TradesPerUpdate = o.TradesPerUpdate })];

    public ITradeSource Create(string name)
    {
        var source = options.FirstOrDefault(o => o.Name == name)
            ?? throw new ArgumentException($"No source is named '{name}'. There are: {string.Join(", ", options.Select(o => o.Name))}.", nameof(name));
        return source.Kind switch
        {
            SourceKind.Replay => new ReplaySource(source, timeProvider, loggers.CreateLogger<ReplaySource>()),
            SourceKind.Simulation => new SimulationSource(source, timeProvider, loggers.CreateLogger<SimulationSource>()),
            SourceKind.Binance => new Binance.BinanceSource(source, timeProvider, loggers.CreateLogger<Binance.BinanceSource>()),
            SourceKind.Solana => new SolanaSource(source, timeProvider, loggers.CreateLogger<SolanaSource>()),
            _ => throw new ArgumentException($"The source '{name}' is of the unknown kind {source.Kind}.", nameof(name)),
        };
    }

    private static bool IsChain(SourceOptions options) =>
        options.Binance is null && options.Replay is null or { Format: RecordingFormat.SolanaLogs or RecordingFormat.SpinPetEventsJson };
}

/// <summary>Composition of this room.</summary>
public static class TradeSourceServices
{
    /// <summary>Registers the <see cref="ITradeSourceFactory"/> of the sources that <paramref name="configuration"/> names.</summary>
    /// <exception cref="ConfigurationException">A value is not allowed: thrown here, before anything starts.</exception>
    public static IServiceCollection AddTradeSources(this IServiceCollection services, IConfiguration configuration)
    {
        var options = SourceConfiguration.Read(configuration);
        services.TryAddSingleton(TimeProvider.System);
        return services.AddSingleton<ITradeSourceFactory>(s => new TradeSourceFactory(options, s.GetRequiredService<TimeProvider>(), s.GetRequiredService<ILoggerFactory>()));
    }
}
