using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KlineOrleans.Contracts;
using KlineOrleans.Ingest.Replay;
using KlineOrleans.Ingest.Solana;
using Microsoft.Extensions.Logging.Abstractions;

namespace KlineOrleans.Ingest.Tests;

/// <summary>Builds frames and reads sources: what every test of this room shares.</summary>
internal static class Frames
{
    public const string Signature = "5xk1fk8eZFh7N6ydZc9YpaXx1QGEqbTDTFJX5WX7RhYucdxgiAvbG9NR4icwDhJgdasdYJh544GmQRZfv5s77BM";

    public static byte[] Notification(IEnumerable<string> logs, long slot = 100, string signature = Signature, string err = "null", string extra = "") =>
        Encoding.UTF8.GetBytes(
            "{\"jsonrpc\":\"2.0\",\"method\":\"logsNotification\",\"params\":{\"result\":{\"context\":{\"slot\":" + slot + "},\"value\":{\"signature\":\"" + signature
            + "\",\"err\":" + err + ",\"logs\":" + JsonSerializer.Serialize(logs) + extra + "}},\"subscription\":1}}");

    public static byte[] Event(string programId, byte[] payload, long slot = 100, string extra = "") =>
        Notification([$"Program {programId} invoke [1]", $"Program data: {Convert.ToBase64String(payload)}", $"Program {programId} success"], slot, extra: extra);

    public static byte[] Discriminator(string structName) => SHA256.HashData(Encoding.ASCII.GetBytes("event:" + structName))[..8];

    public static Decoded Decode(byte[] frame, ProgramCatalog? programs = null, EventTimes? times = null)
    {
        var skipped = new SkipCounts();
        var blockTimes = new RecordedBlockTimes();
        var decoder = new SolanaTrades("test", programs ?? ProgramCatalog.Default, times ?? new EventTimes(blockTimes, EventTimes.Genesis), skipped);
        var trades = new List<Trade>();
        var symbols = new List<SymbolInfo>();
        var kind = decoder.Read(frame, 1, trades, symbols, blockTimes);
        return new Decoded(kind, trades, symbols, skipped, [.. decoder.Events]);
    }

    public sealed record Decoded(LogFrameKind Kind, List<Trade> Trades, List<SymbolInfo> Symbols, SkipCounts Skipped, List<DecodedEvent> Events)
    {
        public string Json(int index)
        {
            using var stream = new MemoryStream();
            using (var writer = new Utf8JsonWriter(stream))
            {
                Events[index].Map.Layout.WriteJson(writer, Events[index].Payload.Span);
            }

            return Encoding.UTF8.GetString(stream.ToArray());
        }
    }

    public static SourceOptions Replay(string path, RecordingFormat format, Func<ReplayOptions, ReplayOptions>? change = null)
    {
        var options = new ReplayOptions { Path = path, Format = format, Symbol = format == RecordingFormat.BinanceAggTradesCsv ? "XRPETH" : "" };
        return new SourceOptions { Kind = SourceKind.Replay, Name = "replay", Rules = new KlineRules(), Replay = change?.Invoke(options) ?? options };
    }

    public static ReplaySource Source(SourceOptions options, TimeProvider? timeProvider = null) =>
        new(options, timeProvider ?? TimeProvider.System, NullLogger<ReplaySource>.Instance);

    public static async Task<List<SourceChunk>> ReadAll(ITradeSource source, string? checkpoint = null)
    {
        var chunks = new List<SourceChunk>();
        await foreach (var chunk in source.Read(checkpoint, TestContext.Current.CancellationToken))
        {
            chunks.Add(chunk);
        }

        return chunks;
    }
}
