using System.Buffers;
using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using KlineOrleans.Contracts;

namespace KlineOrleans.Storage;

/// <summary>States in their own binary form where they have one (<see cref="IBinaryState{TSelf}"/>), else as JSON of their public properties.</summary>
/// <remarks>The first byte says which, so that a state stored as JSON is still read after its type has got a binary form.</remarks>
public sealed class StateSerializer : IStateSerializer
{
    // Stored: retired, never reused.
    private const byte Json = 1;
    private const byte Binary = 2;

    private static readonly JsonSerializerOptions Options = new()
    {
        // Computed properties have nothing to restore; positional and init-only ones are not read-only.
        IgnoreReadOnlyProperties = true,
        Converters = { new PriceConverter(), new TradeIdConverter(), new TradeOrderConverter(), new ImmutableArrayConverterFactory() },
    };

    /// <inheritdoc/>
    public void Serialize<T>(T state, IBufferWriter<byte> output)
    {
        ArgumentNullException.ThrowIfNull(output);
        if (BinaryForm<T>.Instance is { } binary)
        {
            output.Write([Binary]);
            binary.Write(state, output);
            return;
        }

        output.Write([Json]);
        using var writer = new Utf8JsonWriter(output);
        JsonSerializer.Serialize(writer, state, Options);
    }

    /// <inheritdoc/>
    public T Deserialize<T>(ReadOnlyMemory<byte> data)
    {
        var bytes = data.Span;
        if (!bytes.IsEmpty && bytes[0] == Binary)
        {
            return BinaryForm<T>.Instance is { } binary
                ? binary.Read(bytes[1..])
                : throw new InvalidDataException($"A stored state of {typeof(T)} is in binary form, which that type no longer has.");
        }

        if (bytes.IsEmpty || bytes[0] != Json)
            throw new InvalidDataException($"A stored state of {typeof(T)} begins with {(bytes.IsEmpty ? "nothing" : bytes[0])}, which names no form.");
        try
        {
            return JsonSerializer.Deserialize<T>(bytes[1..], Options)!;
        }
        catch (JsonException exception)
        {
            throw new InvalidDataException($"A stored state of {typeof(T)} cannot be read: {exception.Message}", exception);
        }
    }

    private abstract class BinaryForm<T>
    {
        /// <summary>Null: the type has no form of its own.</summary>
        public static BinaryForm<T>? Instance { get; } = Array.Exists(typeof(T).GetInterfaces(), i => i.IsGenericType && i.GetGenericTypeDefinition() == typeof(IBinaryState<>) && i.GenericTypeArguments[0] == typeof(T))
            ? (BinaryForm<T>)Activator.CreateInstance(typeof(OwnForm<>).MakeGenericType(typeof(T)))!
            : null;

        public abstract void Write(T state, IBufferWriter<byte> output);

        public abstract T Read(ReadOnlySpan<byte> data);
    }

    private sealed class OwnForm<T> : BinaryForm<T>
        where T : IBinaryState<T>
    {
        public override void Write(T state, IBufferWriter<byte> output) => state.Write(output);

        public override T Read(ReadOnlySpan<byte> data) => T.Read(data);
    }

    private sealed class PriceConverter : JsonConverter<Price>
    {
        public override Price Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
        {
            var value = reader.GetDecimal();
            return value == 0 ? default : new Price(value);
        }

        public override void Write(Utf8JsonWriter writer, Price value, JsonSerializerOptions options) => writer.WriteNumberValue(value.Value);
    }

    private sealed class TradeIdConverter : JsonConverter<TradeId>
    {
        public override TradeId Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
        {
            var (position, signature, index) = JsonSerializer.Deserialize<Parts>(ref reader, options)!;
            return new TradeId(position, signature, index);
        }

        public override void Write(Utf8JsonWriter writer, TradeId value, JsonSerializerOptions options) =>
            JsonSerializer.Serialize(writer, new Parts(value.Position, value.Signature, value.Index), options);

        private sealed record Parts(long Position, string? Signature, int Index);
    }

    private sealed class TradeOrderConverter : JsonConverter<TradeOrder>
    {
        public override TradeOrder Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
        {
            var (id, sequence) = JsonSerializer.Deserialize<Parts>(ref reader, options)!;
            return new TradeOrder(id, sequence);
        }

        public override void Write(Utf8JsonWriter writer, TradeOrder value, JsonSerializerOptions options) =>
            JsonSerializer.Serialize(writer, new Parts(value.Id, value.Sequence), options);

        private sealed record Parts(TradeId Id, long Sequence);
    }

    // The default ImmutableArray is not an empty one, and the general converter throws on it.
    private sealed class ImmutableArrayConverterFactory : JsonConverterFactory
    {
        public override bool CanConvert(Type typeToConvert) =>
            typeToConvert.IsGenericType && typeToConvert.GetGenericTypeDefinition() == typeof(ImmutableArray<>);

        public override JsonConverter CreateConverter(Type typeToConvert, JsonSerializerOptions options) =>
            (JsonConverter)Activator.CreateInstance(typeof(ImmutableArrayConverter<>).MakeGenericType(typeToConvert.GenericTypeArguments[0]))!;
    }

    private sealed class ImmutableArrayConverter<T> : JsonConverter<ImmutableArray<T>>
    {
        public override bool HandleNull => true;

        public override ImmutableArray<T> Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            JsonSerializer.Deserialize<T[]>(ref reader, options) is { } items ? ImmutableArray.Create(items) : default;

        public override void Write(Utf8JsonWriter writer, ImmutableArray<T> value, JsonSerializerOptions options) =>
            JsonSerializer.Serialize(writer, value.IsDefault ? null : value.AsEnumerable(), options);
    }
}
