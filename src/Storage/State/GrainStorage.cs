using System.Buffers;
using KlineOrleans.Contracts;
using Orleans.Storage;

namespace KlineOrleans.Storage;

/// <summary>Grain state in the store, for the grain engine. Thread safe.</summary>
/// <remarks>
/// A write is durable when it returns. Where the store is away every method throws <see cref="ArchiveUnavailableException"/>, nothing was changed, and the same call
/// may succeed later. A cleared record keeps its ETag, so that an activation from before cannot write over what comes after.
/// </remarks>
public sealed class GrainStorage(IStateStore states, IStateSerializer serializer) : IGrainStorage
{
    /// <inheritdoc/>
    public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        ReadStateAsync(stateName, grainId, grainState, CancellationToken.None);

    /// <inheritdoc/>
    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(grainState);
        var stored = await states.Read(grainId.ToString(), stateName, cancellationToken);
        grainState.State = stored.Payload is { } payload ? serializer.Deserialize<T>(payload) : Activator.CreateInstance<T>();
        grainState.RecordExists = stored.Payload is not null;
        grainState.ETag = stored.ETag;
    }

    /// <inheritdoc/>
    public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        WriteStateAsync(stateName, grainId, grainState, CancellationToken.None);

    /// <inheritdoc/>
    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(grainState);
        // Serialized here, in the grain's turn: what the grain does next is not in it.
        var payload = new ArrayBufferWriter<byte>(1_024);
        serializer.Serialize(grainState.State!, payload);
        var result = await states.Write(grainId.ToString(), stateName, payload.WrittenMemory, grainState.ETag, cancellationToken);
        if (!result.IsStored)
            throw Inconsistent("written", stateName, grainId, grainState.ETag, result.ETag);
        grainState.ETag = result.ETag;
        grainState.RecordExists = true;
    }

    /// <inheritdoc/>
    public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        ClearStateAsync(stateName, grainId, grainState, CancellationToken.None);

    /// <inheritdoc/>
    public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(grainState);
        var result = await states.Clear(grainId.ToString(), stateName, grainState.ETag, cancellationToken);
        if (!result.IsStored)
            throw Inconsistent("cleared", stateName, grainId, grainState.ETag, result.ETag);
        grainState.State = Activator.CreateInstance<T>();
        grainState.ETag = result.ETag;
        grainState.RecordExists = false;
    }

    private static InconsistentStateException Inconsistent(string what, string stateName, GrainId grainId, string? current, string? stored) =>
        new($"State '{stateName}' of grain {grainId} was not {what}: it has changed since it was read.", stored, current);
}
