using System.Buffers;

namespace KlineOrleans.Storage;

/// <summary>The stored form of grain states. Thread safe.</summary>
public interface IStateSerializer
{
    /// <summary>Writes <paramref name="state"/> so that <see cref="Deserialize"/> gives an equal one.</summary>
    void Serialize<T>(T state, IBufferWriter<byte> output);

    /// <exception cref="InvalidDataException">The bytes are not such a state.</exception>
    T Deserialize<T>(ReadOnlyMemory<byte> data);
}
