using System.Buffers;
using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.AspNetCore.SignalR;

namespace KlineOrleans.Web;

/// <summary>A message for hub connections, made once for all connections of a room. Immutable.</summary>
/// <remarks>An invocation of SignalR's JSON protocol: one object and the record separator (the protocol's specification, "Invocation Message Encoding" and "Text Transfer Format").</remarks>
internal sealed class HubPayload : Payload
{
    /// <summary>At most so many bytes are about the JSON.</summary>
    public const int LongestRest = 64;

    private const int UsualLength = 1_024;

    private SerializedHubMessage? _message;

    private HubPayload(ReadOnlyMemory<byte> frame, ReadOnlyMemory<byte> whole, ReadOnlyMemory<byte> json)
        : base(json)
    {
        SharedFrames = frame;
        Whole = whole;
    }

    /// <summary>The message in UTF-8.</summary>
    public ReadOnlyMemory<byte> Whole { get; }

    /// <summary>The same for SignalR to write.</summary>
    public SerializedHubMessage Message => _message ??= Ready(Whole);

    public override ReadOnlyMemory<byte> SharedFrames { get; }

    public static HubPayload Make<T>(ReadOnlySpan<byte> method, T argument, Action<Utf8JsonWriter, T> write)
    {
        var buffer = new ArrayBufferWriter<byte>(UsualLength);
        buffer.GetSpan(WebSocketFrame.LongestHeader);
        buffer.Advance(WebSocketFrame.LongestHeader);
        buffer.Write("{\"type\":1,\"target\":\""u8);
        buffer.Write(method);
        buffer.Write("\",\"arguments\":["u8);
        var start = buffer.WrittenCount;
        using (var json = new Utf8JsonWriter(buffer, HubJson.Options))
        {
            write(json, argument);
        }

        var end = buffer.WrittenCount;
        buffer.Write("]}\u001e"u8);
        var all = MemoryMarshal.AsMemory(buffer.WrittenMemory);
        return new HubPayload(all[WebSocketFrame.WriteTextHeader(all.Span)..], all[WebSocketFrame.LongestHeader..], all[start..end]);
    }

    /// <summary>Messages of the protocol as one that SignalR writes as it is.</summary>
    public static SerializedHubMessage Ready(ReadOnlyMemory<byte> messages) => new([new SerializedMessage(Protocol, messages)]);

    public override int LongestFrames(int middle) => SharedFrames.Length;

    public override int WriteFrames(Span<byte> buffer, ReadOnlySpan<byte> middle)
    {
        SharedFrames.Span.CopyTo(buffer);
        return SharedFrames.Length;
    }

    private const string Protocol = "json";
}

/// <summary>How rooms look on the hub. The same JSON serves the items of streaming calls. Thread safe.</summary>
/// <param name="exact">Prices and volumes as decimal strings.</param>
internal sealed class SignalRFormat(bool exact, TimeProvider time) : WireFormat
{
    private const long LargestExactDouble = 1L << 53;

    public bool Exact => exact;

    public override Payload EncodeKlines(FeedMessage message, int intervals) => HubPayload.Make("kline"u8, (message.Update, intervals, exact, Now: time.GetUtcNow()), static (json, a) =>
    {
        json.WriteStartObject();
        json.WriteString("symbol", a.Update.Symbol);
        WritePosition(json, a.Update.Epoch, a.Update.Seq);
        json.WriteNumber("eventTime", a.Update.EventTime.ToUnixTimeMilliseconds());
        json.WriteNumber("sentAt", a.Now.ToUnixTimeMilliseconds());
        json.WriteStartArray("klines");
        foreach (ref readonly var kline in a.Update.Klines.AsSpan())
        {
            if ((a.intervals & (1 << (int)kline.Interval)) != 0)
            {
                KlineJson.Write(json, kline, a.exact);
            }
        }

        json.WriteEndArray();
        json.WriteEndObject();
    });

    public override Payload EncodeStatus(StatusMessage message) => HubPayload.Make("status"u8, message, static (json, status) =>
    {
        json.WriteStartObject();
        json.WriteString("symbol", status.Symbol);
        WriteState(json, status);
        json.WriteEndObject();
    });

    public override Payload EncodeSkipped(string symbol, long count) => HubPayload.Make("skipped"u8, (symbol, count), static (json, a) =>
    {
        json.WriteStartObject();
        json.WriteString("symbol", a.symbol);
        json.WriteNumber("count", a.count);
        json.WriteEndObject();
    });

    public static void WriteState(Utf8JsonWriter json, StatusMessage status)
    {
        json.WriteString("state", status.State);
        json.WriteNumber("since", status.Since.ToUnixTimeMilliseconds());
        json.WriteString("source", status.Source);
        json.WriteBoolean("simulated", status.IsSimulated);
    }

    /// <summary>Writes epoch and seq. An epoch that JavaScript's numbers cannot hold is a string: clients only hand it back.</summary>
    public static void WritePosition(Utf8JsonWriter json, long epoch, long seq)
    {
        if (epoch <= LargestExactDouble)
        {
            json.WriteNumber("epoch", epoch);
        }
        else
        {
            json.WriteString("epoch", epoch.ToString(System.Globalization.CultureInfo.InvariantCulture));
        }

        json.WriteNumber("seq", seq);
    }
}

/// <summary>The formats of the hub: one instance each, so that rooms are shared.</summary>
internal sealed class SignalRFormats(TimeProvider time)
{
    private readonly SignalRFormat _numbers = new(exact: false, time);
    private readonly SignalRFormat _strings = new(exact: true, time);

    public SignalRFormat Get(bool exact) => exact ? _strings : _numbers;
}
