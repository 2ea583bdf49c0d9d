using System.Globalization;

namespace KlineOrleans.Contracts;

/// <summary>The one text form of an exact number: no exponent, no trailing zeros, so that equal numbers are equal text.</summary>
public static class ExactDecimal
{
    /// <summary>The longest text that <see cref="TryFormat"/> writes, in bytes.</summary>
    public const int MaxLength = 32;

    // Dividing by one with the largest scale drops trailing zeros and changes nothing else.
    private const decimal One = 1.0000000000000000000000000000m;

    /// <summary>The same number without trailing zeros.</summary>
    public static decimal Normalize(decimal value) => value / One;

    /// <summary>Writes <paramref name="value"/> as text, as in <c>0.00141342</c>.</summary>
    public static string Format(decimal value) => Normalize(value).ToString(CultureInfo.InvariantCulture);

    /// <summary>Writes <paramref name="value"/> as UTF-8 text. <paramref name="utf8"/> needs <see cref="MaxLength"/> bytes.</summary>
    public static bool TryFormat(decimal value, Span<byte> utf8, out int written) =>
        Normalize(value).TryFormat(utf8, out written, default, CultureInfo.InvariantCulture);

    /// <summary>Reads what <see cref="Format"/> wrote, or any plain decimal number (digits, one point, a leading minus).</summary>
    public static bool TryParse(ReadOnlySpan<byte> utf8, out decimal value) =>
        decimal.TryParse(utf8, NumberStyles.AllowDecimalPoint | NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value);

    /// <inheritdoc cref="TryParse(ReadOnlySpan{byte}, out decimal)"/>
    public static bool TryParse(ReadOnlySpan<char> text, out decimal value) =>
        decimal.TryParse(text, NumberStyles.AllowDecimalPoint | NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value);
}
