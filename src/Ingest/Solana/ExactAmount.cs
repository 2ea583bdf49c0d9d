namespace KlineOrleans.Ingest.Solana;

/// <summary>Scaled integers of a chain as exact decimals.</summary>
public static class ExactAmount
{
    private const int MaxScale = 28;

    private static readonly UInt128 MaxMantissa = (UInt128.One << 96) - 1;

    /// <summary><paramref name="value"/> / 10^<paramref name="scale"/>, exact for every value.</summary>
    /// <param name="scale">0 to 28.</param>
    public static decimal FromUInt64(ulong value, int scale) => new((int)value, (int)(value >> 32), 0, isNegative: false, (byte)scale);

    /// <summary><paramref name="value"/> / 10^<paramref name="scale"/>, rounded half to even to the digits that a decimal holds (28 or 29, and 28 decimal places).</summary>
    /// <param name="scale">0 to 38.</param>
    /// <returns>False if the result is too large for a decimal.</returns>
    public static bool TryFromUInt128(UInt128 value, int scale, out decimal result)
    {
        var drop = Math.Max(0, scale - MaxScale);
        var mantissa = Rounded(value, drop);
        while (mantissa > MaxMantissa)
        {
            // Always from the full value: rounding twice is not rounding once.
            mantissa = Rounded(value, ++drop);
        }

        if (drop > scale)
        {
            result = 0;
            return false;
        }

        result = new decimal((int)(uint)mantissa, (int)(uint)(mantissa >> 32), (int)(uint)(mantissa >> 64), isNegative: false, (byte)(scale - drop));
        return true;
    }

    private static UInt128 Rounded(UInt128 value, int drop)
    {
        if (drop == 0)
        {
            return value;
        }

        var divisor = UInt128.One;
        for (var i = 0; i < drop; i++)
        {
            divisor *= 10;
        }

        var (quotient, rest) = UInt128.DivRem(value, divisor);
        var half = divisor / 2;
        return rest > half || (rest == half && UInt128.IsOddInteger(quotient)) ? quotient + 1 : quotient;
    }
}
