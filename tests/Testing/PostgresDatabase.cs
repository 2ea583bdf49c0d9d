using Npgsql;

namespace KlineOrleans.Testing;

/// <summary>A schema of its own in the PostgreSQL database that <c>KLINE_POSTGRES</c> names, for one test. Dropped when disposed.</summary>
public sealed class PostgresDatabase : IAsyncDisposable
{
    private static readonly string? Given = Environment.GetEnvironmentVariable("KLINE_POSTGRES") is { Length: > 0 } given ? given : null;

    private readonly string _schema;

    private PostgresDatabase(string schema)
    {
        _schema = schema;
        ConnectionString = new NpgsqlConnectionStringBuilder(Given!) { SearchPath = schema }.ConnectionString;
    }

    /// <summary>Whether a database was named.</summary>
    public static bool Exists => Given is not null;

    /// <summary>Why a test that needs it is skipped.</summary>
    public const string SkipReason = "KLINE_POSTGRES, the connection string of a PostgreSQL database in which tests may make schemas, is not set";

    /// <summary>Its tables are this test's alone.</summary>
    public string ConnectionString { get; }

    /// <summary>Where the database listens.</summary>
    public static (string Host, int Port) Address
    {
        get
        {
            var given = new NpgsqlConnectionStringBuilder(Given!);
            return (given.Host!, given.Port);
        }
    }

    /// <summary>For tools that take it apart from the rest; empty: none is needed.</summary>
    public static string Password => new NpgsqlConnectionStringBuilder(Given!).Password ?? "";

    /// <summary>The same, reached through another port of this machine.</summary>
    public string Through(int port) => new NpgsqlConnectionStringBuilder(ConnectionString) { Host = "127.0.0.1", Port = port }.ConnectionString;

    /// <exception cref="InvalidOperationException">No database was named: check <see cref="Exists"/> first and skip.</exception>
    public static async Task<PostgresDatabase> Create()
    {
        if (!Exists)
            throw new InvalidOperationException(SkipReason);
        var database = new PostgresDatabase($"kline_test_{Guid.NewGuid():N}");
        await Administer($"CREATE SCHEMA {database._schema}");
        return database;
    }

    /// <summary>Runs statements in the schema.</summary>
    public async Task Execute(string sql)
    {
        await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(ConnectionString) { Pooling = false }.ConnectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>Every row of a query, its columns as text.</summary>
    public async Task<List<string>> Rows(string sql)
    {
        await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(ConnectionString) { Pooling = false }.ConnectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand($"SELECT r::text FROM ({sql}) r", connection);
        await using var reader = await command.ExecuteReaderAsync();
        var rows = new List<string>();
        while (await reader.ReadAsync())
            rows.Add(reader.GetString(0));
        return rows;
    }

    public async ValueTask DisposeAsync() => await Administer($"DROP SCHEMA {_schema} CASCADE");

    private static async Task Administer(string sql)
    {
        await using var connection = new NpgsqlConnection(Given);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand("SET client_min_messages = warning; " + sql, connection);
        await command.ExecuteNonQueryAsync();
    }
}
