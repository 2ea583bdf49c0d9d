namespace KlineOrleans.Ingest.Simulation;

/// <summary>Numbers that follow from a seed alone, on every machine: integers and plain arithmetic, no library function. Not for secrets.</summary>
internal struct SimulationRandom(ulong seed)
{
    private ulong _state = seed;

    /// <summary>One number from several: the same ones give the same.</summary>
    public static ulong Hash(ulong a, ulong b, ulong c = 0, ulong d = 0) => Mix(Mix(Mix(Mix(a) ^ b) ^ c) ^ d);

    public ulong Next()
    {
        _state += 0x9E3779B97F4A7C15;
        return Mix(_state);
    }

    /// <summary>From 0 to below 1.</summary>
    public double NextDouble() => (Next() >> 11) * (1.0 / (1UL << 53));

    /// <summary>From 0 to below <paramref name="end"/>.</summary>
    public int NextInt(int end) => (int)(NextDouble() * end);

    /// <summary>A smooth wandering value in [-1, 1] that turns about once in <paramref name="period"/>.</summary>
    public static double Wander(ulong seed, long time, long period)
    {
        var cell = time / period;
        var x = (double)(time - (cell * period)) / period;
        var smooth = x * x * (3 - (2 * x));
        var from = Signed(Hash(seed, (ulong)period, (ulong)cell));
        var to = Signed(Hash(seed, (ulong)period, (ulong)(cell + 1)));
        return from + ((to - from) * smooth);
    }

    private static double Signed(ulong hash) => ((hash >> 11) * (2.0 / (1UL << 53))) - 1;

    // SplitMix64.
    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
