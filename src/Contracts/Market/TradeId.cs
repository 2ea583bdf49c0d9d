namespace KlineOrleans.Contracts;

/// <summary>The identity of a trade: the same trade has the same id however often and however it arrives.</summary>
/// <remarks>
/// On Solana: the slot, the transaction's signature, and the index of the event among the transaction's events. On Binance: the aggregate trade id
/// alone. The default value stands for no trade. Immutable.
/// </remarks>
[GenerateSerializer, Immutable, Alias("KlineOrleans.TradeId")]
public readonly record struct TradeId
{
    /// <param name="position">The slot, or the aggregate trade id. Not negative.</param>
    /// <param name="signature">The transaction's signature in base58; null on an exchange.</param>
    /// <param name="index">The event's index in its transaction, from 0; 0 on an exchange.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is negative.</exception>
    public TradeId(long position, string? signature = null, int index = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        Position = position;
        Signature = signature;
        Index = index;
    }

    [Id(0)]
    public long Position { get; }

    [Id(1)]
    public string? Signature { get; }

    [Id(2)]
    public int Index { get; }

    /// <summary>As clients see it: <c>13519807</c>, or <c>slot:signature:index</c>.</summary>
    public override string ToString() => Signature is null ? $"{Position}" : $"{Position}:{Signature}:{Index}";

    /// <summary>Reads what <see cref="ToString"/> wrote.</summary>
    public static bool TryParse(string? text, out TradeId id)
    {
        id = default;
        if (text is null)
        {
            return false;
        }

        var parts = text.Split(':');
        if (parts.Length == 1)
        {
            if (!TryNumber(parts[0], out var position))
            {
                return false;
            }

            id = new TradeId(position);
            return true;
        }

        if (parts.Length != 3 || !TryNumber(parts[0], out var slot) || !TryNumber(parts[2], out var index) || index > int.MaxValue)
        {
            return false;
        }

        id = new TradeId(slot, parts[1], (int)index);
        return true;
    }

    private static bool TryNumber(string text, out long number) =>
        long.TryParse(text, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out number);
}
