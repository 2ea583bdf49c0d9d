using System.Buffers;
using System.Globalization;
using System.Text.Json;

namespace KlineOrleans.Ingest.Solana.Live;

/// <summary>A transaction that a node lists for a program.</summary>
internal readonly record struct ListedTransaction(long Slot, string Signature, bool HasError, long? BlockTime);

/// <summary>A transaction that a node gave.</summary>
/// <param name="Frame">The log frame that a subscription would have brought.</param>
internal sealed record FetchedTransaction(long Slot, string Signature, bool HasError, long? BlockTime, byte[] Frame);

/// <summary>What a node tells of the chain when asked. Thread safe.</summary>
internal sealed class Ledger(NodePool pool, SolanaOptions options)
{
    // What only the order or the time of a slot hangs on is not asked for ever.
    private const int MaxAttempts = 40;

    private const long MaxSlot = 100_000_000_000;
    private const long MaxSeconds = 7_258_118_400;

    public Task<long> GetSlot(CancellationToken cancellationToken) => pool.Call("getSlot", SlotParameters, Slot, cancellationToken);

    /// <summary>Asks one node once.</summary>
    public Task<long> GetSlot(NodeHealth node, CancellationToken cancellationToken) => pool.CallOnce(node, "getSlot", SlotParameters, Slot, cancellationToken);

    /// <summary>The oldest slot that a node still has whole; 0 if it does not say.</summary>
    public async Task<long> GetFirstAvailableSlot(CancellationToken cancellationToken)
    {
        try
        {
            return await pool.Call("getFirstAvailableBlock", "[]", Slot, cancellationToken, maxAttempts: 3);
        }
        catch (RpcException)
        {
            return 0;
        }
    }

    /// <summary>One page, newest first.</summary>
    /// <param name="minSlot">A node that has not come so far must not answer: what it lacks would look like what the chain lacks.</param>
    public Task<List<ListedTransaction>> GetSignatures(string program, string? before, long minSlot, CancellationToken cancellationToken)
    {
        var from = before is null ? "" : $"\"before\":\"{before}\",";
        return pool.Call(
            "getSignaturesForAddress",
            string.Create(CultureInfo.InvariantCulture, $"[\"{program}\",{{{from}\"limit\":{options.PageSize},\"minContextSlot\":{minSlot},\"commitment\":\"{options.LedgerCommitmentName}\"}}]"),
            result => result.EnumerateArray().Select(ReadListed).ToList(),
            cancellationToken);
    }

    /// <summary>Null if the node does not have it.</summary>
    public Task<FetchedTransaction?> GetTransaction(string signature, CancellationToken cancellationToken) => pool.Call(
        "getTransaction",
        $"[\"{signature}\",{{\"encoding\":\"json\",\"commitment\":\"{options.LedgerCommitmentName}\",\"maxSupportedTransactionVersion\":1}}]",
        result => ReadTransaction(signature, result),
        cancellationToken);

    /// <summary>Null if the node does not say. An <see cref="RpcException"/> that is not yet or never: see its code.</summary>
    public Task<long?> GetBlockTime(long slot, CancellationToken cancellationToken) => pool.Call<long?>(
        "getBlockTime",
        string.Create(CultureInfo.InvariantCulture, $"[{slot}]"),
        result => result.ValueKind == JsonValueKind.Null ? null : Seconds(result) ?? throw new FormatException("the block time is none"),
        cancellationToken,
        MaxAttempts);

    /// <summary>The places of a block's transactions by signature, and its time; null if there is no such block.</summary>
    public Task<(Dictionary<string, int> Places, long? BlockTime)?> GetPlaces(long slot, CancellationToken cancellationToken) => pool.Call(
        "getBlock",
        string.Create(CultureInfo.InvariantCulture, $"[{slot},{{\"encoding\":\"json\",\"transactionDetails\":\"signatures\",\"rewards\":false,\"commitment\":\"{options.LedgerCommitmentName}\",\"maxSupportedTransactionVersion\":1}}]"),
        ReadPlaces,
        cancellationToken,
        MaxAttempts);

    private string SlotParameters => $"[{{\"commitment\":\"{options.LedgerCommitmentName}\"}}]";

    private static (Dictionary<string, int> Places, long? BlockTime)? ReadPlaces(JsonElement result)
    {
        if (result.ValueKind == JsonValueKind.Null)
        {
            return null;
        }

        var signatures = result.GetProperty("signatures");
        var places = new Dictionary<string, int>(signatures.GetArrayLength(), StringComparer.Ordinal);
        foreach (var signature in signatures.EnumerateArray())
        {
            places.TryAdd(Signature(signature), places.Count);
        }

        return (places, result.TryGetProperty("blockTime", out var time) ? Seconds(time) : null);
    }

    private static ListedTransaction ReadListed(JsonElement entry) => new(
        Slot(entry.GetProperty("slot")),
        Signature(entry.GetProperty("signature")),
        entry.TryGetProperty("err", out var error) && error.ValueKind != JsonValueKind.Null,
        entry.TryGetProperty("blockTime", out var time) ? Seconds(time) : null);

    private static FetchedTransaction? ReadTransaction(string signature, JsonElement result)
    {
        if (result.ValueKind == JsonValueKind.Null)
        {
            return null;
        }

        var slot = Slot(result.GetProperty("slot"));
        var time = result.TryGetProperty("blockTime", out var seconds) ? Seconds(seconds) : null;
        var meta = result.GetProperty("meta");
        if (meta.ValueKind != JsonValueKind.Object)
        {
            throw new FormatException("the transaction has no meta");
        }

        var error = meta.TryGetProperty("err", out var e) && e.ValueKind != JsonValueKind.Null;
        var buffer = new ArrayBufferWriter<byte>(2048);
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            writer.WriteString("method"u8, "logsNotification"u8);
            writer.WriteStartObject("params"u8);
            writer.WriteStartObject("result"u8);
            writer.WriteStartObject("context"u8);
            writer.WriteNumber("slot"u8, slot);
            writer.WriteEndObject();
            writer.WriteStartObject("value"u8);
            writer.WriteString("signature"u8, signature);
            writer.WritePropertyName("err"u8);
            if (error)
            {
                e.WriteTo(writer);
            }
            else
            {
                writer.WriteNullValue();
            }

            writer.WritePropertyName("logs"u8);
            if (meta.TryGetProperty("logMessages", out var logs) && logs.ValueKind == JsonValueKind.Array)
            {
                logs.WriteTo(writer);
            }
            else
            {
                // A node may be run without logs: then this transaction's events are lost on it.
                writer.WriteStartArray();
                writer.WriteStringValue("Log truncated"u8);
                writer.WriteEndArray();
            }

            writer.WriteEndObject();
            writer.WriteEndObject();
            writer.WriteEndObject();
            writer.WriteEndObject();
        }

        return new FetchedTransaction(slot, signature, error, time, buffer.WrittenSpan.ToArray());
    }

    private static long Slot(JsonElement element) =>
        element.ValueKind == JsonValueKind.Number && element.TryGetInt64(out var slot) && slot is >= 0 and <= MaxSlot ? slot : throw new FormatException("a slot is none");

    private static long? Seconds(JsonElement element) =>
        element.ValueKind == JsonValueKind.Number && element.TryGetInt64(out var seconds) && seconds is > 0 and < MaxSeconds ? seconds : null;

    private static string Signature(JsonElement element)
    {
        var text = element.ValueKind == JsonValueKind.String ? element.GetString()! : "";
        return text.Length is >= 64 and <= 88 && text.All(char.IsAsciiLetterOrDigit) ? text : throw new FormatException("a signature is none");
    }
}
