using System.Buffers;
using System.Buffers.Binary;
using System.Buffers.Text;
using System.Globalization;
using System.Text;
using KlineOrleans.Ingest.Solana;

namespace KlineOrleans.Ingest.Simulation;

/// <summary>A made-up chain: slot after slot, transactions of the Spin Pet program (generation 2.3), as frames of a node. One user at a time.</summary>
/// <remarks>
/// What happens in a slot follows from the seed, the slot and the state before it, and from nothing else. Fees (1 %) are paid on top and never enter a curve.
/// A slot is 400 ms; slot N begins N * 400 ms after 1970-01-01, and its block time is that in whole seconds, as the chain's are.
/// </remarks>
internal sealed class SimulatedChain : IBlockTimes
{
    public const string Generation = "2.3";

    private const int MaxOrders = 8;
    private const int StateVersion = 1;
    private const ushort BorrowFee = 1_200;
    private const ushort SwapFee = 1_000;
    private const uint OrderSeconds = 604_800;

    private readonly long _seed;
    private readonly double _tradesPerSlot;
    private readonly SimulatedMint[] _mints;
    private readonly double _weights;
    private readonly ArrayBufferWriter<byte> _frame = new(4096);
    private readonly byte[] _event = new byte[1024];
    private readonly List<ushort> _liquidated = [];
    private int _eventLength;

    public SimulatedChain(long seed, int mints, double tradesPerSecond)
    {
        _seed = seed;
        _tradesPerSlot = tradesPerSecond * 0.4;
        _mints = [.. Enumerable.Range(0, mints).Select(n => new SimulatedMint(seed, n))];
        _weights = _mints.Sum(m => m.Weight);
    }

    public IReadOnlyList<SimulatedMint> Mints => _mints;

    public static long SlotAt(DateTimeOffset time) => time.ToUnixTimeMilliseconds() / 400;

    public static DateTimeOffset TimeOf(long slot) => DateTimeOffset.FromUnixTimeMilliseconds(slot * 400);

    public static long BlockSeconds(long slot) => slot * 2 / 5;

    public bool TryGet(long slot, out long seconds)
    {
        seconds = BlockSeconds(slot);
        return true;
    }

    /// <summary>A frame of the newest slot, valid during the call.</summary>
    public delegate void FrameHandler(ReadOnlySpan<byte> frame, int indexInSlot);

    /// <summary>Makes the next slot's transactions.</summary>
    public void Run(long slot, FrameHandler onFrame)
    {
        var random = new SimulationRandom(SimulationRandom.Hash((ulong)_seed, 0x736C6F74, (ulong)slot));
        var transactions = 0;
        if (Array.Find(_mints, m => !m.IsCreated) is { } created)
        {
            Create(created);
            onFrame(Frame(slot, transactions, "Create"), transactions);
            transactions++;
        }

        // Busier and quieter minutes; within one, eight draws make a count that varies as arrivals do.
        var mean = _tradesPerSlot * (1 + (0.6 * SimulationRandom.Wander((ulong)_seed, slot, 450))) / 8;
        var count = 0;
        for (var i = 0; i < 8; i++)
        {
            count += (int)mean + (random.NextDouble() < mean - (int)mean ? 1 : 0);
        }

        for (var i = 0; i < count; i++)
        {
            if (Pick(ref random) is { } mint)
            {
                var instruction = Trade(mint, slot, ref random);
                onFrame(Frame(slot, transactions, instruction), transactions);
                transactions++;
            }
        }
    }

    /// <summary>The market's state after the newest slot, in a text without the character <c>|</c>.</summary>
    public string SaveState()
    {
        using var stream = new MemoryStream();
        using var writer = new BinaryWriter(stream);
        writer.Write((byte)StateVersion);
        writer.Write7BitEncodedInt(_mints.Length);
        foreach (var mint in _mints)
        {
            writer.Write(mint.IsCreated);
            writer.Write7BitEncodedInt64((long)mint.Sol);
            writer.Write7BitEncodedInt64((long)mint.NextOrder);
            writer.Write((byte)mint.Orders.Count);
            foreach (var order in mint.Orders)
            {
                writer.Write7BitEncodedInt64((long)order.Id);
                writer.Write(order.Index);
                writer.Write(order.IsLong);
                writer.Write7BitEncodedInt64((long)order.Sol);
                writer.Write7BitEncodedInt64((long)order.Tokens);
                writer.Write7BitEncodedInt64((long)order.StartSol);
                writer.Write(order.StartTime);
                writer.Write(order.User);
            }
        }

        writer.Flush();
        return Convert.ToBase64String(stream.GetBuffer(), 0, (int)stream.Length);
    }

    /// <summary>Goes on from what <see cref="SaveState"/> gave, with as many of its mints as there are here; false if that is no such text.</summary>
    public bool TryRestoreState(string state)
    {
        try
        {
            using var reader = new BinaryReader(new MemoryStream(Convert.FromBase64String(state)));
            if (reader.ReadByte() != StateVersion)
            {
                return false;
            }

            var count = reader.Read7BitEncodedInt();
            for (var i = 0; i < count && i < _mints.Length; i++)
            {
                var mint = _mints[i];
                mint.IsCreated = reader.ReadBoolean();
                mint.Sol = (ulong)reader.Read7BitEncodedInt64();
                if (mint.Sol is < SimulatedCurve.StartSol or > SimulatedCurve.MaxSol)
                {
                    return false;
                }

                mint.NextOrder = (ulong)reader.Read7BitEncodedInt64();
                mint.Orders.Clear();
                var orders = reader.ReadByte();
                for (var j = 0; j < orders; j++)
                {
                    mint.Orders.Add(new SimulatedOrder(
                        (ulong)reader.Read7BitEncodedInt64(),
                        reader.ReadUInt16(),
                        reader.ReadBoolean(),
                        (ulong)reader.Read7BitEncodedInt64(),
                        (ulong)reader.Read7BitEncodedInt64(),
                        (ulong)reader.Read7BitEncodedInt64(),
                        reader.ReadUInt32(),
                        reader.ReadUInt32()));
                }
            }

            return true;
        }
        catch (Exception e) when (e is FormatException or IOException)
        {
            return false;
        }
    }

    private SimulatedMint? Pick(ref SimulationRandom random)
    {
        var at = random.NextDouble() * _weights;
        foreach (var mint in _mints)
        {
            at -= mint.Weight;
            if (at < 0)
            {
                return mint.IsCreated ? mint : null;
            }
        }

        return null;
    }

    private string Trade(SimulatedMint mint, long slot, ref SimulationRandom random)
    {
        var lead = ((double)mint.Target(slot) - mint.Sol) / mint.Sol;
        var buys = random.NextDouble() < Math.Clamp(0.5 + (6 * lead), 0.12, 0.88);

        // Many small trades and a few of up to 2 % of the curve.
        var size = Math.Max(1_000_000, (ulong)(mint.Sol * (0.0004 / (random.NextDouble() + 0.02))));
        var what = random.NextDouble();
        var user = (uint)random.NextInt(400);
        if (what < 0.06 && mint.Orders.Count < MaxOrders)
        {
            return Open(mint, slot, Limited(mint, buys, size), size, user);
        }

        if (what is >= 0.06 and < 0.16 && mint.Orders.Count > 0)
        {
            var at = random.NextInt(mint.Orders.Count);
            var isPartial = what >= 0.12;
            if (TryClose(mint, at, isPartial))
            {
                return isPartial ? "PartialClose" : mint.Orders.Count == 0 || what < 0.09 ? "CloseLong" : "CloseShort";
            }
        }

        return Swap(mint, Limited(mint, buys, size), size, user);
    }

    // Nobody can take out what a curve starts with, and nobody pays more than the most.
    private static bool Limited(SimulatedMint mint, bool buys, ulong size) =>
        buys ? mint.Sol + size <= SimulatedCurve.MaxSol : mint.Sol < SimulatedCurve.StartSol + size;

    private string Swap(SimulatedMint mint, bool buys, ulong sol, uint user)
    {
        var tokens = Move(mint, buys, sol);
        Liquidate(mint);
        Begin("BuySellEvent");
        Put(mint.Account(user));
        Put(mint.Key);
        PutByte(buys ? 1 : 0);
        Put(tokens);
        Put(sol);
        Put(SimulatedCurve.Price(mint.Sol));
        PutLiquidated();
        return buys ? "Buy" : "Sell";
    }

    private string Open(SimulatedMint mint, long slot, bool isLong, ulong sol, uint user)
    {
        var before = mint.Sol;
        var tokens = Move(mint, isLong, sol);
        var order = new SimulatedOrder(mint.NextOrder++, (ushort)(mint.NextOrder % 1_000), isLong, sol, tokens, mint.Sol, (uint)BlockSeconds(slot), user);
        Liquidate(mint);
        mint.Orders.Add(order);
        Begin("LongShortEvent");
        Put(mint.Account(user));
        Put(mint.Key);
        Put(order.Id);
        Put(order.Index);
        Put(SimulatedCurve.Price(mint.Sol));
        Put(SimulatedCurve.Price(before));
        PutByte(isLong ? 1 : 2);
        PutPosition(order);
        PutLiquidated();
        return isLong ? "Long" : "Short";
    }

    private bool TryClose(SimulatedMint mint, int at, bool isPartial)
    {
        var order = mint.Orders[at];
        var tokens = isPartial ? order.Tokens / 2 : order.Tokens;
        var held = SimulatedCurve.Tokens(mint.Sol);
        var after = order.IsLong ? SimulatedCurve.SolFor(held + tokens) : SimulatedCurve.SolFor(held - Math.Min(tokens, held / 2));
        if (after is < SimulatedCurve.StartSol or > SimulatedCurve.MaxSol || after == mint.Sol)
        {
            return false;
        }

        var sol = order.IsLong ? mint.Sol - after : after - mint.Sol;
        var moved = Move(mint, !order.IsLong, sol);
        var rest = order with { Tokens = order.Tokens - tokens, Sol = order.Sol / 2 };
        if (isPartial)
        {
            mint.Orders[at] = rest;
        }
        else
        {
            mint.Orders.RemoveAt(at);
        }

        _liquidated.Clear();
        Begin(isPartial ? "PartialCloseEvent" : "FullCloseEvent");
        Put(mint.Account(order.User));
        Put(mint.Account(order.User + 1_000));
        Put(mint.Key);
        PutByte(order.IsLong ? 1 : 0);
        Put(moved);
        Put(sol);
        Put(order.IsLong == (sol > order.Sol) ? Difference(sol, order.Sol) : 0);
        Put(SimulatedCurve.Price(mint.Sol));
        Put(order.Id);
        Put(order.Index);
        if (isPartial)
        {
            PutByte(order.IsLong ? 1 : 2);
            Put(mint.Account(order.User));
            PutPosition(rest);
            Put(sol / 10);
        }

        PutLiquidated();
        return true;
    }

    // Positions whose price has gone too far against them are closed on the curve with the trade that took it there.
    private void Liquidate(SimulatedMint mint)
    {
        _liquidated.Clear();
        for (var i = mint.Orders.Count - 1; i >= 0; i--)
        {
            var order = mint.Orders[i];
            var isLost = order.IsLong ? mint.Sol < order.StartSol - (order.StartSol / 12) : mint.Sol > order.StartSol + (order.StartSol / 12);
            if (!isLost)
            {
                continue;
            }

            var held = SimulatedCurve.Tokens(mint.Sol);
            var after = order.IsLong ? SimulatedCurve.SolFor(held + order.Tokens) : SimulatedCurve.SolFor(held - Math.Min(order.Tokens, held / 2));
            mint.Sol = Math.Clamp(after, SimulatedCurve.StartSol, SimulatedCurve.MaxSol);
            mint.Orders.RemoveAt(i);
            _liquidated.Add(order.Index);
        }
    }

    private static ulong Move(SimulatedMint mint, bool buys, ulong sol)
    {
        var before = SimulatedCurve.Tokens(mint.Sol);
        mint.Sol = buys ? mint.Sol + sol : mint.Sol - sol;
        return Difference(SimulatedCurve.Tokens(mint.Sol), before);
    }

    private static ulong Difference(ulong a, ulong b) => a > b ? a - b : b - a;

    private void Create(SimulatedMint mint)
    {
        mint.IsCreated = true;
        Begin("TokenCreatedEvent");
        Put(mint.Account(2_000));
        Put(mint.Key);
        for (var i = 2_001u; i <= 2_006; i++)
        {
            Put(mint.Account(i));
        }

        Put(SwapFee);
        Put(BorrowFee);
        PutByte(0);
        Put(mint.Name);
        Put(mint.Symbol);
        Put($"https://example.com/{mint.Symbol.ToLowerInvariant()}.json");
        Put(mint.Account(2_007));
        Put(mint.Account(2_008));
        Put(SimulatedCurve.Price(mint.Sol));
    }

    private void PutPosition(SimulatedOrder order)
    {
        Put(SimulatedCurve.Price(order.StartSol));
        Put(SimulatedCurve.Price(order.IsLong ? order.StartSol - (order.StartSol / 12) : order.StartSol + (order.StartSol / 12)));
        Put(order.Sol);
        Put(order.Tokens);
        PutSeconds(order.StartTime);
        PutSeconds(order.StartTime + OrderSeconds);
        Put(order.Sol / 5);
        Put(order.IsLong ? order.Sol : order.Tokens);
        Put(order.IsLong ? order.Tokens : order.Sol);
        Put(BorrowFee);
    }

    private void PutLiquidated()
    {
        PutSeconds((uint)_liquidated.Count);
        foreach (var index in _liquidated)
        {
            Put(index);
        }
    }

    private void Begin(string structName)
    {
        _eventLength = 0;
        var layout = ProgramGeneration.Find(Generation)!.Layouts.First(l => l.EventType + "Event" == structName);
        Put(layout.Discriminator);
    }

    private void PutByte(int value) => _event[_eventLength++] = (byte)value;

    private void Put(ushort value)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(_event.AsSpan(_eventLength), value);
        _eventLength += 2;
    }

    private void PutSeconds(uint value)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(_event.AsSpan(_eventLength), value);
        _eventLength += 4;
    }

    private void Put(ulong value)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(_event.AsSpan(_eventLength), value);
        _eventLength += 8;
    }

    private void Put(UInt128 value)
    {
        BinaryPrimitives.WriteUInt128LittleEndian(_event.AsSpan(_eventLength), value);
        _eventLength += 16;
    }

    private void Put(PublicKey key)
    {
        key.CopyTo(_event.AsSpan(_eventLength));
        _eventLength += PublicKey.Length;
    }

    private void Put(string text)
    {
        var length = Encoding.UTF8.GetBytes(text, _event.AsSpan(_eventLength + 4));
        PutSeconds((uint)length);
        _eventLength += length;
    }

    // The frame that a node would send for the event just put together.
    private ReadOnlySpan<byte> Frame(long slot, int index, string instruction)
    {
        _frame.ResetWrittenCount();
        Write("{\"jsonrpc\":\"2.0\",\"method\":\"logsNotification\",\"params\":{\"result\":{\"context\":{\"slot\":"u8);
        Write(slot.ToString(CultureInfo.InvariantCulture));
        Write("},\"value\":{\"signature\":\""u8);
        WriteSignature(slot, index);
        Write("\",\"err\":null,\"logs\":[\"Program "u8);
        Write(ProgramCatalog.SpinPet2Id);
        Write(" invoke [1]\",\"Program log: Instruction: "u8);
        Write(instruction);
        Write("\",\"Program TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA invoke [2]\",\"Program log: Instruction: Transfer\",\"Program TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA consumed 4645 of 180000 compute units\",\"Program TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA success\",\"Program data: "u8);
        var span = _frame.GetSpan(Base64.GetMaxEncodedToUtf8Length(_eventLength));
        Base64.EncodeToUtf8(_event.AsSpan(0, _eventLength), span, out _, out var written);
        _frame.Advance(written);
        Write("\",\"Program "u8);
        Write(ProgramCatalog.SpinPet2Id);
        Write(" consumed 61234 of 200000 compute units\",\"Program "u8);
        Write(ProgramCatalog.SpinPet2Id);
        Write(" success\"]}},\"subscription\":1}}"u8);
        return _frame.WrittenSpan;
    }

    private void WriteSignature(long slot, int index)
    {
        var random = new SimulationRandom(SimulationRandom.Hash((ulong)_seed, 0x73696768, (ulong)slot, (ulong)index));
        Span<byte> bytes = stackalloc byte[64];
        for (var i = 0; i < 8; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(bytes[(i * 8)..], random.Next());
        }

        Write(Base58.Encode(bytes));
    }

    private void Write(ReadOnlySpan<byte> text) => _frame.Write(text);

    private void Write(string ascii)
    {
        var span = _frame.GetSpan(ascii.Length);
        _frame.Advance(Encoding.ASCII.GetBytes(ascii, span));
    }
}
