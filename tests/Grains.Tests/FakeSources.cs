using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.CompilerServices;
using KlineOrleans.Contracts;

namespace KlineOrleans.Grains.Tests;

/// <summary>A configured source whose chunks a test gives. Reading from a checkpoint goes on after that many chunks.</summary>
internal sealed class FakeSources(KlineRules rules, IReadOnlyList<SourceChunk> chunks, bool ends = true, params string[] others) : ITradeSourceFactory
{
    public const string Name = "fake";

    public ImmutableArray<SourceDescription> Sources { get; } = [new(Name, "Replay", rules, IsSimulated: false, IsChain: true), .. others.Select(o => new SourceDescription(o, "Replay", rules, IsSimulated: false, IsChain: true))];

    /// <summary>Runs before each chunk is given.</summary>
    public Func<int, Task> BeforeChunk { get; set; } = _ => Task.CompletedTask;

    /// <summary>Fails the next reads with this.</summary>
    public Queue<Exception> Failures { get; } = new();

    public List<string?> Reads { get; } = [];

    public ITradeSource Create(string name) => new Source(this);

    /// <summary>Trades cut into chunks, each with the recording's clock after it.</summary>
    public static List<SourceChunk> Cut(IReadOnlyList<Trade> trades, int size) =>
        [.. trades.Chunk(size).Select((some, i) => new SourceChunk([.. some], (i + 1).ToString(CultureInfo.InvariantCulture), new SourceClock(some.Max(t => t.ReceivedTime), IsLive: false)))];

    private sealed class Source(FakeSources owner) : ITradeSource
    {
        private bool _ended;

        public async IAsyncEnumerable<SourceChunk> Read(string? checkpoint, [EnumeratorCancellation] CancellationToken cancellationToken)
        {
            lock (owner.Reads)
            {
                owner.Reads.Add(checkpoint);
            }

            if (owner.Failures.TryDequeue(out var failure))
            {
                throw failure;
            }

            for (var i = checkpoint is null ? 0 : int.Parse(checkpoint, CultureInfo.InvariantCulture); i < owner.Chunks.Count; i++)
            {
                await owner.BeforeChunk(i).WaitAsync(cancellationToken);
                cancellationToken.ThrowIfCancellationRequested();
                yield return owner.Chunks[i];
            }

            if (!owner.Ends)
            {
                // Nothing comes any more, until the reader leaves.
                await new TaskCompletionSource().Task.WaitAsync(cancellationToken);
            }

            _ended = true;
        }

        public SourceStatus GetStatus() => new() { Name = Name, Kind = "Replay", State = _ended ? SourceState.Ended : SourceState.Replaying };
    }

    private IReadOnlyList<SourceChunk> Chunks => chunks;

    private bool Ends => ends;
}
