namespace KlineOrleans.Contracts;

/// <summary>How far a source has come: everything it knows up to <see cref="Time"/> was delivered to the grains. Immutable.</summary>
/// <param name="Time">UTC. Event time: a recording's, the chain's, the exchange's.</param>
/// <param name="IsLive">
/// The source is complete up to the present, so its clock runs on with ours for up to <see cref="RunsOn"/> after it was given; a live source gives it anew at
/// least every second. False for a recording, and for a live source that catches up or hears nothing: its klines become final only as far as
/// <paramref name="Time"/> says, because trades may still be missing.
/// </param>
[GenerateSerializer, Immutable, Alias("KlineOrleans.SourceClock")]
public readonly record struct SourceClock(
    [property: Id(0)] DateTimeOffset Time,
    [property: Id(1)] bool IsLive)
{
    /// <summary>How long a live clock runs on by itself.</summary>
    public static readonly TimeSpan RunsOn = TimeSpan.FromSeconds(2);

    /// <summary>The clock <paramref name="elapsed"/> after it was given.</summary>
    public SourceClock After(TimeSpan elapsed) =>
        !IsLive || elapsed <= TimeSpan.Zero ? this : this with { Time = Time + (elapsed < RunsOn ? elapsed : RunsOn) };
}
