using System.Collections.Immutable;

namespace KlineOrleans.Contracts;

/// <summary>What a source is doing. The numbers are stored and sent, and never change.</summary>
[GenerateSerializer, Alias("KlineOrleans.SourceState")]
public enum SourceState : byte
{
    /// <summary>Not reading yet.</summary>
    Starting = 0,

    /// <summary>Complete up to the present.</summary>
    Live = 1,

    /// <summary>Nothing heard for too long; trades may be missing.</summary>
    Stale = 2,

    /// <summary>Fetching what was missed.</summary>
    Backfilling = 3,

    /// <summary>Playing a recording.</summary>
    Replaying = 4,

    /// <summary>A recording came to its end; everything read is saved.</summary>
    Ended = 5,

    /// <summary>Gave up for the reason in <see cref="SourceStatus.Error"/>; tried again.</summary>
    Failed = 6,

    /// <summary>Stopped on purpose.</summary>
    Closed = 7,
}

/// <summary>Figures of one source. Immutable.</summary>
[GenerateSerializer, Immutable, Alias("KlineOrleans.SourceStatus")]
public sealed record SourceStatus
{
    [Id(0)]
    public required string Name { get; init; }

    /// <summary>As configured: Replay, Simulation, Solana, Binance.</summary>
    [Id(1)]
    public required string Kind { get; init; }

    [Id(2)]
    public required SourceState State { get; init; }

    /// <summary>When <see cref="State"/> began, by our clock.</summary>
    [Id(3)]
    public DateTimeOffset Since { get; init; }

    /// <summary>See <see cref="SourceClock.Time"/>.</summary>
    [Id(4)]
    public DateTimeOffset Clock { get; init; }

    /// <summary>Trades decoded since the source was started.</summary>
    [Id(5)]
    public long Trades { get; init; }

    /// <summary>What was skipped since the source was started, by reason.</summary>
    [Id(6)]
    public ImmutableSortedDictionary<string, long> Skipped { get; init; } = ImmutableSortedDictionary<string, long>.Empty;

    /// <summary>Trades that grains had seen before, and trades too late to count.</summary>
    [Id(7)]
    public long Duplicates { get; init; }

    /// <inheritdoc cref="Duplicates"/>
    [Id(8)]
    public long Late { get; init; }

    /// <summary>The trades are made up.</summary>
    [Id(9)]
    public bool IsSimulated { get; init; }

    /// <summary>Why the source failed, or the newest thing worth an operator's attention; null if nothing is.</summary>
    [Id(10)]
    public string? Error { get; init; }

    /// <summary>Where a restart would go on, as the source writes it.</summary>
    [Id(11)]
    public string? Checkpoint { get; init; }

    /// <summary>How much of a recording was read, 0 to 1; null for a source without an end.</summary>
    [Id(12)]
    public double? Progress { get; init; }

    /// <summary>Mints this source has fed since it was started.</summary>
    [Id(13)]
    public int Mints { get; init; }

    /// <summary>Further figures of this kind of source by name, for an operator: slot, lag, health of each endpoint. Values are for reading, not for programs.</summary>
    [Id(14)]
    public ImmutableSortedDictionary<string, string> Details { get; init; } = ImmutableSortedDictionary<string, string>.Empty;

    /// <summary>Chain events stored since the source was started, those that were stored before included.</summary>
    [Id(15)]
    public long Events { get; init; }

    /// <summary>When the newest of <see cref="Events"/> happened, by the chain's clock; null before the first.</summary>
    [Id(16)]
    public DateTimeOffset? LastEventTime { get; init; }
}
