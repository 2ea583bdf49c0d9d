namespace KlineOrleans.Storage;

/// <summary>The store behind archive and grain state, as the host sees it. Thread safe.</summary>
public interface IKlineStore : IStorageStatus
{
    /// <summary>Opens the store, makes or migrates its tables and starts its writer. Does nothing when open.</summary>
    /// <exception cref="StorageOpenException">It cannot be opened now; calling again tries again.</exception>
    /// <exception cref="ObjectDisposedException">It was closed.</exception>
    Task Open(CancellationToken cancellationToken = default);

    /// <summary>Writes what waits, refuses what comes after, and lets go of the store. Idempotent.</summary>
    Task Close();
}
