using System.Collections.Immutable;

namespace KlineOrleans.Contracts;

/// <summary>A mint's klines at one position: every update up to <see cref="Seq"/> is in it, none after.</summary>
/// <remarks>Immutable. What is older than <see cref="CoveredFrom"/> stands in the archive and changes only by updates after this snapshot.</remarks>
[GenerateSerializer, Immutable, Alias("KlineOrleans.KlineSnapshot")]
public sealed record KlineSnapshot
{
    [Id(0)]
    public required string Symbol { get; init; }

    [Id(1)]
    public required long Epoch { get; init; }

    [Id(2)]
    public required long Seq { get; init; }

    /// <summary>The clock that makes the mint's klines final, as it stood. <see cref="DateTimeOffset.MinValue"/> where no trade was ever seen.</summary>
    [Id(3)]
    public required DateTimeOffset Clock { get; init; }

    /// <summary>The source that feeds the mint; empty where no trade was ever seen.</summary>
    [Id(4)]
    public required string Source { get; init; }

    [Id(5)]
    public required KlineRules Rules { get; init; }

    /// <summary>All klines of every interval that are not in the archive yet, and possibly some that are; no flat ones. Oldest first within an interval, shortest interval first.</summary>
    [Id(6)]
    public required ImmutableArray<Kline> Klines { get; init; }

    /// <summary>
    /// By interval (index: the enum's number): <see cref="Klines"/> holds every kline with an open time at or after this one.
    /// </summary>
    [Id(7)]
    public required ImmutableArray<DateTimeOffset> CoveredFrom { get; init; }
}
