namespace KlineOrleans.Ingest.Simulation;

/// <summary>A Spin Pet curve: SOL times tokens is always 30 * 1,073,000,000 (facts/spinpet-program 1.4). Its SOL tells everything.</summary>
internal static class SimulatedCurve
{
    /// <summary>The SOL that every curve starts with, and that nobody can take out, in lamports.</summary>
    public const ulong StartSol = 30_000_000_000;

    /// <summary>Far above every target, far below what a price can hold.</summary>
    public const ulong MaxSol = 30_000_000_000_000;

    /// <summary>The price scale of the generation that is simulated.</summary>
    public const int PriceScale = 26;

    private static readonly UInt128 Product = (UInt128)StartSol * 1_073_000_000_000_000;

    // Lamports per raw token to SOL per token is a thousandth; the rest of the scale stands before the division.
    private static readonly UInt128 PriceFactor = (UInt128)10_000_000_000_000 * 10_000_000_000;

    /// <summary>The tokens in the curve, in millionths.</summary>
    public static ulong Tokens(ulong sol) => (ulong)((Product + sol - 1) / sol);

    /// <summary>The SOL of the curve when it holds so many tokens.</summary>
    public static ulong SolFor(ulong tokens) => (ulong)((Product + tokens - 1) / tokens);

    /// <summary>The price as the program writes it.</summary>
    public static UInt128 Price(ulong sol) => sol * PriceFactor / Tokens(sol);
}
