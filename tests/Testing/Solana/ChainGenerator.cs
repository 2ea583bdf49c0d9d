using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Numerics;
using System.Security.Cryptography;
using System.Text;

namespace KlineOrleans.Testing.Solana;

/// <summary>Makes up a chain of Spin Pet (generation 2.3) and pump.fun trades, and says what is in it. The same seed makes the same chain.</summary>
/// <remarks>Written from the programs' layouts (facts/spinpet-program 1.3, pump.fun's IDL) and not with the decoder, so that it can judge it.</remarks>
public sealed class ChainGenerator(int seed)
{
    public const string SpinPetId = "HNaandW3U5sVTsoJaGx61UmX9Siupa6difFY9qRAPXyw";
    public const string PumpId = "6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P";

    private const string TokenId = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
    private const string Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    private const ulong StartSol = 30_000_000_000;
    private const ulong StartTokens = 1_073_000_000_000_000;

    private static readonly BigInteger Product = (BigInteger)StartSol * StartTokens;

    private readonly Random _random = new(seed);

    /// <summary>How many mints trade; every second one is of pump.fun.</summary>
    public int Mints { get; init; } = 200;

    /// <summary>The first slot.</summary>
    public long FirstSlot { get; init; } = 300_000_000;

    /// <summary>Unix seconds of the first slot. Default: 2026-01-05 00:00:00Z.</summary>
    public long FirstBlockTime { get; init; } = 1_767_571_200;

    /// <summary>Transactions in a slot on average.</summary>
    public int TransactionsPerSlot { get; init; } = 40;

    /// <summary>How many of a hundred transactions failed.</summary>
    public int FailedPercent { get; init; } = 3;

    /// <summary>How many of a hundred slots the chain skipped.</summary>
    public int SkippedPercent { get; init; } = 4;

    /// <summary>How many of ten thousand transactions have a log that is cut on every copy, before any event.</summary>
    public int TruncatedPerTenThousand { get; init; }

    /// <summary>A chain of so many transactions that succeeded or failed.</summary>
    public FakeChain Generate(int transactions)
    {
        var mints = Enumerable.Range(0, Mints).Select(n => new Curve(Key(), n % 2 == 1)).ToArray();
        var blocks = ImmutableArray.CreateBuilder<FakeBlock>();
        var trades = ImmutableArray.CreateBuilder<ChainTrade>();
        var made = 0;
        for (var slot = FirstSlot; made < transactions; slot++)
        {
            if (_random.Next(100) < SkippedPercent && slot > FirstSlot)
            {
                continue;
            }

            var blockTime = FirstBlockTime + ((slot - FirstSlot) * 2 / 5);
            var count = Math.Min(transactions - made, _random.Next(TransactionsPerSlot * 2 + 1));
            var block = ImmutableArray.CreateBuilder<FakeTransaction>();
            for (var i = 0; i < count; i++, made++)
            {
                // Strangers' transactions stand between: places are those of the whole block.
                if (_random.Next(3) == 0)
                {
                    block.Add(new FakeTransaction(Signature(), [TokenId], [$"Program {TokenId} invoke [1]", $"Program {TokenId} success"]));
                }

                block.Add(Transaction(mints, slot, block.Count, blockTime, trades));
            }

            blocks.Add(new FakeBlock(slot, blockTime, block.ToImmutable()));
        }

        return new FakeChain(blocks.ToImmutable(), trades.ToImmutable());
    }

    private FakeTransaction Transaction(Curve[] mints, long slot, int place, long blockTime, ImmutableArray<ChainTrade>.Builder trades)
    {
        var signature = Signature();
        var isFailed = _random.Next(100) < FailedPercent;
        var isCut = _random.Next(10_000) < TruncatedPerTenThousand;

        // A few mints trade most, so that a slot often has several trades of one.
        var mint = mints[Math.Min(_random.Next(mints.Length), _random.Next(mints.Length))];
        var program = mint.IsPump ? PumpId : SpinPetId;
        var logs = ImmutableArray.CreateBuilder<string>();
        logs.Add($"Program {program} invoke [1]");
        logs.Add("Program log: Instruction: BuySell");
        logs.Add($"Program {TokenId} invoke [2]");
        logs.Add($"Program {TokenId} success");
        if (isCut)
        {
            logs.Add("Log truncated");
        }

        var events = _random.Next(20) == 0 ? 2 : 1;
        for (var index = 0; index < events; index++)
        {
            var isBuy = _random.Next(2) == 0;
            var sol = (ulong)_random.NextInt64(1_000_000, 2_000_000_000);
            if (!isBuy && mint.Sol < StartSol + sol)
            {
                isBuy = true;
            }

            var before = mint.Tokens;
            var newSol = isBuy ? mint.Sol + sol : mint.Sol - sol;
            var newTokens = (ulong)((Product + newSol - 1) / newSol);
            var tokens = isBuy ? before - newTokens : newTokens - before;
            var data = mint.IsPump ? PumpTrade(mint, sol, tokens, isBuy, blockTime, newSol, newTokens) : BuySell(mint, sol, tokens, isBuy, newSol, newTokens);
            if (!isCut)
            {
                logs.Add($"Program data: {Convert.ToBase64String(data)}");
            }

            if (!isFailed && !isCut)
            {
                var price = mint.IsPump ? newSol / 1_000_000_000m / (newTokens / 1_000_000m) : Scaled(Price(newSol, newTokens), 26);
                trades.Add(new ChainTrade(slot, place, signature, index, mint.Address, price, tokens / 1_000_000m, sol / 1_000_000_000m, isBuy, blockTime));
            }

            if (!isFailed)
            {
                (mint.Sol, mint.Tokens) = (newSol, newTokens);
            }
        }

        logs.Add($"Program {program} consumed 61234 of 200000 compute units");
        logs.Add(isFailed ? $"Program {program} failed: custom program error: 0x1771" : $"Program {program} success");
        return new FakeTransaction(signature, [program], logs.ToImmutable(), isFailed ? "{\"InstructionError\":[0,{\"Custom\":6001}]}" : null) { IsTruncatedForEver = isCut };
    }

    private static BigInteger Price(ulong sol, ulong tokens) => sol * BigInteger.Pow(10, 23) / tokens;

    private static decimal Scaled(BigInteger value, int scale) =>
        decimal.Parse(value.ToString(System.Globalization.CultureInfo.InvariantCulture), System.Globalization.CultureInfo.InvariantCulture) * new decimal(1, 0, 0, isNegative: false, (byte)scale);

    private byte[] BuySell(Curve mint, ulong sol, ulong tokens, bool isBuy, ulong newSol, ulong newTokens)
    {
        var data = new byte[8 + 97 + 4];
        Discriminator("BuySellEvent").CopyTo(data, 0);
        _random.NextBytes(data.AsSpan(8, 32));
        mint.Key.CopyTo(data, 40);
        data[72] = isBuy ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteUInt64LittleEndian(data.AsSpan(73), tokens);
        BinaryPrimitives.WriteUInt64LittleEndian(data.AsSpan(81), sol);
        BinaryPrimitives.WriteUInt128LittleEndian(data.AsSpan(89), (UInt128)Price(newSol, newTokens));
        return data;
    }

    private byte[] PumpTrade(Curve mint, ulong sol, ulong tokens, bool isBuy, long blockTime, ulong newSol, ulong newTokens)
    {
        var data = new byte[8 + 113];
        Discriminator("TradeEvent").CopyTo(data, 0);
        mint.Key.CopyTo(data, 8);
        BinaryPrimitives.WriteUInt64LittleEndian(data.AsSpan(40), sol);
        BinaryPrimitives.WriteUInt64LittleEndian(data.AsSpan(48), tokens);
        data[56] = isBuy ? (byte)1 : (byte)0;
        _random.NextBytes(data.AsSpan(57, 32));
        BinaryPrimitives.WriteInt64LittleEndian(data.AsSpan(89), blockTime);
        BinaryPrimitives.WriteUInt64LittleEndian(data.AsSpan(97), newSol);
        BinaryPrimitives.WriteUInt64LittleEndian(data.AsSpan(105), newTokens);
        BinaryPrimitives.WriteUInt64LittleEndian(data.AsSpan(113), newSol - StartSol);
        return data;
    }

    private static byte[] Discriminator(string name) => SHA256.HashData(Encoding.ASCII.GetBytes("event:" + name))[..8];

    private byte[] Key()
    {
        var key = new byte[32];
        _random.NextBytes(key);
        key[0] |= 0x80;
        return key;
    }

    private string Signature()
    {
        var bytes = new byte[64];
        _random.NextBytes(bytes);
        return Base58(bytes);
    }

    internal static string Base58(byte[] bytes)
    {
        var number = new BigInteger(bytes, isUnsigned: true, isBigEndian: true);
        var text = new StringBuilder();
        while (number > 0)
        {
            number = BigInteger.DivRem(number, 58, out var digit);
            text.Insert(0, Alphabet[(int)digit]);
        }

        foreach (var b in bytes.TakeWhile(b => b == 0))
        {
            text.Insert(0, '1');
        }

        return text.ToString();
    }

    private sealed class Curve(byte[] key, bool isPump)
    {
        public byte[] Key => key;

        public string Address { get; } = Base58(key);

        public bool IsPump => isPump;

        public ulong Sol { get; set; } = StartSol;

        public ulong Tokens { get; set; } = StartTokens;
    }
}
