namespace KlineOrleans.Contracts;

/// <summary>Where a trade stands among all trades of its mint: open and close of a kline are its first and last trade by this order.</summary>
/// <remarks>
/// Ordered by position (slot or aggregate id), then <see cref="Sequence"/>, then signature, then index in the transaction, so that
/// the order is total and any order of arrival gives the same klines. The default value stands before every trade. Immutable.
/// </remarks>
[GenerateSerializer, Immutable, Alias("KlineOrleans.TradeOrder")]
public readonly record struct TradeOrder : IComparable<TradeOrder>
{
    /// <param name="id">The trade.</param>
    /// <param name="sequence">
    /// The source's order among trades of one position: the transaction's place in its slot, the line of a recording. Must be the same whenever the
    /// same trade is delivered again.
    /// </param>
    public TradeOrder(TradeId id, long sequence = 0)
    {
        Id = id;
        Sequence = sequence;
    }

    [Id(0)]
    public TradeId Id { get; }

    [Id(1)]
    public long Sequence { get; }

    /// <inheritdoc/>
    public int CompareTo(TradeOrder other)
    {
        var result = Id.Position.CompareTo(other.Id.Position);
        if (result != 0)
        {
            return result;
        }

        result = Sequence.CompareTo(other.Sequence);
        if (result != 0)
        {
            return result;
        }

        // Two transactions with one sequence: the source could not tell. All events of one before all of the other.
        result = string.CompareOrdinal(Id.Signature, other.Id.Signature);
        return result != 0 ? result : Id.Index.CompareTo(other.Id.Index);
    }

    public static bool operator <(TradeOrder left, TradeOrder right) => left.CompareTo(right) < 0;

    public static bool operator >(TradeOrder left, TradeOrder right) => left.CompareTo(right) > 0;

    public static bool operator <=(TradeOrder left, TradeOrder right) => left.CompareTo(right) <= 0;

    public static bool operator >=(TradeOrder left, TradeOrder right) => left.CompareTo(right) >= 0;
}
