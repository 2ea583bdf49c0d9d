using KlineOrleans.Contracts;

namespace KlineOrleans.Storage;

/// <summary>Grain states as bytes, by grain and state name. Thread safe.</summary>
/// <remarks>Every method throws <see cref="ArchiveUnavailableException"/> where the store is away; the same call may succeed later.</remarks>
public interface IStateStore
{
    /// <summary>The newest committed state.</summary>
    Task<StoredState> Read(string grain, string name, CancellationToken cancellationToken = default);

    /// <summary>Stores a state. Durable when it returns.</summary>
    /// <param name="payload">Must not change until the call returns.</param>
    /// <param name="etag">Of the state that this one replaces; null: there is none yet.</param>
    Task<StateWriteResult> Write(string grain, string name, ReadOnlyMemory<byte> payload, string? etag, CancellationToken cancellationToken = default);

    /// <summary>Forgets a state. The etag goes on, so that nothing written before can be taken for something written after.</summary>
    /// <param name="etag">Of the state to forget; null: there is none, and nothing happens if that holds.</param>
    Task<StateWriteResult> Clear(string grain, string name, string? etag, CancellationToken cancellationToken = default);
}

/// <summary>What is stored of a grain's state.</summary>
/// <param name="Payload">Its bytes; null: there is none, or it was cleared.</param>
/// <param name="ETag">Names this content and no other, ever; null: nothing was ever stored.</param>
public readonly record struct StoredState(byte[]? Payload, string? ETag);

/// <summary>How a write of a grain's state ended.</summary>
/// <param name="IsStored">False: somebody else has written since the caller's etag, and nothing was changed.</param>
/// <param name="ETag">Of what is stored now: the new one, or the one that the caller did not expect (null: nothing is stored).</param>
public readonly record struct StateWriteResult(bool IsStored, string? ETag);
