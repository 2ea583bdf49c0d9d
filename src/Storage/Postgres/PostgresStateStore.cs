using System.Globalization;
using System.Security.Cryptography;
using Npgsql;

namespace KlineOrleans.Storage.Postgres;

/// <summary>Grain states in the same database and the same commits as the archive. Thread safe.</summary>
/// <remarks>
/// An etag is a random number. A write whose commit was never answered fails with <see cref="Contracts.ArchiveUnavailableException"/> and may have been done; the
/// store remembers it, and the caller's next write is taken as the one after it.
/// </remarks>
public sealed class PostgresStateStore(PostgresStore store) : IStateStore
{
    // No etag is negative: fits nothing that is stored.
    private const long None = -1;

    /// <inheritdoc/>
    public Task<StoredState> Read(string grain, string name, CancellationToken cancellationToken = default) =>
        store.Read(
            async (connection, cancellation) =>
            {
                await using var query = new NpgsqlCommand("SELECT etag, payload FROM kline_grain_state WHERE grain = $1 AND name = $2", connection);
                query.Parameters.Add(new NpgsqlParameter<string> { TypedValue = grain });
                query.Parameters.Add(new NpgsqlParameter<string> { TypedValue = name });
                await using var row = await query.ExecuteReaderAsync(cancellation);
                return await row.ReadAsync(cancellation) ? new StoredState(row.IsDBNull(1) ? null : (byte[])row[1], PostgresBatch.ETag(row.GetInt64(0))) : default;
            },
            cancellationToken);

    /// <inheritdoc/>
    public Task<StateWriteResult> Write(string grain, string name, ReadOnlyMemory<byte> payload, string? etag, CancellationToken cancellationToken = default) =>
        Put(grain, name, payload, etag, cancellationToken);

    /// <inheritdoc/>
    public Task<StateWriteResult> Clear(string grain, string name, string? etag, CancellationToken cancellationToken = default) =>
        Put(grain, name, null, etag, cancellationToken);

    private Task<StateWriteResult> Put(string grain, string name, ReadOnlyMemory<byte>? payload, string? etag, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(grain);
        ArgumentException.ThrowIfNullOrEmpty(name);
        PostgresText.Check(grain, nameof(grain));
        PostgresText.Check(name, nameof(name));
        long? expected = etag is null ? null : long.TryParse(etag, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : None;
        Span<byte> random = stackalloc byte[8];
        RandomNumberGenerator.Fill(random);
        var next = BitConverter.ToInt64(random) & long.MaxValue;
        return store.Write(new StateWrite(grain, name, payload, expected, next, cancellationToken), cancellationToken);
    }
}
