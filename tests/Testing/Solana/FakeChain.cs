using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;

namespace KlineOrleans.Testing.Solana;

/// <summary>A transaction of a made-up or recorded chain. Immutable.</summary>
/// <param name="Signature">In base58, 64 to 88 characters.</param>
/// <param name="Mentions">The programs whose subscribers hear of it.</param>
/// <param name="Error">The JSON of its error; null if it succeeded.</param>
public sealed record FakeTransaction(string Signature, ImmutableArray<string> Mentions, ImmutableArray<string> Logs, string? Error = null)
{
    /// <summary>The node's own copy of the log is cut too: nobody can give what is missing.</summary>
    public bool IsTruncatedForEver { get; init; }

    /// <summary>The notification exactly as it was recorded; null: made from the above.</summary>
    public string? Recorded { get; init; }
}

/// <summary>A block: its transactions in the chain's order. Immutable.</summary>
/// <param name="BlockTime">Unix seconds.</param>
public sealed record FakeBlock(long Slot, long BlockTime, ImmutableArray<FakeTransaction> Transactions);

/// <summary>One trade as the chain has it: what a source must find. Immutable.</summary>
/// <param name="Place">The transaction's index in its block.</param>
/// <param name="Index">The event's index in its transaction.</param>
public sealed record ChainTrade(
    long Slot, int Place, string Signature, int Index, string Mint, decimal Price, decimal BaseAmount, decimal QuoteAmount, bool IsBuy, long BlockTime);

/// <summary>A chain with what it holds. Blocks in the order of their slots; slots may be missing, as skipped ones are. Immutable.</summary>
public sealed record FakeChain(ImmutableArray<FakeBlock> Blocks, ImmutableArray<ChainTrade> Trades)
{
    public long FirstSlot => Blocks[0].Slot;

    public long LastSlot => Blocks[^1].Slot;

    /// <summary>The chain as a recording: for each block its time, then a logsNotification frame for each transaction.</summary>
    public IEnumerable<string> ToLogLines()
    {
        foreach (var block in Blocks)
        {
            yield return string.Create(CultureInfo.InvariantCulture, $"{{\"slot\":{block.Slot},\"blockTime\":{block.BlockTime}}}");
            foreach (var transaction in block.Transactions)
            {
                yield return transaction.Recorded ?? string.Create(
                    CultureInfo.InvariantCulture,
                    $"{{\"jsonrpc\":\"2.0\",\"method\":\"logsNotification\",\"params\":{{\"result\":{{\"context\":{{\"slot\":{block.Slot}}},\"value\":{{\"signature\":\"{transaction.Signature}\",\"err\":{transaction.Error ?? "null"},\"logs\":{JsonSerializer.Serialize(transaction.Logs)}}}}},\"subscription\":1}}}}");
            }
        }
    }

    /// <summary>A chain of recorded frames (of a signature the first: a transaction is notified once), which are sent as they stand. A slot's time is the frame's own where it says one, else counted from its number.</summary>
    /// <param name="frames">logsNotification frames, one each.</param>
    /// <param name="mentions">The programs whose subscribers hear of them.</param>
    /// <param name="firstBlockTime">Unix seconds of the first slot.</param>
    public static FakeChain FromFrames(IEnumerable<string> frames, ImmutableArray<string> mentions, long firstBlockTime)
    {
        var slots = new SortedDictionary<long, List<FakeTransaction>>();
        var times = new Dictionary<long, long>();
        var signatures = new HashSet<string>(StringComparer.Ordinal);
        foreach (var frame in frames)
        {
            using var document = JsonDocument.Parse(frame);
            var result = document.RootElement.GetProperty("params").GetProperty("result");
            var value = result.GetProperty("value");
            if (!signatures.Add(value.GetProperty("signature").GetString()!))
            {
                continue;
            }

            var error = value.GetProperty("err");
            var slot = result.GetProperty("context").GetProperty("slot").GetInt64();
            if (!slots.TryGetValue(slot, out var transactions))
            {
                slots.Add(slot, transactions = []);
            }

            if (result.TryGetProperty("blockTime", out var time))
            {
                times[slot] = time.GetInt64();
            }

            var logs = value.GetProperty("logs").EnumerateArray().Select(l => l.GetString()!).ToImmutableArray();
            transactions.Add(new FakeTransaction(value.GetProperty("signature").GetString()!, mentions, logs, error.ValueKind == JsonValueKind.Null ? null : error.GetRawText())
            {
                Recorded = frame,
                IsTruncatedForEver = logs.Contains("Log truncated"),
            });
        }

        var first = slots.Keys.First();
        return new FakeChain([.. slots.Select(s => new FakeBlock(s.Key, times.GetValueOrDefault(s.Key, firstBlockTime + ((s.Key - first) * 2 / 5)), [.. s.Value]))], []);
    }
}
