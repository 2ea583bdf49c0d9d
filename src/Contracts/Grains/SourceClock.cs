namespace KlineOrleans.Contracts;

/// <summary>How far a source has come: everything it knows up to <see cref="Time"/> was delivered to the grains. Immutable.</summary>
/// <param name="Time">UTC. For a recording, event time.</param>
/// <param name="IsLive">
/// The source is complete up to the present, so its clock runs on with ours. False for a recording, and for a live source that catches up or hears
/// nothing: its klines become final only as far as <paramref name="Time"/> says, because trades may still be missing.
/// </param>
[GenerateSerializer, Immutable, Alias("KlineOrleans.SourceClock")]
public readonly record struct SourceClock(
    [property: Id(0)] DateTimeOffset Time,
    [property: Id(1)] bool IsLive);
