using System.Runtime.InteropServices;

namespace KlineOrleans.Ingest.Solana;

/// <summary>A 32-byte account address. Immutable; the default value is the system program.</summary>
public readonly record struct PublicKey
{
    public const int Length = 32;

    private readonly ulong _a;
    private readonly ulong _b;
    private readonly ulong _c;
    private readonly ulong _d;

    /// <param name="bytes">At least <see cref="Length"/> bytes; more are left alone.</param>
    public PublicKey(ReadOnlySpan<byte> bytes)
    {
        var words = MemoryMarshal.Cast<byte, ulong>(bytes[..Length]);
        (_a, _b, _c, _d) = (words[0], words[1], words[2], words[3]);
    }

    public void CopyTo(Span<byte> destination)
    {
        var words = MemoryMarshal.Cast<byte, ulong>(destination[..Length]);
        (words[0], words[1], words[2], words[3]) = (_a, _b, _c, _d);
    }

    // The keys are hashes already: any word of one is as good as a hash.
    public override int GetHashCode() => (_a ^ _d).GetHashCode();

    /// <summary>The address in base58.</summary>
    public override string ToString()
    {
        Span<byte> bytes = stackalloc byte[Length];
        CopyTo(bytes);
        return Base58.Encode(bytes);
    }

    /// <summary>Reads an address in base58: 32 to 44 characters that stand for 32 bytes.</summary>
    public static bool TryParse(ReadOnlySpan<char> text, out PublicKey key)
    {
        Span<byte> bytes = stackalloc byte[Length];
        if (text.Length is >= 32 and <= 44 && Base58.TryDecode(text, bytes, out var written) && written == Length)
        {
            key = new PublicKey(bytes);
            return true;
        }

        key = default;
        return false;
    }
}
