using System.Globalization;
using Npgsql;

namespace KlineOrleans.Storage;

/// <summary>The tables and statements in PostgreSQL that the clustering and persistence providers of Microsoft Orleans read. Their packages bring none.</summary>
/// <remarks>
/// In the first schema of the connection's search path; <c>orleans_schema</c> holds the version. A migration takes place in one transaction under a lock, so that
/// processes that start together do not meet. Where the version is current nothing is written: a user without the right to make tables can start then.
/// </remarks>
public static class ClusterSchema
{
    /// <summary>The version of the schema that this program needs.</summary>
    public const int Version = 1;

    // Of this program's locks in the database, the one of this schema.
    private const long Lock = 0x4B6C696E65_02;

    /// <summary>The script as the database's administrator may run it, version included.</summary>
    public static string Script { get; } = Read() + string.Create(CultureInfo.InvariantCulture, $"""

        CREATE TABLE IF NOT EXISTS orleans_schema (version integer NOT NULL);
        DELETE FROM orleans_schema;
        INSERT INTO orleans_schema VALUES ({Version});

        """);

    /// <summary>Brings the database to <see cref="Version"/>.</summary>
    /// <returns>Whether anything had to be changed.</returns>
    /// <exception cref="StorageOpenException">The database cannot be reached or changed, or is of a newer version.</exception>
    public static async Task<bool> Apply(string connectionString, CancellationToken cancellationToken = default)
    {
        try
        {
            await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString);
            await connection.OpenAsync(cancellationToken);
            if (await Current(connection, cancellationToken) == Version)
            {
                return false;
            }

            await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
            await Execute(connection, string.Create(CultureInfo.InvariantCulture, $"SET LOCAL client_min_messages = warning; SELECT pg_advisory_xact_lock({Lock})"), cancellationToken);
            if (await Current(connection, cancellationToken) == Version)
            {
                return false;
            }

            await Execute(connection, Script, cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            return true;
        }
        catch (NpgsqlException error)
        {
            throw new StorageOpenException($"{Where(connectionString)}: the cluster's tables cannot be made or read: {error.Message}", error);
        }
    }

    /// <summary>Does nothing where the database is at <see cref="Version"/>.</summary>
    /// <exception cref="StorageOpenException">It is not, or cannot be reached.</exception>
    public static async Task Check(string connectionString, CancellationToken cancellationToken = default)
    {
        try
        {
            await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString);
            await connection.OpenAsync(cancellationToken);
            if (await Current(connection, cancellationToken) != Version)
            {
                throw new StorageOpenException($"{Where(connectionString)}: the cluster's tables are missing or older. Let an administrator run the command schema, or set Kline:Cluster:ApplySchema to true.");
            }
        }
        catch (NpgsqlException error)
        {
            throw new StorageOpenException($"{Where(connectionString)}: the cluster's tables cannot be read: {error.Message}", error);
        }
    }

    private static async Task<int> Current(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        // From the catalogue itself: to_regclass remembers, within a transaction, what was not there before the lock was waited for.
        await using var exists = new NpgsqlCommand("SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'orleans_schema' AND relnamespace = to_regnamespace(current_schema()))", connection);
        if (await exists.ExecuteScalarAsync(cancellationToken) is not true)
        {
            return 0;
        }

        await using var command = new NpgsqlCommand("SELECT coalesce(max(version), 0) FROM orleans_schema", connection);
        var version = (int)(await command.ExecuteScalarAsync(cancellationToken))!;
        return version <= Version
            ? version
            : throw new StorageOpenException($"{connection.Host}/{connection.Database}: the cluster's tables were made by a newer version of this program (version {version}; this program knows {Version}). Use that version, or another database.");
    }

    private static async Task Execute(NpgsqlConnection connection, string sql, CancellationToken cancellationToken)
    {
        // As it stands: the parameters in it belong to the statements that it stores.
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private static string Where(string connectionString)
    {
        var builder = new NpgsqlConnectionStringBuilder(connectionString);
        return $"{builder.Host}/{builder.Database}";
    }

    private static string Read()
    {
        using var stream = typeof(ClusterSchema).Assembly.GetManifestResourceStream("KlineOrleans.Storage.ClusterSchema.sql")!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
