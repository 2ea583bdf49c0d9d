using System.Collections.Immutable;

namespace KlineOrleans.Contracts;

/// <summary>What a mint's klines begin with, where they were built by somebody else up to a moment: see <see cref="SymbolKlines"/>. Immutable.</summary>
[GenerateSerializer, Immutable, Alias("KlineOrleans.KlineSeed")]
public sealed record KlineSeed
{
    /// <summary>The source's name (<see cref="SourceDescription.Name"/>).</summary>
    [Id(0)]
    public required string Source { get; init; }

    /// <inheritdoc cref="SymbolKlines.From"/>
    [Id(1)]
    public required DateTimeOffset From { get; init; }

    /// <inheritdoc cref="SymbolKlines.Forming"/>
    [Id(2)]
    public ImmutableArray<Kline> Forming { get; init; } = [];

    /// <inheritdoc cref="SymbolKlines.Unknown"/>
    [Id(3)]
    public ImmutableArray<KlineInterval> Unknown { get; init; } = [];
}
