using System.Collections.Immutable;

namespace KlineOrleans.Contracts;

/// <summary>One change of a mint's klines: every kline that changed, all intervals together. The item of the stream <see cref="KlineStreams.Kline"/>.</summary>
/// <remarks>Immutable. Updates of one epoch carry consecutive <see cref="Seq"/>; a hole means that updates were lost and a snapshot is due.</remarks>
[GenerateSerializer, Immutable, Alias("KlineOrleans.KlineUpdate")]
public sealed record KlineUpdate
{
    [Id(0)]
    public required string Symbol { get; init; }

    /// <summary>Changes whenever continuity is lost. Later epochs are larger.</summary>
    [Id(1)]
    public required long Epoch { get; init; }

    /// <summary>One more than the update before it; the first of an epoch is 1.</summary>
    [Id(2)]
    public required long Seq { get; init; }

    /// <summary>Event time of the newest trade in it, or the clock that made klines final.</summary>
    [Id(3)]
    public required DateTimeOffset EventTime { get; init; }

    /// <summary>When the newest trade in it was received by its source (see <see cref="Trade.ReceivedTime"/>).</summary>
    [Id(4)]
    public required DateTimeOffset ReceivedTime { get; init; }

    /// <summary>The klines as they are now, oldest first within an interval. <see cref="Kline.Revision"/> above 0 marks a correction.</summary>
    [Id(5)]
    public required ImmutableArray<Kline> Klines { get; init; }
}
