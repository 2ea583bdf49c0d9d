namespace KlineOrleans.Storage.Sqlite;

/// <summary>What a write works with: the writer's connection and the numbers of symbols. Belongs to the writer's thread.</summary>
internal sealed class SqliteWriteSession(SqliteConnection connection)
{
    // Symbols of a chain are without end; those in use are few. Emptied when it is this large and filled again from the table.
    private const int MostSymbols = 200_000;

    private readonly Dictionary<string, long> _symbols = [];
    private readonly List<string> _uncommitted = [];

    public SqliteConnection Connection => connection;

    /// <summary>The number of a symbol, given to it if it has none.</summary>
    public long SymbolId(string symbol)
    {
        if (_symbols.TryGetValue(symbol, out var id))
            return id;

        if (_symbols.Count >= MostSymbols)
        {
            _symbols.Clear();
            _uncommitted.Clear();
        }

        var insert = connection.Statement("INSERT INTO symbol (symbol) VALUES (?1) ON CONFLICT (symbol) DO NOTHING");
        insert.BindText(1, symbol);
        insert.Run();
        var select = connection.Statement("SELECT id FROM symbol WHERE symbol = ?1");
        select.BindText(1, symbol);
        try
        {
            select.Step();
            id = select.Int64(0);
        }
        finally
        {
            select.Reset();
        }

        _symbols[symbol] = id;
        _uncommitted.Add(symbol);
        return id;
    }

    public void Begin() => connection.Execute("BEGIN IMMEDIATE");

    public void Commit()
    {
        connection.Execute("COMMIT");
        _uncommitted.Clear();
    }

    /// <summary>Takes back the transaction, and the numbers that symbols got in it.</summary>
    public void Rollback()
    {
        foreach (var symbol in _uncommitted)
            _symbols.Remove(symbol);
        _uncommitted.Clear();
        connection.Rollback();
    }
}
