using System.Buffers.Binary;

namespace KlineOrleans.Ingest.Solana;

/// <summary>Base58 with Bitcoin's alphabet, as Solana writes keys and signatures.</summary>
public static class Base58
{
    /// <summary>The longest input of <see cref="Encode"/> and output of <see cref="TryDecode"/>, in bytes.</summary>
    public const int MaxBytes = 128;

    private const string Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

    // Five digits at a time: 58^5 is the largest power whose product with a limb stays below 2^62.
    private const uint FiveDigits = 58 * 58 * 58 * 58 * 58;

    private static readonly sbyte[] Digits = MakeDigits();

    /// <summary>Writes <paramref name="bytes"/> as text; each leading zero byte is a leading <c>1</c>.</summary>
    /// <exception cref="ArgumentException">More than <see cref="MaxBytes"/>.</exception>
    public static string Encode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > MaxBytes)
        {
            throw new ArgumentException($"{bytes.Length} bytes are more than {MaxBytes}.", nameof(bytes));
        }

        var zeros = 0;
        while (zeros < bytes.Length && bytes[zeros] == 0)
        {
            zeros++;
        }

        var limbCount = (bytes.Length + 3) / 4;
        Span<uint> limbs = stackalloc uint[MaxBytes / 4];
        limbs = limbs[..limbCount];
        var lead = bytes.Length - ((limbCount - 1) * 4);
        if (limbCount > 0)
        {
            uint first = 0;
            for (var i = 0; i < lead; i++)
            {
                first = (first << 8) | bytes[i];
            }

            limbs[0] = first;
            for (var i = 1; i < limbCount; i++)
            {
                limbs[i] = BinaryPrimitives.ReadUInt32BigEndian(bytes[(lead + ((i - 1) * 4))..]);
            }
        }

        Span<char> text = stackalloc char[(MaxBytes * 138 / 100) + 12];
        var at = text.Length;
        var from = 0;
        while (true)
        {
            while (from < limbCount && limbs[from] == 0)
            {
                from++;
            }

            if (from == limbCount)
            {
                break;
            }

            ulong rest = 0;
            for (var i = from; i < limbCount; i++)
            {
                var value = (rest << 32) | limbs[i];
                var quotient = value / FiveDigits;
                limbs[i] = (uint)quotient;
                rest = value - (quotient * FiveDigits);
            }

            var five = (uint)rest;
            for (var i = 0; i < 5; i++)
            {
                text[--at] = Alphabet[(int)(five % 58)];
                five /= 58;
            }
        }

        // The last group of five may begin with zeros that are no digits.
        while (at < text.Length && text[at] == '1')
        {
            at++;
        }

        for (var i = 0; i < zeros; i++)
        {
            text[--at] = '1';
        }

        return new string(text[at..]);
    }

    /// <summary>Reads what <see cref="Encode"/> wrote.</summary>
    /// <returns>False for a character outside the alphabet, or a number that does not fit <paramref name="destination"/>.</returns>
    public static bool TryDecode(ReadOnlySpan<char> text, Span<byte> destination, out int written)
    {
        written = 0;
        var zeros = 0;
        while (zeros < text.Length && text[zeros] == '1')
        {
            zeros++;
        }

        Span<byte> reversed = stackalloc byte[MaxBytes];
        var length = 0;
        foreach (var c in text[zeros..])
        {
            if (c >= Digits.Length || Digits[c] < 0)
            {
                return false;
            }

            var carry = (int)Digits[c];
            for (var i = 0; i < length; i++)
            {
                carry += reversed[i] * 58;
                reversed[i] = (byte)carry;
                carry >>= 8;
            }

            while (carry > 0)
            {
                if (length == MaxBytes)
                {
                    return false;
                }

                reversed[length++] = (byte)carry;
                carry >>= 8;
            }
        }

        if (zeros + length > destination.Length)
        {
            return false;
        }

        destination[..zeros].Clear();
        for (var i = 0; i < length; i++)
        {
            destination[zeros + i] = reversed[length - 1 - i];
        }

        written = zeros + length;
        return true;
    }

    /// <summary>Whether every byte is a digit of the alphabet and there is at least one.</summary>
    public static bool IsText(ReadOnlySpan<byte> utf8)
    {
        foreach (var b in utf8)
        {
            if (b >= Digits.Length || Digits[b] < 0)
            {
                return false;
            }
        }

        return !utf8.IsEmpty;
    }

    private static sbyte[] MakeDigits()
    {
        var digits = new sbyte[128];
        Array.Fill(digits, (sbyte)-1);
        for (var i = 0; i < Alphabet.Length; i++)
        {
            digits[Alphabet[i]] = (sbyte)i;
        }

        return digits;
    }
}
