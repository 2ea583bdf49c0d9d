using System.Collections.Immutable;
using System.Text;

namespace KlineOrleans.Ingest.Solana;

/// <summary>A deployment of a program whose events become trades. Immutable.</summary>
/// <remarks>
/// The price scale belongs to the deployment, not to the program id: the authors changed it under the same id. A new mint shows it: its first price is
/// 2.7959e-8 SOL, so it reports about 2.7959e20 at scale 28, 2.7959e18 at 26, 2.7959e15 at 23 (facts/spinpet-program 1.1).
/// </remarks>
public sealed record SolanaProgram
{
    private readonly byte[] _utf8;

    /// <param name="id">The program's address in base58.</param>
    /// <param name="priceScale">Prices are 10^this times the price of one whole token; without meaning for pump.fun. 0 to 38.</param>
    /// <param name="tokenDecimals">0 to 18.</param>
    /// <param name="quoteDecimals">0 to 18; 9 for SOL.</param>
    /// <exception cref="ArgumentException">A value lies outside its range, or the id is no address.</exception>
    public SolanaProgram(string id, ProgramGeneration generation, int priceScale, int tokenDecimals, int quoteDecimals)
    {
        if (!PublicKey.TryParse(id, out _))
        {
            throw new ArgumentException($"'{id}' is not a program address in base58.", nameof(id));
        }

        ArgumentOutOfRangeException.ThrowIfNegative(priceScale);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(priceScale, 38);
        ArgumentOutOfRangeException.ThrowIfNegative(tokenDecimals);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(tokenDecimals, 18);
        ArgumentOutOfRangeException.ThrowIfNegative(quoteDecimals);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(quoteDecimals, 18);
        Id = id;
        Generation = generation;
        PriceScale = priceScale;
        TokenDecimals = tokenDecimals;
        QuoteDecimals = quoteDecimals;
        _utf8 = Encoding.ASCII.GetBytes(id);
        Trades = [.. generation.Layouts.Select(l => TradeMap.For(l, this))];
    }

    public string Id { get; }

    public ProgramGeneration Generation { get; }

    public int PriceScale { get; }

    public int TokenDecimals { get; }

    public int QuoteDecimals { get; }

    internal ReadOnlySpan<byte> Utf8Id => _utf8;

    internal ImmutableArray<TradeMap> Trades { get; }

    internal TradeMap? Map(ulong discriminator)
    {
        foreach (var map in Trades)
        {
            if (map.Layout.Discriminator == discriminator)
            {
                return map;
            }
        }

        return null;
    }
}

/// <summary>The programs to follow, by address. Immutable, thread safe.</summary>
public sealed class ProgramCatalog
{
    /// <summary>pump.fun's bonding curve.</summary>
    public const string PumpId = "6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P";

    /// <summary>Spin Pet, generations 2.0 to 2.3.</summary>
    public const string SpinPet2Id = "HNaandW3U5sVTsoJaGx61UmX9Siupa6difFY9qRAPXyw";

    private const string SpinPet0bId = "8j79sfEAgHjRmJS38TvXoRzqb4hhdzspmsR8sNNKX3ve";
    private const string SpinPet1Id = "JBMmrp6jhksqnxDBskkmVvWHhJLaPBjgiMHEroJbUTBZ";

    private readonly SolanaProgram[] _programs;

    public ProgramCatalog(IEnumerable<SolanaProgram> programs)
    {
        _programs = [.. programs];
        if (_programs.GroupBy(p => p.Id, StringComparer.Ordinal).FirstOrDefault(g => g.Count() > 1) is { } twice)
        {
            throw new ArgumentException($"The program {twice.Key} stands there twice; one deployment has one generation.", nameof(programs));
        }
    }

    /// <summary>Every generation with the deployment it was found in, by name: what a configuration may name.</summary>
    /// <remarks>The scale of 2b is its SDK's constant and was not seen on chain (facts/spinpet-program 1.1).</remarks>
    public static ImmutableSortedDictionary<string, SolanaProgram> Shipped { get; } = new (string Name, string Id, string Generation, int Scale, int TokenDecimals)[]
    {
        ("SpinPet-0a", "2uA6nkQRmnPTPWuw73pStTQRWnX15BkzV6zSsEG1nKyC", "0a", 28, 6),
        ("SpinPet-0b-july", SpinPet0bId, "0b-july", 28, 6),
        ("SpinPet-0b", SpinPet0bId, "0b", 28, 6),
        ("SpinPet-1", SpinPet1Id, "1", 28, 6),
        ("SpinPet-1b", SpinPet1Id, "1b", 26, 6),
        ("SpinPet-2.0", SpinPet2Id, "2.0", 26, 6),
        ("SpinPet-2.1", SpinPet2Id, "2.1", 26, 6),
        ("SpinPet-2.2", SpinPet2Id, "2.2", 26, 6),
        ("SpinPet-2.3", SpinPet2Id, "2.3", 26, 6),
        ("SpinPet-2b", "CYdRzRacZ5kTc9Ht3U7mFhbsyxG3sZGEzC4cNf2Gjg2W", "2b", 23, 9),
        ("Pump", PumpId, "pump", 0, 6),
    }.ToImmutableSortedDictionary(p => p.Name, p => new SolanaProgram(p.Id, ProgramGeneration.Find(p.Generation)!, p.Scale, p.TokenDecimals, 9), StringComparer.OrdinalIgnoreCase);

    /// <summary>One generation for each address: the reference generation 1, the newest of the others.</summary>
    public static ProgramCatalog Default { get; } =
        new(new[] { "SpinPet-0a", "SpinPet-0b", "SpinPet-1", "SpinPet-2.3", "SpinPet-2b", "Pump" }.Select(n => Shipped[n]));

    public ImmutableArray<SolanaProgram> Programs => [.. _programs];

    /// <summary>This catalog with <paramref name="programs"/> in place of those of the same addresses, and beside the others.</summary>
    public ProgramCatalog With(IReadOnlyCollection<SolanaProgram> programs) =>
        new([.. _programs.Where(p => programs.All(o => o.Id != p.Id)), .. programs]);

    /// <summary>The program of this address; null if it is not followed.</summary>
    public SolanaProgram? Find(ReadOnlySpan<byte> utf8Id)
    {
        foreach (var program in _programs)
        {
            if (program.Utf8Id.SequenceEqual(utf8Id))
            {
                return program;
            }
        }

        return null;
    }
}
