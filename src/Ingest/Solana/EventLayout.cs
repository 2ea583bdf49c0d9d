using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace KlineOrleans.Ingest.Solana;

/// <summary>The Borsh types that events are made of.</summary>
public enum FieldType : byte
{
    Bool,
    U8,
    U16,
    U32,
    U64,
    I64,
    U128,
    PublicKey,

    /// <summary>A u32 length in bytes, then UTF-8.</summary>
    Text,

    /// <summary>A u32 count, then as many u16.</summary>
    U16List,
}

/// <summary>A member of an event. Immutable.</summary>
/// <param name="Name">In snake case, as in the program's IDL and in the JSON form.</param>
public readonly record struct EventField(string Name, FieldType Type);

/// <summary>The bytes of one type of event in one generation of its program. Immutable, thread safe.</summary>
/// <remarks>Little endian, no padding. A payload is the event's data after its 8-byte discriminator.</remarks>
public sealed class EventLayout
{
    private readonly ImmutableDictionary<string, int> _offsets;

    private EventLayout(string eventType, ImmutableArray<EventField> fields, int? knownPrefix)
    {
        EventType = eventType;
        Discriminator = BinaryPrimitives.ReadUInt64LittleEndian(SHA256.HashData(Encoding.ASCII.GetBytes($"event:{eventType}Event")));
        Fields = fields;
        KnownPrefix = knownPrefix;
        var offsets = ImmutableDictionary.CreateBuilder<string, int>(StringComparer.Ordinal);
        var at = 0;
        foreach (var field in fields)
        {
            offsets.Add(field.Name, at);
            if (Size(field.Type) is not { } size)
            {
                break;
            }

            at += size;
        }

        _offsets = offsets.ToImmutable();
    }

    /// <summary>The event's type without the suffix Event: <c>BuySell</c>. The tag <c>event_type</c> of the JSON form.</summary>
    public string EventType { get; }

    /// <summary>The first 8 bytes of SHA-256 of <c>event:</c> and the struct's name, little endian.</summary>
    public ulong Discriminator { get; }

    public ImmutableArray<EventField> Fields { get; }

    /// <summary>How many leading fields a payload must have, where the program appends fields from time to time; null if a payload must fit exactly.</summary>
    public int? KnownPrefix { get; }

    /// <param name="eventType">Without the suffix Event.</param>
    /// <param name="fields">As in <c>"payer:pk is_buy:bool"</c>; types are bool, u8, u16, u32, u64, i64, u128, pk, text, u16s.</param>
    /// <param name="knownPrefix">See <see cref="KnownPrefix"/>.</param>
    public static EventLayout Create(string eventType, string fields, int? knownPrefix = null) =>
        new(eventType, [.. fields.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(ParseField)], knownPrefix);

    /// <summary>Where a field begins in every payload; null if it has no such field, or if what stands before it varies in length.</summary>
    public int? OffsetOf(string field) => _offsets.TryGetValue(field, out var offset) ? offset : null;

    /// <summary>Whether the payload is made of these fields: every flag 0 or 1, every text UTF-8, and (without a known prefix) not a byte more or less.</summary>
    public bool Fits(ReadOnlySpan<byte> payload)
    {
        var at = 0;
        var required = KnownPrefix ?? Fields.Length;
        for (var i = 0; i < required; i++)
        {
            var length = Measure(Fields[i].Type, payload[at..]);
            if (length < 0)
            {
                return false;
            }

            at += length;
        }

        return KnownPrefix is not null || at == payload.Length;
    }

    /// <summary>The bytes of one field of a payload that <see cref="Fits"/>; false if it has no such field.</summary>
    public bool TryGet(ReadOnlySpan<byte> payload, string field, out ReadOnlySpan<byte> value)
    {
        var at = 0;
        foreach (var f in Fields)
        {
            var length = Measure(f.Type, payload[at..]);
            if (length < 0)
            {
                break;
            }

            if (f.Name == field)
            {
                value = payload.Slice(at, length);
                return true;
            }

            at += length;
        }

        value = default;
        return false;
    }

    /// <summary>The text of a field of type <see cref="FieldType.Text"/>; null if the payload has no such field.</summary>
    public string? GetText(ReadOnlySpan<byte> payload, string field) =>
        TryGet(payload, field, out var value) ? Encoding.UTF8.GetString(value[4..]) : null;

    /// <summary>Writes the event as one JSON object: <c>event_type</c>, then every field under its own name, nothing lost.</summary>
    /// <remarks>u128 is a decimal string, keys are base58, smaller numbers are JSON numbers. The object is left open for members of the caller's if asked.</remarks>
    /// <param name="payload">One that <see cref="Fits"/>. Of a layout with a known prefix the fields that it has are written.</param>
    public void WriteJson(Utf8JsonWriter writer, ReadOnlySpan<byte> payload, bool leaveOpen = false)
    {
        writer.WriteStartObject();
        writer.WriteString("event_type"u8, EventType);
        var at = 0;
        foreach (var field in Fields)
        {
            var length = Measure(field.Type, payload[at..]);
            if (length < 0)
            {
                break;
            }

            WriteField(writer, field, payload.Slice(at, length));
            at += length;
        }

        if (!leaveOpen)
        {
            writer.WriteEndObject();
        }
    }

    private static void WriteField(Utf8JsonWriter writer, EventField field, ReadOnlySpan<byte> value)
    {
        switch (field.Type)
        {
            case FieldType.Bool:
                writer.WriteBoolean(field.Name, value[0] != 0);
                break;
            case FieldType.U8:
                writer.WriteNumber(field.Name, value[0]);
                break;
            case FieldType.U16:
                writer.WriteNumber(field.Name, BinaryPrimitives.ReadUInt16LittleEndian(value));
                break;
            case FieldType.U32:
                writer.WriteNumber(field.Name, BinaryPrimitives.ReadUInt32LittleEndian(value));
                break;
            case FieldType.U64:
                writer.WriteNumber(field.Name, BinaryPrimitives.ReadUInt64LittleEndian(value));
                break;
            case FieldType.I64:
                writer.WriteNumber(field.Name, BinaryPrimitives.ReadInt64LittleEndian(value));
                break;
            case FieldType.U128:
                writer.WriteString(field.Name, BinaryPrimitives.ReadUInt128LittleEndian(value).ToString(CultureInfo.InvariantCulture));
                break;
            case FieldType.PublicKey:
                writer.WriteString(field.Name, Base58.Encode(value));
                break;
            case FieldType.Text:
                writer.WriteString(field.Name, value[4..]);
                break;
            case FieldType.U16List:
                writer.WriteStartArray(field.Name);
                for (var i = 4; i < value.Length; i += 2)
                {
                    writer.WriteNumberValue(BinaryPrimitives.ReadUInt16LittleEndian(value[i..]));
                }

                writer.WriteEndArray();
                break;
        }
    }

    // The field's length in bytes; -1 if the bytes are not such a field.
    private static int Measure(FieldType type, ReadOnlySpan<byte> rest)
    {
        if (Size(type) is { } size)
        {
            return size <= rest.Length && (type != FieldType.Bool || rest[0] <= 1) ? size : -1;
        }

        if (rest.Length < 4)
        {
            return -1;
        }

        var count = BinaryPrimitives.ReadUInt32LittleEndian(rest);
        var length = 4 + ((long)count * (type == FieldType.Text ? 1 : 2));
        return length <= rest.Length && (type != FieldType.Text || Utf8.IsValid(rest.Slice(4, (int)count))) ? (int)length : -1;
    }

    private static int? Size(FieldType type) => type switch
    {
        FieldType.Bool or FieldType.U8 => 1,
        FieldType.U16 => 2,
        FieldType.U32 => 4,
        FieldType.U64 or FieldType.I64 => 8,
        FieldType.U128 => 16,
        FieldType.PublicKey => PublicKey.Length,
        _ => null,
    };

    private static EventField ParseField(string text)
    {
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        return new EventField(text[..colon], text[(colon + 1)..] switch
        {
            "bool" => FieldType.Bool,
            "u8" => FieldType.U8,
            "u16" => FieldType.U16,
            "u32" => FieldType.U32,
            "u64" => FieldType.U64,
            "i64" => FieldType.I64,
            "u128" => FieldType.U128,
            "pk" => FieldType.PublicKey,
            "text" => FieldType.Text,
            "u16s" => FieldType.U16List,
            var other => throw new ArgumentException($"'{other}' is not a field type."),
        });
    }
}
