namespace KlineOrleans.Storage.Sqlite;

/// <summary>What tests and benchmarks vary; the defaults are the product.</summary>
internal sealed record SqliteSettings
{
    /// <summary>
    /// FULL: the log is on the disk before a write returns, so that a power failure loses nothing that was confirmed. NORMAL survives kill -9 just as well and
    /// never corrupts either, but after a power failure the newest commits may be gone. A thousand symbols writing 20 klines each, two busy cores: FULL 181,000
    /// klines/s, NORMAL 195,000, OFF (may corrupt) 234,000 over half a million rows; FULL 116,000 and NORMAL 145,000 over 8 seconds, klines made included. With
    /// group commit the promise costs 7 to 20 %.
    /// </summary>
    public string Synchronous { get; init; } = "FULL";

    /// <summary>Pages of the log after which they move into the main file: 8,192 pages are 32 MiB. Hot pages are rewritten in the log many times and moved once.</summary>
    public int CheckpointPages { get; init; } = 8_192;

    /// <summary>Writes that may wait; a caller beyond it waits to be queued.</summary>
    public int QueueCapacity { get; init; } = 4_096;

    /// <summary>Rows in one commit, unless a single write has more: bounds how long the first caller of a batch waits. Larger batches measured no faster.</summary>
    public int BatchRows { get; init; } = 4_096;

    /// <summary>Old rows deleted in one step of pruning: about as long as a commit of others takes.</summary>
    public int PruneRows { get; init; } = 1_000;

    /// <summary>Connections that read at the same time.</summary>
    public int Readers { get; init; } = Math.Clamp(Environment.ProcessorCount, 2, 8);

    /// <summary>How long to wait for another program that holds a lock. Nobody else writes, but a tool may look into the file.</summary>
    public TimeSpan BusyTimeout { get; init; } = TimeSpan.FromSeconds(1);
}
