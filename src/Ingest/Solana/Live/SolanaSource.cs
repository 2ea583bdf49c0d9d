using System.Runtime.CompilerServices;
using KlineOrleans.Contracts;
using Microsoft.Extensions.Logging;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>The live chain: trades of the followed programs, as nodes tell of them, and what they did not tell of fetched and put in its place.</summary>
/// <remarks>
/// Exact as far as any node can tell: notifications may be lost, repeated, cut or out of order. What the nodes no longer have, or have only cut, is counted
/// as a gap and named in the status. Its checkpoint is the newest slot up to which everything is verified.
/// </remarks>
internal sealed class SolanaSource(SourceOptions source, TimeProvider timeProvider, ILogger<SolanaSource> logger) : ITradeSource
{
    private readonly SolanaOptions _options = source.Solana ?? throw new ArgumentException($"The source '{source.Name}' is not of Solana.", nameof(source));
    private readonly SkipCounts _skipped = new();
    private readonly LiveFigures _figures = new(source.Name, timeProvider, logger);
    private LiveReader? _reader;

    public SourceStatus GetStatus() =>
        Volatile.Read(ref _reader)?.GetStatus() ?? new SourceStatus { Name = source.Name, Kind = nameof(SourceKind.Solana), State = SourceState.Starting };

    public async IAsyncEnumerable<SourceChunk> Read(string? checkpoint, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var reader = new LiveReader(source.Name, _options, timeProvider, _skipped, _figures);
        Volatile.Write(ref _reader, reader);
        await foreach (var chunk in reader.Read(checkpoint, cancellationToken))
        {
            yield return chunk;
        }
    }
}
