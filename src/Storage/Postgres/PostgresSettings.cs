namespace KlineOrleans.Storage.Postgres;

/// <summary>What tests and benchmarks vary; the defaults are the product.</summary>
internal sealed record PostgresSettings
{
    /// <summary>Writes that may wait; a caller beyond it waits to be queued.</summary>
    public int QueueCapacity { get; init; } = 8_192;

    /// <summary>Rows in one commit, unless a single write has more: bounds how long the first caller of a batch waits.</summary>
    public int BatchRows { get; init; } = 8_192;

    /// <summary>Connections that read at the same time, where the connection string does not say.</summary>
    public int Readers { get; init; } = 16;

    /// <summary>How long a read may wait for the reads before it: a thousand grains that come to life at once wait, those of a database that hangs do not for ever.</summary>
    public TimeSpan ReadPatience { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long to wait for a connection, where the connection string does not say.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How long a statement may go unanswered, where the connection string does not say. A database that is paused or cut off is noticed by this.</summary>
    public TimeSpan CommandTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Old rows deleted in one step of pruning, about.</summary>
    public int PruneRows { get; init; } = 10_000;

    /// <summary>How often a database that was away is looked for while nobody writes.</summary>
    public TimeSpan ProbeInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long to wait at the start for the lock of a server before, which the database may not have noticed to be gone.</summary>
    public TimeSpan LockPatience { get; init; } = TimeSpan.FromSeconds(10);
}
