using KlineOrleans.Contracts;

namespace KlineOrleans.Storage.Sqlite;

/// <summary>What is stored of a grain's state.</summary>
/// <param name="Payload">Its bytes; null: there is none, or it was cleared.</param>
/// <param name="ETag">Names this content and no other, ever; null: nothing was ever stored.</param>
public readonly record struct StoredState(byte[]? Payload, string? ETag);

/// <summary>How a write of a grain's state ended.</summary>
/// <param name="IsStored">False: somebody else has written since the caller's etag, and nothing was changed.</param>
/// <param name="ETag">Of what is stored now: the new one, or the one that the caller did not expect (null: nothing is stored).</param>
public readonly record struct StateWriteResult(bool IsStored, string? ETag);

/// <summary>Grain states by grain and state name, in the same file and the same commits as the archive. Thread safe.</summary>
/// <remarks>Every method throws <see cref="ArchiveUnavailableException"/> where the store is away; nothing was changed then.</remarks>
public sealed class SqliteStateStore(SqliteStore store)
{
    /// <summary>The newest committed state.</summary>
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

    /// <summary>Stores a state. Durable when it returns.</summary>
    /// <param name="payload">Must not change until the call returns.</param>
    /// <param name="etag">Of the state that this one replaces; null: there is none yet.</param>
    public Task<StateWriteResult> Write(string grain, string name, ReadOnlyMemory<byte> payload, string? etag, CancellationToken cancellationToken = default) =>
        Put(grain, name, payload, etag, cancellationToken);

    /// <summary>Forgets a state. The etag goes on, so that nothing written before can be taken for something written after.</summary>
    /// <param name="etag">Of the state to forget; null: there is none, and nothing happens if that holds.</param>
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
