using System.Collections.Immutable;
using KlineOrleans.Contracts;

namespace KlineOrleans.Storage.Postgres;

/// <summary>One caller's write, waiting for the writer.</summary>
/// <param name="rows">How many rows it writes.</param>
internal abstract class PostgresWrite(int rows, CancellationToken cancellation)
{
    public int Rows => rows;

    /// <summary>Cancels the caller unless the write has begun: what has begun is finished, so that the caller knows what holds.</summary>
    public bool TryCancel()
    {
        if (!cancellation.IsCancellationRequested)
            return false;
        Cancel(cancellation);
        return true;
    }

    /// <summary>Tells the caller that it is committed.</summary>
    public abstract void Complete();

    public abstract void Fail(Exception exception);

    protected abstract void Cancel(CancellationToken token);
}

/// <inheritdoc/>
internal abstract class PostgresWrite<T>(int rows, CancellationToken cancellation) : PostgresWrite(rows, cancellation)
{
    private readonly TaskCompletionSource<T> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<T> Done => _done.Task;

    /// <summary>Set by the batch, told once that is committed.</summary>
    public T? Result { get; set; }

    public override void Complete() => _done.TrySetResult(Result!);

    public override void Fail(Exception exception) => _done.TrySetException(exception);

    protected override void Cancel(CancellationToken token) => _done.TrySetCanceled(token);
}

internal sealed class KlinesWrite(string symbol, IReadOnlyList<Kline> klines, CancellationToken cancellation) : PostgresWrite<bool>(klines.Count, cancellation)
{
    public string Symbol => symbol;

    public IReadOnlyList<Kline> Klines => klines;
}

internal sealed class SymbolWrite(SymbolInfo symbol, CancellationToken cancellation) : PostgresWrite<bool>(1, cancellation)
{
    public SymbolInfo Symbol => symbol;
}

/// <param name="payload">Null: forget the state.</param>
/// <param name="expected">The etag that must be stored; null: none.</param>
/// <param name="next">The etag that names this content.</param>
internal sealed class StateWrite(string grain, string name, ReadOnlyMemory<byte>? payload, long? expected, long next, CancellationToken cancellation) : PostgresWrite<StateWriteResult>(1, cancellation)
{
    public (string Grain, string Name) Key => (grain, name);

    public ReadOnlyMemory<byte>? Payload => payload;

    public long? Expected => expected;

    public long Next => next;
}

internal sealed class EventsWrite(IReadOnlyList<ChainEvent> events, ChainEventOptions options, CancellationToken cancellation) : PostgresWrite<ImmutableArray<long>>(events.Count, cancellation)
{
    public IReadOnlyList<ChainEvent> Events => events;

    public ChainEventOptions Options => options;
}
