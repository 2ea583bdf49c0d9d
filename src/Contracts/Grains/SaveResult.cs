namespace KlineOrleans.Contracts;

/// <summary>What became of a save. Immutable.</summary>
/// <param name="IsSaved">Everything that the asked activation had applied is durable. False: that activation is gone, and what it had not saved with it.</param>
/// <param name="NextFinal">The source's clock, UTC, at which the mint next has klines to store without another trade; null: none is forming.</param>
[GenerateSerializer, Immutable, Alias("KlineOrleans.SaveResult")]
public readonly record struct SaveResult(
    [property: Id(0)] bool IsSaved,
    [property: Id(1)] DateTimeOffset? NextFinal);
