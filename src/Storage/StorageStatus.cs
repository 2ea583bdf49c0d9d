namespace KlineOrleans.Storage;

/// <summary>How the store does, as of one moment. Counts begin at 0 when the process starts.</summary>
/// <param name="IsAvailable">Open, and the newest write succeeded (or none was tried yet).</param>
/// <param name="LastError">What the newest failure said; null if there was none. Stays after recovery.</param>
/// <param name="LastErrorTime">When that was, by our clock, UTC.</param>
/// <param name="QueueLength">Writes that wait.</param>
/// <param name="FileBytes">The size of the data, with what is not yet moved into the main file. 0 where unknown.</param>
/// <param name="RowsWritten">Klines and states in commits that succeeded.</param>
/// <param name="Commits">Commits that succeeded. Far fewer than rows: writes share them.</param>
/// <param name="WritesFailed">Writes that were refused because the store could not write.</param>
public sealed record StorageStatus(
    bool IsAvailable,
    string? LastError,
    DateTimeOffset? LastErrorTime,
    int QueueLength,
    long FileBytes,
    long RowsWritten,
    long Commits,
    long WritesFailed);

/// <summary>Tells how the store does. Thread safe, cheap enough for every health check.</summary>
public interface IStorageStatus
{
    StorageStatus Current { get; }
}
