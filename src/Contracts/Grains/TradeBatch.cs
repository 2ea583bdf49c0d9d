using System.Collections.Immutable;

namespace KlineOrleans.Contracts;

/// <summary>Trades of one mint from one source, in the order in which they were received. Immutable.</summary>
[GenerateSerializer, Immutable, Alias("KlineOrleans.TradeBatch")]
public sealed record TradeBatch
{
    /// <summary>The source's name (<see cref="SourceDescription.Name"/>).</summary>
    [Id(0)]
    public required string Source { get; init; }

    [Id(1)]
    public required ImmutableArray<Trade> Trades { get; init; }

    /// <summary>The trades are a correction of order (see <see cref="SourceChunk.Ordered"/>): whole slots, in the chain's order.</summary>
    [Id(2)]
    public bool IsSlotOrder { get; init; }

    /// <summary>With these the mint has every trade up to the present since <see cref="IKlineGrain.Begin"/>: the source's clock counts for it from here on.</summary>
    [Id(3)]
    public bool IsCaughtUp { get; init; }

    /// <summary>
    /// The activation (<see cref="IngestResult.Activation"/>) that has trades which came before these and are not saved; 0: all are. Another one takes nothing and answers
    /// with its own number, so that trades stay in their order when the others come again.
    /// </summary>
    [Id(4)]
    public long Activation { get; init; }
}

/// <summary>What became of a batch. Immutable.</summary>
/// <param name="Applied">Trades that changed klines.</param>
/// <param name="Duplicates">Trades that had been seen before.</param>
/// <param name="Late">Trades older than the correction window: dropped and counted.</param>
[GenerateSerializer, Immutable, Alias("KlineOrleans.IngestResult")]
public readonly record struct IngestResult(
    [property: Id(0)] int Applied,
    [property: Id(1)] int Duplicates,
    [property: Id(2)] int Late)
{
    /// <summary>The activation of the grain that answers: a number of its own for each time that the grain came into memory, never 0.</summary>
    [Id(3)]
    public long Activation { get; init; }

    /// <summary>Why nothing of the batch was taken and nothing of it ever will be: another configured source feeds the mint. Null: it was taken.</summary>
    [Id(4)]
    public string? Refusal { get; init; }
}
