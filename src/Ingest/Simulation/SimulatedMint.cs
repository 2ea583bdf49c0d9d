using KlineOrleans.Ingest.Solana;

namespace KlineOrleans.Ingest.Simulation;

/// <summary>A margin position in a simulated market. Immutable.</summary>
/// <param name="Sol">Lamports that moved when it was opened.</param>
/// <param name="Tokens">Raw tokens that it has to give back or take back.</param>
/// <param name="StartSol">The curve's SOL just after it was opened.</param>
internal readonly record struct SimulatedOrder(ulong Id, ushort Index, bool IsLong, ulong Sol, ulong Tokens, ulong StartSol, uint StartTime, uint User);

/// <summary>A mint of the simulated market: who it is follows from the seed, where it stands is its state. One user at a time.</summary>
internal sealed class SimulatedMint
{
    private static readonly string[] Names =
    [
        "Moon Otter", "Pixel Frog", "Solar Biscuit", "Captain Whisker", "Grumpy Panda", "Neon Goose", "Turbo Snail", "Cosmic Corgi", "Lucky Acorn", "Disco Shrimp",
        "Velvet Yeti", "Tiny Kraken", "Mango Wizard", "Robo Hamster", "Salty Walrus", "Golden Noodle", "Foggy Lynx", "Quantum Duck", "Paper Tiger", "Midnight Sloth",
    ];

    private readonly ulong _seed;

    public SimulatedMint(long seed, int number)
    {
        Number = number;
        _seed = SimulationRandom.Hash((ulong)seed, 0x6D696E74, (ulong)number);
        Key = MakeKey(_seed);
        Name = number < Names.Length ? Names[number] : $"{Names[number % Names.Length]} {(number / Names.Length) + 1}";
        Symbol = string.Concat(Name.Split(' ').Select(w => w[..Math.Min(3, w.Length)])).ToUpperInvariant();
    }

    public int Number { get; }

    public PublicKey Key { get; }

    public string Name { get; }

    public string Symbol { get; }

    /// <summary>How often it trades, against the others.</summary>
    public double Weight => 1.0 / (Number + 2);

    public bool IsCreated { get; set; }

    /// <summary>Lamports in the curve.</summary>
    public ulong Sol { get; set; } = SimulatedCurve.StartSol;

    public ulong NextOrder { get; set; } = 1;

    public List<SimulatedOrder> Orders { get; } = [];

    /// <summary>An account that belongs to the mint, always the same for the same number.</summary>
    public PublicKey Account(uint number) => MakeKey(SimulationRandom.Hash(_seed, 0x61636374, number));

    /// <summary>Where the crowd wants the curve to be in a slot, in lamports: a level of its own, with slow and fast waves.</summary>
    public ulong Target(long slot)
    {
        var level = SimulationRandom.Hash(_seed, 0x6C65766C) >> 11;
        var u = level * (1.0 / (1UL << 53));
        var target = SimulatedCurve.StartSol * (1.6 + (7 * u * u));
        target *= 1 + (0.40 * SimulationRandom.Wander(_seed, slot, 216_000));
        target *= 1 + (0.30 * SimulationRandom.Wander(_seed, slot, 9_000));
        target *= 1 + (0.15 * SimulationRandom.Wander(_seed, slot, 1_500));
        target *= 1 + (0.06 * SimulationRandom.Wander(_seed, slot, 300));
        target *= 1 + (0.02 * SimulationRandom.Wander(_seed, slot, 50));
        return Math.Max((ulong)target, SimulatedCurve.StartSol + (SimulatedCurve.StartSol / 50));
    }

    // Addresses on chain mostly have 44 characters; others are left to the real ones.
    private static PublicKey MakeKey(ulong seed)
    {
        var random = new SimulationRandom(seed);
        Span<byte> bytes = stackalloc byte[PublicKey.Length];
        while (true)
        {
            for (var i = 0; i < 4; i++)
            {
                System.Buffers.Binary.BinaryPrimitives.WriteUInt64LittleEndian(bytes[(i * 8)..], random.Next());
            }

            if (Base58.Encode(bytes).Length == 44)
            {
                return new PublicKey(bytes);
            }
        }
    }
}
