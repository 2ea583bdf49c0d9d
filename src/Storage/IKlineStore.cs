using KlineOrleans.Contracts;

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

    /// <summary>The end of the newest kline that this process has written; null: none yet. What is old is reckoned from it, so that a recording is not old by our clock.</summary>
    DateTimeOffset? NewestEnd { get; }

    /// <summary>Deletes klines of one interval that end at or before <paramref name="before"/>, in small steps between which others write. Answers how many.</summary>
    /// <exception cref="ArchiveUnavailableException">The store cannot be written now; what was deleted stays so.</exception>
    Task<long> Prune(KlineInterval interval, DateTimeOffset before, CancellationToken cancellationToken = default);
}
