namespace KlineOrleans.Storage.Sqlite;

/// <summary>Grain states in the same file and the same commits as the archive. Thread safe.</summary>
public sealed class SqliteStateStore(SqliteStore store) : IStateStore
{
    /// <inheritdoc/>
    public Task<StoredState> Read(string grain, string name, CancellationToken cancellationToken = default) =>
        store.Read(
            (connection, _) =>
            {
                var query = connection.Statement("SELECT etag, payload FROM grain_state WHERE grain = ?1 AND name = ?2");
                query.BindText(1, grain);
                query.BindText(2, name);
                try
                {
                    return query.Step() ? new StoredState(query.IsNull(1) ? null : query.Bytes(1).ToArray(), ETag(query.Int64(0))) : default;
                }
                finally
                {
                    query.Reset();
                }
            },
            cancellationToken);

    /// <inheritdoc/>
    public Task<StateWriteResult> Write(string grain, string name, ReadOnlyMemory<byte> payload, string? etag, CancellationToken cancellationToken = default) =>
        Put(grain, name, payload, etag, cancellationToken);

    /// <inheritdoc/>
    public Task<StateWriteResult> Clear(string grain, string name, string? etag, CancellationToken cancellationToken = default) =>
        Put(grain, name, null, etag, cancellationToken);

    private static string ETag(long number) => number.ToString(System.Globalization.CultureInfo.InvariantCulture);

    private Task<StateWriteResult> Put(string grain, string name, ReadOnlyMemory<byte>? payload, string? etag, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(grain);
        ArgumentException.ThrowIfNullOrEmpty(name);
        return store.Write(
            session =>
            {
                var number = Stored(session.Connection, grain, name);
                var stored = number is { } n ? ETag(n) : null;
                if (stored != etag)
                    return new StateWriteResult(false, stored);
                if (number is null && payload is null)
                    return new StateWriteResult(true, null);
                var next = (number ?? 0) + 1;
                var put = session.Connection.Statement(
                    "INSERT INTO grain_state (grain, name, etag, payload) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (grain, name) DO UPDATE SET etag = excluded.etag, payload = excluded.payload");
                put.BindText(1, grain);
                put.BindText(2, name);
                put.Bind(3, next);
                if (payload is { } bytes)
                    put.BindBlob(4, bytes.Span);
                else
                    put.BindNull(4);
                put.Run();
                return new StateWriteResult(true, ETag(next));
            },
            1,
            cancellationToken);
    }

    private static long? Stored(SqliteConnection connection, string grain, string name)
    {
        var query = connection.Statement("SELECT etag FROM grain_state WHERE grain = ?1 AND name = ?2");
        query.BindText(1, grain);
        query.BindText(2, name);
        try
        {
            return query.Step() ? query.Int64(0) : null;
        }
        finally
        {
            query.Reset();
        }
    }
}
