namespace KlineOrleans.Contracts;

/// <summary>A price: quote units per base unit, exact.</summary>
/// <remarks>
/// Up to 28 significant digits. A source whose price has more (an on-chain ratio) rounds half to even once, when it decodes.
/// The default value stands for no price. Immutable.
/// </remarks>
[GenerateSerializer, Immutable, Alias("KlineOrleans.Price")]
public readonly record struct Price : IComparable<Price>
{
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="value"/> is not above zero.</exception>
    public Price(decimal value)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(value);
        Value = value;
    }

    [Id(0)]
    public decimal Value { get; }

    /// <inheritdoc/>
    public int CompareTo(Price other) => Value.CompareTo(other.Value);

    public static bool operator <(Price left, Price right) => left.Value < right.Value;

    public static bool operator >(Price left, Price right) => left.Value > right.Value;

    public static bool operator <=(Price left, Price right) => left.Value <= right.Value;

    public static bool operator >=(Price left, Price right) => left.Value >= right.Value;

    /// <summary>The price in the shortest decimal form: no exponent, no trailing zeros.</summary>
    public override string ToString() => ExactDecimal.Format(Value);
}
