namespace KlineOrleans.Contracts;

/// <summary>The length of a kline's bucket. The numbers are stored and never change.</summary>
/// <remarks>Each interval is a whole number of the one before it, and its buckets begin where one of those begins; weeks begin on Monday. All in UTC.</remarks>
[GenerateSerializer, Alias("KlineOrleans.KlineInterval")]
public enum KlineInterval : byte
{
    /// <summary>No interval.</summary>
    None = 0,
    S1 = 1,
    S5 = 2,
    S15 = 3,
    S30 = 4,
    M1 = 5,
    M5 = 6,
    M15 = 7,
    M30 = 8,
    H1 = 9,
    H4 = 10,
    D1 = 11,
    W1 = 12,
}
