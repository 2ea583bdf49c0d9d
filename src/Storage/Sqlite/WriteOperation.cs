namespace KlineOrleans.Storage.Sqlite;

/// <summary>One caller's write, waiting for the writer.</summary>
/// <param name="rows">About how many rows it writes.</param>
internal abstract class WriteOperation(int rows, CancellationToken cancellation)
{
    public int Rows => rows;

    /// <summary>Cancels the caller unless the write has begun: what has begun is finished, so that the caller knows what holds.</summary>
    public bool TryCancel()
    {
        if (!cancellation.IsCancellationRequested)
        {
            return false;
        }

        Cancel(cancellation);
        return true;
    }

    /// <summary>Writes inside the writer's transaction. May run again after a rollback.</summary>
    public abstract void Run(SqliteWriteSession session);

    /// <summary>Tells the caller that it is committed.</summary>
    public abstract void Complete();

    public abstract void Fail(Exception exception);

    protected abstract void Cancel(CancellationToken token);
}

/// <inheritdoc/>
internal sealed class WriteOperation<T>(Func<SqliteWriteSession, T> run, int rows, CancellationToken cancellation) : WriteOperation(rows, cancellation)
{
    private readonly TaskCompletionSource<T> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private T? _result;

    public Task<T> Done => _done.Task;

    public override void Run(SqliteWriteSession session) => _result = run(session);

    public override void Complete() => _done.TrySetResult(_result!);

    public override void Fail(Exception exception) => _done.TrySetException(exception);

    protected override void Cancel(CancellationToken token) => _done.TrySetCanceled(token);
}
