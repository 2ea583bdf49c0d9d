using System.Buffers;

namespace KlineOrleans.Contracts;

/// <summary>A grain state that knows its own compact stored form. Stores use it instead of their general one.</summary>
/// <remarks>
/// In Contracts because grains write it and stores read it, and neither may know the other. The form must say its own version: what an older program wrote
/// must be read by a newer one.
/// </remarks>
/// <typeparam name="TSelf">The state itself.</typeparam>
public interface IBinaryState<TSelf>
    where TSelf : IBinaryState<TSelf>
{
    /// <summary>Writes the whole state.</summary>
    void Write(IBufferWriter<byte> output);

    /// <summary>Reads what <see cref="Write"/> wrote. <paramref name="data"/> holds exactly that and is only valid during the call.</summary>
    /// <exception cref="InvalidDataException">The bytes are none that <see cref="Write"/> ever wrote.</exception>
    static abstract TSelf Read(ReadOnlySpan<byte> data);
}
