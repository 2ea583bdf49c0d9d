using System.Buffers;
using System.Text.Json;
using KlineOrleans.Web.Transports.Events;

namespace KlineOrleans.Web.Transports.RawWebSocket;

/// <summary>The events on /ws: <c>{type, data, timestamp}</c>; an error has its code and message both at the top and in its data. Thread safe.</summary>
internal class WebSocketEventFormat(bool hasVolume, TimeProvider time) : EventFormat(hasVolume, time)
{
    public override bool RepeatsType => true;

    public override Payload Event(string name, ReadOnlySpan<byte> data)
    {
        var buffer = new ArrayBufferWriter<byte>(data.Length + 96);
        using (var json = new Utf8JsonWriter(buffer, CandleJson.Options))
        {
            json.WriteStartObject();
            json.WriteString("type", name);
            json.WritePropertyName("data");
            json.WriteRawValue(data, skipInputValidation: true);
            json.WriteNumber("timestamp", Time.GetUtcNow().ToUnixTimeMilliseconds());
            json.WriteEndObject();
        }

        return new Payload(buffer.WrittenMemory);
    }

    public override Payload Error(ApiError error)
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(buffer, CandleJson.Options))
        {
            json.WriteStartObject();
            json.WriteString("type", "error");
            WriteError(json, error);
            json.WriteStartObject("data");
            WriteError(json, error);
            json.WriteEndObject();
            json.WriteNumber("timestamp", Time.GetUtcNow().ToUnixTimeMilliseconds());
            json.WriteEndObject();
        }

        return new Payload(buffer.WrittenMemory);
    }

    protected override Payload EncodeKlineData(FeedMessage message, int intervals, bool hasVolume)
    {
        var scratch = JsonScratch.Take();
        var (buffer, json) = (scratch.Buffer, scratch.Json);
        var most = message.Update.Klines.Length;
        Span<(int Start, int Gap, int End)> places = most <= 32 ? stackalloc (int, int, int)[32] : new (int, int, int)[most];
        var count = 0;
        var now = Time.GetUtcNow().ToUnixTimeMilliseconds();
        var left = Count(message.Update, intervals);
        foreach (ref readonly var kline in message.Update.Klines.AsSpan())
        {
            if ((intervals & (1 << (int)kline.Interval)) == 0)
            {
                continue;
            }

            var start = buffer.WrittenCount;
            json.Reset();
            json.WriteStartObject();
            json.WriteString("type", "kline_data");
            json.WritePropertyName("data");
            var gap = WriteKlineData(buffer, json, message, kline, isLast: --left == 0, hasVolume, now);
            json.WriteNumber("timestamp", now);
            json.WriteEndObject();
            json.Flush();
            places[count++] = (start, gap, buffer.WrittenCount);
        }

        ReadOnlyMemory<byte> memory = buffer.WrittenSpan.ToArray();
        var texts = new GappedText[count];
        for (var i = 0; i < count; i++)
        {
            var (start, gap, end) = places[i];
            texts[i] = new GappedText(memory[start..gap], memory[(gap + GapLength)..end]);
        }

        return new GappedPayload(texts);
    }
}

/// <summary>What /ws/kline/live sends: a bare array of the klines that changed. Thread safe.</summary>
/// <param name="hasSymbol">Each item names its symbol.</param>
/// <param name="hasVolume">False: <c>volume</c> is 0.</param>
internal sealed class LiveFormat(bool hasSymbol, bool hasVolume) : WireFormat
{
    public override Payload EncodeKlines(FeedMessage message, int intervals)
    {
        var buffer = new ArrayBufferWriter<byte>(1_024);
        using (var json = new Utf8JsonWriter(buffer, CandleJson.Options))
        {
            json.WriteStartArray();
            foreach (ref readonly var kline in message.Update.Klines.AsSpan())
            {
                if ((intervals & (1 << (int)kline.Interval)) != 0)
                {
                    CandleJson.WriteLive(json, hasSymbol ? message.Update.Symbol : null, kline, hasVolume);
                }
            }

            json.WriteEndArray();
        }

        return new Payload(buffer.WrittenMemory);
    }

    public override Payload? EncodeStatus(StatusMessage message) => null;

    public override Payload? EncodeSkipped(string symbol, long count) => null;

    /// <summary>The server stops. In the form of its refusals, which clients of a bare array tell from it.</summary>
    public static Payload Shutdown() => new(HubJson.Make(ApiError.Shutdown, static (json, error) =>
    {
        json.WriteStartObject();
        json.WriteString("error", error.Sentence);
        json.WriteNumber("code", (int)error.Code);
        json.WriteEndObject();
    }));
}
